"""The state of a pytest session with stress tests: settings, seed, directory, and the runs of its tests.

Guarantee: everything that is wrong on the command line or in an ini file is a ``pytest.UsageError`` before
anything is collected, and everything wrong at a marker is a collection error there; one line each.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_nos_stress._internal.text import escape_controls, safe_repr
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS

from .live_terminal import LiveTerminal
from .repetition import Repetition
from .session_settings import SessionSettings

if TYPE_CHECKING:
    from pytest_nos_stress.faults.proxy import Proxy
    from pytest_nos_stress.reporting.progress import Live
    from pytest_nos_stress.results.summary_types import Summary

    from .rerun import Rerun


class FixtureProxies(Protocol):
    """The proxies of the ``stress_proxy`` fixture, as far as a session uses them."""

    def open_proxies(self) -> list[Proxy]:
        """The proxies of the session's fixtures and of the running test."""

    def end_test(self) -> None:
        """Close the proxies that the running test has made."""


class StressSession:
    """The session's part of every run's settings."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.interrupted: list[Summary] = []
        """The summary's rows of runs that Ctrl-C ended: their tests have no report."""
        self._runs: dict[str, list[Summary]] = {}
        self.problems: list[str] = []
        """The session's own files that could not be written, and why."""
        from_controller = getattr(config, "workerinput", {}).get("nos_stress", {})
        self.directory = Path(from_controller.get("directory", config.invocation_params.dir))
        try:
            self.settings = SessionSettings(config, self.directory)
        except SettingError as error:
            raise pytest.UsageError(str(error)) from None
        self.repetition = Repetition(config, self.settings.command_line)
        self.seed = self._seed(from_controller.get("seed"))
        self._terminal = LiveTerminal(config, self.settings.of_session["live"])
        self.item: pytest.Item | None = None
        """The test that is running."""
        self.is_in_call = False
        """Whether the test's own code runs, and not its fixtures'."""
        self.proxies: FixtureProxies | None = None
        self.rerun: Rerun | None = None
        """How the running test is run again; None the first time."""

    def _seed(self, of_controller: int | None) -> int:
        seed: int | None = self.settings.of_all_tests.get("seed")
        if self.repetition.scenario is not None:  # the other runs of that test had its seed too
            seed = self.repetition.scenario.seed
        if seed is None:
            seed = of_controller
        return random.SystemRandom().getrandbits(32) if seed is None else seed

    def begin(self, item: pytest.Item) -> None:
        """Begin a test, perhaps not for the first time."""
        self.item = item
        if item.get_closest_marker("stress"):
            self.repetition.check_test(item)

    def require_repetition(self) -> None:
        """Fail the running test if it had a scenario to repeat and no run that did."""
        if self.rerun is None:
            self.repetition.require()

    @property
    def active(self) -> bool:
        return bool(self.config.getoption("stress"))

    def close(self) -> None:
        self._terminal.close()

    def live(self) -> Live | None:
        """Return what shows a run that goes on; None if nothing does."""
        return self._terminal.progress_of("" if self.item is None else self.item.nodeid)

    def add_runs(self, runs: Sequence[Summary]) -> None:
        """Add all runs of a test that has ended. If the test is run again, those of the last time count."""
        for test in {run["test"] for run in runs}:
            self._runs[test] = [run for run in runs if run["test"] == test]

    @property
    def runs(self) -> list[Summary]:
        """The summaries of the session's runs, with those of a test that Ctrl-C ended."""
        noted = [run for of_test in self._runs.values() for run in of_test]
        return noted + [run for run in self.interrupted if run["test"] not in self._runs]

    def unmatched_thresholds(self) -> list[str]:
        """Return the thresholds of command line and ini that applied to none of the session's runs."""
        unmatched = [set(run["not_applicable"]) for run in self.runs]
        return sorted(set.intersection(*unmatched)) if unmatched else []

    def workflow_commands(self) -> list[str]:
        """What CI shows at the tests' lines."""
        from . import session_outputs

        return session_outputs.workflow_commands(self.runs, self.config.rootpath)

    def write_outputs(self) -> list[str]:
        """Write what the session has to say of all its runs; returns what went wrong."""
        if not self.active or self.config.getoption("collectonly"):
            return []
        from . import session_outputs

        return session_outputs.write(self.runs, self.settings.of_session, self.directory, self.settings.output_dir)

    def for_workers(self) -> dict[str, Any]:
        return {"seed": self.seed, "directory": str(self.directory)}

    def header(self) -> str:
        if self.repetition.scenario is not None:
            return f"stress: repeats {self.repetition.file}"
        return f"stress: seed {self.seed}, repeat with --stress-seed={self.seed}"

    def check_marker(self, item: pytest.Function, *, is_body: bool) -> None:
        """Raise ``CollectError`` for a stress marker that is wrong."""
        try:
            self.settings.check(self.merged_settings(item, {}))
            tasks = [marker.kwargs["tasks"] for marker in item.iter_markers("stress") if "tasks" in marker.kwargs]
            if is_body and tasks:
                raise SettingError(
                    f"tasks={safe_repr(tasks[0])}: the body is the task; allowed only with the fixture"
                )
        except SettingError as error:
            where = escape_controls(f"{item.path.name}::{item.name}")
            raise pytest.Collector.CollectError(f"{where}: stress marker: {error}") from None

    def merged_settings(self, item: pytest.Item, run: dict[str, Any], number: int = 1) -> dict[str, Any]:
        """Return the settings of a test's run of that number.

        The first of ``run(...)``, command line, marker and ini that has a setting decides it. A scenario replaces
        all settings that decide the plan, whatever source they are from, and one that repeats a run goes before
        all others. Raises ``SettingError``.
        """
        values = self.settings.merged(item, run) | self._repeated(number)
        if values.get("scenario") is not None:
            return {name: value for name, value in values.items() if name not in SCENARIO_OPTIONS}
        if values.get("seed") is None:
            values["seed"] = self.seed
        return values

    def with_source(self, error: SettingError, number: int) -> SettingError:
        """Return the error, with the file whose scenario the run was to repeat if there is one."""
        if self.rerun is not None or not self.repetition.is_of(number):
            return error
        return self.repetition.with_source(error)

    def _repeated(self, number: int) -> dict[str, Any]:
        """Return the scenario to repeat in the test's run of that number, as a setting, if there is one."""
        rerun = {} if self.rerun is None else self.rerun.settings(number)
        if rerun:
            return rerun
        scenario = self.repetition.scenario_for(number)
        return {} if scenario is None else {"scenario": scenario}
