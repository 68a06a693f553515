r"""Figures of runs, and outcomes of tests, as OpenMetrics text: for GitLab and readers of Prometheus' formats.

Every family is a gauge in base units, without timestamps. Its labels are the test and the number of the run
within the test; for the outcome of a test, that of its last run, or 0 without one. A figure that a run does not
have is left out. Samples are in the order of the runs, so a diff can compare two sessions line by line.

GitLab cuts a line at the first ``#``, then splits it like a shell: the first word is the name, the second the
value. A line that it cannot split fails the whole report. So labels have ``\x23`` in place of ``#``, in the
notation of control characters. Format: OpenMetrics 1.0. GitLab's reader:
``Gitlab::Ci::Parsers::Metrics::Generic``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.reporting.session_tests import is_bad
from pytest_nos_stress.reporting.summary import by_name
from pytest_nos_stress.results.metrics import METRICS, Metric
from pytest_nos_stress.results.session_tests import NO_TESTS, SKIPPED, SessionTests
from pytest_nos_stress.results.summary_types import Summary
from pytest_nos_stress.results.units import COUNT, RATIO

from .names import distinct


class _Family(NamedTuple):
    """A family of samples. ``figures`` are keys of a run's summary, or of the summary's ``group``."""

    name: str
    help: str
    figures: tuple[str, ...]
    unit: str = ""
    group: str = ""


_TEST_PASSED: Final = _Family(
    "stress_test_passed", "1 if the test passed, 0 if it failed, did not finish or was not run.", ()
)
_TEST_SKIPPED: Final = _Family("stress_test_skipped", "1 if the test was skipped or expected to fail.", ())


def _families() -> list[_Family]:
    """Return the families in the order of the file: counts, ratios, then everything else."""
    counts = [_plain_family(metric) for metric in METRICS.values() if metric.unit is COUNT]
    # Outcomes come first: together they are all operations, and errors are among the failures.
    counts.sort(key=lambda family: family.name == "stress_errors")
    ratios = [_plain_family(metric) for metric in METRICS.values() if metric.unit is RATIO]
    others = [metric for metric in METRICS.values() if metric.unit not in (COUNT, RATIO)]
    return [
        _Family("stress_passed", "1 if the run passed, 0 if it did not.", ("passed",)),
        *counts,
        *ratios,
        _Family("stress_duration_seconds", "Duration of the run.", ("duration",), "seconds"),
        *(_plain_family(metric) for metric in others if not metric.figures),
        *(family for metric in others if metric.figures for family in _families_of_figures(metric)),
    ]


def _plain_family(metric: Metric) -> _Family:
    return _Family(_name(metric), metric.help, (metric.name,), metric.unit.openmetrics)


def _families_of_figures(metric: Metric) -> list[_Family]:
    """Return one family with a label for each figure, the mean first, or a family for each figure."""
    unit = metric.unit.openmetrics
    if all(metric.figures.values()):
        return [
            _Family(_name(metric, figure), help_text, (figure,), unit, metric.name)
            for figure, help_text in metric.figures.items()
        ]
    figures = tuple(sorted(metric.figures, key=lambda figure: figure != "mean"))
    return [_Family(_name(metric), metric.help, figures, unit, metric.name)]


def _name(metric: Metric, figure: str = "") -> str:
    """Return the family's name, which ends with its unit as OpenMetrics wants it."""
    parts = ("stress", metric.name.removesuffix("_rate"), figure, metric.unit.openmetrics)
    return "_".join(filter(None, parts))


def render(runs: Sequence[Summary], session: SessionTests = NO_TESTS) -> str:
    """Render runs and tests as OpenMetrics text, including ``# EOF``. UTF-8 can encode any names of tests."""
    tests = list(dict.fromkeys(str(row["test"]) for row in (*runs, *session.tests)))
    names = dict(zip(tests, distinct(map(_plain, tests)), strict=True))
    labels = [_labels(names[str(run["test"])], run["run"]) for run in runs]
    last_run = {str(run["test"]): run["run"] for run in runs}
    outcomes: dict[_Family, list[str]] = {_TEST_PASSED: [], _TEST_SKIPPED: []}
    for test in session.tests:
        label = _labels(names[test["test"]], last_run.get(test["test"], 0))
        is_skipped = test["outcome"] == SKIPPED
        value = int(is_skipped or not is_bad(test))
        family = _TEST_SKIPPED if is_skipped else _TEST_PASSED
        outcomes[family].append(f"{family.name}{{{label}}} {value}")
    lines = [line for family, samples in outcomes.items() for line in _lines(family, samples)]
    lines += [line for family in _families() for line in _lines(family, _samples(family, runs, labels))]
    return "\n".join([*lines, "# EOF", ""])


def _labels(test: str, run: int) -> str:
    return f'test="{_escaped(test)}",run="{run}"'


def _samples(family: _Family, runs: Sequence[Summary], labels: Sequence[str]) -> list[str]:
    return [
        f"{family.name}{{{label}{statistic}}} {_number(value)}"
        for run, label in zip(runs, labels, strict=True)
        for statistic, value in _values(family, run)
    ]


def _lines(family: _Family, samples: Sequence[str]) -> list[str]:
    if not samples:
        return []
    unit = [f"# UNIT {family.name} {family.unit}"] if family.unit else []
    return [f"# TYPE {family.name} gauge", *unit, f"# HELP {family.name} {family.help}", *samples]


def _values(family: _Family, run: Summary) -> Iterator[tuple[str, float]]:
    """Yield each figure that the run has, with the label that distinguishes it within the family."""
    figures = by_name(run) if not family.group else by_name(run)[family.group] or {}
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
