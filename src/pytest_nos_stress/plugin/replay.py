"""Repeat a test, to verify that it is deterministic or to find the smallest scenario that fails.

A target keeps state, so a scenario is repeated by repeating the whole test, with new fixtures. All repetitions
take place before the test is reported. The test has one report, with the results of the repetitions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from _pytest.runner import runtestprotocol

from pytest_nos_stress._internal.instrument import perf_counter
from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.reporting.failure_message import describe
from pytest_nos_stress.reporting.outputs import SCENARIO
from pytest_nos_stress.results.result import CheckFailed, RunFailed, StressResult, ThresholdsNotMet
from pytest_nos_stress.results.units import COUNT
from pytest_nos_stress.results.verdicts import FAILED
from pytest_nos_stress.run.checks import NEVER_SEEN
from pytest_nos_stress.scenario.scenario import Scenario
from pytest_nos_stress.search.determinism import CAUSES, RunFingerprint, first_difference
from pytest_nos_stress.search.shrink import MOST_OPERATIONS, Shrunk, performed_scenario, shrink

from .failure import FailureSignature
from .hypothesis_support import is_under_given
from .reproducer import pasteable_test
from .rerun import Rerun
from .running_test import RunningTest

_VERIFIED: Final = "verified: two executions gave the same results"
_DIFFERED: Final = "not deterministic: two executions gave different results"
_NOT_VERIFIED: Final = "not verified: in real time, under @given, or without a run"
_SHRUNK: Final = "shrunk: see the smallest failing scenario in the test's report"
_NOT_SHRUNK: Final = "not shrunk: see the reason in the test's report"
_NOT_REPLAYED: Final = "not verified or shrunk: see the error in the test's report"
_REPETITIONS: Final = 3


Properties = list[tuple[str, object]]
"""Names and values for the test's ``user_properties``."""


