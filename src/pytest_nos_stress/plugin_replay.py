"""Running a test again: to verify that it is deterministic, and to find the smallest scenario that fails.

A target keeps state, so a scenario is repeated by repeating the test, with its fixtures set up anew. All of it
takes place before the test is reported, once; what was found is on that report.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from _pytest.nodes import Node
from _pytest.runner import runtestprotocol

from .artifacts.files import SCENARIO_NAME
from .errors import RunFailed, ThresholdsNotMet
from .plugin_session import StressSession
from .plugin_source import ready_made_test
from .result import StressResult
from .scenario import Scenario
from .shrinking import MOST_OPERATIONS, Shrunk, performed_scenario, shrink
from .text import one_line, shell_command
from .thresholds import COUNTS, RATES
from .trace import Trace, first_difference

_VERIFIED: Final = "verified: two runs of each were the same"
_DIFFERED: Final = "not deterministic: two runs differed"
_NOT_VIRTUAL: Final = "not verified: determinism is verified in virtual time only"
_SHRUNK: Final = "shrunk: the smallest scenario that fails is on the report"
_NOT_SHRUNK: Final = "not shrunk: the report says why"


class Replay(NamedTuple):
    """How a test is run again: under which directory, and with which scenario in which of its runs."""

    directory: str
    number: int = 0
    scenario: Scenario | None = None

    def settings(self, number: int) -> dict[str, Any]:
        if self.scenario is None or number != self.number:
            return {}
        return {"scenario": self.scenario}


def run_and_replay(item: pytest.Item, nextitem: pytest.Item | None, session: StressSession) -> None:
    """The protocol of a test that is run once, or several times, and reported once."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    call = next((one for one in reports if one.when == "call"), None)
    # Hypothesis replays and shrinks its own failures, and a session that is to stop goes no further.
    if call is not None and not _is_under_given(item) and not item.session.shouldstop:
        try:
            if session.config.getoption("stress_verify_determinism"):
                properties = _verify(item, nextitem, session, call)
                for report in reports:  # JUnit XML takes them from the last
                    report.user_properties += properties
            if session.config.getoption("stress_shrink") and session.failure is not None and call.failed:
                _shrink(item, nextitem, session, call)
        finally:
            session.replay = None
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _is_under_given(item: pytest.Item) -> bool:
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def _again(item: pytest.Item, nextitem: Node | None, session: StressSession, replay: Replay) -> None:
    session.replay = replay
    # Any node will do: it is asked for its parents, which are to stay set up.
    runtestprotocol(item, log=False, nextitem=nextitem)  # type: ignore[arg-type]


# Determinism.


def _verify(
    item: pytest.Item, nextitem: pytest.Item | None, session: StressSession, call: pytest.TestReport
) -> list[tuple[str, object]]:
    """Run the test a second time; where its runs differ, it fails. Returns what is to be noted of its runs."""
    first, failure = list(session.simulator.results), session.failure
    if not first or any(one.scenario.engine != "virtual" for one in first):
        call.stress_replay = _NOT_VIRTUAL  # type: ignore[attr-defined]
        return []
    traces = [Trace.of(one) for one in first]
    _again(item, nextitem, session, Replay("second run"))
    difference = first_difference(traces, [Trace.of(one) for one in session.simulator.results])
    session.failure = failure
    session.simulator.results[:] = first
    if not difference:
        call.stress_replay = _VERIFIED  # type: ignore[attr-defined]
        return [("stress_trace", trace.hash) for trace in traces]
    call.stress_replay = _DIFFERED  # type: ignore[attr-defined]
    if call.failed:
        call.sections.append(("stress: not deterministic", difference))
    else:
        call.outcome = "failed"
        call.longrepr = difference
    return []


# Shrinking.


def _shrink(
    item: pytest.Item, nextitem: pytest.Item | None, session: StressSession, call: pytest.TestReport
) -> None:
    found = _Shrinking(item, session).report(nextitem)
    call.stress_replay = found.outcome  # type: ignore[attr-defined]
    call.sections.append(("stress: smallest failing scenario", found.text))


