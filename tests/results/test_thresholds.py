"""Grammar of thresholds: the meaning of expressions, and the position of mistakes."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress import MultiAgentSimulator, SettingError
from pytest_nos_stress.results.threshold_parser import parse_threshold
from pytest_nos_stress.results.thresholds import Relative, Threshold

COUNTS = ["operations", "successes", "failures", "errors", "missing_data"]
RATES = ["success_rate", "failure_rate", "error_rate", "missing_data_rate"]
DURATIONS = ["latency", "response_time"]
AGGREGATIONS = ["min", "mean", "med", "max", "stddev", "p50", "p99", "p99.9", "p0.5", "p95.25"]
OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
BYTES = {"B": 1, "kB": 1e3, "KiB": 2**10, "MB": 1e6, "MiB": 2**20, "GB": 1e9, "GiB": 2**30}
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def mistake(text: str) -> tuple[str, int]:
    """Return the reason why an expression is invalid, and the column of the caret."""
    with pytest.raises(SettingError) as caught:
        parse_threshold(text)
    reason, expression, caret = str(caught.value).split("\n")
    assert expression == f"  {text}"
    assert caret.strip() == "^"
    assert reason.startswith("thresholds: ")
    return reason, caret.index("^") - 2


@pytest.mark.parametrize("metric", COUNTS)
def test_a_count_is_compared_with_a_number(metric: str) -> None:
    threshold = parse_threshold(f"{metric} <= 25")
    assert (threshold.metric, threshold.operator, threshold.limit) == (metric, "<=", 25)
    assert (threshold.agent, threshold.task, threshold.aggregation) == (None, None, None)


@pytest.mark.parametrize("metric", RATES)
def test_a_rate_is_compared_with_a_share_or_a_percentage(metric: str) -> None:
    assert parse_threshold(f"{metric} < 0.1").limit == 0.1
    assert parse_threshold(f"{metric} < 10%").limit == 0.1
    assert parse_threshold(f"{metric} < 10 %").limit == 0.1


def test_throughput_is_in_operations_per_second() -> None:
    assert parse_threshold("throughput > 1000").limit == parse_threshold("throughput > 1000/s").limit == 1000


@pytest.mark.parametrize(("metric", "aggregation"), list(itertools.product(DURATIONS, AGGREGATIONS)))
def test_a_duration_is_aggregated(metric: str, aggregation: str) -> None:
    threshold = parse_threshold(f"{metric}.{aggregation} < 5ms")
    assert (threshold.metric, threshold.aggregation) == (metric, aggregation)
    assert threshold.limit == pytest.approx(0.005)


@pytest.mark.parametrize(("unit", "size"), list(UNITS.items()))
def test_a_duration_has_a_unit(unit: str, size: float) -> None:
    assert parse_threshold(f"latency.max < 3{unit}").limit == pytest.approx(3 * size)
    assert parse_threshold(f"latency.max < 3 {unit}").limit == pytest.approx(3 * size)


@pytest.mark.parametrize(("unit", "size"), list(BYTES.items()))
@pytest.mark.parametrize("aggregation", ["growth", "peak"])
def test_memory_has_growth_and_peak_in_bytes(aggregation: str, unit: str, size: float) -> None:
    threshold = parse_threshold(f"memory.{aggregation} < 3{unit}")
    assert (threshold.metric, threshold.aggregation, threshold.limit) == ("memory", aggregation, 3 * size)
    assert parse_threshold(f"memory . {aggregation}  <  3 {unit}").limit == 3 * size


def test_fairness_is_a_share_or_a_percentage() -> None:
    assert parse_threshold("fairness > 0.9").limit == parse_threshold("fairness > 90%").limit == 0.9
    threshold = parse_threshold("fairness{task=buy, faults=off, phase=ramp} > 0.9")
    assert (threshold.task, threshold.faults, threshold.phase) == ("buy", "off", "ramp")


@pytest.mark.parametrize(("text", "seconds"), [("over 10s", 10), ("over 1.5 m", 90), ("over 1ms", 0.001)])
def test_over_sets_the_length_of_a_window(text: str, seconds: float) -> None:
    assert parse_threshold(f"errors == 0 {text}").over == pytest.approx(seconds)
    assert parse_threshold("errors == 0").over is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("abort", 5), ("abort after 2s", 2), ("abort  after  0s", 0), ("abort after 1.5m", 90)],
)
def test_abort_waits_five_seconds_or_the_time_after_it(text: str, seconds: float) -> None:
    assert parse_threshold(f"error_rate < 50% {text}").abort_after == seconds
    assert parse_threshold(f"error_rate < 50% over 10s {text}").abort_after == seconds
    assert parse_threshold("error_rate < 50%").abort_after is None


@pytest.mark.parametrize("phase", ["ramp", "warmup", "steady"])
def test_a_tag_selects_a_phase(phase: str) -> None:
    assert parse_threshold(f"errors{{phase={phase}}} == 0").phase == phase
    assert parse_threshold("errors == 0").phase is None


@pytest.mark.parametrize(
    ("text", "share", "plus"),
    [
        ("throughput >= baseline", 1, 0),
        ("throughput >= 90% of baseline", 0.9, 0),
        ("throughput>=90%of baseline", 0.9, 0),
        ("throughput >= 0.9x baseline - 5/s", 0.9, -5),
        ("latency.p99 <= 1.2x baseline + 5ms", 1.2, 0.005),
        ("latency.p99<=1.2 x baseline+5 ms", 1.2, 0.005),
        ("latency{task=buy}.p99 <= 120 % of baseline", 1.2, 0),
        ("failure_rate <= baseline + 1%", 1, 0.01),
        ("failure_rate <= baseline - 1%", 1, -0.01),
        ("operations >= 0x baseline + 10", 0, 10),
    ],
)
def test_a_limit_can_be_relative_to_a_baseline(text: str, share: float, plus: float) -> None:
    threshold = parse_threshold(text)
    assert threshold.limit is None
    assert threshold.baseline == pytest.approx(Relative(share, plus))
    assert threshold.baseline is not None
    assert threshold.baseline.of(100) == pytest.approx(share * 100 + plus)


@pytest.mark.parametrize(
    "text",
    [
        "latency{agent=A,task=b,phase=warmup,faults=off}.p99.9<50ms over 10s abort after 2s",
        "latency {agent = A , task = b , phase = warmup , faults = off } . p99.9 < 50 ms over 10 s abort after 2s",
        '\tlatency{agent="A",\ntask="b",phase="warmup",faults="off"}.p99.9 <50ms  over  10s abort  after 2s\n',
    ],
)
def test_spaces_are_optional(text: str) -> None:
    threshold = parse_threshold(text)
    assert threshold[1:6] == ("latency", "A", "b", "p99.9", "<")
    assert threshold.limit == pytest.approx(0.05)
    assert (threshold.phase, threshold.faults) == ("warmup", "off")
    assert (threshold.over, threshold.abort_after) == (10, 2)


@settings(deadline=None)
@given(st.sampled_from(sorted(OPERATORS)), st.integers(0, 6), st.integers(1, 5))
def test_every_operator_compares_the_measured_value_with_the_limit(sign: str, measured: int, limit: int) -> None:
    assert parse_threshold(f"errors {sign} {limit}").holds(measured) == OPERATORS[sign](measured, limit)
    assert parse_threshold(f"errors{sign}{limit}").operator == sign


@pytest.mark.parametrize(
    ("text", "agent", "task"),
    [
        ("errors{agent=Ann} == 0", "Ann", None),
        ("errors{task=buy} == 0", None, "buy"),
        ("errors{agent=Ann,task=buy} == 0", "Ann", "buy"),
        ("errors { task = buy , agent = Ann } == 0", "Ann", "buy"),
        ("errors{agent=Desk 1} == 0", "Desk 1", None),
        ('errors{agent="a,b}c"} == 0', "a,b}c", None),
        ("errors{task=kaufen/überall} == 0", None, "kaufen/überall"),
    ],
)
def test_tags_select_agent_and_task(text: str, agent: str | None, task: str | None) -> None:
    threshold = parse_threshold(text)
    assert (threshold.agent, threshold.task) == (agent, task)


def test_the_example_of_the_design_parses() -> None:
    threshold = parse_threshold("latency{task=buy}.p99 < 50ms")
    assert threshold == Threshold("latency{task=buy}.p99 < 50ms", "latency", None, "buy", "p99", "<", 0.05)
    assert threshold.percentile == 99


@settings(deadline=None)
@given(
    metric=st.sampled_from(COUNTS + RATES + DURATIONS + ["throughput"]),
    names=st.fixed_dictionaries(
        {},
        optional={
            tag: st.text(st.characters(codec="utf-8", exclude_characters='"\n\\'), min_size=1)
            for tag in ("agent", "task")
        },
    ),
    aggregation=st.sampled_from(AGGREGATIONS),
    sign=st.sampled_from(sorted(OPERATORS)),
    number=st.integers(1, 99),
    unit=st.sampled_from(sorted(UNITS)),
    space=st.sampled_from(["", " ", "   "]),
)
def test_a_formatted_threshold_parses_to_its_parts(
    metric: str,
    names: dict[str, str],
    aggregation: str,
    sign: str,
    number: int,
    unit: str,
    space: str,
) -> None:
    tags = ",".join(f'{tag}{space}={space}"{name}"' for tag, name in names.items())
    parts = [metric, f"{{{tags}}}" if names else ""]
    factor = 1.0
    if metric in DURATIONS:
        parts.append(f".{aggregation}")
        factor = UNITS[unit]
    parts += [sign, str(number)]
    if metric in DURATIONS:
        parts.append(unit)
    elif metric in RATES:
        parts.append("%")
        factor = 0.01
    threshold = parse_threshold(space.join(part for part in parts if part))
    assert threshold.metric == metric
    assert threshold.agent == names.get("agent")
    assert threshold.task == names.get("task")
    assert threshold.aggregation == (aggregation if metric in DURATIONS else None)
    assert threshold.operator == sign
    assert threshold.limit == pytest.approx(number * factor)
    assert parse_threshold(threshold.text) == threshold


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 0, "expected a metric"),
        ("   ", 3, "expected a metric"),
        ("speed < 3", 0, "unknown metric 'speed'"),
        ("errors", 6, "expected an operator"),
        ("errors =< 3", 7, "expected an operator"),
        ("errors < ", 9, "expected a number"),
        ("errors < many", 9, "expected a number"),
        ("errors < 3%", 10, "takes no unit"),
        ("errors < 3ms", 10, "takes no unit"),
        ("errors.p99 < 3", 6, "no aggregation"),
        ("errors < 3 4", 11, "expected the end"),
        ("errors{agent=A < 3", 18, "expected ',' or '}'"),
        ("errors{agent} < 3", 12, "expected '='"),
        ("errors{agent=} < 3", 13, "name of an agent"),
        ('errors{agent=""} < 3', 13, "empty"),
        ("errors{city=Rome} < 3", 7, "unknown tag 'city'"),
        ("errors{agent=A,agent=B} < 3", 15, "duplicate tag"),
        ("errors{} < 3", 7, "expected a tag"),
        ("latency < 3ms", 8, "needs an aggregation"),
        ("latency.p < 3ms", 8, "unknown aggregation 'p'"),
        ("latency.p0 < 3ms", 8, "percentile"),
        ("latency.p100 < 3ms", 8, "percentile"),
        ("latency.average < 3ms", 8, "unknown aggregation 'average'"),
        ("latency.p99 < 3", 15, "unit of time"),
        ("latency.p99 < 3%", 15, "unit of time"),
        ("latency.p99 < 3/s", 15, "unit of time"),
        ("failure_rate < 10ms", 17, "takes the unit %"),
        ("failure_rate < 1.5", 15, "0 to 1"),
        ("failure_rate < 101%", 15, "0 to 1"),
        ("failure_rate < -1%", 15, "0 to 1"),
        ("throughput > 5%", 14, "takes the unit /s"),
        ("errors{faults=maybe} == 0", 14, "on or off"),
        ("errors{phase=lunch} == 0", 13, "ramp, warmup or steady"),
    ],
)
def test_a_caret_stands_under_the_mistake(text: str, column: int, reason: str) -> None:
    message, caret = mistake(text)
    assert reason in message
    assert caret == column


@pytest.mark.parametrize(
    "text", ["throughput > -1e999", "errors < 1e999", "latency.p99 < 1e400s", "operations > 1e309"]
)
def test_an_infinite_limit_is_refused(text: str) -> None:
    mistake(text)


@settings(deadline=None)
@given(st.text(), st.text('abcdeilmnoprstuy_{}=.<>!0129% "', max_size=40))
def test_any_text_that_does_not_parse_gets_one_caret(text: str, like: str) -> None:
    for expression in (text, like, f"errors{like}", f"latency.{like}"):
        try:
            parse_threshold(expression)
        except SettingError as error:
            lines = str(error).split("\n")
        else:
            continue
        assert len(lines) == 3
        assert lines[2].strip(" ") == "^"
        assert 2 <= lines[2].index("^") <= len(lines[1])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("errors >= 0", "errors is at least 0; to accept errors, write a limit such as errors <= 5"),
        ("errors > -1", "errors is at least 0"),
        ("errors{agent=Ann} != -1 over 5s abort", "errors is at least 0"),
        ("error_rate <= 100%", "error_rate is at most 100%; to accept errors"),
        ("operations >= -5", "operations is at least 0; tighten or remove it"),
        ("failures != 1.5", "failures is a whole number"),
        ("success_rate >= 0%", "success_rate is at least 0%"),
        ("success_rate <= 1", "success_rate is at most 100%"),
        ("fairness > 0", "fairness is above 0"),
        ("fairness{task=buy} <= 100%", "fairness is at most 1"),
        ("throughput >= 0/s", "throughput is at least 0/s"),
        ("latency.p99 >= 0ms", "latency.p99 is at least 0 ns"),
        ("response_time.stddev > -1s", "response_time.stddev is at least 0 ns"),
        ("memory.peak > 0B", "memory.peak is above 0 B"),
        ("failure_rate <= baseline + 100%", "failure_rate is at most 100%"),
        ("latency.p99 >= 0x baseline", "latency.p99 is at least 0 ns"),
    ],
)
def test_a_threshold_that_cannot_fail_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_threshold(text)
    assert f"this threshold cannot fail: {reason}" in str(caught.value).splitlines()[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("errors < 0", "errors is at least 0"),
        ("errors <= -1", "errors is at least 0"),
        ("operations == -1", "operations is at least 0"),
        ("operations == 1.5", "operations is a whole number"),
        ("success_rate > 100%", "success_rate is at most 100%"),
        ("failure_rate < 0", "failure_rate is at least 0%"),
        ("fairness <= 0", "fairness is above 0"),
        ("throughput < 0", "throughput is at least 0/s"),
        ("latency.max < 0ns", "latency.max is at least 0 ns"),
        ("latency.p99 <= 0x baseline - 5ms", "latency.p99 is at least 0 ns"),
        ("success_rate > baseline + 100%", "success_rate is at most 100%"),
    ],
)
def test_a_threshold_that_cannot_pass_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_threshold(text)
    assert f"this threshold cannot pass: {reason}; correct it" in str(caught.value).splitlines()[0]


@settings(deadline=None)
@given(
    metric=st.sampled_from(COUNTS + RATES + ["fairness", "throughput"]),
    sign=st.sampled_from(sorted(OPERATORS)),
    limit=st.sampled_from([-1, -0.5, 0, 0.5, 1, 1.5, 2, 100]),
)
def test_a_threshold_is_refused_exactly_if_all_or_no_values_satisfy_it(
    metric: str, sign: str, limit: float
) -> None:
    values = [number / 4 for number in range(801)]
    if metric in COUNTS:
        values = [value for value in values if value.is_integer()]
    elif metric != "throughput":
        values = [value for value in values if value <= 1 and (value or metric != "fairness")]
    can_decide = {OPERATORS[sign](value, limit) for value in values} == {True, False}
    try:
        threshold = parse_threshold(f"{metric} {sign} {limit}")
    except SettingError:
        assert not can_decide
    else:
        assert can_decide
        assert threshold.limit == limit


@pytest.mark.parametrize(
    "text", ["memory.growth < -5MiB", "memory.growth >= 0B", "errors < 1000000", "errors > 5", "failure_rate == 0"]
)
def test_an_unusual_threshold_that_can_fail_is_accepted(text: str) -> None:
    assert parse_threshold(text).text == text


def test_a_mistake_names_the_setting() -> None:
    with pytest.raises(SettingError, match=r"^--stress-threshold: unknown metric"):
        parse_threshold("speed < 3", label="--stress-threshold")


@pytest.mark.parametrize("wrong", ["speed < 3", "errors == 0 over 10", "latency.p99 < 50"])
def test_a_threshold_that_does_not_parse_is_an_error_before_anything_runs(wrong: str, tmp_path: Any) -> None:
    called: list[str] = []
    with pytest.raises(ValueError, match="thresholds: "):
        MultiAgentSimulator(
            target=lambda op: called.append(op.task), thresholds=[wrong], output_dir=tmp_path / "out"
        )
    assert called == []
    assert not (tmp_path / "out").exists()