def run_and_replay(item: pytest.Item, nextitem: pytest.Item | None, test: RunningTest) -> None:
    """Run a test, repeat it as the options require, and report it once."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    call_report = next((report for report in reports if report.when == "call"), None)
    try:
        if call_report is not None and not item.session.shouldstop:
            properties = _replay(item, nextitem, test, call_report)
            for report in reports:  # JUnit XML takes the properties from the last report
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
        text = f"the test could not be repeated: {describe(error)}"
        report.sections.append(("stress: not verified or shrunk", text))
    return properties


def _run_again(item: pytest.Item, nextitem: Any, test: RunningTest, rerun: Rerun) -> None:
    test.session.rerun = rerun
    # pytest keeps the fixtures of the parents of ``nextitem``. It asks for nothing else, so any node will do.
    runtestprotocol(item, log=False, nextitem=nextitem)


# Determinism.


def _verify(
    item: pytest.Item, nextitem: pytest.Item | None, test: RunningTest, report: pytest.TestReport
) -> Properties:
    """Repeat the test, and fail it if the results differ. Return the fingerprints of its runs as properties."""
    first_results, first_failure = list(test.simulator.results), test.failure
    repeats_schedules = all(engine_class(result.scenario.engine).repeats_schedules for result in first_results)
    if not first_results or is_under_given(item) or not repeats_schedules:
        report.stress_replay.append(_NOT_VERIFIED)
        return []
    fingerprints = [RunFingerprint.of(result) for result in first_results]
    _run_again(item, nextitem, test, Rerun("second run"))
    difference = first_difference(fingerprints, [RunFingerprint.of(result) for result in test.simulator.results])
    difference = difference or _outcome_difference(first_failure, test.failure)
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


def _outcome_difference(first: FailureSignature | None, second: FailureSignature | None) -> str:
    if (first and first.parts) == (second and second.parts):
        return ""
    outcomes = f"the first time the test {_outcome(first)}, the second time it {_outcome(second)}"
    return f"not deterministic: {outcomes}\n{CAUSES}"


def _outcome(failure: FailureSignature | None) -> str:
    return "passed" if failure is None else f"failed: {escape_controls(describe(failure.error))}"


# Shrinking.


def _shrink(
    item: pytest.Item, nextitem: pytest.Item | None, test: RunningTest, report: pytest.TestReport
) -> Properties:
    """Add the smallest failing scenario to the report. Return the path of its file as a property."""
    shrinking = _Shrinking(item, test).run(nextitem)
    report.stress_replay.append(shrinking.outcome)
    report.sections.append(("stress: smallest failing scenario", shrinking.text))
    return [("stress_smallest_scenario", str(shrinking.file))] if shrinking.file else []


class _ShrinkReport(NamedTuple):
    outcome: str
    text: str
    file: Path | None = None


class _Shrinking:
    """The search for the smallest scenario with which a test fails in the same way."""

    def __init__(self, item: pytest.Item, test: RunningTest) -> None:
        assert test.failure is not None
        self._item = item
        self._test = test
        self._failure = test.failure
        self._results = list(test.simulator.results)

    def run(self, nextitem: pytest.Item | None) -> _ShrinkReport:
        reason = self._reason_not_to_shrink()
        if reason:
            return _ShrinkReport(_NOT_SHRUNK, f"not shrunk: {reason}")
        result = self._results[-1]
        started = perf_counter()
        performed = performed_scenario(result)
        has_recovery = result.stats["recovery_operations"] is not None
        shrunk = shrink(performed, self._fails, has_recovery=has_recovery)
        smallest = shrunk.scenario or performed
        failures = [self._fails(smallest) for _ in range(_REPETITIONS - 1)] if shrunk.scenario else []
        # The last repetition also tears down fixtures of wider scope, and its files are the ones that remain.
        failures.append(self._fails_before(nextitem, smallest))
        if shrunk.scenario is None:
            return _ShrinkReport(_NOT_SHRUNK, _does_not_repeat(shrunk.attempts, result.scenario.engine))
        took = f"{shrunk.attempts} attempts, {perf_counter() - started:.1f} s"
        lines = [_summary(result, shrunk, took)]
        if not all(failures):
            lines.append(
                f"It failed {sum(failures)} of {_REPETITIONS} times: the test is not deterministic, or a module "
                "or a fixture of wider scope keeps state. Find the cause with --stress-verify-determinism."
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
        # With its parent as the next item, the test's own fixtures are torn down, and shared fixtures stay.
        return self._fails_before(self._item.parent, scenario)

    def _fails_before(self, nextitem: Any, scenario: Scenario) -> bool:
        """Return True if the test fails in the same way with this scenario in its last run."""
        _run_again(self._item, nextitem, self._test, Rerun("smallest", len(self._results), scenario))
        failure = self._test.failure
        return failure is not None and failure.is_like(self._failure)

    def _reason_not_to_shrink(self) -> str:
        error, operations = self._failure.error, self._results[-1].operations if self._results else 0
        if is_under_given(self._item):
            return "Hypothesis shrinks tests under @given"
        if not self._results:
            return "the test failed before it ran the simulator"
        if not operations:
            return "no operation was performed"
        if operations > MOST_OPERATIONS:
            return f"the run had {operations} operations; at most {MOST_OPERATIONS} can be shrunk"
        if type(error) is RunFailed:
            return f"the scenario is not the cause: {escape_controls(str(error).splitlines()[0])}"
        if isinstance(error, ThresholdsNotMet) and not _limits_a_count(error):
            return (
                "the failed thresholds limit times, rates or minimums; shrinking needs a failed threshold that "
                "limits a count or the error rate from above, such as errors == 0 or failures < 5"
            )
        if isinstance(error, CheckFailed) and _is_about_never_seen(error):
            return "a state that the run never reached is not reached in a smaller scenario either"
        return ""


def _summary(result: StressResult, shrunk: Shrunk, took: str) -> str:
    smallest = shrunk.scenario
    assert smallest is not None
    operations = smallest.planned or ()
    agents = "1 agent" if len(smallest.agent_names) == 1 else f"{len(smallest.agent_names)} agents"
    stopped = "; stopped at the time limit, a smaller one may exist" if shrunk.out_of_time else ""
    return (
        f"{result.operations} operations of {len(result.scenario.agent_names)} agents -> "
        f"{len(operations)} of {agents} ({took}{stopped})"
    )


_FOR_A_RACE: Final = (
    "for a race: more agents and operations with real threads, for example --stress-agents=16 "
    "--stress-operations=1000, and sys.setswitchinterval(1e-5) in conftest.py",
    "for a race at a place that you suspect: operation.sleep(0) there, and --stress-engine=virtual; at a sleep, "
    "another agent has its turn, and the failure can be shrunk",
)
_FOR_KEPT_STATE: Final = "for state that is kept: --stress-engine=virtual --stress-verify-determinism"


def _does_not_repeat(attempts: int, engine: str) -> str:
    tried = "with the planned delays and without delays" if attempts > 1 else "as planned"
    may_be_a_race = not engine_class(engine).repeats_schedules
    race = "a race between real threads, " if may_be_a_race else ""
    return "\n".join(
        [
            "not shrunk: the failure does not occur in virtual time, where one agent runs at a time "
            f"(tried {tried}).",
            f"Possible causes: {race}code that depends on real time, a fixture that keeps state.",
            "Try next:",
            *(f"- {remedy}" for remedy in (*(_FOR_A_RACE if may_be_a_race else ()), _FOR_KEPT_STATE)),
        ]
    )


def _limits_a_count(error: ThresholdsNotMet) -> bool:
    """Return True if a failed threshold limits a count or the error rate from above."""
    failed_thresholds = [verdict.threshold for verdict in error.result.verdicts if not verdict.passes]
    return any(
        (threshold.definition.unit is COUNT or threshold.metric == "error_rate")
        and threshold.operator in ("<", "<=", "==")
        for threshold in failed_thresholds
    )


def _is_about_never_seen(error: CheckFailed) -> bool:
    failed_checks = [check for check in error.result.checks if check.verdict == FAILED]
    return all(check.finding.startswith(NEVER_SEEN) for check in failed_checks)