class _Found(NamedTuple):
    outcome: str
    text: str


class _Shrinking:
    """The search for the smallest scenario that makes a test fail as it did."""

    def __init__(self, item: pytest.Item, session: StressSession) -> None:
        assert session.failure is not None
        self._item = item
        self._session = session
        self._failure = session.failure
        self._results = list(session.simulator.results)

    def report(self, nextitem: pytest.Item | None) -> _Found:
        reason = self._why_not()
        if reason:
            return _Found(_NOT_SHRUNK, f"not shrunk: {reason}")
        result = self._results[-1]
        began = time.monotonic()
        start = performed_scenario(result)
        shrunk = shrink(start, self._fails)
        # Once more, as the last time: the fixtures of wider scope go with it, and the files are this one's.
        repeats = self._fails_again(shrunk.scenario or start, nextitem)
        if shrunk.scenario is None:
            return _Found(_NOT_SHRUNK, _does_not_repeat(shrunk.attempts))
        took = f"{shrunk.attempts} attempts, {time.monotonic() - began:.1f} s"
        lines = [self._summary(result, shrunk, took)]
        if not repeats:
            lines.append("It failed only after other attempts: a module or a fixture of wider scope keeps state.")
        path = self._session.simulator.directory_of_last_run / SCENARIO_NAME
        if len(self._results) == 1:
            lines += ["", "as a test to paste:", "", ready_made_test(self._item, shrunk.scenario)]
        lines += ["", "or repeat it with:", f"  {self._command(path)}"]
        return _Found(_SHRUNK, "\n".join(lines))

    def _fails(self, scenario: Scenario) -> bool:
        # Its parent comes next: what the test set up goes, what others share stays.
        return self._fails_again(scenario, self._item.parent)

    def _fails_again(self, scenario: Scenario, nextitem: Node | None) -> bool:
        """Whether the test fails of the same with this scenario in its last run."""
        replay = Replay("smallest", len(self._results), scenario)
        _again(self._item, nextitem, self._session, replay)
        failure = self._session.failure
        return failure is not None and failure.kind == self._failure.kind

    def _why_not(self) -> str:
        error = self._failure.error
        if not self._results:
            return "the test failed before it ran the simulator"
        if self._results[-1].operations > MOST_OPERATIONS:
            return f"{self._results[-1].operations} operations are more than {MOST_OPERATIONS}"
        if type(error) is RunFailed:
            return f"no failure of a scenario: {one_line(str(error).splitlines()[0])}"
        if isinstance(error, ThresholdsNotMet) and not _is_about_counts(error):
            return "the thresholds that do not hold are about time, which a smaller scenario takes less of"
        return ""

    def _summary(self, result: StressResult, shrunk: Shrunk, took: str) -> str:
        smallest = shrunk.scenario
        assert smallest is not None
        rows = smallest.planned or ()
        agents = "1 agent" if len(smallest.agent_names) == 1 else f"{len(smallest.agent_names)} agents"
        stopped = "; stopped when its time was over, so a smaller one may exist" if shrunk.out_of_time else ""
        return (
            f"{result.operations} operations of {len(result.scenario.agent_names)} agents -> "
            f"{len(rows)} of {agents} ({took}{stopped})"
        )

    def _command(self, path: Path) -> str:
        path_from_here = os.path.relpath(path, self._session.directory)
        return shell_command(["pytest", "--stress", f"--stress-scenario={path_from_here}", self._item.nodeid])


def _does_not_repeat(attempts: int) -> str:
    tried = "with its delays and with none" if attempts > 1 else "as it was planned"
    return (
        "not shrunk: the failure does not repeat under virtual time, where one agent runs at a time "
        f"(tried {tried}).\n"
        "It may come from a race between real threads, from real time, or from a fixture that keeps state."
    )


def _is_about_counts(error: ThresholdsNotMet) -> bool:
    broken = [one for one in error.result.verdicts if not one.passes]
    return any(one.threshold.metric in (*COUNTS, *RATES) for one in broken)
