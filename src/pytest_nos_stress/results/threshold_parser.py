"""Parser of thresholds. Invalid text raises ``ThresholdError`` with a caret under the mistake.

Recursive descent over the grammar in ``thresholds``, one method for each rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, NoReturn
from unicodedata import combining, east_asian_width

from pytest_nos_stress._internal.text import escape_controls, shorten
from pytest_nos_stress._internal.validation import LONGEST_SECONDS

from .metrics import METRICS, TAGS, Metric
from .threshold_limits import reason_to_refuse
from .thresholds import (
    GRACE,
    OPERATORS,
    PHASES,
    STATES_OF_FAULTS,
    Relative,
    Threshold,
    ThresholdError,
)
from .units import COUNT, SECONDS

_NAME: Final = re.compile(r"[A-Za-z_]+")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN: Final = re.compile(r'[^,{}"]+')
_ESCAPE: Final = re.compile(r'\\(?:["\\nrt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})?')
_PAIR: Final = re.compile(r"\\.", re.DOTALL)
_ESCAPED_CHARACTERS: Final = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_AGGREGATION: Final = re.compile(r"p\d+(\.\d+)?|[A-Za-z_]+\d*")
_OPERATOR: Final = re.compile("|".join(map(re.escape, OPERATORS)))
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_UNSIGNED: Final = re.compile(_NUMBER.pattern.removeprefix("[+-]?"))
_UNIT: Final = re.compile(r"%|/s|x(?=\s*baseline)|[A-Za-z]+")
_SIGN: Final = re.compile(r"[+-]")
_WORDS: Final = ("over", "abort", "after", "of", "baseline")

_VALUE_OF_TAG: Final = {
    "agent": "the name of an agent",
    "task": "the name of a task",
    "faults": "on or off",
    "phase": "ramp, warmup or steady",
}
_CHOICES_OF_TAG: Final = {"faults": STATES_OF_FAULTS, "phase": PHASES}
_MOST_SHOWN: Final = 200
_MOST_BEFORE: Final = 100
_SHORTEST_WINDOW: Final = 1e-3


def parse_threshold(text: str, *, session_wide: bool = False, label: str = "thresholds") -> Threshold:
    """Parse a threshold. Raise ``ThresholdError`` if it is invalid; the message begins with ``label``."""
    return _Parser(text, label).threshold(session_wide=session_wide)


class _Parser:
    """Parses one expression."""

    def __init__(self, text: str, label: str) -> None:
        self._text = _on_one_line(text)
        self._label = label
        self._at = 0

    def threshold(self, *, session_wide: bool) -> Threshold:
        """Parse the whole text. Raise ``ThresholdError`` if it is not a threshold."""
        metric = METRICS[self._choice(_NAME, tuple(METRICS), "metric")]
        tags_at = self._skip_space()
        tags = self._tags(metric)
        aggregation = self._aggregation(metric)
        operator_at = self._skip_space()
        comparison = self._expect(_OPERATOR, f"an operator ({' '.join(sorted(OPERATORS))})")[0]
        limit_at = self._skip_space()
        limit, baseline = self._limit(metric)
        reason = reason_to_refuse(metric, aggregation, comparison, limit, baseline)
        if reason:
            self._fail(reason, limit_at)
        if baseline is not None:
            self._check_baseline(metric, tags, tags_at, comparison, operator_at)
        over = self._over(baseline)
        abort_after = self._abort(metric, comparison, limit)
        self._end()
        return Threshold(
            text=self._text.strip(),
            metric=metric.name,
            agent=tags.get("agent"),
            task=tags.get("task"),
            aggregation=aggregation,
            operator=comparison,
            limit=limit,
            session_wide=session_wide,
            faults=tags.get("faults"),
            phase=tags.get("phase"),
            over=over,
            baseline=baseline,
            abort_after=abort_after,
        )

    def _tags(self, metric: Metric) -> dict[str, str]:
        tags: dict[str, str] = {}
        if not self._literal("{"):
            return tags
        while True:
            at = self._skip_space()
            tag = self._choice(_NAME, TAGS, "tag")
            if tag not in metric.tags:
                self._fail(f"{metric.name} has no tag {tag!r}; allowed: {', '.join(metric.tags)}", at)
            if tag in tags:
                self._fail(f"duplicate tag {tag!r}", at)
            if not self._literal("="):
                self._fail("expected '=' and a value")
            tags[tag] = self._tag_value(tag)
            if self._literal("}"):
                return tags
            if not self._literal(","):
                self._fail("expected ',' or '}'")

    def _tag_value(self, tag: str) -> str:
        at = self._skip_space()
        value = self._name() if self._text.startswith('"', at) else self._plain_value(tag)
        if not value:
            self._fail("the value of the tag is empty", at)
        if tag in _CHOICES_OF_TAG and value not in _CHOICES_OF_TAG[tag]:
            self._fail(f"{tag}={value}: must be {_VALUE_OF_TAG[tag]}", at)
        return value

    def _plain_value(self, tag: str) -> str:
        at = self._skip_space()
        value: str = self._expect(_PLAIN, _VALUE_OF_TAG[tag])[0].strip()
        if escape_controls(value) != value:
            self._fail(f"a name with control characters needs quotes: {tag}=...", at)
        return value

    def _name(self) -> str:
        """Return the characters of a name in quotes."""
        at = self._at
        match = _QUOTED.match(self._text, at)
        if match is None:
            self._fail('expected a closing quote (write \\" for a quote in the name)', at)
        for escape in _ESCAPE.finditer(self._text, at + 1, match.end() - 1):
            if escape[0] == "\\":
                self._fail('a backslash must begin \\" \\\\ \\n \\r \\t \\xNN or \\uNNNN', escape.start())
        self._at = match.end()
        return _ESCAPE.sub(_unescaped, match[0][1:-1])

    def _aggregation(self, metric: Metric) -> str | None:
        at = self._skip_space()
        dotted = self._literal(".")
        names = ", ".join(metric.aggregations) + (" or a percentile such as p99" if metric.has_percentiles else "")
        if not metric.aggregations:
            if dotted:
                self._fail(f"{metric.name} has no aggregation", at)
            return None
        if not dotted:
            self._fail(f"{metric.name} needs an aggregation: {names}", at)
        at = self._skip_space()
        aggregation: str = self._expect(_AGGREGATION, names)[0]
        if aggregation in metric.aggregations:
            return aggregation
        if not metric.has_percentiles or not re.fullmatch(r"p\d+(\.\d+)?", aggregation):
            self._fail(f"unknown aggregation {aggregation!r}; must be {names}", at)
        if not 0 < float(aggregation[1:]) < 100:
            self._fail("a percentile must be above 0 and below 100 (use min and max for the ends)", at)
        return aggregation

    def _limit(self, metric: Metric) -> tuple[float | None, Relative | None]:
        if self._word("baseline"):
            return None, Relative(1.0, self._plus(metric))
        at = self._skip_space()
        number = self._number(_NUMBER)
        unit_at = self._skip_space()
        unit = self._unit()
        if unit == "x" or (unit == "%" and self._word("of")):
            if number < 0:
                self._fail("a share of a baseline must not be negative", at)
            if not self._word("baseline"):
                self._fail("expected 'baseline'")
            return None, Relative(number / 100 if unit == "%" else number, self._plus(metric))
        limit = self._in_base_unit(metric, number, unit, unit_at)
        if metric.unit.is_share and not 0 <= limit <= 1:
            self._fail("a rate must be from 0 to 1, or from 0% to 100%", at)
        return limit, None

    def _plus(self, metric: Metric) -> float:
        self._skip_space()
        sign = _SIGN.match(self._text, self._at)
        if sign is None:
            return 0.0
        self._at = sign.end()
        number = self._number(_UNSIGNED)
        unit_at = self._skip_space()
        plus = self._in_base_unit(metric, number, self._unit(), unit_at)
        return -plus if sign[0] == "-" else plus

    def _number(self, pattern: re.Pattern[str]) -> float:
        at = self._skip_space()
        return self._finite(float(self._expect(pattern, "a number")[0]), at)

    def _finite(self, number: float, at: int) -> float:
        if not math.isfinite(number):
            self._fail("the number is too large", at)
        return number

    def _unit(self) -> str:
        """The unit that comes next, if one does."""
        self._skip_space()
        match = _UNIT.match(self._text, self._at)
        unit = match[0] if match and match[0] not in _WORDS else ""
        self._at += len(unit)
        return unit

    def _in_base_unit(self, metric: Metric, number: float, symbol: str, symbol_at: int) -> float:
        if symbol not in metric.unit.symbols:
            self._fail(f"{metric.name} {metric.unit.rule}", symbol_at)
        return self._finite(metric.unit.in_base_unit(number, symbol), symbol_at)

    def _check_baseline(
        self, metric: Metric, tags: dict[str, str], tags_at: int, comparison: str, operator_at: int
    ) -> None:
        if not metric.in_baseline:
            self._fail(f"baselines do not keep {metric.name}", 0)
        if set(tags) - {"task"}:
            self._fail("baselines keep figures of the whole run and of tasks; allowed tag: task", tags_at)
        if comparison in ("==", "!="):
            self._fail("a comparison with a baseline needs < <= > or >=", operator_at)

    def _over(self, baseline: Relative | None) -> float | None:
        at = self._skip_space()
        if not self._word("over"):
            return None
        if baseline is not None:
            self._fail("a comparison with a baseline covers the whole run; remove over", at)
        return self._duration(_SHORTEST_WINDOW, "a window must be from 1ms to 366 days")

    def _abort(self, metric: Metric, comparison: str, limit: float | None) -> float | None:
        at = self._skip_space()
        if not self._word("abort"):
            return None
        if limit is None:
            self._fail("a comparison with a baseline needs the whole run; remove abort", at)
        if metric.unit is COUNT and (comparison in (">", ">=", "!=") or (comparison == "==" and limit)):
            self._fail("this threshold can still become true as the count grows; remove abort", at)
        return (
            self._duration(0.0, "the time after abort must be from 0 to 366 days")
            if self._word("after")
            else GRACE
        )

    def _duration(self, shortest: float, allowed: str) -> float:
        at = self._skip_space()
        number = self._number(_NUMBER)
        symbol_at = self._skip_space()
        symbol = self._unit()
        if symbol not in SECONDS.symbols:
            self._fail(f"a duration {SECONDS.rule}", symbol_at)
        seconds = SECONDS.in_base_unit(number, symbol)
        if not shortest <= seconds <= LONGEST_SECONDS:
            self._fail(allowed, at)
        return seconds

    def _end(self) -> None:
        at = self._skip_space()
        if at < len(self._text):
            self._fail("expected the end of the expression", at)

    def _choice(self, pattern: re.Pattern[str], choices: Sequence[str], noun: str) -> str:
        at = self._skip_space()
        name: str = self._expect(pattern, f"a {noun} ({', '.join(choices)})")[0]
        if name not in choices:
            near = get_close_matches(name, choices, 1)
            hint = f"did you mean {near[0]}?" if near else f"must be one of {', '.join(choices)}"
            self._fail(f"unknown {noun} {name!r}; {hint}", at)
        return name

    def _expect(self, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
        self._skip_space()
        match = pattern.match(self._text, self._at)
        if match is None:
            self._fail(f"expected {expected}")
        self._at = match.end()
        return match

    def _word(self, word: str) -> bool:
        """Consume a word if it comes next. Return True if it did."""
        match = re.compile(rf"{word}(?![A-Za-z_])").match(self._text, self._skip_space())
        self._at += len(word) if match else 0
        return match is not None

    def _literal(self, character: str) -> bool:
        is_next = self._text[self._skip_space() :].startswith(character)
        self._at += is_next
        return is_next

    def _skip_space(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _fail(self, reason: str, at: int | None = None) -> NoReturn:
        at = self._at if at is None else at
        first = max(0, at - _MOST_BEFORE) if len(self._text) > _MOST_SHOWN else 0
        before = ("..." if first else "") + escape_controls(self._text[first:at])
        after = self._text[at : first + _MOST_SHOWN]
        more = "..." if at + len(after) < len(self._text) else ""
        raise ThresholdError(
            f"{self._label}: {escape_controls(shorten(reason, 2 * _MOST_SHOWN))}\n"
            f"  {before}{escape_controls(after)}{more}\n  {' ' * _columns(before)}^"
        )


def _unescaped(escape: re.Match[str]) -> str:
    sequence = escape[0][1:]
    return _ESCAPED_CHARACTERS.get(sequence) or chr(int(sequence[1:], 16))


def _on_one_line(text: str) -> str:
    """Return an expression without line ends: spaces outside of names in quotes, and escapes within."""
    parts, end = [], 0
    for quoted in _QUOTED.finditer(text):
        parts += [text[end : quoted.start()].replace("\n", " "), _printable(quoted[0])]
        end = quoted.end()
    return "".join([*parts, text[end:].replace("\n", " ")])


def _printable(quoted: str) -> str:
    """Escape the control characters of a name in quotes, unless a backslash before one is a mistake."""
    escaped = (pair[0][1] for pair in _PAIR.finditer(quoted))
    return (
        quoted
        if any(escape_controls(character) != character for character in escaped)
        else escape_controls(quoted)
    )


def _columns(text: str) -> int:
    """Return the width of a text in terminal columns: wide characters take two, combining characters none."""
    widths = {"W": 2, "F": 2}
    return sum(0 if combining(letter) else widths.get(east_asian_width(letter), 1) for letter in text)
