"""``--stress-scenario``: repeat one run of one test from the file that the run has written."""

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
    """The scenario file of the command line, if there is one, and whether a run has repeated it."""

    def __init__(self, config: pytest.Config, command_line: Mapping[str, Any]) -> None:
        self._config = config
        self.scenario: Scenario | None = command_line.get("scenario")
        self._refusal = ""
        self._has_repeated = False

    @property
    def file(self) -> str:
        """The file's path as the command line has it, safe to print."""
        return escape_controls(self._path)

    def check_selection(self, number_of_tests: int) -> None:
        """Refuse to repeat a run of several tests, or of none.

        Raises ``UsageError``. xdist's workers, which cannot, fail their tests.
        """
        if self.scenario is None or number_of_tests == 1 or self._config.getoption("collectonly"):
            return
        self._refusal = (
            f"--stress-scenario={self.file}: repeats one stress test, "
            f"but {number_of_tests} are selected; name the test"
        )
        if not hasattr(self._config, "workerinput"):
            raise pytest.UsageError(self._refusal)

    def check_test(self, item: pytest.Item) -> None:
        """Fail a stress test that cannot repeat the scenario."""
        if self.scenario is None:
            return
        refusal = self._refusal
        if not refusal and is_under_given(item):
            refusal = "--stress-scenario: a test under @given draws its own; give it the scenario by @example(...)"
        if refusal:
            pytest.fail(refusal, pytrace=False)

    def scenario_for(self, run: int) -> Scenario | None:
        """Return the scenario that the test's run of that number repeats; None if it is not the run to repeat."""
        if not self.is_of(run):
            return None
        self._has_repeated = True
        return self.scenario

    def is_of(self, run: int) -> bool:
        """Whether the file is to be repeated by the test's run of that number."""
        return self.scenario is not None and run == self._run()

    def require(self) -> None:
        """Fail the running test if it had a scenario to repeat and no run that did."""
        if self.scenario is not None and not self._has_repeated:
            pytest.fail(
                f"--stress-scenario: is of the test's run {self._run()}, which it did not make", pytrace=False
            )

    def with_source(self, error: SettingError) -> SettingError:
        """Return the error with the file whose scenario the run was to repeat."""
        return type(error)(f"--stress-scenario={self.file}: {error}")

    def _run(self) -> int:
        """The number of the run that the file is of: its directory says so if it is a test's."""
        path = Path(self._path).absolute()
        run = re.fullmatch(r"run-(\d+)", path.parent.name)
        return int(run[1]) if run and (path.parent.parent / path.name).exists() else 1

    @property
    def _path(self) -> str:
        path: str = self._config.getoption(options.BY_NAME["scenario"].dest)
        return path
