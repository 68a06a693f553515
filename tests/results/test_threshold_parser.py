"""Messages about thresholds that do not parse: one mistake, with a caret under it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.results.threshold_parser import parse_threshold
from pytest_nos_stress.results.thresholds import Threshold, ThresholdError


def mistake(text: str) -> tuple[str, str]:
    """Return the reason why an expression is invalid, and its text from the caret on."""
    with pytest.raises(ThresholdError) as caught:
        parse_threshold(text)
    reason, expression, caret = str(caught.value).split("\n")
    assert caret.strip(" ") == "^"
    return reason.removeprefix("thresholds: "), expression[caret.index("^") :]


@pytest.mark.parametrize(
    ("text", "reason", "rest"),
    [
        ("memory < 1GB", "memory needs an aggregation: growth, peak", "< 1GB"),
        ("memory.p99 < 1GB", "unknown aggregation 'p99'; must be growth, peak", "p99 < 1GB"),
        ("memory.max < 1GB", "unknown aggregation 'max'; must be growth, peak", "max < 1GB"),
        ("memory.growth < 20", "memory needs a unit of bytes: B kB KB KiB MB MiB GB GiB", ""),
        ("memory.growth < 20ms", "memory needs a unit of bytes", "ms"),
        ("memory{task=buy}.peak < 1GB", "memory has no tag 'task'; allowed: phase", "task=buy}.peak < 1GB"),
        ("latency.growth < 1ms", "unknown aggregation 'growth'", "growth < 1ms"),
        ("latency.p99 < 1MB", "latency needs a unit of time", "MB"),
        ("fairness{agent=A} > 0.9", "fairness has no tag 'agent'", "agent=A} > 0.9"),
        ("fairness.p99 > 0.9", "fairness has no aggregation", ".p99 > 0.9"),
        ("fairness > 1.5", "from 0 to 1", "1.5"),
        ("errors{phase=lunch} == 0", "phase=lunch: must be ramp, warmup or steady", "lunch} == 0"),
        ("errors{phase=ramp,phase=warmup} == 0", "duplicate tag 'phase'", "phase=warmup} == 0"),
        ("errors == 0 over", "expected a number", ""),
        ("errors == 0 over 10", "a duration needs a unit of time", ""),
        ("errors == 0 over 10%", "a duration needs a unit of time", "%"),
        ("errors == 0 over 0s", "a window must be from 1ms to 366 days", "0s"),
        ("errors == 0 over -1s", "a window must be from 1ms to 366 days", "-1s"),
        ("errors == 0 over 1s over 2s", "expected the end", "over 2s"),
        ("errors == 0 over ten seconds", "expected a number", "ten seconds"),
        ("errors == 0 abort over 1s", "expected the end", "over 1s"),
        ("errors == 0 abort 1s", "expected the end", "1s"),
        ("errors == 0 abort after", "expected a number", ""),
        ("errors == 0 abort after -1s", "the time after abort must be from 0 to 366 days", "-1s"),
        ("operations > 5 abort", "this threshold can still become true as the count grows", "abort"),
        (
            "successes >= 5 over 1s abort after 1s",
            "this threshold can still become true as the count grows",
            "abort after 1s",
        ),
        ("failures != 5 abort", "this threshold can still become true as the count grows", "abort"),
        ("latency.p99 < 1.2x", "expected 'baseline'", ""),
        ("latency.p99 < 1.2x base", "expected 'baseline'", "base"),
        ("throughput > 90% of over 1s", "expected 'baseline'", "over 1s"),
        ("latency.p99 < -1x baseline", "a share of a baseline must not be negative", "-1x baseline"),
        ("latency.p99 < baseline +", "expected a number", ""),
        ("latency.p99 < baseline + 5", "latency needs a unit of time", ""),
        ("latency.p99 < baseline + 5%", "latency needs a unit of time", "%"),
        ("errors <= baseline - 1%", "errors takes no unit", "%"),
        ("errors == baseline", "a comparison with a baseline needs < <= > or >=", "== baseline"),
        ("errors{agent=A} <= baseline", "allowed tag: task", "{agent=A} <= baseline"),
        ("errors <= baseline over 1s", "a comparison with a baseline covers the whole run", "over 1s"),
        ("errors <= baseline abort", "a comparison with a baseline needs the whole run", "abort"),
        ("fairness >= baseline", "baselines do not keep fairness", "fairness >= baseline"),
        ("memory.peak <= 1.1x baseline", "baselines do not keep memory", "memory.peak <= 1.1x baseline"),
    ],
)
def test_the_caret_stands_under_the_mistake(text: str, reason: str, rest: str) -> None:
    said, from_caret_on = mistake(text)
    assert reason in said
    assert from_caret_on == rest


def test_a_count_that_can_still_reach_its_limit_cannot_abort_a_run() -> None:
    said, from_caret_on = mistake("successes == 200 abort")
    assert "this threshold can still become true as the count grows" in said
    assert from_caret_on == "abort"
    assert parse_threshold("errors == 0 abort").abort_after == 5


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('errors{task="a\tb"} < 3%', "%"),
        ("errors\t<\t3%", "%"),
        ("errors\x1b[31m < 3", r"\x1b[31m < 3"),
        ('errors{task="\x1b[2J"} < 3 4', "4"),
        ("errors\n{task=buy}\n< 3%", "%"),
        ('errors{task="a\r\x00b"} < 3%', "%"),
        ('errors{task="\u202ebuy"} < 3%', "%"),
        ('errors{task="\ud800"} < 3%', "%"),
        ('errors{task="a\nb\n\n"} < 3%', "%"),
        ("errors{task=a\r\x00b} < 3", r"a\r\x00b} < 3"),
        (r'errors{task="a\"b\\"} < 3%', "%"),
        (r'errors{task="C:\desk"} < 3', r'\desk"} < 3'),
        ('errors{task="a\\\nb"} < 3', r'\\nb"} < 3'),
        ('errors{task="buy} < 3', '"buy} < 3'),
        (r'errors{task="buy\"} < 3', r'"buy\"} < 3'),
    ],
)
def test_control_characters_are_escaped_and_move_the_caret(text: str, rest: str) -> None:
    _, from_caret_on = mistake(text)
    assert from_caret_on == rest


NAMES = st.text(
    st.sampled_from('ab "\\\n\r\t\x1b\u2028\ud800{},=<>%é漢') | st.characters(), min_size=1, max_size=20
)


def quoted(name: str) -> str:
    """Return a name in quotes, as the guide says."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@settings(deadline=None, max_examples=300)
