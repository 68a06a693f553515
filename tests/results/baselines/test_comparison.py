"""Comparisons: slower code fails, the same code passes, and a lack of data is reported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import SettingError
from pytest_nos_stress.results.baselines.comparison import compare, default_expressions
from pytest_nos_stress.results.baselines.sketch import RunSketch
from pytest_nos_stress.results.metrics import METRICS
from pytest_nos_stress.results.threshold_parser import parse_threshold

pytest.importorskip("scipy")

Make = Callable[..., Any]
RUNS = 20


def is_slower(new: RunSketch, baseline: list[RunSketch]) -> bool:
    return compare(new, baseline, "latency", "p25").fails("<=", 1.1, 10e-6)


@pytest.mark.parametrize(("memory", "from_run_to_run"), [(0.0, 0.01), (0.95, 0.02)], ids=["steady", "wandering"])
def test_a_slowdown_of_30_percent_fails_and_noise_does_not(
    make_sketch: Make, memory: float, from_run_to_run: float
) -> None:
    noise = {"memory": memory, "from_run_to_run": from_run_to_run}
    baseline = [make_sketch(seed, **noise) for seed in range(3)]
    alarms = sum(is_slower(make_sketch(100 + seed, **noise), baseline) for seed in range(RUNS))
    seen = sum(is_slower(make_sketch(200 + seed, slowdown=1.3, **noise), baseline) for seed in range(RUNS))
    assert alarms == 0
    assert seen >= 0.95 * RUNS


def test_slowly_drifting_noise_does_not_fail_even_a_limit_without_slack(make_sketch: Make) -> None:
    noise = {"memory": 0.99, "from_run_to_run": 0.02}
    baseline = [make_sketch(seed, **noise) for seed in range(3)]
    alarms = sum(
        compare(make_sketch(100 + seed, **noise), baseline, "latency", "mean").fails("<=") for seed in range(RUNS)
    )
    assert alarms <= 0.05 * RUNS


def test_failures_that_vary_by_seed_do_not_fail_and_more_failures_do(make_sketch: Make) -> None:
    baseline = [make_sketch(0, size=400)]
    rates = [compare(make_sketch(100 + seed, size=400), baseline, "failure_rate") for seed in range(RUNS)]
    assert sum(interval.fails("<=", 1.0, 0.01) for interval in rates) <= 0.02 * RUNS
    assert compare(make_sketch(1, failing=0.3), [make_sketch(0)], "failure_rate").fails("<=", 1.0, 0.01)


def test_kept_runs_that_differ_widen_the_interval(make_sketch: Make) -> None:
    alike = [make_sketch(seed) for seed in range(4)]
    unlike = [make_sketch(seed, slowdown=slowdown) for seed, slowdown in enumerate((0.8, 0.95, 1.05, 1.2))]
    new = make_sketch(9, slowdown=1.3)
    narrow, wide = compare(new, alike, "latency", "p50"), compare(new, unlike, "latency", "p50")
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.low is not None
    assert wide.high is not None
    assert wide.low < narrow.low < 1.3 < narrow.high < wide.high
    assert narrow.fails("<=", 1.1)
    assert not wide.fails("<=", 1.1)


def test_one_kept_run_has_an_assumed_deviation_from_run_to_run(make_sketch: Make) -> None:
    base = make_sketch(0, size=20_000)
    same = compare(base, [base], "latency", "p50")
    assert same.ratio == 1.0
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0.94
    assert same.high > 1.06
    modelled = compare(base, [base], "latency", "p50", modelled_time=True)
    assert modelled.low is not None
    assert modelled.low > 0.96


def test_a_limit_is_a_share_of_the_baseline_plus_a_constant(make_sketch: Make) -> None:
    interval = compare(make_sketch(1, slowdown=1.5), [make_sketch(0)], "latency", "p50")
    assert interval.fails("<=", 1.2)
    assert not interval.fails("<=", 1.2, 5e-3)
    assert not interval.fails(">=", 1.2)
    assert interval.fails(">=", 2.0)
    low, high = interval.excess(1.0, 0.0)
    assert interval.value is not None
    assert interval.baseline_value is not None
    assert low < interval.value - interval.baseline_value < high


def test_a_lower_throughput_fails(make_sketch: Make) -> None:
    interval = compare(make_sketch(1, slowdown=1.5), [make_sketch(0)], "throughput")
    assert interval.fails(">=", 0.9)
    assert not interval.fails(">=", 0.5)


def test_the_same_runs_always_give_the_same_interval(make_sketch: Make) -> None:
    first, second = (compare(make_sketch(1), [make_sketch(0), make_sketch(2)], "latency", "p95") for _ in range(2))
    assert first == second
    assert first.excess(1.1) == second.excess(1.1)


@pytest.mark.parametrize("metric", [metric.name for metric in METRICS.values() if metric.in_baseline])
def test_runs_in_which_nothing_varies_are_compared_without_a_warning(columns: Make, metric: str) -> None:
    run = columns(size=300)
    run |= {
        "end_ns": 5_000 + 1_000_000 * np.arange(1, 301),
        "outcome": np.zeros(300, np.uint8),
        "latency_ns": np.full(300, 7),
        "response_ns": np.zeros(300, np.int64),
    }
    same = RunSketch.of(**run)
    aggregation = "p50" if metric in ("latency", "response_time") else None
    for modelled_time in (True, False):
        interval = compare(same, [same, same], metric, aggregation, modelled_time=modelled_time)
        assert interval.enough
        assert interval.value == pytest.approx(interval.baseline_value)
        assert not interval.fails("<=")
        assert not interval.fails(">=")


def test_several_errors_fail_after_a_baseline_without_errors(make_sketch: Make) -> None:
    clean = [make_sketch(0)]
    many = compare(make_sketch(1, erring=0.05), clean, "errors")
    assert many.ratio is None
    assert many.fails("<=", 1.0)
    single = make_sketch(2)
    single.counts[4, 0, 3] += 1
    assert not compare(single, clean, "errors").fails("<=", 1.0)


def test_too_few_samples_are_reported(make_sketch: Make) -> None:
    small = compare(make_sketch(1, size=80), [make_sketch(0)], "latency", "p99")
    assert not small.enough
    assert small.note == "the run has 80 samples, p99 needs 100"
    assert small.value is not None
    few_in_baseline = compare(make_sketch(1), [make_sketch(0, size=80)], "latency", "p99")
    assert few_in_baseline.note == "the baseline has 80 samples, p99 needs 100"


def test_too_few_time_blocks_are_reported(make_sketch: Make) -> None:
    short = compare(make_sketch(1, size=40), [make_sketch(0, size=40)], "throughput")
    assert not short.enough
    assert short.note == "the run has samples in 8 time blocks, an interval needs 10"


def test_a_task_that_one_side_lacks_is_reported(make_sketch: Make) -> None:
    interval = compare(make_sketch(1), [make_sketch(0)], "latency", "p50", "hedge")
    assert (interval.enough, interval.note) == (False, "the run has no task 'hedge'")


def test_a_figure_is_absent_only_if_both_sides_lack_it(columns: Make, make_sketch: Make) -> None:
    run = columns()
    run["called"][:] = False
    without = RunSketch.of(**run)
    assert compare(without, [without], "latency", "p50").absent
    lacking = compare(without, [make_sketch(0)], "latency", "p50")
    assert (lacking.enough, lacking.absent, lacking.note) == (False, False, "the run has no samples")
    assert np.isnan(lacking.excess()).all()
    assert not lacking.fails("<=")


def test_a_rare_task_does_not_spoil_the_interval(columns: Make) -> None:
    run = columns()
    run["task"][:] = 0
    run["task"][::150] = 1
    interval = compare(RunSketch.of(**run), [RunSketch.of(**run)], "latency", "p50", "sell")
    assert interval.enough
    assert np.isfinite(interval.excess()).all()


def test_a_metric_that_is_not_kept_and_an_equality_are_refused(make_sketch: Make) -> None:
    with pytest.raises(
        SettingError, match=r"^metric=memory: baselines do not keep it; must be one of operations, "
    ):
        compare(make_sketch(1), [make_sketch(0)], "memory", "growth")
    with pytest.raises(SettingError, match=r"^operator '==' with a baseline; must be one of < <= > >=$"):
        compare(make_sketch(1), [make_sketch(0)], "errors").fails("==")


def test_without_scipy_one_line_names_the_extra_to_install(
    make_sketch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(SettingError, match=r"needs SciPy: pip install 'pytest-nos-stress\[compare\]'$"):
        compare(make_sketch(1), [make_sketch(0)], "errors")


def test_the_default_thresholds_are_relative_to_a_baseline(make_sketch: Make) -> None:
    asked = [parse_threshold(text) for text in default_expressions()]
    assert all(threshold.baseline is not None for threshold in asked)
    base = make_sketch(0)
    for threshold in asked:
        interval = compare(base, [base], threshold.metric, threshold.aggregation, threshold.task)
        assert interval.enough
        assert threshold.baseline is not None
        assert not interval.fails(threshold.operator, *threshold.baseline)
