"""Run a test again: to verify that it is deterministic, and to find the smallest scenario that fails.

A target keeps state, so a scenario is repeated by repeating the test, with its fixtures set up anew. All
repetitions take place before the test is reported, once; the report has their results.
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
from pytest_nos_stress.reporting.outputs import SCENARIO
from pytest_nos_stress.results.check_verdict import BROKEN
from pytest_nos_stress.results.result import CheckFailed, RunFailed, StressResult, ThresholdsNotMet
from pytest_nos_stress.results.units import COUNT
from pytest_nos_stress.run.checks import NEVER_SEEN
from pytest_nos_stress.scenario.scenario import Scenario
from pytest_nos_stress.search.determinism import CAUSES, RunFingerprint, first_difference
from pytest_nos_stress.search.shrink import MOST_OPERATIONS, Shrunk, performed_scenario, shrink

from .failure import FailureSignature
from .hypothesis_support import is_under_given
from .reproducer import pasteable_test
from .rerun import Rerun
from .running_test import RunningTest

_VERIFIED: Final = "verified: two runs of each were the same"
_DIFFERED: Final = "not deterministic: two runs differed"
_NOT_VERIFIED: Final = "not verified: in real time, under @given, or without a run"
_SHRUNK: Final = "shrunk: the smallest scenario that fails is on the report"
_NOT_SHRUNK: Final = "not shrunk: the report says why"
_NOT_REPLAYED: Final = "not verified or shrunk: the report says why"
_REPETITIONS: Final = 3


Properties = list[tuple[str, object]]
"""Names and values for the test's ``user_properties``."""


