"""The state of a pytest session with stress tests: settings, seed, directory, and the runs of its tests.

Guarantee: a wrong setting on the command line or in an ini file raises ``pytest.UsageError`` before tests are
collected. A wrong setting in a marker is a collection error of its test. Each message is one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_nos_stress._internal.seeding import drawn_seed
from pytest_nos_stress._internal.text import escape_controls, safe_repr
from pytest_nos_stress.config import options
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.results.session_tests import SessionTests
from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS

from .identity import TestIdentities
from .live_terminal import LiveTerminal
from .repeat_command import repeat_command
from .repetition import Repetition
from .session_settings import SessionSettings
from .session_tests import ReportedTest, TestOutcomes, reported

if TYPE_CHECKING:
    from pytest_nos_stress.faults.proxy import Proxy
    from pytest_nos_stress.reporting.progress import Live
    from pytest_nos_stress.results.summary_types import Summary

    from .rerun import Rerun


class FixtureProxies(Protocol):
    """The interface of the ``stress_proxy`` fixture that a session uses."""

    def open_proxies(self) -> list[Proxy]:
        """Return the open proxies of the session's fixtures and of the running test."""

    def end_test(self) -> None:
        """Close the proxies that the running test has opened."""


class StressSession:
    """The session's settings and seed, its running test, and the summaries of its runs."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.interrupted: list[Summary] = []
        """Summaries of runs that Ctrl-C ended. Their tests have no report."""
        self._runs: dict[str, list[Summary]] = {}
        self.outcomes = TestOutcomes()
        """Outcomes of the session's stress tests, complete in the process that sees every report."""
        self.stopped = ""
        """The reason for which the session ended early, if it did."""
        self._unsent: list[ReportedTest] = []
        """The selected stress tests, until a report has carried them to the controller of xdist."""
        self.problems: list[str] = []
        """A line for each session file that could not be written, with the reason."""
        from_controller = getattr(config, "workerinput", {}).get("nos_stress", {})
        self.directory = Path(from_controller.get("directory", config.invocation_params.dir))
        self.identities = TestIdentities(self.directory, from_controller.get("worker", ""))
        try:
            self.settings = SessionSettings(config, self.directory)
        except SettingError as error:
            raise pytest.UsageError(str(error)) from None
        self.repetition = Repetition(config, self.settings.command_line)
        self.seed = self._seed(from_controller.get("seed"))
        self._terminal = LiveTerminal(config, self.settings.session_values["live"])
        self.item: pytest.Item | None = None
        """The running test."""
        self.is_in_call = False
        """True while the test function itself runs, and False during setup and teardown of its fixtures."""
        self.proxies: FixtureProxies | None = None
        self.rerun: Rerun | None = None
        """The repetition of the running test that is in progress; None during its first execution."""

    def _seed(self, controller_seed: int | None) -> int:
        seed: int | None = self.settings.test_values.get("seed")
        if self.repetition.scenario is not None:  # the other runs of that test had the scenario's seed too
            seed = self.repetition.scenario.seed
        if seed is None:
            seed = controller_seed
        return drawn_seed() if seed is None else seed

    def begin(self, item: pytest.Item) -> None:
        """Begin a test. A test begins once for each time it is executed."""
        self.item = item
        if item.get_closest_marker("stress"):
            self.repetition.check_test(item)

    def require_repetition(self) -> None:
        """Fail the running test if none of its runs repeated the scenario of ``--stress-scenario``."""
        if self.rerun is None:
            self.repetition.require()

    @property
    def active(self) -> bool:
        return bool(self.config.getoption("stress"))

    def close(self) -> None:
        self._terminal.close()

    def live(self) -> Live | None:
        """Return the live display of the run that begins; None if nothing is shown."""
        return self._terminal.progress_of("" if self.item is None else self.identities.of(self.item).row)

    def select(self, items: Sequence[pytest.Item]) -> None:
        """Note the stress tests that are selected to run."""
        tests = [
            reported(item, identity.row)
            for item, identity in zip(items, self.identities.assign(items), strict=True)
        ]
        self.outcomes.select(tests)
        if hasattr(self.config, "workerinput"):
            self._unsent = tests

    def describe_on(self, report: pytest.TestReport, item: pytest.Item) -> None:
        """Put the test's identity on its report if it is a stress test. xdist's controller reads it there."""
        if self._unsent:
            report.stress_selected, self._unsent = self._unsent, []  # type: ignore[attr-defined]
        if item.get_closest_marker("stress"):
            repeat = repeat_command(item, self.directory, self.seed) if report.failed else ""
            report.stress_test = reported(item, self.identities.of(item).row, repeat)  # type: ignore[attr-defined]

    def add_report(self, report: pytest.TestReport) -> None:
        """Add the outcome of a test and the summaries of its runs, in the process that sees every report."""
        self.outcomes.select(getattr(report, "stress_selected", []))
        self.outcomes.add_report(report)
        about: ReportedTest | None = getattr(report, "stress_test", None)
        if about is not None and report.when == "setup":  # of a test that is run again, only the last runs count
            self._runs.pop(escape_controls(about["test"]), None)
        self.add_runs(getattr(report, "stress_runs", ()))

    def add_runs(self, runs: Sequence[Summary]) -> None:
        """Add the summaries of all runs of a test that has ended; they replace earlier ones of the same test."""
        for test in {run["test"] for run in runs}:
            of_test = [run for run in runs if run["test"] == test]
            self._runs[test] = sorted(of_test, key=lambda run: run["run"])

    @property
    def runs(self) -> list[Summary]:
        """The summaries of the session's runs, including those of a test that Ctrl-C ended."""
        reported = [run for test_runs in self._runs.values() for run in test_runs]
        return reported + [run for run in self.interrupted if run["test"] not in self._runs]

    @property
    def tests(self) -> SessionTests:
        """The session's stress tests, and the reason for which it ended early."""
        if self.config.getoption("collectonly"):
            return SessionTests()
        return SessionTests(self.outcomes.summaries({run["test"] for run in self.runs}), self.stopped)

    def unmatched_thresholds(self) -> list[str]:
        """Return the thresholds of command line and ini file that did not apply to any run of the session."""
        unmatched = [set(run["not_applicable"]) for run in self.runs]
        return sorted(set.intersection(*unmatched)) if unmatched else []

    def workflow_commands(self) -> list[str]:
        """Return the commands by which GitHub shows failures at the lines of the tests."""
        from . import session_outputs

        return session_outputs.workflow_commands(self.runs, self.tests, self.config.rootpath)

    def write_outputs(self) -> list[str]:
        """Write the session's files. Return a line for each file that could not be written."""
        if not self.active or self.config.getoption("collectonly"):
            return []
        from . import session_outputs

        return session_outputs.write(
            self.runs,
            self.tests,
            self.settings.session_values,
            self.directory,
            self.settings.output_dir,
            has_reports="html" in self.settings.test_values.get("report", options.find("report").default),
        )

    def remove_index(self) -> None:
        """Remove the index of an earlier session: if this session is killed, no page must speak for it."""
        from . import session_outputs

        session_outputs.remove_index(self.settings.output_dir)

    def worker_input(self, worker: str) -> dict[str, Any]:
        """Return what an xdist worker must know. With ``--dist=each``, each worker has directories of its own."""
        own = worker if self.config.getoption("dist", "no") == "each" else ""
        return {"seed": self.seed, "directory": str(self.directory), "worker": own}

    def header(self) -> str:
        if self.repetition.scenario is not None:
            return f"stress: repeats {self.repetition.file}"
        return f"stress: seed {self.seed}, repeat with --stress-seed={self.seed}"

    def check_marker(self, item: pytest.Function, *, is_body: bool) -> None:
        """Raise ``CollectError`` if a stress marker is wrong."""
        try:
            self.settings.check(self.merged_settings(item, {}))
            tasks = [marker.kwargs["tasks"] for marker in item.iter_markers("stress") if "tasks" in marker.kwargs]
            if is_body and tasks:
                raise SettingError(
                    f"tasks={safe_repr(tasks[0])}: not allowed, because the test's body is the task; remove it, "
                    "or use the stress_simulator fixture"
                )
        except SettingError as error:
            test = escape_controls(f"{item.path.name}::{item.name}")
            raise pytest.Collector.CollectError(f"{test}: stress marker: {error}") from None

    def merged_settings(self, item: pytest.Item, run: dict[str, Any], number: int = 1) -> dict[str, Any]:
        """Return the merged settings of the test's n-th run. ``number`` counts from 1.

        Precedence, highest first: ``run(...)``, command line, marker, ini file. A scenario replaces all settings
        that decide the plan, whatever their source. A scenario that repeats a run overrides any other scenario.
        Raises ``SettingError``.
        """
        values = self.settings.merged(item, run) | self._repeated(number)
        if values.get("scenario") is not None:
            return {name: value for name, value in values.items() if name not in SCENARIO_OPTIONS}
        if values.get("seed") is None:
            values["seed"] = self.seed
        return values

    def with_source(self, error: SettingError, number: int) -> SettingError:
        """Return the error; if the run repeats the scenario of a file, the message names the file."""
        if self.rerun is not None or not self.repetition.applies_to(number):
            return error
        return self.repetition.with_source(error)

    def _repeated(self, number: int) -> dict[str, Any]:
        """Return the scenario that the test's n-th run repeats, as a setting; empty if it repeats none."""
        rerun = {} if self.rerun is None else self.rerun.settings(number)
        if rerun:
            return rerun
        scenario = self.repetition.scenario_for(number)
        return {} if scenario is None else {"scenario": scenario}
