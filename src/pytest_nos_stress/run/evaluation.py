"""Evaluation of a run: statistics, verdict and files, and an exception if the run must not pass."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from functools import partial

from pytest_nos_stress._internal.text import counted, escape_controls
from pytest_nos_stress._internal.tracebacks import strip_internal_frames, strip_waiting_frames
from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.reporting import failure_message, writer
from pytest_nos_stress.reporting.summary import summarise
from pytest_nos_stress.reporting.writer import OutputRequest
from pytest_nos_stress.results import judge, stats
from pytest_nos_stress.results.baselines.gate import BaselineGate
from pytest_nos_stress.results.check_verdict import CheckVerdict
from pytest_nos_stress.results.error_source import OPERATION
from pytest_nos_stress.results.judge import Verdict
from pytest_nos_stress.results.measurements import Measurements
from pytest_nos_stress.results.result import CheckFailed, Deadlock, RunFailed, StressResult, ThresholdsNotMet
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.statistics_types import (
    ErrorTypeStatistics,
    MemoryFigures,
    Statistics,
)
from pytest_nos_stress.results.status import COMPLETED, DEADLOCKED, HUNG
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.results.verdicts import FAILED, PASSED

from . import bottleneck
from .execution import RunExecution
from .unended import unended_operations


def evaluate_run(
    execution: RunExecution,
    thresholds: Sequence[Threshold],
    request: OutputRequest,
    baselines: BaselineGate,
    *,
    gate: bool,
    requires_calls: bool,
) -> tuple[StressResult, BaseException | None]:
    """Evaluate a run and write its outputs. Return the result, and the exception to raise, if any.

    ``requires_calls``: True if the run must not pass unless an operation entered the target.
    """
    measured = execution.measured()
    run_metrics = RunMetrics(measured, execution.scenario, execution.process_monitor.samples)
    comparison = baselines.comparison(run_metrics, execution.scenario)
    judged = run_metrics
    if execution.context.ended_by is not None:
        judged = RunMetrics(measured.not_cut_short(), execution.scenario, execution.process_monitor.samples)
    verdicts = _with_abort(judge.evaluate_thresholds(thresholds, judged, comparison), execution)
    checks = execution.checks.verdicts(judged=execution.has_performed_everything)
    problems = _problems(execution, measured)
    if requires_calls and execution.status == COMPLETED and not problems:
        problems += _missing_calls(measured)
    notes = _notes(execution)
    try:
        passed = _passes(execution, verdicts, checks, problems)
        notes += baselines.save(run_metrics, execution.scenario, passed=passed)
    except SettingError as error:
        problems.append(str(error))
    windows = execution.context.windows
    result = StressResult(
        _statistics(execution, run_metrics, verdicts, checks, problems),
        execution.scenario,
        request.directory,
        request.paths,
        verdicts,
        checks,
        run_metrics,
        execution.records,
        summarise=partial(summarise, info=request.info),
        notes=notes,
        fault_spans=() if windows is None else windows.spans_until(measured.elapsed),
        first_faults=execution.boundary.first_faults,
    )
    result, problems = writer.write(result, request, problems)
    measured.forget_samples()
    ending = _ending(execution, result, problems, gate=gate)
    result.raised = ending is not None
    return result, ending


def _notes(execution: RunExecution) -> list[str]:
    """Return a note for each measurement that is missing, and for operations and threads that have not ended.

    Virtual time has none of these measurements.
    """
    missing = [] if execution.engine.uses_virtual_time else execution.process_monitor.notes
    return [*missing, *unended_operations(execution), *execution.context.background_errors.notes]


def _passes(
    execution: RunExecution, verdicts: Sequence[Verdict], checks: Sequence[CheckVerdict], problems: Sequence[str]
) -> bool:
    all_passed = all(verdict.passes for verdict in verdicts) and all(check.verdict == PASSED for check in checks)
    return all_passed and execution.status == COMPLETED and not problems


def _reason(
    execution: RunExecution, verdicts: Sequence[Verdict], checks: Sequence[CheckVerdict], problems: Sequence[str]
) -> str:
    """Return the reason for which a run does not pass, on one line; empty if it passes."""
    if execution.interrupt is not None:
        return failure_message.interrupted_message(execution.interrupt)
    if problems:
        return problems[0].splitlines()[0]
    failed = next((check for check in checks if check.verdict == FAILED), None)
    if failed is not None:
        return escape_controls(str(failed))
    ended_by = execution.context.ended_by
    missed = [verdict for verdict in verdicts if not verdict.passes and (ended_by is None or verdict.is_final)]
    if not missed:
        return "" if ended_by is None else failure_message.describe(ended_by)
    aborted = "" if execution.aborted is None else f", aborted after {execution.aborted.at:.4g} s"
    others = f"; {len(missed)} of {len(verdicts)} thresholds did not pass" if len(missed) > 1 else ""
    return escape_controls(f"{failure_message.threshold_sentence(missed[0])}{aborted}{others}")


def _with_abort(verdicts: list[Verdict], execution: RunExecution) -> list[Verdict]:
    """Return the verdicts, with the one that aborted the run as it was then: later operations do not change it."""
    if execution.aborted is None:
        return verdicts
    aborting, at = execution.aborted
    note = ", ".join(filter(None, [aborting.note, f"when the run was aborted at {at:.4g} s"]))
    return [
        aborting._replace(note=note) if verdict.threshold == aborting.threshold and verdict.passes else verdict
        for verdict in verdicts
    ]


def _statistics(
    execution: RunExecution,
    run_metrics: RunMetrics,
    verdicts: Sequence[Verdict],
    checks: Sequence[CheckVerdict],
    problems: Sequence[str],
) -> Statistics:
    collector, measured = execution.recorder.collector, run_metrics.measured
    return {
        **stats.compute(measured, execution.clock.wall_offset_ns),
        "phases": [stats.of_phase(phase, run_metrics.of(phase)) for phase in run_metrics.phases],
        "memory": _memory(run_metrics, execution.scenario.engine),
        "operations_overlapped": _operations_overlapped(execution, measured),
        "harness": bottleneck.detect_bottleneck(
            execution.process_monitor,
            measured,
            engine=type(execution.engine),
            waited_ns=execution.recorder.waited_ns,
            checked_ns=execution.checked_ns,
            agents=len(execution.agents),
        ),
        "faults": _faults(execution, measured),
        "faults_at": execution.boundary.faults_at,
        "retries": execution.retries,
        "background_errors": execution.context.background_errors.total,
        "error_types": _error_types(execution),
        "expected_error_types": dict(
            (collector.expected_counts + execution.context.background_errors.expected_counts).most_common()
        ),
        "status": execution.status,
        "aborted": None if execution.aborted is None else execution.aborted.as_dict(),
        "interrupted": execution.interrupt is not None,
        "seed": execution.scenario.seed,
        "scenario": execution.scenario.to_dict(),
        "thresholds": [verdict.as_dict() for verdict in verdicts],
        "checks": [check.as_dict() for check in checks],
        "recovery_operations": _recovery_operations(execution),
        "verdict": PASSED if _passes(execution, verdicts, checks, problems) else FAILED,
        "python": platform.python_version(),
        "reason": _reason(execution, verdicts, checks, problems),
    }


def _memory(run_metrics: RunMetrics, engine: str) -> MemoryFigures | None:
    """Return bytes at the run's start and end, their growth, and the peak.

    None if memory was not measured, and in virtual time, in which the same run always writes the same statistics.
    """
    if engine_class(engine).uses_virtual_time:
        return None
    memory = run_metrics.resources.memory
    if not memory.size:
        return None
    start, end = int(memory[0]), int(memory[-1])
    return {"start": start, "end": end, "growth": end - start, "peak": int(memory.max())}


def _operations_overlapped(execution: RunExecution, measured: Measurements) -> bool:
    overlapped = execution.engine.operations_overlapped
    return measured.operations_overlap() if overlapped is None else overlapped


def _faults(execution: RunExecution, measured: Measurements) -> dict[str, int]:
    """Count the faults that were met, by name: those planned for operations, and those without a plan."""
    counts = Counter(measured.planned_faults)
    for name, count in execution.fault_counts().items():
        counts[name] += count
    return {name: count for name, count in sorted(counts.items()) if count}


def _recovery_operations(execution: RunExecution) -> int | None:
    """Count operations after the plan; None if there was no phase for them."""
    planned = execution.scenario.number_of_operations
    if execution.checks.recovery is None or planned is None:
        return None
    return max(0, execution.records.total - planned)


def _error_types(execution: RunExecution) -> list[ErrorTypeStatistics]:
    collector = execution.recorder.collector
    samples = collector.samples()
    of_operations: list[ErrorTypeStatistics] = [
        {
            "count": count,
            "type": samples[name].type,
            "message": samples[name].message,
            "source": OPERATION,
            "agent": samples[name].agent,
            "task": samples[name].task,
            "traceback": samples[name].traceback,
        }
        for name, count in collector.error_counts.items()
    ]
    error_types = of_operations + execution.context.background_errors.error_types()
    return sorted(error_types, key=lambda error_type: -error_type["count"])


def _problems(execution: RunExecution, measured: Measurements) -> list[str]:
    """Return the problems for which the run must not pass, regardless of its thresholds."""
    problems = [
        f"agent {escape_controls(crashed.agent)} was lost: {failure_message.describe(crashed.error)}"
        for crashed in execution.crashed
    ]
    if execution.recorder.failure is not None:
        problems.append(f"the recorder was lost: {failure_message.describe(execution.recorder.failure)}")
    if execution.status == HUNG:
        problems.append(failure_message.hung_message(execution.hang_report))
    elif execution.status == DEADLOCKED and execution.engine.deadlock is not None:
        problems.append(failure_message.deadlock_message(execution.engine.deadlock))
    elif not execution.records.total and not problems:
        problems.append("no operation was performed")
    elif execution.status == COMPLETED and not problems:
        problems += _missing_operations(execution) + _closed_windows(execution, measured)
        problems += filter(None, [execution.boundary.unused()])
    if execution.log.failure is not None:
        problems.append(writer.not_written(execution.log.path, execution.log.failure))
    return problems


def _closed_windows(execution: RunExecution, measured: Measurements) -> list[str]:
    """Refuse a run whose fault windows were never open: it has not tested what it was asked to test."""
    windows = execution.scenario.fault_windows
    if windows is None or not execution.scenario.fault_mix.plans_faults or measured.counts(faults="on").total:
        return []
    return [f"fault_windows={windows!r}: no operation began in any of them"]


def _missing_operations(execution: RunExecution) -> list[str]:
    """Refuse a run by number that has not performed its whole plan: something swallowed an exception of ours."""
    scenario, total = execution.scenario, execution.records.total
    planned = scenario.number_of_operations
    if planned is None or total == planned or (total > planned and execution.checks.recovery is not None):
        return []
    return [f"{total} of {planned} operations were performed: an agent ended before its plan did"]


def _missing_calls(measured: Measurements) -> list[str]:
    """Refuse a run that never entered the target: it has tested nothing."""
    if measured.count_calls():
        return []
    counts = measured.counts()
    return [
        f"the target was never called: faults came first in {counted(counts.total, 'operation')} "
        f"({counts.failures} failed, {counts.missing_data} with missing data); perform more operations, lower "
        "failure_prob or missing_data_prob, or add the threshold calls == 0"
    ]


def _failed_by_then(result: StressResult) -> RunFailed | None:
    """Return the failure of checks and thresholds before a task ended the run."""
    failed_checks = [check for check in result.checks if check.verdict == FAILED]
    if failed_checks:
        return CheckFailed(failure_message.checks_message(failed_checks, result.stats), result)
    failed = [verdict for verdict in result.verdicts if verdict.is_final]
    if failed:
        return ThresholdsNotMet(failure_message.thresholds_message(failed, result.stats), result)
    return None


def _ending(
    execution: RunExecution, result: StressResult, problems: Sequence[str], *, gate: bool
) -> BaseException | None:
    if execution.interrupt is not None:
        return execution.interrupt.with_traceback(strip_waiting_frames(execution.interrupt))
    ended_by = execution.context.ended_by
    if ended_by is not None and not problems:
        failure = _failed_by_then(result) if gate else None
        if failure is None:
            return ended_by
        failure.__cause__ = ended_by
        return failure
    if problems:
        kind = Deadlock if execution.status == DEADLOCKED else RunFailed
        failed = kind("\n".join(problems), result)
        if execution.crashed:
            error = execution.crashed[0].error
            failed.__cause__ = error.with_traceback(strip_internal_frames(error))
        return failed
    if not gate:
        return None
    failed_checks = [check for check in result.checks if check.verdict == FAILED]
    if failed_checks:
        check_failed = CheckFailed(failure_message.checks_message(failed_checks, result.stats), result)
        check_failed.__cause__ = failed_checks[0].error
        return check_failed
    if not all(verdict.passes for verdict in result.verdicts):
        return ThresholdsNotMet(failure_message.thresholds_message(result.verdicts, result.stats), result)
    return None
