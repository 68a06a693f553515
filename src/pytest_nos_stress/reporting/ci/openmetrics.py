r"""The runs' figures as OpenMetrics text, for GitLab's metrics reports and whatever reads Prometheus' formats.

Every family is a gauge without timestamps, in base units, labelled with the test and which of the test's runs it
was. A figure that a run does not have is left out. The order is that of the runs, so two sessions can be compared
line by line.

GitLab splits a line as a shell would, takes the first word for the name and the second for the value, and before
that cuts the line at the first ``#``; one line that it cannot split fails the whole report. So ``#`` is written
``\x23`` in labels, as control characters are written. The format: OpenMetrics 1.0; GitLab's reader:
``Gitlab::Ci::Parsers::Metrics::Generic``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.reporting.summary import Summary

from .names import distinct

_STATISTICS: Final = ("mean", "p50", "p95", "p99", "max")


class _Family(NamedTuple):
    """A metric: ``group`` and ``figures`` say where in a run's summary its values are."""

    name: str
    help: str
    figures: tuple[str, ...]
    unit: str = ""
    group: str = ""


_FAMILIES: Final = (
    _Family("stress_passed", "1 if the run passed, 0 if it did not.", ("passed",)),
    _Family("stress_operations", "Operations that the agents performed.", ("operations",)),
    _Family("stress_successes", "Operations that succeeded.", ("successes",)),
    _Family("stress_failures", "Operations that failed, as planned or not.", ("failures",)),
    _Family("stress_missing_data", "Operations that were handed missing data.", ("missing_data",)),
    _Family("stress_errors", "Unexpected exceptions.", ("errors",)),
    _Family("stress_success_ratio", "Share of operations that succeeded.", ("success_rate",), "ratio"),
    _Family("stress_failure_ratio", "Share of operations that failed.", ("failure_rate",), "ratio"),
    _Family("stress_error_ratio", "Share of operations with an unexpected exception.", ("error_rate",), "ratio"),
    _Family(
        "stress_missing_data_ratio",
        "Share of operations that were handed missing data.",
        ("missing_data_rate",),
        "ratio",
    ),
    _Family("stress_duration_seconds", "How long the run took.", ("duration",), "seconds"),
    _Family("stress_throughput", "Operations per second.", ("throughput",)),
    _Family("stress_fairness", "Jain's index of successes over agents: 1 where all had as many.", ("fairness",)),
    _Family("stress_latency_seconds", "From the call to its end.", _STATISTICS, "seconds", "latency"),
    _Family(
        "stress_response_time_seconds",
        "From when an operation was due to its end.",
        _STATISTICS,
        "seconds",
        "response_time",
    ),
    _Family(
        "stress_memory_growth_bytes", "Memory at the end less that at the start.", ("growth",), "bytes", "memory"
    ),
    _Family("stress_memory_peak_bytes", "Most memory in use during the run.", ("peak",), "bytes", "memory"),
)


def render(runs: Sequence[Summary]) -> str:
    """The runs as OpenMetrics text, ``# EOF`` and all; UTF-8 can encode it whatever the tests are called."""
    tests = list(dict.fromkeys(str(run["test"]) for run in runs))
    shown = dict(zip(tests, distinct(map(_plain, tests)), strict=True))
    labels = [f'test="{_escaped(shown[str(run["test"])])}",run="{run["run"]}"' for run in runs]
    lines = [line for family in _FAMILIES for line in _family_lines(family, runs, labels)]
    return "\n".join([*lines, "# EOF", ""])


def _family_lines(family: _Family, runs: Sequence[Summary], labels: Sequence[str]) -> list[str]:
    samples = [
        f"{family.name}{{{label}{statistic}}} {_number(value)}"
        for run, label in zip(runs, labels, strict=True)
        for statistic, value in _values(family, run)
    ]
    if not samples:
        return []
    unit = [f"# UNIT {family.name} {family.unit}"] if family.unit else []
    return [f"# TYPE {family.name} gauge", *unit, f"# HELP {family.name} {family.help}", *samples]


def _values(family: _Family, run: Summary) -> Iterator[tuple[str, float]]:
    """Each figure that the run has, with the label that tells it from the family's others."""
    figures = run if not family.group else run.get(family.group) or {}
    for name in family.figures:
        value = figures.get(name)
        if value is not None and math.isfinite(value):
            yield (f',statistic="{name}"' if len(family.figures) > 1 else ""), value


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) else str(int(value))


def _plain(test: str) -> str:
    return escape_controls(test).replace("#", "\\x23")


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"')
