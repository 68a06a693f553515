"""Rows of metrics: thresholds, statistics, summary and CI formats are made from a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult, ThresholdsNotMet
from pytest_nos_stress.reporting.ci import openmetrics
from pytest_nos_stress.reporting.summary import formatted, properties
from pytest_nos_stress.results.metrics import METRICS, TAGS, Metric, Question, Reading
from pytest_nos_stress.results.threshold_parser import parse_threshold
from pytest_nos_stress.results.units import RATIO


def takes_two_milliseconds(operation: Operation) -> None:
    operation.sleep(0.002)


def run(directory: Path, **settings: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": ["Ann", "Bob"],
        "operations_per_agent": 100,
        "min_delay": 0,
        "max_delay": 0,
        "seed": 3,
        "report": "none",
        "target": takes_two_milliseconds,
        "output_dir": directory,
    }
    return MultiAgentSimulator(**{**defaults, **settings}).run()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    return run(tmp_path_factory.mktemp("run"), operations_per_agent=20)


def expressions(metric: Metric) -> list[str]:
    """Return a threshold on each aggregation of a metric."""
    symbol = next(iter(metric.unit.symbols))
    percentiles = ["p50"] if metric.has_percentiles else []
    names = [f"{metric.name}.{aggregation}" for aggregation in (*metric.aggregations, *percentiles)]
    return [f"{name} > 0.5{symbol}" for name in names or [metric.name]]


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_row_has_all_its_parts(metric: Metric, result: StressResult) -> None:
    assert METRICS[metric.name] is metric
    assert metric.help.endswith(".")
    assert all(help_text.endswith(".") for help_text in metric.figures.values() if help_text)
    assert metric.text(0.5)
    assert metric.unit.symbols
    assert set(metric.tags) <= set(TAGS)
    assert bool(metric.figures) == bool(metric.aggregations)
    for expression in expressions(metric):
        assert parse_threshold(expression).definition is metric
    assert (metric.statistic_key or metric.name) in result.stats
    assert metric.name in result.summary


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_has_a_value_in_every_output(metric: Metric, tmp_path: Path) -> None:
    result = run(tmp_path, operations_per_agent=20, thresholds=expressions(metric), gate=False)
    judged = [verdict for verdict in result.verdicts if verdict.threshold.metric == metric.name]
    assert [verdict.measured for verdict in judged if verdict.measured is None] == []
    texts, named = formatted(result.summary), properties(result.summary)
    exported = openmetrics.render([result.summary])
    figures = [f"{metric.name} {figure}" for figure in metric.figures] or [metric.name]
    assert [figure for figure in figures if texts[figure] == "-"] == []
    assert (metric.property_name or metric.name) in named or f"{metric.name}_{next(iter(metric.figures))}" in named
    for help_text in filter(None, [*metric.figures.values()] or [metric.help]):
        assert help_text in exported


def read_called_share(question: Question) -> Reading:
    total = question.counts.total
    return Reading(question.part.count_calls() / total if total else None, total)


CALLED_SHARE = Metric(
    "called_share", RATIO, "Share of operations that called the target.", read_called_share, tags=("phase",)
)


@pytest.fixture
def called_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, CALLED_SHARE.name, CALLED_SHARE)


@pytest.mark.usefixtures("called_share")
def test_a_new_row_is_a_metric_that_gates_a_run(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet) as missed:
        run(tmp_path, thresholds=["called_share > 99%", "called_share{phase=steady} > 1% over 50ms"])
    result = missed.value.result
    share = result.stats["calls"] / 200
    too_few, in_each_window, *_ = result.verdicts
    assert (too_few.passes, too_few.measured, too_few.samples) == (False, share, 200)
    assert in_each_window.passes
    assert f"called_share > 99% failed: {100 * share:.4g}% of 200 operations" in str(missed.value)


@pytest.mark.usefixtures("called_share")
def test_a_new_row_appears_in_every_output(tmp_path: Path) -> None:
    result = run(tmp_path, engine="virtual")
    share: float = result.stats["calls"] / 200
    assert dict(result.stats)["called_share"] == dict(result.summary)["called_share"] == share
    assert formatted(result.summary)["called_share"] == f"{100 * share:.4g}%"
    assert properties(result.summary)["called_share"] == share
    lines = openmetrics.render([result.summary]).splitlines()
    assert "# HELP stress_called_share_ratio Share of operations that called the target." in lines
    assert f'stress_called_share_ratio{{test="stress_test",run="1"}} {share!r}' in lines


@pytest.mark.usefixtures("called_share")
def test_a_threshold_relative_to_a_baseline_needs_a_metric_that_baselines_keep() -> None:
    with pytest.raises(ValueError, match="baselines do not keep called_share"):
        parse_threshold("called_share > baseline")
