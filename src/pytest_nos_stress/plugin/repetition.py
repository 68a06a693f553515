"""``--stress-scenario``: repeat one run of one test from the scenario file that the run wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.config import options
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.scenario.scenario import Scenario

from .hypothesis_support import is_under_given


class Repetition:
    """The scenario file of the command line, if any, and the record of its repetition."""

    def __init__(self, config: pytest.Config, command_line: Mapping[str, Any]) -> None:
        self._config = config
        self.scenario: Scenario | None = command_line.get("scenario")
        self._refusal = ""
        self._has_repeated = False

    @property
    def file(self) -> str:
        """The file's path as given on the command line, safe to print."""
        return escape_controls(self._path)

    def check_selection(self, number_of_tests: int) -> None:
        """Require that exactly one stress test is selected if there is a scenario to repeat.

        Raises ``UsageError``; an xdist worker cannot raise it, and fails its tests instead.
        """
        if self.scenario is None or number_of_tests == 1 or self._config.getoption("collectonly"):
            return
        self._refusal = (
            f"--stress-scenario={self.file}: repeats a run of one stress test, "
            f"but {number_of_tests} are selected; select exactly one"
        )
        if not hasattr(self._config, "workerinput"):
            raise pytest.UsageError(self._refusal)

    def check_test(self, item: pytest.Item) -> None:
        """Fail a stress test if it cannot repeat the scenario."""
        if self.scenario is None:
            return
        refusal = self._refusal
        if not refusal and is_under_given(item):
            refusal = (
                f"--stress-scenario={self.file}: a test under @given draws its own scenarios; "
                "pass this one with @example(...) instead"
            )
        if refusal:
            pytest.fail(refusal, pytrace=False)

    def scenario_for(self, run: int) -> Scenario | None:
        """Return the scenario that the test's n-th run repeats; None if the file is not of that run."""
        if not self.applies_to(run):
            return None
        self._has_repeated = True
        return self.scenario

    def applies_to(self, run: int) -> bool:
        """Return True if the test's n-th run must repeat the file's scenario."""
        return self.scenario is not None and run == self._run()

    def require(self) -> None:
        """Fail the running test if there is a scenario to repeat, and none of the test's runs repeated it."""
        if self.scenario is not None and not self._has_repeated:
            pytest.fail(
                f"--stress-scenario={self.file}: repeats run {self._run()} of the test, but the test made fewer "
                "runs; select the test that wrote the file",
                pytrace=False,
            )

    def with_source(self, error: SettingError) -> SettingError:
        """Return the error with the scenario file named at the start of its message."""
        return type(error)(f"--stress-scenario={self.file}: {error}")

    def _run(self) -> int:
        """Return the number of the run that wrote the file.

        The n-th run of a test writes to the subdirectory ``run-n``, and the first one directly to the test's
        directory. A file in any other directory counts as the first run's.
        """
        path = Path(self._path).absolute()
        run = re.fullmatch(r"run-(\d+)", path.parent.name)
        return int(run[1]) if run and (path.parent.parent / path.name).exists() else 1

    @property
    def _path(self) -> str:
        path: str = self._config.getoption(options.BY_NAME["scenario"].dest)
        return path
