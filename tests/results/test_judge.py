"""Verdicts on thresholds: passed, failed, no data and not applicable."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_nos_stress import MultiAgentSimulator, Operation, RunFailed, StressResult, ThresholdsNotMet
from pytest_nos_stress.results.judge import Verdict, evaluate_threshold
from pytest_nos_stress.results.resources import ResourceSamples
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.threshold_parser import parse_threshold


def simulator(tmp_path: Path, target: Any = None, **settings: Any) -> MultiAgentSimulator:
    defaults: dict[str, Any] = {
        "agents": ["Ann", "Bob"],
        "tasks": ["buy", "sell"],
        "operations_per_agent": 100,
        "min_delay": 0,
        "max_delay": 0,
        "seed": 3,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "output_dir": tmp_path,
        "target": target or (lambda: None),
    }
    return MultiAgentSimulator(**{**defaults, **settings})


def run(tmp_path: Path, target: Any = None, **settings: Any) -> StressResult:
    return simulator(tmp_path, target, **settings).run()


def verdict_on(threshold: Any, tmp_path: Path, target: Any = None, **settings: Any) -> dict[str, Any]:
    """Return the verdict on the first threshold in the statistics."""
    result = run(tmp_path, target, thresholds=[threshold], gate=False, **settings)
    return dict(result.stats["thresholds"][0])


def raise_key_error(operation: Operation) -> None:
    raise KeyError(operation.task)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("operations == 200", "passed"),
        ("operations != 200", "failed"),
        ("operations{agent=Ann} == 100", "passed"),
        ("successes > 100", "passed"),
        ("failures >= 1", "passed"),
        ("failures == 0", "failed"),
        ("missing_data > 0", "passed"),
        ("success_rate > 50%", "passed"),
        ("success_rate >= 99%", "failed"),
        ("failure_rate < 0.5", "passed"),
        ("error_rate == 0%", "passed"),
        ("missing_data_rate <= 50%", "passed"),
        ("throughput > 0/s", "passed"),
        ("throughput < 0.001", "failed"),
        ("latency.p50 < 1h", "passed"),
        ("latency.min > 0ns", "passed"),
        ("latency.max <= 0ns", "failed"),
        ("response_time{task=buy}.p95 < 1h", "passed"),
        ("response_time.mean > 1h", "failed"),
    ],
)
def test_a_threshold_passes_or_fails_by_the_measured_value(expression: str, expected: str, tmp_path: Path) -> None:
    verdict = verdict_on(expression, tmp_path, missing_data_prob=0.2, failure_prob=0.1)
    assert verdict["verdict"] == expected
    assert verdict["threshold"] == expression


def test_a_tag_limits_a_threshold_to_an_agent_or_task(tmp_path: Path) -> None:
    def only_ann_fails(operation: Operation) -> None:
        if operation.agent == "Ann" and operation.task == "buy":
            raise KeyError("limit")

    result = run(
        tmp_path,
        only_ann_fails,
        thresholds=[
            "errors{agent=Bob} == 0",
            "errors{task=sell} == 0",
            "errors{agent=Ann,task=sell} == 0",
            "error_rate{agent=Ann,task=buy} == 100%",
            "errors{agent=Ann} == 0",
        ],
        gate=False,
    )
    assert [verdict["verdict"] for verdict in result.stats["thresholds"]] == ["passed"] * 4 + ["failed"]


def test_errors_that_no_tagged_threshold_covers_fail_the_run(tmp_path: Path) -> None:
    def sells_fail(operation: Operation) -> None:
        if operation.task == "sell":
            raise KeyError("limit")

    result = run(tmp_path, sells_fail, thresholds=["errors{task=buy} == 0"], gate=False)
    tagged, implicit = result.verdicts
    assert (tagged.verdict, implicit.verdict) == ("passed", "failed")
    assert implicit.measured == result.errors > 0
    assert not result.passed


def test_a_failed_threshold_raises_with_wanted_and_measured_after_the_files_are_written(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet) as caught:
        run(
            tmp_path,
            failure_prob=1,
            failure_mode="lost_reply",
            thresholds=["failure_rate < 10%", "operations == 200"],
        )
    message = str(caught.value)
    assert "1 of 3 thresholds did not pass (seed 3)" in message
    heading, *rows = message.splitlines()
    assert heading.startswith("threshold failure_rate < 10% failed: 100% of 200 operations; ")
    row = next(line for line in rows if "failure_rate < 10%" in line)
    assert "100%" in row
    assert row.endswith("failed")
    assert caught.value.result.failures == 200
    assert not caught.value.result.passed
    assert (tmp_path / "simulation_statistics.json").exists()
    assert set(caught.value.result.files) == set(tmp_path.iterdir())


def test_a_failed_threshold_is_an_assertion_error() -> None:
    assert issubclass(ThresholdsNotMet, AssertionError)
    assert issubclass(ThresholdsNotMet, RunFailed)


def test_run_simulation_raises_for_a_failed_threshold_and_the_simulator_keeps_the_result(
    tmp_path: Path,
) -> None:
    performed = simulator(tmp_path, thresholds=["operations == 1"])
    with pytest.raises(ThresholdsNotMet):
        performed.run_simulation()
    assert performed.result is not None
    assert performed.result.operations == 200


def test_without_a_gate_a_run_that_did_not_pass_returns_its_result(tmp_path: Path) -> None:
    result = run(tmp_path, thresholds=["operations == 1"], gate=False)
    assert not result.passed
    assert result.stats["verdict"] == "failed"
    assert result.operations == 200


def test_a_run_whose_thresholds_pass_passes(tmp_path: Path) -> None:
    result = run(tmp_path, thresholds=["operations == 200"])
    assert result.passed
    assert result.stats["verdict"] == "passed"


def test_an_unexpected_exception_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet, match="errors == 0") as caught:
        run(tmp_path, raise_key_error)
    assert caught.value.result.errors == 200
    assert "KeyError" in str(caught.value)
    assert "raise_key_error" in str(caught.value)


@pytest.mark.parametrize("own", ["errors <= 200", "error_rate > 99%"])
def test_a_threshold_on_errors_replaces_the_implicit_one(own: str, tmp_path: Path) -> None:
    result = run(tmp_path, raise_key_error, thresholds=[own])
    assert [verdict["threshold"] for verdict in result.stats["thresholds"]] == [own]
    assert result.passed


def test_errors_that_a_threshold_accepts_are_noted(tmp_path: Path) -> None:
    result = run(tmp_path, raise_key_error, thresholds=["errors{agent=Ann} <= 150", "error_rate > 5%"])
    assert result.passed
    assert "200 errors accepted by errors{agent=Ann} <= 150, error_rate > 5%" in result.summary["notes"]
    passed = run(tmp_path, thresholds=["errors <= 150"])
    failed = run(tmp_path, raise_key_error, thresholds=["errors <= 150"], gate=False)
    assert not [note for note in passed.summary["notes"] + failed.summary["notes"] if "accepted" in note]


@pytest.mark.parametrize("own", ["failures <= 200", "failure_rate > 99%", "operations > 0"])
def test_a_threshold_on_another_metric_keeps_the_implicit_one_on_errors(own: str, tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet):
        run(tmp_path, raise_key_error, thresholds=[own])


def test_injected_failures_do_not_fail_a_threshold_on_errors(tmp_path: Path) -> None:
    result = run(tmp_path, failure_prob=1, failure_mode="lost_reply", thresholds=["failure_rate == 100%"])
    assert (result.failures, result.errors) == (200, 0)


@pytest.mark.parametrize(("percentile", "needed"), [("p50", 2), ("p90", 10), ("p99", 100), ("p99.9", 1000)])
def test_a_percentile_needs_enough_samples(percentile: str, needed: int, tmp_path: Path) -> None:
    expression = f"latency.{percentile} < 1h"
    with pytest.raises(ThresholdsNotMet, match="no data"):
        run(tmp_path, agents=1, operations_per_agent=needed - 1, thresholds=[expression])
    assert run(tmp_path, agents=1, operations_per_agent=needed, thresholds=[expression]).passed


def test_latency_without_a_call_is_no_data(tmp_path: Path) -> None:
    result = run(tmp_path, failure_prob=1, thresholds=["latency.max < 1h", "calls == 0"], gate=False)
    verdict = dict(result.stats["thresholds"][0])
    assert verdict["verdict"] == "no data"
    assert verdict["measured"] is None
    assert verdict["samples"] == 0


@pytest.mark.parametrize(
    "expression", ["errors{agent=Eve} == 0", "failure_rate{task=hedge} < 100%", "latency{task=x}.max < 1h"]
)
def test_a_threshold_on_an_agent_or_task_that_the_run_does_not_have_fails(expression: str, tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet, match=r"the run has no (agent|task)"):
        run(tmp_path, thresholds=[expression])


def test_a_session_wide_threshold_on_an_agent_that_the_run_does_not_have_is_not_applicable(tmp_path: Path) -> None:
    threshold = parse_threshold("failures{agent=Eve} == 0", session_wide=True)
    result = run(tmp_path, thresholds=[threshold])
    assert result.passed
    assert result.stats["thresholds"][0]["verdict"] == "not applicable"


def test_a_session_wide_threshold_on_an_agent_of_the_run_is_evaluated(tmp_path: Path) -> None:
    threshold = parse_threshold("failures{agent=Ann} == 0", session_wide=True)
    with pytest.raises(ThresholdsNotMet):
        run(tmp_path, failure_prob=1, failure_mode="lost_reply", thresholds=[threshold])


def test_errors_fail_the_run_although_a_threshold_on_errors_is_not_applicable(tmp_path: Path) -> None:
    threshold = parse_threshold("errors{agent=Eve} == 0", session_wide=True)
    with pytest.raises(ThresholdsNotMet):
        run(tmp_path, raise_key_error, thresholds=[threshold])


def test_the_statistics_have_measured_value_and_limit(tmp_path: Path) -> None:
    verdict = verdict_on("failure_rate < 10%", tmp_path, failure_prob=1, failure_mode="lost_reply")
    assert verdict == {
        "threshold": "failure_rate < 10%",
        "verdict": "failed",
        "measured": 1.0,
        "limit": 0.1,
        "samples": 200,
        "note": "",
        "windows": {"total": 0, "failed": []},
    }


def test_every_comparison_with_a_latency_without_samples_is_false(tmp_path: Path) -> None:
    latency = run(tmp_path, failure_prob=1, thresholds=["calls == 0"]).latency
    for figure in (latency.min, latency.mean, latency.med, latency.max, latency.stddev, latency.p99):
        assert math.isnan(figure)
        assert not figure < 1e9
        assert not figure > -1


def test_control_characters_of_an_error_do_not_reach_the_message(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise ValueError("red\x1b[31m\nsecond line\r")

    with pytest.raises(ThresholdsNotMet) as caught:
        run(tmp_path, fails)
    assert "\x1b" not in str(caught.value)
    assert "\r" not in str(caught.value)


def over_time(directory: Path, thresholds: list[str] | None = None, **settings: Any) -> StressResult:
    """Run two agents for 10 s of virtual time. Operations take 0.1 s and fail if they begin after 9 s."""

    def degrades(operation: Operation) -> None:
        late = operation.index >= 90
        operation.sleep(0.1)
        if late:
            raise ConnectionError("out of order")

    defaults = {"engine": "virtual", "report": "none", "gate": False}
    return run(directory, degrades, thresholds=thresholds or [], **{**defaults, **settings})


@pytest.fixture(scope="module")
def degrading(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    return over_time(tmp_path_factory.mktemp("run"))


def judged(result: StressResult, expression: str) -> Verdict:
    """Evaluate a threshold on a run that has ended."""
    return evaluate_threshold(
        parse_threshold(expression), RunMetrics(result.measured, result.scenario, ResourceSamples())
    )


def test_an_outage_in_the_last_tenth_fails_a_gate_over_windows_that_the_average_passes(tmp_path: Path) -> None:
    thresholds = ["error_rate < 15%", "error_rate < 15% over 1s"]
    average, windows, *_ = over_time(tmp_path, thresholds).verdicts
    assert (average.verdict, average.measured) == ("passed", 0.1)
    assert (windows.verdict, windows.measured) == ("failed", 20 / 22)
    assert [window.verdict for window in windows.windows] == ["passed"] * 9 + ["failed"]


def test_the_message_has_the_time_of_the_worst_window(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet, match=r"threshold error_rate < 15% over 1s failed: .*9s-10s"):
        over_time(tmp_path, ["error_rate < 15% over 1s"], gate=True)
    with pytest.raises(ThresholdsNotMet, match="in 2 of 20 windows, worst"):
        over_time(tmp_path, ["error_rate < 15% over 500ms"], gate=True)


def test_the_statistics_list_the_failed_windows(tmp_path: Path) -> None:
    result = over_time(tmp_path, ["error_rate < 15% over 500ms", "error_rate < 100%"])
    windows, whole = result.stats["thresholds"][:2]
    assert windows["windows"] == {"total": 20, "failed": [[9, 9.5], [9.5, 10]]}
    assert whole["windows"] == {"total": 0, "failed": []}


@pytest.mark.parametrize(
    ("over", "windows"),
    [
        ("10s", [(0, 10)]),
        ("1h", [(0, 10)]),
        ("4s", [(0, 4), (4, 8), (6, 10)]),
        ("4.1s", [(0, 4.1), (4.1, 8.2), (5.9, 10)]),
        ("6s", [(0, 6), (4, 10)]),
        ("9.9s", [(0, 9.9), (0.1, 10)]),
        ("2500ms", [(0, 2.5), (2.5, 5), (5, 7.5), (7.5, 10)]),
    ],
)
def test_an_end_too_short_for_a_window_is_judged_with_the_time_before_it(
    degrading: StressResult, over: str, windows: list[tuple[float, float]]
) -> None:
    judged_windows = judged(degrading, f"operations > 0 over {over}").windows
    assert [(window.start, window.end) for window in judged_windows] == [pytest.approx(span) for span in windows]


def test_windows_start_with_the_judged_phase(tmp_path: Path) -> None:
    result = over_time(tmp_path, warmup=0.7, ramp=0.2)
    steady = judged(result, "operations > 0 over 2s").windows
    assert [window.start for window in steady] == pytest.approx([0.9, 2.9, 4.9, 6.9, 8.1])
    (warmup,) = judged(result, "operations{phase=warmup} > 0 over 2s").windows
    assert (warmup.start, warmup.end) == pytest.approx((0.2, 0.9))


COMPARED: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, ">=": operator.ge, "==": operator.eq}


def by_hand(metric: str, rows: Any, seconds: float) -> float | None:
    """Recompute a metric from rows of the records; None if they have no data for it."""
    latencies = sorted(rows["latency"][rows["called"]].tolist())
    counts: dict[str, int] = {
        "operations": rows.size,
        "successes": int((rows["outcome"] == 0).sum()),
        "failures": int((rows["outcome"] == 1).sum()),
        "missing_data": int((rows["outcome"] == 2).sum()),
        "errors": int(rows["is_error"].sum()),
    }
    if metric in counts:
        return counts[metric]
    if metric == "throughput":
        return float(rows.size / seconds)
    if metric.endswith("_rate"):
        of = {"success_rate": "successes", "failure_rate": "failures", "error_rate": "errors"}[metric]
        return counts[of] / int(rows.size) if rows.size else None
    if metric == "latency.max":
        return float(latencies[-1]) / 1e9 if latencies else None
    assert metric == "latency.p90"
    return float(np.percentile(latencies, 90)) / 1e9 if len(latencies) >= 10 else None


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    """Run with all outcomes, and with times in which no operation ends."""

    def sometimes(operation: Operation) -> None:
        operation.sleep(operation.random.choice([0.01, 0.01, 0.05, 0.1, 1.5 if operation.index % 40 == 0 else 0]))
        if operation.random.random() < 0.1:
            raise LookupError

    return run(
        tmp_path_factory.mktemp("run"),
        sometimes,
        engine="virtual",
        missing_data_prob=0.2,
        failure_prob=0.2,
        operations_per_agent=150,
        max_delay=0.02,
        report="none",
        gate=False,
    )


@pytest.mark.parametrize("over", [0.05, 0.3, 1.1, 30])
@pytest.mark.parametrize("tags", [(None, None), ("Ann", None), (None, "sell"), ("Bob", "buy")])
def test_every_window_agrees_with_a_recount_and_the_worst_is_reported(
    uneven: StressResult, tags: tuple[str | None, str | None], over: float
) -> None:
    agent, task = tags
    records = uneven.records
    began = uneven.measured.started_ns + int(records["end"][0] - np.sort(uneven.measured.records.column("end"))[0])
    rows = records[
        (records["agent"] == (["Ann", "Bob"].index(agent) if agent else records["agent"]))
        & (records["task"] == (["buy", "sell"].index(task) if task else records["task"]))
    ]
    ends = (np.asarray(rows["end"]) - began) / 1e9
    selection = ",".join(f"{tag}={name}" for tag, name in (("agent", agent), ("task", task)) if name)
    selection = f"{{{selection}}}" if selection else ""
    for metric in (
        "operations",
        "errors",
        "throughput",
        "failure_rate",
        "success_rate",
        "latency.max",
        "latency.p90",
    ):
        for sign, limit in (("<", "0.06"), (">=", "0.06"), ("==", "0")):
            unit = "s" if metric.startswith("latency") else ""
            name, _, aggregation = metric.partition(".")
            aggregation = aggregation and f".{aggregation}"
            verdict = judged(uneven, f"{name}{selection}{aggregation} {sign} {limit}{unit} over {over}s")
            verdicts = []
            for window in verdict.windows:
                is_last = window is verdict.windows[-1] and window.end == pytest.approx(uneven.stats["duration"])
                own = rows[(ends >= window.start - 1e-9) & ((ends < window.end - 1e-9) | is_last)]
                measured = by_hand(metric, own, window.end - window.start)
                if measured is None:
                    verdicts.append("no data")
                else:
                    assert window.measured == pytest.approx(measured)
                    assert window.measured is not None
                    verdicts.append("passed" if COMPARED[sign](window.measured, float(limit)) else "failed")
            assert [window.verdict for window in verdict.windows] == verdicts
            worst = next(word for word in ("failed", "no data", "passed") if word in verdicts)
            assert verdict.verdict == worst
            if worst != "no data":
                of_it = [
                    window.measured
                    for window in verdict.windows
                    if window.verdict == worst and window.measured is not None
                ]
                assert verdict.measured in (min(of_it), max(of_it))
                if sign != "==":
                    assert verdict.measured == (max(of_it) if sign == "<" else min(of_it))


@given(length=st.floats(0.01, 12))
def test_every_moment_of_a_run_is_in_a_window_of_the_asked_length(degrading: StressResult, length: float) -> None:
    windows = judged(degrading, f"operations > 0 over {length:f}s").windows
    assert (windows[0].start, windows[-1].end) == pytest.approx((0, 10))
    for window, following in pairwise(windows):
        assert window.end - window.start == pytest.approx(length, abs=2e-6)
        assert window.start < following.start <= window.end + 1e-9
    last = windows[-1]
    assert last.end - last.start == pytest.approx(min(length, 10), abs=2e-6)


@pytest.mark.parametrize("own", ["errors == 0 over 7s", "error_rate < 1% over 7s", "errors <= 3 over 7s"])
@pytest.mark.parametrize("over", ["7s", "9.99s", "3s"])
def test_errors_at_the_end_fail_a_threshold_over_any_window(own: str, over: str, tmp_path: Path) -> None:
    result = over_time(tmp_path, [own.replace("7s", over)])
    assert result.errors == 20
    assert [verdict.verdict for verdict in result.verdicts] == ["failed"]
    assert result.verdicts[0].windows[-1].verdict == "failed"


def test_a_late_outage_of_a_default_run_fails_a_window_that_is_as_long_as_most_of_it(tmp_path: Path) -> None:
    def fails_late(operation: Operation) -> None:
        if operation.index >= 96:
            raise ConnectionError("refused")

    result = MultiAgentSimulator(
        target=fails_late,
        engine="virtual",
        seed=3,
        missing_data_prob=0,
        failure_prob=0,
        thresholds=["failure_rate < 4% over 10s"],
        output_dir=tmp_path,
        report="none",
        gate=False,
    ).run()
    assert 10 < result.stats["duration"] < 12
    assert [window.verdict for window in result.verdicts[0].windows] == ["passed", "failed"]


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [("failure_rate < 1%", "no data"), ("throughput > 1/s", "failed"), ("successes > 0", "failed")],
)
def test_a_standstill_at_the_end_fails(expression: str, verdict: str, tmp_path: Path) -> None:
    """Nothing ends in the last 6 s but the two operations that stood still."""

    def stands_still(operation: Operation) -> None:
        operation.sleep(6 if operation.index == 49 else 0.1)

    settings: dict[str, Any] = {"engine": "virtual", "report": "none", "gate": False, "operations_per_agent": 50}
    result = run(tmp_path, stands_still, thresholds=[f"{expression} over 3s"], **settings)
    assert result.stats["duration"] == pytest.approx(10.9)
    assert result.verdicts[0].verdict == verdict


def test_an_operation_that_lasts_longer_than_its_phase_is_in_the_last_window_of_the_phase(tmp_path: Path) -> None:
    def slow_at_first(operation: Operation) -> None:
        operation.sleep(5 if operation.index == 0 else 0.1)

    result = run(tmp_path, slow_at_first, engine="virtual", warmup=2, report="none", gate=False)
    assert judged(result, "latency{phase=warmup}.max < 1s over 700ms").verdict == "failed"


def test_a_window_without_operations_has_zero_counts_and_throughput_and_no_rates(tmp_path: Path) -> None:
    def sleeps_long(operation: Operation) -> None:
        operation.sleep(5 if operation.index == 10 else 0.1)

    result = run(tmp_path, sleeps_long, engine="virtual", operations_per_agent=30, report="none", gate=False)
    for expression in ("operations < 1000", "errors == 0", "throughput < 1000"):
        verdict = judged(result, f"{expression} over 1s")
        assert verdict.verdict == "passed"
        assert verdict.windows[3].measured == 0
    for expression in ("operations > 0", "throughput > 1/s", "successes >= 1"):
        verdict = judged(result, f"{expression} over 1s")
        assert (verdict.verdict, verdict.measured) == ("failed", 0)
    for expression in ("failure_rate < 1%", "latency.max < 1h", "fairness > 0.5"):
        assert judged(result, f"{expression} over 1s").verdict == "no data"
        assert judged(result, expression).verdict == "passed"


def test_a_percentile_needs_its_samples_in_every_window(degrading: StressResult) -> None:
    assert judged(degrading, "latency.p99 < 1s").verdict == "passed"
    verdict = judged(degrading, "latency.p99 < 1s over 1s")
    assert (verdict.verdict, verdict.samples) == ("no data", 18)
    assert "18 samples, p99 needs 100" in verdict.note
    assert judged(degrading, "latency.p90 < 1s over 1s").verdict == "passed"
    assert judged(degrading, "latency.p98 < 1s over 5s").verdict == "passed"


def test_a_latency_of_zero_in_virtual_time_is_data_if_other_operations_took_time(tmp_path: Path) -> None:
    def once_in_a_while(operation: Operation) -> None:
        operation.sleep(0.01 if operation.index == 50 else 0)

    result = run(
        tmp_path, once_in_a_while, engine="virtual", min_delay=0.1, max_delay=0.1, report="none", gate=False
    )
    assert judged(result, "latency.max < 50ms").verdict == "passed"
    verdict = judged(result, "latency.max < 50ms over 1s")
    assert verdict.verdict == "passed"
    assert verdict.measured == pytest.approx(0.01)


def test_fairness_compares_the_successes_of_agents(tmp_path: Path) -> None:
    def only_ann_buys(operation: Operation) -> None:
        if operation.agent == "Bob" and operation.task == "buy":
            raise PermissionError

    result = run(tmp_path, only_ann_buys, gate=False, expected_errors=PermissionError)
    assert (
        judged(result, "fairness{task=buy} > 0.9").verdict,
        judged(result, "fairness{task=sell} > 0.9").verdict,
    ) == (
        "failed",
        "passed",
    )
    assert judged(result, "fairness{task=buy} >= 50%").measured == 0.5
    successes = [counts["successful_operations"] for counts in result.stats["agent_stats"].values()]
    assert judged(result, "fairness > 1%").measured == pytest.approx(
        sum(successes) ** 2 / (2 * sum(count * count for count in successes))
    )
    nothing = run(tmp_path, failure_prob=1, failure_mode="lost_reply", gate=False)
    verdict = judged(nothing, "fairness > 0.1")
    assert (verdict.verdict, verdict.note) == ("no data", "no successes")


def test_fairness_can_be_limited_to_operations_without_faults(tmp_path: Path) -> None:
    result = run(tmp_path, failure_prob=0.5, gate=False)
    assert judged(result, "fairness{faults=on} > 0.5").verdict == "passed"
    assert judged(result, "fairness{faults=off} > 0.5").verdict == "no data"
    without = run(tmp_path, gate=False)
    assert judged(without, "fairness{faults=off} == 1").verdict in ("passed", "failed")


def test_memory_is_printed_in_readable_units(tmp_path: Path) -> None:
    result = run(tmp_path, thresholds=["memory.peak < 1KiB", "memory.growth < 100GiB"], gate=False)
    peak, growth, _ = result.verdicts
    assert (peak.verdict, growth.verdict) == ("failed", "passed")
    assert peak.row()[1].endswith(" MiB")
    assert peak.measured is not None
    assert peak.measured > 1_000_000


def test_a_limit_relative_to_a_missing_baseline_is_no_data(tmp_path: Path) -> None:
    result = run(tmp_path, thresholds=["throughput >= 90% of baseline"], gate=False)
    assert (result.verdicts[0].verdict, result.passed) == ("no data", False)
    assert "--stress-compare" in result.verdicts[0].note


def test_one_sample_has_no_standard_deviation(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"agents": 1, "engine": "virtual", "report": "none", "gate": False}

    def takes_some_time(operation: Operation) -> None:
        operation.sleep(0.1)

    for operations, expected, note in ((1, "no data", "1 sample, stddev needs 2"), (2, "passed", "")):
        result = run(tmp_path, takes_some_time, operations_per_agent=operations, **settings)
        for metric in ("latency", "response_time"):
            verdict = judged(result, f"{metric}.stddev < 1h")
            assert (verdict.verdict, verdict.note) == (expected, note)


def test_one_agent_has_no_fairness(tmp_path: Path) -> None:
    result = run(tmp_path, agents=1, thresholds=["fairness > 0.1"], engine="virtual", report="none", gate=False)
    verdict = result.verdicts[0]
    assert (verdict.verdict, verdict.measured, verdict.note) == (
        "no data",
        None,
        "only one agent",
    )
    assert not result.passed


def test_too_many_windows_are_no_data_with_a_reason(tmp_path: Path) -> None:
    """Evaluate a run of two minutes in windows of a millisecond."""
    settings: dict[str, Any] = {"engine": "virtual", "report": "none", "gate": False, "operations_per_agent": 3}
    result = run(tmp_path, lambda operation: operation.sleep(0.1), min_delay=40, max_delay=40, **settings)
    for expression in ("errors == 0", "throughput < 1000", "latency.max < 1h"):
        verdict = judged(result, f"{expression} over 1ms")
        assert (verdict.verdict, verdict.measured, verdict.windows) == ("no data", None, ())
        assert verdict.note == "more than 100000 windows: make the windows longer"
        assert judged(result, f"{expression} over 60s").verdict != "failed"
