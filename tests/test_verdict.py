"""The verdict on a run: which thresholds held, which were broken, and which had too little to go by."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, RunFailed, StressResult, ThresholdsNotMet
from pytest_nos_stress.thresholds import parse


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
    """What the statistics say of the first threshold."""
    result = run(tmp_path, target, thresholds=[threshold], gate=False, **settings)
    first: dict[str, Any] = result.stats["thresholds"][0]
    return first


def raise_key_error(operation: Operation) -> None:
    raise KeyError(operation.task)


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("operations == 200", "held"),
        ("operations != 200", "broken"),
        ("operations{agent=Ann} == 100", "held"),
        ("successes > 100", "held"),
        ("failures >= 1", "held"),
        ("failures == 0", "broken"),
        ("missing_data > 0", "held"),
        ("success_rate > 50%", "held"),
        ("success_rate >= 99%", "broken"),
        ("failure_rate < 0.5", "held"),
        ("error_rate == 0%", "held"),
        ("missing_data_rate <= 50%", "held"),
        ("throughput > 0/s", "held"),
        ("throughput < 0.001", "broken"),
        ("latency.p50 < 1h", "held"),
        ("latency.min >= 0ns", "held"),
        ("latency.max < 0ns", "broken"),
        ("response_time{task=buy}.p95 < 1h", "held"),
        ("response_time.mean > 1h", "broken"),
    ],
)
def test_a_threshold_is_held_or_broken_by_what_was_measured(expression: str, verdict: str, tmp_path: Path) -> None:
    found = verdict_on(expression, tmp_path, missing_data_prob=0.2, failure_prob=0.1)
    assert found["verdict"] == verdict
    assert found["threshold"] == expression


def test_a_tag_judges_only_what_it_names(tmp_path: Path) -> None:
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
    assert [one["verdict"] for one in result.stats["thresholds"]] == ["held"] * 4 + ["broken"]


def test_errors_that_no_tagged_threshold_judges_do_not_pass_unseen(tmp_path: Path) -> None:
    def sells_fail(operation: Operation) -> None:
        if operation.task == "sell":
            raise KeyError("limit")

    result = run(tmp_path, sells_fail, thresholds=["errors{task=buy} == 0"], gate=False)
    tagged, implicit = result.verdicts
    assert (tagged.verdict, implicit.verdict) == ("held", "broken")
    assert implicit.measured == result.errors > 0
    assert not result.passed


def test_a_broken_threshold_raises_with_wanted_and_measured_once_the_files_are_written(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet) as caught:
        run(tmp_path, failure_prob=1, thresholds=["failure_rate < 10%", "operations == 200"])
    message = str(caught.value)
    assert "1 of 3 thresholds not met (seed 3)" in message
    heading, *rows = message.splitlines()
    assert heading.startswith("failure_rate < 10% is broken: 100 % of 200 operations; ")
    row = next(line for line in rows if "failure_rate < 10%" in line)
    assert "100 %" in row
    assert row.endswith("broken")
    assert caught.value.result.failures == 200
    assert not caught.value.result.passed
    assert len(list(tmp_path.iterdir())) == 4


def test_a_broken_threshold_is_an_assertion_error() -> None:
    assert issubclass(ThresholdsNotMet, AssertionError)
    assert issubclass(ThresholdsNotMet, RunFailed)


def test_run_simulation_raises_for_a_broken_threshold_too_and_the_simulator_keeps_the_result(
    tmp_path: Path,
) -> None:
    one = simulator(tmp_path, thresholds=["operations == 1"])
    with pytest.raises(ThresholdsNotMet):
        one.run_simulation()
    assert one.result is not None
    assert one.result.operations == 200


def test_without_a_gate_the_result_is_returned_and_says_that_it_did_not_pass(tmp_path: Path) -> None:
    result = run(tmp_path, thresholds=["operations == 1"], gate=False)
    assert not result.passed
    assert result.stats["verdict"] == "failed"
    assert result.operations == 200


def test_a_run_whose_thresholds_hold_passes(tmp_path: Path) -> None:
    result = run(tmp_path, thresholds=["operations == 200"])
    assert result.passed
    assert result.stats["verdict"] == "passed"


def test_real_exceptions_never_pass_unseen(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet, match="errors == 0") as caught:
        run(tmp_path, raise_key_error)
    assert caught.value.result.errors == 200
    assert "KeyError" in str(caught.value)
    assert "raise_key_error" in str(caught.value)


@pytest.mark.parametrize("own", ["errors <= 200", "error_rate <= 100%"])
def test_a_threshold_of_ones_own_on_errors_takes_the_place_of_none_at_all(own: str, tmp_path: Path) -> None:
    result = run(tmp_path, raise_key_error, thresholds=[own])
    assert [one["threshold"] for one in result.stats["thresholds"]] == [own]
    assert result.passed


@pytest.mark.parametrize("own", ["failures <= 200", "failure_rate <= 100%", "operations > 0"])
def test_a_threshold_on_something_else_leaves_errors_at_none(own: str, tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet):
        run(tmp_path, raise_key_error, thresholds=[own])


def test_injected_failures_break_no_threshold_on_errors(tmp_path: Path) -> None:
    result = run(tmp_path, failure_prob=1, thresholds=["failure_rate == 100%"])
    assert (result.failures, result.errors) == (200, 0)


@pytest.mark.parametrize(("percentile", "needed"), [("p50", 2), ("p90", 10), ("p99", 100), ("p99.9", 1000)])
def test_a_percentile_needs_enough_samples(percentile: str, needed: int, tmp_path: Path) -> None:
    expression = f"latency.{percentile} < 1h"
    with pytest.raises(ThresholdsNotMet, match="not enough data"):
        run(tmp_path, agents=1, operations_per_agent=needed - 1, thresholds=[expression])
    assert run(tmp_path, agents=1, operations_per_agent=needed, thresholds=[expression]).passed


def test_latency_without_a_single_call_is_not_enough_data(tmp_path: Path) -> None:
    found = verdict_on("latency.max < 1h", tmp_path, failure_prob=1)
    assert found["verdict"] == "not enough data"
    assert found["measured"] is None
    assert found["samples"] == 0


@pytest.mark.parametrize(
    "expression", ["errors{agent=Eve} == 0", "failure_rate{task=hedge} < 100%", "latency{task=x}.max < 1h"]
)
def test_a_threshold_on_an_agent_or_task_that_the_run_does_not_have_fails(expression: str, tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet, match=r"the run has no (agent|task)"):
        run(tmp_path, thresholds=[expression])


def test_a_session_wide_threshold_on_an_agent_that_the_run_does_not_have_is_not_applicable(tmp_path: Path) -> None:
    threshold = parse("failures{agent=Eve} == 0", session_wide=True)
    result = run(tmp_path, thresholds=[threshold])
    assert result.passed
    assert result.stats["thresholds"][0]["verdict"] == "not applicable"


def test_a_session_wide_threshold_on_an_agent_that_is_there_is_judged(tmp_path: Path) -> None:
    threshold = parse("failures{agent=Ann} == 0", session_wide=True)
    with pytest.raises(ThresholdsNotMet):
        run(tmp_path, failure_prob=1, thresholds=[threshold])


def test_errors_do_not_pass_unseen_behind_a_threshold_on_errors_that_is_not_applicable(tmp_path: Path) -> None:
    threshold = parse("errors{agent=Eve} == 0", session_wide=True)
    with pytest.raises(ThresholdsNotMet):
        run(tmp_path, raise_key_error, thresholds=[threshold])


def test_the_statistics_say_what_was_measured_and_the_limit(tmp_path: Path) -> None:
    found = verdict_on("failure_rate < 10%", tmp_path, failure_prob=1)
    assert found == {
        "threshold": "failure_rate < 10%",
        "verdict": "broken",
        "measured": 1.0,
        "limit": 0.1,
        "samples": 200,
    }


def test_a_latency_that_was_not_measured_compares_false_with_everything(tmp_path: Path) -> None:
    latency = run(tmp_path, failure_prob=1).latency
    for figure in (latency.min, latency.mean, latency.med, latency.max, latency.stddev, latency.p99):
        assert math.isnan(figure)
        assert not figure < 1e9
        assert not figure > -1


def test_a_message_of_many_errors_stays_on_the_lines_of_its_table(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise ValueError("red\x1b[31m\nsecond line\r")

    with pytest.raises(ThresholdsNotMet) as caught:
        run(tmp_path, fails)
    assert "\x1b" not in str(caught.value)
    assert "\r" not in str(caught.value)
