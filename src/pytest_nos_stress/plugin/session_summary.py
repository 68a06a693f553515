"""Collect tests and runs of a session from pytest's reports, write the session's files, and print the summary."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

from .session import StressSession


class CollectReports:
    """Names the file on the report of a file that was not collected, in every process that collects."""

    def __init__(self, session: StressSession) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.failed or (report.skipped and _may_have_stress_tests(collector)):
            report.stress_file = self._session.identities.file(collector)  # type: ignore[attr-defined]
        return report


class SessionReports:
    """Collects outcomes and runs from the reports. Under xdist, the controller gets the reports of all workers."""

    def __init__(self, session: StressSession) -> None:
        self._session = session

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._session.outcomes.add_collect_report(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        if not session.config.getoption("collectonly"):
            self._session.remove_index()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._session.add_report(report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note an early end: Ctrl-C, ``pytest.exit``, or errors of collection."""
        self._session.stopped = str(excinfo.value) or "interrupted"

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._session.stopped = f"internal error: {excinfo.exconly().strip().splitlines()[-1]}"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the session's files, before the summary is printed. Fail the session if that is not possible."""
        problems = self._session.problems = self._session.write_outputs()
        if not session.config.pluginmanager.hasplugin("terminalreporter"):
            print(*problems, sep="\n", end="\n" * bool(problems), file=sys.stderr)
        if problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _may_have_stress_tests(collector: pytest.Collector) -> bool:
    """Return True if a file that was skipped as a whole mentions stress tests. Its tests are not known."""
    try:
        return b"stress" in collector.path.read_bytes()
    except OSError:
        return False


def write_summary(
    terminalreporter: pytest.TerminalReporter, session: StressSession | None, skip_reason: str
) -> None:
    """Write the part of the terminal summary that is about stress tests.

    ``session``: None without ``--stress``. ``skip_reason``: the reason with which stress tests are then skipped.
    """
    if session is not None:
        _write_runs(terminalreporter, session)
        for problem in session.problems:
            terminalreporter.write_line(problem, red=True)
    _write_replays(terminalreporter)
    _write_skipped(terminalreporter, skip_reason)


def _write_runs(terminalreporter: pytest.TerminalReporter, session: StressSession) -> None:
    from pytest_nos_stress._internal.text import escape_controls
    from pytest_nos_stress.reporting.terminal import summary

    lines = summary(session.runs, session.tests, encoding=_encoding(terminalreporter))
    if not lines:
        return
    terminalreporter.write_sep("=", "stress tests")
    for line in lines:
        terminalreporter.write_line(line)
    for threshold in session.unmatched_thresholds():
        terminalreporter.write_line(
            f"threshold {escape_controls(threshold)}: matched no run; check the names of agent, task and phase",
            yellow=True,
        )
    for command in session.workflow_commands():
        terminalreporter.write_line(command)


def _write_replays(terminalreporter: pytest.TerminalReporter) -> None:
    replays = [
        outcome
        for reports in terminalreporter.stats.values()
        for report in reports
        for outcome in getattr(report, "stress_replay", ())
    ]
    if replays:
        from pytest_nos_stress.reporting.terminal import replay_summary

        terminalreporter.write_line(replay_summary(replays))


def _write_skipped(terminalreporter: pytest.TerminalReporter, skip_reason: str) -> None:
    reports = terminalreporter.stats.get("skipped", ())
    skipped = sum(skip_reason in str(getattr(report, "longrepr", "")) for report in reports)
    if skipped:
        tests = "1 stress test was" if skipped == 1 else f"{skipped} stress tests were"
        terminalreporter.write_line(f"{tests} skipped: run with pytest --stress")


def _encoding(terminalreporter: pytest.TerminalReporter) -> str:
    return getattr(terminalreporter._tw._file, "encoding", None) or "ascii"
