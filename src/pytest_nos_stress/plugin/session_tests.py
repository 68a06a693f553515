"""Collect the outcome of every stress test of a session from pytest's reports.

A process that runs tests attaches the test's identity to each report. Its first report also carries the list of
the selected stress tests. So the controller of xdist knows tests that no worker has reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from pytest_nos_stress._internal.text import escape_controls, shorten
from pytest_nos_stress.results.session_tests import NOT_FINISHED, NOT_RUN, SKIPPED
from pytest_nos_stress.results.summary_types import SessionTest
from pytest_nos_stress.results.verdicts import FAILED, PASSED

_PHASES = ("setup", "call", "teardown")
_LONGEST_REASON = 500


class ReportedTest(TypedDict):
    """A stress test, as builtin types: xdist sends it. ``repeat`` is empty unless the report is a failure."""

    test: str
    nodeid: str
    file: str
    line: int
    repeat: str


def reported(item: pytest.Item, row: str, repeat: str = "") -> ReportedTest:
    """Return the description of a stress test for its reports. ``row``: the test's name in reports."""
    file, line, _ = item.location
    return {"test": row, "nodeid": item.nodeid, "file": file, "line": (line or 0) + 1, "repeat": repeat}


@dataclass
class _Test:
    """State of a test. ``node``: the xdist worker that runs it; None without xdist."""

    about: ReportedTest
    outcome: str = ""
    reason: str = ""
    has_begun: bool = False
    has_ended: bool = False
    node: object = None

    def fail(self, reason: str) -> None:
        """Set the outcome. The first failure of a test is its reason."""
        if self.outcome != FAILED:
            self.outcome, self.reason = FAILED, _one_line(reason)

    def summary(self, *, has_runs: bool) -> SessionTest:
        outcome, reason = self.outcome, self.reason
        if not self.has_begun and not outcome:
            outcome = NOT_RUN
        elif not self.has_ended and outcome != FAILED:
            outcome, reason = NOT_FINISHED, "the test began and did not end"
        elif not outcome or (outcome == PASSED and not has_runs):  # with --setup-only
            outcome, reason = NOT_RUN, "only the fixtures of the test were set up"
        about = self.about
        return {
            "test": escape_controls(about["test"]),
            "file": escape_controls(about["file"]),
            "line": about["line"],
            "outcome": outcome,
            "reason": reason,
            "repeat": about["repeat"] if outcome == FAILED else "",
        }


class TestOutcomes:
    """The outcomes of a session's stress tests, in the process that sees every report."""

    __test__ = False

    def __init__(self) -> None:
        self._tests: dict[str, _Test] = {}
        self._has_selection = False

    def select(self, tests: list[ReportedTest]) -> None:
        """Add the tests that are selected. They count as not run until they have a report."""
        self._has_selection = True
        for about in tests:
            self._tests.setdefault(about["test"], _Test(about))

    def add_report(self, report: pytest.TestReport) -> None:
        """Add a report of any test. A report that says that a test's worker has crashed is one, too."""
        about: ReportedTest | None = getattr(report, "stress_test", None)
        if about is not None:
            self._add(about, report)
        elif report.when not in _PHASES and report.failed:
            self._add_crash(report)

    def add_collect_report(self, report: pytest.CollectReport) -> None:
        """Add a file that could not be collected, or was skipped as a whole: its stress tests are not known."""
        file: str = getattr(report, "stress_file", "")
        if report.failed:
            file = file or report.nodeid.partition("::")[0]
            self._test_without_item(file or "collection", file).fail(f"could not be collected: {_reason(report)}")
        elif file:
            test = self._test_without_item(file, file)
            test.outcome, test.reason = SKIPPED, _reason(report)

    def summaries(self, tests_with_runs: set[str]) -> list[SessionTest]:
        """Return the outcome of each test. ``tests_with_runs``: names of the tests that have reported runs."""
        return [
            test.summary(has_runs=escape_controls(name) in tests_with_runs) for name, test in self._tests.items()
        ]

    def _add(self, about: ReportedTest, report: pytest.TestReport) -> None:
        if report.when == "setup" or about["test"] not in self._tests:
            self._tests[about["test"]] = _Test(about, has_begun=True, node=getattr(report, "node", None))
        test = self._tests[about["test"]]
        test.about = {**about, "repeat": about["repeat"] or test.about["repeat"]}
        if report.failed:
            test.fail(f"{_PLACES.get(str(report.when), '')}{_reason(report)}")
        elif test.outcome != FAILED and report.skipped:
            test.outcome, test.reason = SKIPPED, _one_line(getattr(report, "wasxfail", "") or _reason(report))
        elif test.outcome != FAILED and report.passed and report.when == "call":
            test.outcome, test.reason = PASSED, ""
        test.has_ended = report.when == "teardown" and str(report.outcome) != "rerun"

    def _add_crash(self, report: pytest.TestReport) -> None:
        """Add the failure of a test whose worker has crashed, unless it is known to be no stress test."""
        node = getattr(report, "node", None)
        candidates = [
            test
            for test in self._tests.values()
            if test.about["nodeid"] == report.nodeid and not test.has_ended and test.node in (None, node)
        ]
        candidates.sort(key=lambda test: test.node is None)
        if candidates:
            test = candidates[0]
        elif self._has_selection:
            return
        else:
            test = self._test_without_item(report.nodeid, report.nodeid.partition("::")[0])
        test.fail(_reason(report))
        test.has_begun = test.has_ended = True

    def _test_without_item(self, name: str, file: str) -> _Test:
        about: ReportedTest = {"test": name, "nodeid": name, "file": file, "line": 0, "repeat": ""}
        return self._tests.setdefault(name, _Test(about, has_begun=True, has_ended=True))


_PLACES = {"setup": "in setup: ", "teardown": "in teardown: "}


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the reason for an outcome in one line."""
    longrepr: Any = report.longrepr
    if isinstance(longrepr, tuple):  # of a skipped test: file, line, reason
        return _one_line(str(longrepr[-1]))
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        return _one_line(str(crash.message).removeprefix("Failed: "))
    lines = [line for line in str(longrepr or "").splitlines() if line.strip()]
    errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    return _one_line((errors or lines or [""])[0])


def _one_line(text: str) -> str:
    lines = text.strip().splitlines()
    return shorten(escape_controls(lines[0]), _LONGEST_REASON) if lines else ""
