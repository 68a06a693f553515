"""Running a test again: to verify that it is deterministic, and to find the smallest scenario that fails.

A target keeps state, so a scenario is repeated by repeating the test, with its fixtures set up anew. All of it
takes place before the test is reported, once; what was found is on that report.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from _pytest.runner import runtestprotocol

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.reporting.failure_message import describe
from pytest_nos_stress.reporting.files.paths import SCENARIO_NAME
from pytest_nos_stress.results.check_verdict import BROKEN
from pytest_nos_stress.results.metrics import COUNTS
from pytest_nos_stress.results.result import CheckFailed, RunFailed, StressResult, ThresholdsNotMet
from pytest_nos_stress.run.checks import NEVER_SEEN
from pytest_nos_stress.scenario.scenario import Scenario
from pytest_nos_stress.search.determinism import CAUSES, RunFingerprint, first_difference
from pytest_nos_stress.search.shrink import MOST_OPERATIONS, Shrunk, performed_scenario, shrink

from .failure import FailureSignature
from .reproducer import pasteable_test
from .session import StressSession, is_under_given

_VERIFIED: Final = "verified: two runs of each were the same"
_DIFFERED: Final = "not deterministic: two runs differed"
_NOT_VERIFIED: Final = "not verified: in real time, under @given, or without a run"
_SHRUNK: Final = "shrunk: the smallest scenario that fails is on the report"
_NOT_SHRUNK: Final = "not shrunk: the report says why"
_NOT_REPLAYED: Final = "not verified or shrunk: the report says why"
_REPETITIONS: Final = 3


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
    try:
        if call is not None and not item.session.shouldstop:
            properties = _replays(item, nextitem, session, call)
            for report in reports:  # JUnit XML takes them from the last
                report.user_properties += properties
    finally:
        session.replay = None
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _replays(
    item: pytest.Item, nextitem: pytest.Item | None, session: StressSession, call: pytest.TestReport
) -> list[tuple[str, object]]:
    """What is wanted of the options. Whatever goes wrong with it is on the report, and no reason to lose that."""
    call.stress_replay = []  # type: ignore[attr-defined]
    noted = []
    try:
        if session.config.getoption("stress_verify_determinism"):
            noted += _verify(item, nextitem, session, call)
        if session.config.getoption("stress_shrink") and session.failure is not None and call.failed:
            noted += _shrink(item, nextitem, session, call)
    except Exception as error:
        call.stress_replay.append(_NOT_REPLAYED)
        call.sections.append(("stress: not verified or shrunk", f"running it again failed: {describe(error)}"))
    return noted


def _again(item: pytest.Item, nextitem: Any, session: StressSession, replay: Replay) -> None:
    session.replay = replay
    # Any node will do: it is asked for its parents, which are to stay set up.
    runtestprotocol(item, log=False, nextitem=nextitem)


# Determinism.


def _verify(
    item: pytest.Item, nextitem: pytest.Item | None, session: StressSession, call: pytest.TestReport
) -> list[tuple[str, object]]:
    """Run the test a second time; where its runs differ, it fails. Returns what is to be noted of its runs."""
    first, failure = list(session.simulator.results), session.failure
    if (
        not first
        or is_under_given(item)
        or not all(engine_class(result.scenario.engine).repeats_schedules for result in first)
    ):
        call.stress_replay.append(_NOT_VERIFIED)
        return []
    traces = [RunFingerprint.of(one) for one in first]
    _again(item, nextitem, session, Replay("second run"))
    difference = first_difference(traces, [RunFingerprint.of(one) for one in session.simulator.results])
    difference = difference or _different_ends(failure, session.failure)
    session.failure = failure
    session.simulator.results[:] = first
    if not difference:
        call.stress_replay.append(_VERIFIED)
        return [("stress_trace", trace.hash) for trace in traces]
    call.stress_replay.append(_DIFFERED)
    if call.failed:
        call.sections.append(("stress: not deterministic", difference))
    else:
        call.outcome = "failed"
        call.longrepr = difference
    return []


def _different_ends(first: FailureSignature | None, second: FailureSignature | None) -> str:
    if (first and first.kind) == (second and second.kind):
        return ""
    ends = [
        "passed" if one is None else f"failed: {escape_controls(describe(one.error))}" for one in (first, second)
    ]
    return f"not deterministic: the first time the test {ends[0]}, the second time it {ends[1]}\n{CAUSES}"


# Shrinking.


def _shrink(
    item: pytest.Item, nextitem: pytest.Item | None, session: StressSession, call: pytest.TestReport
) -> list[tuple[str, object]]:
    """Put the smallest failing scenario on the report. Returns what is to be noted of it."""
    found = _Shrinking(item, session).report(nextitem)
    call.stress_replay.append(found.outcome)
    call.sections.append(("stress: smallest failing scenario", found.text))
    return [("stress_smallest_scenario", str(found.file))] if found.file else []


class _Found(NamedTuple):
    outcome: str
    text: str
    file: Path | None = None


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
        draws_too = result.stats["recovery_operations"] is not None
        shrunk = shrink(start, self._fails, draws_too=draws_too)
        smallest = shrunk.scenario or start
        fails = [self._fails(smallest) for _ in range(_REPETITIONS - 1)] if shrunk.scenario else []
        # The last time: the fixtures of wider scope go with it, and the files are this one's.
        fails.append(self._fails_again(smallest, nextitem))
        if shrunk.scenario is None:
            return _Found(_NOT_SHRUNK, _does_not_repeat(shrunk.attempts, result.scenario.engine))
        took = f"{shrunk.attempts} attempts, {time.monotonic() - began:.1f} s"
        lines = [self._summary(result, shrunk, took)]
        if not all(fails):
            lines.append(
                f"It fails {sum(fails)} of {_REPETITIONS} times: the test is not deterministic, or a module or a "
                "fixture of wider scope keeps state. --stress-verify-determinism says where."
            )
        path = self._session.simulator.directory_of_last_run / SCENARIO_NAME
        pasted = pasteable_test(self._item, shrunk.scenario) if len(self._results) == 1 else []
        if pasted:
            lines += ["", *pasted, "", "or repeat it with:"]
        else:
            lines += ["", f"{shrunk.scenario!r}", "", "repeat it with:"]
        lines.append(f"  {self._session.simulator.repeat_command(result.seed, path)}")
        return _Found(_SHRUNK, "\n".join(lines), path)

    def _fails(self, scenario: Scenario) -> bool:
        # Its parent comes next: what the test set up goes, what others share stays.
        return self._fails_again(scenario, self._item.parent)

    def _fails_again(self, scenario: Scenario, nextitem: Any) -> bool:
        """Whether the test fails of the same with this scenario in its last run."""
        replay = Replay("smallest", len(self._results), scenario)
        _again(self._item, nextitem, self._session, replay)
        failure = self._session.failure
        return failure is not None and failure.is_like(self._failure)

    def _why_not(self) -> str:
        error = self._failure.error
        if is_under_given(self._item):
            return "Hypothesis shrinks tests under @given"
        if not self._results:
            return "the test failed before it ran the simulator"
        if not self._results[-1].operations:
            return "no operation was performed"
        if self._results[-1].operations > MOST_OPERATIONS:
            return f"{self._results[-1].operations} operations are more than {MOST_OPERATIONS}"
        if type(error) is RunFailed:
            return f"no failure of a scenario: {escape_controls(str(error).splitlines()[0])}"
        if isinstance(error, ThresholdsNotMet) and not _is_about_too_many(error):
            return (
                "only a threshold that says how much is too much (errors == 0, failures < 5) is a reason to look "
                "for less; those that do not hold are about time, rates, or how much is too little"
            )
        if isinstance(error, CheckFailed) and _is_about_never_seen(error):
            return "a state that was never seen is not seen in a smaller scenario either"
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


def _does_not_repeat(attempts: int, engine: str) -> str:
    tried = "with its delays and with none" if attempts > 1 else "as it was planned"
    race = "" if engine_class(engine).repeats_schedules else "a race between real threads, from "
    return (
        "not shrunk: the failure does not repeat under virtual time, where one agent runs at a time "
        f"(tried {tried}).\nIt may come from {race}real time, or from a fixture that keeps state."
    )


def _is_about_too_many(error: ThresholdsNotMet) -> bool:
    broken = [one.threshold for one in error.result.verdicts if not one.passes]
    return any(one.metric in (*COUNTS, "error_rate") and one.operator in ("<", "<=", "==") for one in broken)


def _is_about_never_seen(error: CheckFailed) -> bool:
    broken = [one for one in error.result.checks if one.verdict == BROKEN]
    return all(one.finding.startswith(NEVER_SEEN) for one in broken)