@given(agent=NAMES, task=NAMES)
def test_a_name_in_quotes_may_hold_any_character(agent: str, task: str) -> None:
    text = f"latency{{agent={quoted(agent)}, task={quoted(task)}}}.p99 < 5ms"
    parsed = parse_threshold(text)
    assert (parsed.agent, parsed.task, parsed.limit) == (agent, task, 0.005)
    assert escape_controls(parsed.text) == parsed.text, "the text is printable"
    assert parse_threshold(parsed.text) == parsed


@settings(deadline=None)
@given(st.text('ab "\\\n\r\x1b\ud800{},=', min_size=1, max_size=20))
def test_a_caret_stands_right_behind_a_name_in_quotes(name: str) -> None:
    _, from_caret_on = mistake(f"errors{{task={quoted(name)}}} < 3%")
    assert from_caret_on == "%"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (r'"a\"b"', 'a"b'),
        (r'"a\\b"', "a\\b"),
        (r'"a\nb"', "a\nb"),
        ('"a\nb"', "a\nb"),
        (r'"\r\t\x1b\u202e\ud800"', "\r\t\x1b\u202e\ud800"),
        (r'"\\n"', r"\n"),
        (r"a\nb", r"a\nb"),
        ("'a'", "'a'"),
        ('" a "', " a "),
    ],
)
def test_escapes_of_a_name(written: str, name: str) -> None:
    assert parse_threshold(f"errors{{agent={written}}} == 0").agent == name


def read(text: str) -> Threshold | str:
    """Return the threshold of an expression, or the message about its mistake."""
    try:
        return parse_threshold(text)
    except ThresholdError as error:
        return str(error)


HOSTILE = st.text(
    st.one_of(
        st.sampled_from('abeflmnoprstuvwx{}=.<>!0159%"\\\n/+- \t\r\x1b\x00\u202e\ud800'),
        st.characters(),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(
        [
            "errors == 0 {}",
            "latency.p99 <= {}",
            "throughput >= 90% {}",
            "errors{{task={}}} < 1",
            "fairness > .5 over {}",
        ]
    ),
    HOSTILE,
)
def test_any_text_parses_or_is_one_mistake_on_three_printable_lines(frame: str, text: str) -> None:
    parsed = read(frame.format(text))
    if isinstance(parsed, Threshold):
        assert parse_threshold(parsed.text) == parsed
        return
    assert not any(ord(character) < 32 or character in "\u202e\ud800" for character in parsed.replace("\n", ""))
    _, expression, caret = parsed.split("\n")
    assert caret.strip(" ") == "^"
    assert 2 <= caret.index("^") <= len(expression)


def test_a_mistake_in_a_very_long_text_is_reported_quickly() -> None:
    name = "x" * 100_000
    _, from_caret_on = mistake(f'errors{{task="{name}"}} < 3%')
    assert from_caret_on == "%"
    assert parse_threshold(f'errors{{task="{name}"}} < 3').task == name