def run_and_replay(item: pytest.Item, nextitem: pytest.Item | None, test: RunningTest) -> None:
    """Run a test, run it again as the options ask, and report it once."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    call_report = next((report for report in reports if report.when == "call"), None)
    # Hypothesis replays and shrinks its own failures, and a session that is to stop goes no further.
    try:
        if call_report is not None and not item.session.shouldstop:
            properties = _replay(item, nextitem, test, call_report)
            for report in reports:  # JUnit XML takes them from the last
                report.user_properties += properties
    finally:
        test.session.rerun = None
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _replay(
    item: pytest.Item, nextitem: pytest.Item | None, test: RunningTest, report: pytest.TestReport
) -> Properties:
    """Run the requested replays. If one crashes, add its error to the report instead of losing the report."""
    report.stress_replay = []  # type: ignore[attr-defined]
    properties: Properties = []
    config = test.session.config
    try:
        if config.getoption("stress_verify_determinism"):
            properties += _verify(item, nextitem, test, report)
        if config.getoption("stress_shrink") and test.failure is not None and report.failed:
            properties += _shrink(item, nextitem, test, report)
    except Exception as error:
        report.stress_replay.append(_NOT_REPLAYED)
        report.sections.append(("stress: not verified or shrunk", f"running it again failed: {describe(error)}"))
    return properties


def _run_again(item: pytest.Item, nextitem: Any, test: RunningTest, rerun: Rerun) -> None:
    test.session.rerun = rerun
    # pytest asks ``nextitem`` for its parents, which stay set up. Any node has some, so any node will do.
    runtestprotocol(item, log=False, nextitem=nextitem)


# Determinism.


def _verify(
    item: pytest.Item, nextitem: pytest.Item | None, test: RunningTest, report: pytest.TestReport
) -> Properties:
    """Run the test a second time, and fail it if its runs differ. Return the fingerprints of its runs."""
    first_results, first_failure = list(test.simulator.results), test.failure
    repeats_schedules = all(engine_class(result.scenario.engine).repeats_schedules for result in first_results)
    if not first_results or is_under_given(item) or not repeats_schedules:
        report.stress_replay.append(_NOT_VERIFIED)
        return []
    fingerprints = [RunFingerprint.of(result) for result in first_results]
    _run_again(item, nextitem, test, Rerun("second run"))
    difference = first_difference(fingerprints, [RunFingerprint.of(result) for result in test.simulator.results])
    difference = difference or _different_ends(first_failure, test.failure)
    test.failure = first_failure
    test.simulator.results[:] = first_results
    if not difference:
        report.stress_replay.append(_VERIFIED)
        return [("stress_trace", fingerprint.hash) for fingerprint in fingerprints]
    report.stress_replay.append(_DIFFERED)
    if report.failed:
        report.sections.append(("stress: not deterministic", difference))
    else:
        report.outcome = "failed"
        report.longrepr = difference
    return []


def _different_ends(first: FailureSignature | None, second: FailureSignature | None) -> str:
    if (first and first.parts) == (second and second.parts):
        return ""
    return f"not deterministic: the first time the test {_end(first)}, the second time it {_end(second)}\n{CAUSES}"


def _end(failure: FailureSignature | None) -> str:
    return "passed" if failure is None else f"failed: {escape_controls(describe(failure.error))}"


# Shrinking.


def _shrink(
    item: pytest.Item, nextitem: pytest.Item | None, test: RunningTest, report: pytest.TestReport
) -> Properties:
    """Put the smallest failing scenario on the report. Return the path of its file."""
    shrinking = _Shrinking(item, test).run(nextitem)
    report.stress_replay.append(shrinking.outcome)
    report.sections.append(("stress: smallest failing scenario", shrinking.text))
    return [("stress_smallest_scenario", str(shrinking.file))] if shrinking.file else []


class _ShrinkReport(NamedTuple):
    outcome: str
    text: str
    file: Path | None = None


class _Shrinking:
    """The search for the smallest scenario that makes a test fail as it did."""

    def __init__(self, item: pytest.Item, test: RunningTest) -> None:
        assert test.failure is not None
        self._item = item
        self._test = test
        self._failure = test.failure
        self._results = list(test.simulator.results)

    def run(self, nextitem: pytest.Item | None) -> _ShrinkReport:
        reason = self._why_not()
        if reason:
            return _ShrinkReport(_NOT_SHRUNK, f"not shrunk: {reason}")
        result = self._results[-1]
        started = time.monotonic()
        performed = performed_scenario(result)
        draws_too = result.stats["recovery_operations"] is not None
        shrunk = shrink(performed, self._fails, draws_too=draws_too)
        smallest = shrunk.scenario or performed
        failures = [self._fails(smallest) for _ in range(_REPETITIONS - 1)] if shrunk.scenario else []
        # The last time: the fixtures of wider scope go with it, and the files are this one's.
        failures.append(self._fails_again(smallest, nextitem))
        if shrunk.scenario is None:
            return _ShrinkReport(_NOT_SHRUNK, _does_not_repeat(shrunk.attempts, result.scenario.engine))
        took = f"{shrunk.attempts} attempts, {time.monotonic() - started:.1f} s"
        lines = [_summary(result, shrunk, took)]
        if not all(failures):
            lines.append(
                f"It fails {sum(failures)} of {_REPETITIONS} times: the test is not deterministic, or a module or "
                "a fixture of wider scope keeps state. --stress-verify-determinism says where."
            )
        path = self._test.simulator.directory_of_last_run / SCENARIO.filename
        lines += ["", *self._how_to_repeat(shrunk.scenario, result.seed, path)]
        return _ShrinkReport(_SHRUNK, "\n".join(lines), path)

    def _how_to_repeat(self, scenario: Scenario, seed: int, path: Path) -> list[str]:
        command = f"  {self._test.simulator.repeat_command(seed, path)}"
        source = pasteable_test(self._item, scenario) if len(self._results) == 1 else []
        if source:
            return [*source, "", "or repeat it with:", command]
        return [f"{scenario!r}", "", "repeat it with:", command]

    def _fails(self, scenario: Scenario) -> bool:
        # Its parent comes next: what the test set up goes, what others share stays.
        return self._fails_again(scenario, self._item.parent)

    def _fails_again(self, scenario: Scenario, nextitem: Any) -> bool:
        """Whether the test fails in the same way with this scenario in its last run."""
        _run_again(self._item, nextitem, self._test, Rerun("smallest", len(self._results), scenario))
        failure = self._test.failure
        return failure is not None and failure.is_like(self._failure)

    def _why_not(self) -> str:
        error, operations = self._failure.error, self._results[-1].operations if self._results else 0
        if is_under_given(self._item):
            return "Hypothesis shrinks tests under @given"
        if not self._results:
            return "the test failed before it ran the simulator"
        if not operations:
            return "no operation was performed"
        if operations > MOST_OPERATIONS:
            return f"{operations} operations are more than {MOST_OPERATIONS}"
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


def _summary(result: StressResult, shrunk: Shrunk, took: str) -> str:
    smallest = shrunk.scenario
    assert smallest is not None
    operations = smallest.planned or ()
    agents = "1 agent" if len(smallest.agent_names) == 1 else f"{len(smallest.agent_names)} agents"
    stopped = "; stopped when its time was over, so a smaller one may exist" if shrunk.out_of_time else ""
    return (
        f"{result.operations} operations of {len(result.scenario.agent_names)} agents -> "
        f"{len(operations)} of {agents} ({took}{stopped})"
    )


def _does_not_repeat(attempts: int, engine: str) -> str:
    tried = "with its delays and with none" if attempts > 1 else "as it was planned"
    race = "" if engine_class(engine).repeats_schedules else "a race between real threads, from "
    return (
        "not shrunk: the failure does not repeat under virtual time, where one agent runs at a time "
        f"(tried {tried}).\nIt may come from {race}real time, or from a fixture that keeps state."
    )


def _is_about_too_many(error: ThresholdsNotMet) -> bool:
    missed = [verdict.threshold for verdict in error.result.verdicts if not verdict.passes]
    return any(
        (threshold.definition.unit is COUNT or threshold.metric == "error_rate")
        and threshold.operator in ("<", "<=", "==")
        for threshold in missed
    )


def _is_about_never_seen(error: CheckFailed) -> bool:
    broken = [check for check in error.result.checks if check.verdict == BROKEN]
    return all(check.finding.startswith(NEVER_SEEN) for check in broken)
