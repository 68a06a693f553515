"""Summary of a run: figures and texts for people and CI systems, as builtin types.

Guarantee: terminal, JUnit XML, step summary, metrics, benchmarks and HTML take their figures from a summary, and
outputs for people take a figure's text from ``formatted``. So all outputs agree to the digit. A summary crosses
from xdist's workers to the controller.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from pytest_nos_stress._internal.outcome import ERROR
from pytest_nos_stress._internal.system import absolute
from pytest_nos_stress._internal.text import counted, escape_controls
from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.results.format import format_seconds
from pytest_nos_stress.results.judge import Verdict
from pytest_nos_stress.results.metrics import METRICS, Metric
from pytest_nos_stress.results.statistics_types import ErrorTypeStatistics, PhaseStatistics, Statistics
from pytest_nos_stress.results.status import COMPLETED
from pytest_nos_stress.results.summary_types import ErrorTypeSummary, MetricSummary, Summary, ThresholdSummary
from pytest_nos_stress.results.units import COUNT, RATIO
from pytest_nos_stress.results.verdicts import FAILED, NOT_APPLICABLE, PASSED, sentence
from pytest_nos_stress.scenario.phases import STEADY

from .failure_message import excluded_phase
from .outputs import of_file

if TYPE_CHECKING:
    from pytest_nos_stress.results.result import StressResult

_MOST_ERROR_TYPES: Final = 50
_NO_PROPERTY: Final = "mean"
_FEWEST_FOR_A_RACE: Final = 2
"""Fewest agents that can race."""
OWN_ASSERTION: Final = "the test's own assertion"
IN_SETUP: Final = "in setup"
IN_TEARDOWN: Final = "in teardown"
UNEXPECTED_PASS: Final = "the test was expected to fail"
_FAILURES_OUTSIDE_RUNS: Final = {
    OWN_ASSERTION: "the test's own assertion failed",
    IN_SETUP: "the test failed in setup",
    IN_TEARDOWN: "the test failed in teardown",
    UNEXPECTED_PASS: "the test passed, and was expected to fail",
}


def _code_that_repeats(result: StressResult) -> str:
    return f"MultiAgentSimulator(scenario={result.scenario!r})"


class RunInfo(NamedTuple):
    """Identify a run: the test's id and location, the run's number within the test, and a note on it.

    Paths are made relative to ``directory``. ``repeat`` returns the command (or code) that repeats a run.
    """

    test: str
    run: int = 1
    file: str = ""
    line: int = 0
    note: str = ""
    directory: Path | None = None
    repeat: Callable[[StressResult], str] = _code_that_repeats


def summarise(result: StressResult, info: RunInfo) -> Summary:
    """Summarise a run. Every text in the summary is one line without control characters."""
    summary: Summary = _escaped(_summary(result, info))
    return summary


def _summary(result: StressResult, info: RunInfo) -> Summary:
    stats = result.stats
    directory = info.directory or absolute(".")
    return {
        "test": info.test,
        "note": info.note,
        "run": info.run,
        "file": info.file,
        "line": info.line,
        "verdict": _verdict(result),
        "passed": result.passed,
        "outcome": "",
        "raised": False,
        "failed_by": "",
        "status": result.status,
        "failure": stats["reason"],
        "seed": result.seed,
        "engine": result.scenario.engine,
        "agents": len(result.scenario.agent_names),
        **_figures(stats),
        "thresholds": [_threshold(verdict) for verdict in result.verdicts if verdict.verdict != NOT_APPLICABLE],
        "not_applicable": [
            verdict.threshold.text for verdict in result.verdicts if verdict.verdict == NOT_APPLICABLE
        ],
        "checks": [
            {"name": check.name, "verdict": check.verdict, "finding": check.finding} for check in result.checks
        ],
        "error_types": [_error_type(error_type) for error_type in stats["error_types"][:_MOST_ERROR_TYPES]],
        "harness": stats["harness"]["words"],
        "phases": stats["phases"],
        "aborted": stats["aborted"],
        "notes": [
            *_excluded_errors(stats["phases"]),
            *_accepted_errors(result),
            *_background_errors(result),
            *filter(None, [no_overlap_note(result)]),
            *result.notes,
        ],
        "finding": result.finding,
        "directory": _relative(result.output_dir, directory),
        "files": {of_file(path.name).key: _relative(path, directory) for path in result.files},
        "repeat": info.repeat(result),
        "history": result.history,
    }


def _figures(stats: Statistics) -> MetricSummary:
    """Return the metrics, with the duration of the run after the counts and rates."""
    names = [metric.name for metric in METRICS.values() if metric.unit in (COUNT, RATIO)]
    values = {metric.name: metric.summary_of(stats) for metric in METRICS.values()}
    figures = {name: values.pop(name) for name in names} | {"duration": stats["duration"]} | values
    return cast("MetricSummary", figures)


def _threshold(verdict: Verdict) -> ThresholdSummary:
    wanted, measured, word = verdict.row()
    return {"wanted": wanted, "measured": measured, "verdict": word}


def _error_type(error_type: ErrorTypeStatistics) -> ErrorTypeSummary:
    return {
        "type": error_type["type"],
        "count": error_type["count"],
        "message": error_type["message"],
        "source": error_type["source"],
        "agent": error_type["agent"],
        "task": error_type["task"],
    }


def with_note(summary: Summary, note: str) -> Summary:
    """Return the summary with one more note, unless it has that note."""
    return summary if note in summary["notes"] else {**summary, "notes": [*summary["notes"], note]}


def with_failure_outside(summary: Summary, failed_by: str) -> Summary:
    """Return the summary of a test's last run, if all runs passed and the test failed.

    ``failed_by`` is ``OWN_ASSERTION``, ``IN_SETUP``, ``IN_TEARDOWN`` or ``UNEXPECTED_PASS``.
    """
    note = f"{_FAILURES_OUTSIDE_RUNS[failed_by]} (all thresholds and checks passed)"
    return {**with_note(summary, note), "failed_by": failed_by}


def without_note(summary: Summary, note: str) -> Summary:
    """Return the summary without a note."""
    return {**summary, "notes": [other for other in summary["notes"] if other != note]}


def with_outcome(summary: Summary, outcome: str, *, raised: bool) -> Summary:
    """Return the summary with the outcome of its test: ``passed``, ``failed`` or ``skipped``.

    ``raised``: True if the run raised an exception because it did not pass.
    """
    return {**summary, "outcome": outcome, "raised": raised}


def is_failure(summary: Summary) -> bool:
    """Return True if a run, or its test for a reason outside the run, counts as failed.

    A test may accept a run that did not pass (``gate=False``, ``pytest.raises``), and pass.
    """
    return summary["outcome"] == "failed" or (not summary["passed"] and not summary["outcome"])


def verdict_text(summary: Summary) -> str:
    """Return the run's verdict, with the reason in parentheses if the test's outcome differs."""
    if is_failure(summary):
        return f"{FAILED} ({summary['failed_by']})" if summary["passed"] else summary["verdict"]
    if summary["passed"]:
        return summary["verdict"]
    if summary["outcome"] == "skipped":
        return f"{summary['verdict']} (the test was skipped or expected to fail)"
    return f"{summary['verdict']} ({'exception caught by the test' if summary['raised'] else 'gate=False'})"


def formatted(summary: Summary) -> dict[str, str]:
    """Return the figures as texts for people."""
    figures = by_name(summary)
    texts = {"duration": format_seconds(summary["duration"])}
    for metric in METRICS.values():
        value = figures[metric.name]
        if not metric.figures:
            texts[metric.name] = _text_or_dash(metric, value)
        elif value is not None:
            texts |= {f"{metric.name} {figure}": _text_or_dash(metric, value[figure]) for figure in metric.figures}
    return texts


def properties(summary: Summary) -> dict[str, Any]:
    """Return the figures under their names in JUnit XML: numbers in base units, and the verdicts as texts."""
    figures = by_name(summary)
    described: dict[str, Any] = {"seed": summary["seed"]}
    described |= {
        metric.property_name or metric.name: figures[metric.name]
        for metric in METRICS.values()
        if not metric.figures
    }
    described["duration"] = summary["duration"]
    for metric in METRICS.values():
        values = figures[metric.name]
        if metric.figures and values is not None:
            names = [figure for figure in metric.figures if figure != _NO_PROPERTY]
            described |= {f"{metric.name}_{figure}": values[figure] for figure in names}
    described = {name: value for name, value in described.items() if value is not None}
    described |= {"verdict": PASSED if summary["passed"] else FAILED, "status": summary["status"]}
    described |= {name: figures[name] for name in ("failure", "finding", "harness") if figures[name]}
    for number, threshold in enumerate(summary["thresholds"], 1):
        described[f"threshold_{number}"] = _threshold_text(threshold)
    return described


def _threshold_text(threshold: ThresholdSummary) -> str:
    return sentence(threshold["wanted"], threshold["verdict"], threshold["measured"])


def by_name(summary: Summary) -> Mapping[str, Any]:
    """Return the summary as a mapping, for metrics that are listed by name."""
    return cast("Mapping[str, Any]", summary)


def _excluded_errors(phases: Sequence[PhaseStatistics]) -> list[str]:
    """Name the phases that thresholds do not judge if one of them has errors. So no error goes unnoticed."""
    unjudged = [phase for phase in phases if phase["name"] != STEADY]
    return [excluded_phase(phase) for phase in unjudged] if any(phase["errors"] for phase in unjudged) else []


def _accepted_errors(result: StressResult) -> list[str]:
    """Name the thresholds that replace ``errors == 0`` if a run passes in spite of errors."""
    errors = sum(phase["errors"] for phase in result.stats["phases"] if phase["name"] == STEADY)
    if not errors or not result.passed:
        return []
    on_errors = [
        verdict.threshold.text for verdict in result.verdicts if verdict.threshold.definition.cell == ERROR
    ]
    return [f"{counted(errors, 'error')} accepted by {', '.join(on_errors)}"]


def _background_errors(result: StressResult) -> list[str]:
    """Explain errors that no operation raised, because charts and outcomes of operations do not have them.

    If all errors of a run that failed are such errors, its finding states it.
    """
    count, errors = result.stats["background_errors"], result.stats["errors"]
    if not count or (count == errors and result.finding):
        return []
    return [f"{count} of {counted(errors, 'error')} came from the background: no operation raised them"]


def no_overlap_note(result: StressResult) -> str:
    """State that a run of several agents could not show a race, because no two operations overlapped.

    Return an empty text if operations overlapped, or if only one agent performed operations.
    """
    stats = result.stats
    performed = [counts for counts in stats["agent_stats"].values() if counts["total_operations"]]
    if stats["operations_overlapped"] or len(performed) < _FEWEST_FOR_A_RACE:
        return ""
    engine = engine_class(result.scenario.engine)
    if engine.uses_virtual_time:
        why = "in virtual time, agents switch only while an operation sleeps or waits"
    elif engine.awaits_tasks:
        why = "on an event loop, agents switch only while an operation awaits"
    else:
        why = "threads rarely switch during an operation that is short and does not wait"
    return f"no two operations overlapped, so the run could not show a race: {why}"


def _escaped(value: Any) -> Any:
    """Return a value of JSON types with all texts on one line, without control characters."""
    if isinstance(value, str):
        return escape_controls(value)
    if isinstance(value, dict):
        return {escape_controls(name): _escaped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value


def _verdict(result: StressResult) -> str:
    """Return passed or failed if the run completed or a check failed, otherwise the run's status."""
    is_judged = result.status == COMPLETED or any(check.verdict == FAILED for check in result.checks)
    return result.stats["verdict"] if is_judged else result.status


def _text_or_dash(metric: Metric, value: float | None) -> str:
    return "-" if value is None else metric.text(value)


def _relative(path: Path, directory: Path) -> str:
    relative = os.path.relpath(path, directory)
    return str(path) if relative.startswith("..") else relative
