"""The summary of a run: what people and CI systems are told of it, as builtin types.

Guarantee: terminal, JUnit XML, step summary, metrics, benchmarks and HTML take their figures from here, and those
that show people a figure take its text from ``shown``; so they agree to the digit. A summary crosses from xdist's
workers to the controller.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.results.check_verdict import BROKEN
from pytest_nos_stress.results.format import format_seconds
from pytest_nos_stress.results.judge import NOT_APPLICABLE
from pytest_nos_stress.results.metrics import METRICS, Metric
from pytest_nos_stress.results.status import COMPLETED
from pytest_nos_stress.results.units import COUNT, RATIO
from pytest_nos_stress.scenario.phases import STEADY

from .failure_message import left_out

if TYPE_CHECKING:
    from pytest_nos_stress.results.result import StressResult

Summary = dict[str, Any]

_MOST_ERROR_TYPES: Final = 50
_NO_PROPERTY: Final = "mean"
_FILE_KEYS: Final = {
    "stress_test_results.log": "log",
    "agent_memory_snapshot.json": "snapshot",
    "simulation_statistics.json": "statistics",
    "scenario.json": "scenario",
    "stress_test_report.html": "report",
    "stress_test_report.svg": "report_svg",
    "stress_test_report.png": "report_png",
}


class RunInfo(NamedTuple):
    """Which run it is: of which test, where that stands, what else is to be known, and how it is repeated.

    ``directory`` is what paths are relative to, ``repeat`` gives the command (or code) that repeats a run.
    """

    test: str
    run: int = 1
    file: str = ""
    line: int = 0
    note: str = ""
    directory: Path | None = None
    repeat: Callable[[StressResult], str] = lambda result: f"MultiAgentSimulator(scenario={result.scenario!r})"


def summarise(result: StressResult, about: RunInfo) -> Summary:
    """The summary of a run. Every text in it is one line, without control characters.

    ``outcome`` is that of its test, once that has ended: passed, failed or skipped. Where a test failed, it is the
    runs that did not pass that failed, and if all did, the last one.
    """
    return {**{name: _plain(value) for name, value in _summary(result, about).items()}, "history": result.history}


def _summary(result: StressResult, about: RunInfo) -> Summary:
    stats = result.stats
    directory = about.directory or Path.cwd()
    return {
        "test": about.test,
        "note": about.note,
        "run": about.run,
        "file": about.file,
        "line": about.line,
        "verdict": _verdict(result),
        "passed": result.passed,
        "outcome": "",
        "status": result.status,
        "failure": stats["reason"],
        "seed": result.seed,
        "engine": result.scenario.engine,
        "agents": len(result.scenario.agent_names),
        **_figures(stats),
        "thresholds": [
            dict(zip(("wanted", "measured", "verdict"), one.row(), strict=True))
            for one in result.verdicts
            if one.verdict != NOT_APPLICABLE
        ],
        "not_applicable": [one.threshold.text for one in result.verdicts if one.verdict == NOT_APPLICABLE],
        "checks": [{"name": one.name, "verdict": one.verdict, "finding": one.finding} for one in result.checks],
        "error_types": [
            {name: one[name] for name in ("type", "count", "message", "agent", "task")}
            for one in stats["error_types"][:_MOST_ERROR_TYPES]
        ],
        "harness": stats["harness"]["words"],
        "phases": stats["phases"],
        "aborted": stats["aborted"],
        "notes": [
            *_errors_left_out(stats["phases"]),
            *(
                f"{one.threshold.text} holds, but {one.warning}"
                for one in result.verdicts
                if one.warning and one.passes
            ),
        ],
        "finding": result.finding,
        "directory": _relative(result.output_dir, directory),
        "files": {_file_key(path): _relative(path, directory) for path in result.files},
        "repeat": about.repeat(result),
    }


def _figures(stats: Mapping[str, Any]) -> Summary:
    """The metrics, and between them how long the run took."""
    names = [metric.name for metric in METRICS.values() if metric.unit in (COUNT, RATIO)]
    values = {metric.name: metric.summary_of(stats) for metric in METRICS.values()}
    ordered = {name: values[name] for name in names} | {"duration": stats["duration"]}
    return ordered | {name: value for name, value in values.items() if name not in names}


def is_failure(summary: Summary) -> bool:
    """Whether a run, or its test for a reason of its own, is to be taken for failed.

    A test may take a run that did not pass as it is (``gate=False``, ``pytest.raises``), and pass.
    """
    return summary["outcome"] == "failed" or (not summary["passed"] and not summary["outcome"])


def verdict_in_words(summary: Summary) -> str:
    """The run's verdict, with what its test made of it where that is something else."""
    if is_failure(summary):
        return "failed (the run passed)" if summary["passed"] else str(summary["verdict"])
    return str(summary["verdict"]) if summary["passed"] else f"{summary['verdict']} (taken as it was)"


def formatted(summary: Summary) -> dict[str, str]:
    """The figures as texts for people."""
    texts = {"duration": format_seconds(summary["duration"])}
    for metric in METRICS.values():
        value = summary[metric.name]
        if not metric.figures:
            texts[metric.name] = _text_or_dash(metric, value)
        elif value is not None:
            texts |= {f"{metric.name} {figure}": _text_or_dash(metric, value[figure]) for figure in metric.figures}
    return texts


def properties(summary: Summary) -> dict[str, Any]:
    """The figures under the names that JUnit XML has them by: numbers in base units, and the verdicts as texts."""
    plain = [metric for metric in METRICS.values() if not metric.figures]
    figures: dict[str, Any] = {"seed": summary["seed"]}
    figures |= {metric.property_name or metric.name: summary[metric.name] for metric in plain}
    figures["duration"] = summary["duration"]
    for metric in METRICS.values():
        values = summary[metric.name]
        if metric.figures and values is not None:
            names = [figure for figure in metric.figures if figure != _NO_PROPERTY]
            figures |= {f"{metric.name}_{figure}": values[figure] for figure in names}
    figures = {name: value for name, value in figures.items() if value is not None}
    figures |= {"verdict": "passed" if summary["passed"] else "failed", "status": summary["status"]}
    figures |= {name: summary[name] for name in ("failure", "finding", "harness") if summary[name]}
    for number, one in enumerate(summary["thresholds"], 1):
        figures[f"threshold_{number}"] = f"{one['wanted']} is {one['verdict']}: {one['measured']}"
    return figures


def _errors_left_out(phases: Sequence[dict[str, Any]]) -> list[str]:
    """What no gate judges, where there are errors in it: those never pass unseen."""
    others = [one for one in phases if one["name"] != STEADY]
    return [left_out(one) for one in others] if any(one["errors"] for one in others) else []


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return escape_controls(value)
    if isinstance(value, dict):
        return {escape_controls(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _verdict(result: StressResult) -> str:
    """Passed or failed where the run was judged as a whole, and what became of it otherwise."""
    is_judged = result.status == COMPLETED or any(one.verdict == BROKEN for one in result.checks)
    return str(result.stats["verdict"] if is_judged else result.status)


def _text_or_dash(metric: Metric, value: float | None) -> str:
    return "-" if value is None else metric.text(value)


def _file_key(path: Path) -> str:
    return _FILE_KEYS.get(path.name) or f"records_{path.suffix[1:]}"


def _relative(path: Path, directory: Path) -> str:
    relative = os.path.relpath(path, directory)
    return str(path) if relative.startswith("..") else relative
