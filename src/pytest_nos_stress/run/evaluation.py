"""The conclusion of a run: statistics, verdict and files, and an exception where it must not pass."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress._internal.tracebacks import strip_internal_frames
from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.reporting import failure_message
from pytest_nos_stress.reporting import outputs as writing
from pytest_nos_stress.reporting.outputs import Outputs
from pytest_nos_stress.results import check_verdict, judge
from pytest_nos_stress.results import stats as statistics
from pytest_nos_stress.results.baselines.gate import BaselineGate
from pytest_nos_stress.results.measurements import Measurements
from pytest_nos_stress.results.result import CheckFailed, Deadlock, RunFailed, StressResult, ThresholdsNotMet
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.status import COMPLETED, DEADLOCKED, HUNG
from pytest_nos_stress.results.thresholds import Threshold

from . import bottleneck
from .execution import RunExecution


def evaluate_run(
    performance: RunExecution,
    thresholds: Sequence[Threshold],
    outputs: Outputs,
    baselines: BaselineGate,
    *,
    gate: bool,
) -> tuple[StressResult, BaseException | None]:
    """Judge a performance and write its files: the result, and what is to be raised, if anything."""
    measured = performance.measured()
    evidence = RunMetrics(measured, performance.scenario, performance.process_monitor.samples)
    comparison = baselines.comparison(evidence, performance.scenario)
    verdicts = _with_abort(judge.evaluate_thresholds(thresholds, evidence, comparison), performance)
    checked = performance.checks.verdicts(judged=performance.has_performed_everything)
    stats = _statistics(performance, evidence, verdicts, checked)
    problems = _problems(performance, measured)
    stats["reason"] = _reason(performance, verdicts, checked)
    windows = performance.context.windows
    result = StressResult(
        stats,
        performance.scenario,
        outputs.directory,
        outputs.paths,
        verdicts,
        checked,
        evidence,
        performance.records,
        () if windows is None else windows.spans_until(measured.elapsed),
    )
    result.first_faults = performance.boundary.first_faults
    writing.write(
        performance,
        result,
        outputs,
        problems,
        lambda: baselines.save(evidence, performance.scenario, passed=result.passed),
    )
    measured.forget_samples()
    return result, _ending(performance, result, problems, gate=gate)


def _reason(
    performance: RunExecution, verdicts: Sequence[judge.Verdict], checked: Sequence[check_verdict.CheckVerdict]
) -> str:
    """Why a run without problems does not pass, on one line; empty where it does."""
    if performance.interrupt is not None:
        return "interrupted"
    if performance.context.ended_by is not None:
        return failure_message.describe(performance.context.ended_by)
    broken = next((one for one in checked if one.verdict == check_verdict.BROKEN), None)
    if broken is not None:
        return escape_controls(str(broken))
    missed = next((one for one in verdicts if not one.passes), None)
    if missed is None:
        return ""
    aborted = "" if performance.aborted is None else f", aborted after {performance.aborted.at:.4g} s"
    number = sum(not one.passes for one in verdicts)
    others = f"; {number} of {len(verdicts)} thresholds not met" if number > 1 else ""
    return escape_controls(f"{failure_message.first_sentence(missed)}{aborted}{others}")


def _with_abort(verdicts: list[judge.Verdict], performance: RunExecution) -> list[judge.Verdict]:
    """The verdicts, with the one that ended the run as it was then: what ended after it does not mend that."""
    if performance.aborted is None:
        return verdicts
    ended_by, at = performance.aborted
    note = ", ".join(filter(None, [ended_by.note, f"when the run was aborted at {at:.4g} s"]))
    return [
        ended_by._replace(note=note) if one.threshold == ended_by.threshold and one.passes else one
        for one in verdicts
    ]


def _statistics(
    performance: RunExecution,
    evidence: RunMetrics,
    verdicts: Sequence[judge.Verdict],
    checked: Sequence[check_verdict.CheckVerdict],
) -> dict[str, Any]:
    collector, measured = performance.recorder.collector, evidence.measured
    held = all(one.passes for one in verdicts) and all(one.verdict == check_verdict.HELD for one in checked)
    return {
        **statistics.compute(measured, performance.clock.wall_offset_ns),
        "phases": [statistics.of_phase(one, evidence.of(one)) for one in evidence.phases],
        "memory": _memory(evidence, performance.scenario.engine),
        "harness": bottleneck.detect_bottleneck(
            performance.process_monitor,
            measured,
            engine=type(performance.engine),
            waited_ns=performance.recorder.waited_ns,
            checked_ns=performance.checked_ns,
            agents=len(performance.agents),
        ),
        "faults": _faults(performance, measured),
        "faults_at": performance.boundary.faults_at,
        "retries": performance.retries,
        "error_types": _error_types(performance),
        "expected_error_types": dict(collector.expected_counts.most_common()),
        "status": performance.status,
        "aborted": None if performance.aborted is None else performance.aborted.as_dict(),
        "interrupted": performance.interrupt is not None,
        "seed": performance.scenario.seed,
        "scenario": performance.scenario.to_dict(),
        "thresholds": [one.as_dict() for one in verdicts],
        "checks": [one.as_dict() for one in checked],
        "recovery_operations": _recovery_operations(performance),
        "verdict": "passed" if held and performance.status == COMPLETED else "failed",
        "python": platform.python_version(),
    }


def _memory(evidence: RunMetrics, engine: str) -> dict[str, int] | None:
    """Bytes at the run's start and end, how much they grew, and the most there were.

    None in virtual time, in which the same run always writes the same statistics.
    """
    if engine_class(engine).uses_virtual_time:
        return None
    memory = evidence.resources.memory
    start, end = int(memory[0]), int(memory[-1])
    return {"start": start, "end": end, "growth": end - start, "peak": int(memory.max())}


def _faults(performance: RunExecution, measured: Measurements) -> dict[str, int]:
    """Faults by name: those planned for operations, and those met without a plan of their own."""
    counts = measured.planned_faults
    for name, count in performance.fault_counts().items():
        counts[name] = counts.get(name, 0) + count
    return dict(sorted(counts.items()))


def _recovery_operations(performance: RunExecution) -> int | None:
    """Operations after the plan; None where there was no phase for them."""
    planned = performance.scenario.number_of_operations
    if performance.checks.recovery is None or planned is None:
        return None
    return max(0, performance.records.total - planned)


def _error_types(performance: RunExecution) -> list[dict[str, Any]]:
    collector = performance.recorder.collector
    samples = collector.samples()
    return [{"count": count, **samples[name]._asdict()} for name, count in collector.error_counts.most_common()]


def _problems(performance: RunExecution, measured: Measurements) -> list[str]:
    """Why the run must not pass, whatever its thresholds say."""
    problems = [
        f"agent {escape_controls(lost.agent)} was lost: {failure_message.describe(lost.error)}"
        for lost in performance.crashed
    ]
    if performance.recorder.failure is not None:
        problems.append(f"the recorder was lost: {failure_message.describe(performance.recorder.failure)}")
    if performance.status == HUNG:
        problems.append(failure_message.hung_message(performance.hang_report))
    elif performance.status == DEADLOCKED and performance.engine.deadlock is not None:
        problems.append(failure_message.deadlock_message(performance.engine.deadlock))
    elif not performance.records.total and not problems:
        problems.append("no operation was performed")
    elif performance.status == COMPLETED and not problems:
        problems += _missing_operations(performance) + _closed_windows(performance, measured)
        problems += filter(None, [performance.boundary.unused()])
    return problems


def _closed_windows(performance: RunExecution, measured: Measurements) -> list[str]:
    """A run whose fault windows were never open has tested nothing of what it was to test."""
    windows = performance.scenario.fault_windows
    if windows is None or not performance.scenario.fault_mix.plans_faults or measured.counts(faults="on").total:
        return []
    return [f"fault_windows={windows!r}: no operation began in any of them"]


def _missing_operations(performance: RunExecution) -> list[str]:
    """A run by number has performed its whole plan, or something swallowed an exception of ours."""
    scenario, total = performance.scenario, performance.records.total
    planned = scenario.number_of_operations
    if planned is None or total == planned or (total > planned and performance.checks.recovery is not None):
        return []
    return [f"{total} of {planned} operations were performed: an agent ended before its plan did"]


def _broken_errors(performance: RunExecution, result: StressResult) -> ThresholdsNotMet | None:
    """Errors that came before the end of a run that was ended from within count as in any other run."""
    metrics = ("errors", "error_rate")
    broken = [one for one in result.verdicts if one.threshold.metric in metrics and one.verdict == judge.BROKEN]
    if not broken:
        return None
    failed = ThresholdsNotMet(failure_message.thresholds_message(broken, result.stats), result)
    failed.__cause__ = performance.context.ended_by
    return failed


def _ending(
    performance: RunExecution, result: StressResult, problems: Sequence[str], *, gate: bool
) -> BaseException | None:
    if performance.interrupt is not None:
        return performance.interrupt
    if performance.context.ended_by is not None and not problems:
        return _broken_errors(performance, result) or performance.context.ended_by
    if problems:
        kind = Deadlock if performance.status == DEADLOCKED else RunFailed
        failed = kind("\n".join(problems), result)
        if performance.crashed:
            error = performance.crashed[0].error
            failed.__cause__ = error.with_traceback(strip_internal_frames(error))
        return failed
    if not gate:
        return None
    broken = [one for one in result.checks if one.verdict == check_verdict.BROKEN]
    if broken:
        check_failed = CheckFailed(failure_message.checks_message(broken, result.stats), result)
        check_failed.__cause__ = broken[0].error
        return check_failed
    if not all(one.passes for one in result.verdicts):
        return ThresholdsNotMet(failure_message.thresholds_message(result.verdicts, result.stats), result)
    return None
