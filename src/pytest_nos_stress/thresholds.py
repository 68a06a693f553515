"""Thresholds: the grammar of the expressions that gate a run.

    threshold   = metric [ tags ] [ "." aggregation ] operator number [ unit ]
    tags        = "{" tag "=" value { "," tag "=" value } "}"
    metric      = operations | successes | failures | errors | missing_data            counts
                | success_rate | failure_rate | error_rate | missing_data_rate         0 to 1, or %
                | throughput                                                           operations per second
                | latency | response_time                       with min mean med max stddev pNN or pNN.N
    tag         = agent | task | faults                    faults=on or faults=off: while they take place, or not
    operator    = < <= > >= == !=
    unit        = % ns us ms s m h /s

The grammar follows k6's thresholds. An expression that does not parse is a ``ThresholdError`` that shows the
expression with a caret under the mistake. Judging is in ``verdict``.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn

from .kinds import SECONDS_PER_UNIT
from .settings import SettingError
from .text import one_line

COUNTS: Final = ("operations", "successes", "failures", "errors", "missing_data")
RATES: Final = ("success_rate", "failure_rate", "error_rate", "missing_data_rate")
DURATIONS: Final = ("latency", "response_time")
METRICS: Final = (*COUNTS, *RATES, "throughput", *DURATIONS)
AGGREGATIONS: Final = ("min", "mean", "med", "max", "stddev")
TAGS: Final = ("agent", "task", "faults")
LATER_TAGS: Final = ("phase",)
STATES_OF_FAULTS: Final = ("on", "off")
OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}

_NAME: Final = re.compile(r"[A-Za-z_]+")
_VALUE: Final = re.compile(r'"(?P<quoted>[^"]*)"|(?P<plain>[^,{}"]+)')
_AGGREGATION: Final = re.compile(r"p\d+(\.\d+)?|[A-Za-z_]+\d*")
_OPERATOR: Final = re.compile("|".join(map(re.escape, OPERATORS)))
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_UNIT: Final = re.compile(r"%|/s|[A-Za-z]+")


_WHAT_A_TAG_NAMES: Final = {"agent": "the name of an agent", "task": "the name of a task", "faults": "on or off"}


class ThresholdError(SettingError):
    """An expression that does not parse: the reason, the expression and a caret under the mistake."""


class Threshold(NamedTuple):
    """One parsed threshold.

    ``limit`` is in the metric's base unit: a count, a rate from 0 to 1, operations per second, or seconds.
    ``session_wide`` ones come from the command line or an ini file: a run that has no such agent or task is
    none of theirs.
    """

    text: str
    metric: str
    agent: str | None
    task: str | None
    aggregation: str | None
    operator: str
    limit: float
    session_wide: bool = False
    faults: str | None = None

    def holds(self, measured: float) -> bool:
        return OPERATORS[self.operator](measured, self.limit)

    @property
    def percentile(self) -> float | None:
        """The percentile asked for, if one is."""
        if self.aggregation and self.aggregation[1:].replace(".", "").isdecimal():
            return float(self.aggregation[1:])
        return None


def parse(text: str, *, session_wide: bool = False, label: str = "thresholds") -> Threshold:
    """The threshold an expression says. Raises ``ThresholdError``; ``label`` says where it stood."""
    return _Parser(text, label).threshold(session_wide)


class _Parser:
    def __init__(self, text: str, label: str) -> None:
        self._text = " ".join(text.split("\n"))
        self._label = label
        self._at = 0

    def threshold(self, session_wide: bool) -> Threshold:
        metric = self._choice(_NAME, METRICS, "metric")
        tags = self._tags()
        aggregation = self._aggregation(metric)
        comparison = self._expect(_OPERATOR, f"an operator ({' '.join(sorted(OPERATORS))})")[0]
        limit = self._limit(metric)
        self._end()
        return Threshold(
            self._text.strip(),
            metric,
            tags.get("agent"),
            tags.get("task"),
            aggregation,
            comparison,
            limit,
            session_wide,
            tags.get("faults"),
        )

    def _tags(self) -> dict[str, str]:
        tags: dict[str, str] = {}
        if not self._literal("{"):
            return tags
        while True:
            at = self._skip_space()
            tag = self._choice(_NAME, (*TAGS, *LATER_TAGS), "tag")
            if tag in LATER_TAGS:
                self._fail(f"tag {tag!r} is not available in this version; tags: {', '.join(TAGS)}", at)
            if tag in tags:
                self._fail(f"tag {tag!r} is given twice", at)
            if not self._literal("="):
                self._fail("expected '=' and a value")
            tags[tag] = self._tag_value(tag)
            if self._literal("}"):
                return tags
            if not self._literal(","):
                self._fail("expected ',' or '}'")

    def _tag_value(self, tag: str) -> str:
        at = self._skip_space()
        match = self._expect(_VALUE, _WHAT_A_TAG_NAMES[tag])
        quoted: str | None = match["quoted"]
        value = match["plain"].strip() if quoted is None else quoted
        if not value:
            self._fail("the name is empty", at)
        if tag == "faults" and value not in STATES_OF_FAULTS:
            self._fail("faults are on or off", at)
        return value

    def _aggregation(self, metric: str) -> str | None:
        at = self._skip_space()
        dotted = self._literal(".")
        names = f"{', '.join(AGGREGATIONS)} or a percentile such as p99"
        if metric not in DURATIONS:
            if dotted:
                self._fail(f"{metric} has no aggregation", at)
            return None
        if not dotted:
            self._fail(f"{metric} needs an aggregation: {names}", at)
        at = self._skip_space()
        aggregation = self._expect(_AGGREGATION, names)[0]
        if aggregation in AGGREGATIONS:
            return aggregation
        if not re.fullmatch(r"p\d+(\.\d+)?", aggregation):
            self._fail(f"unknown aggregation {aggregation!r}; there are {names}", at)
        if not 0 < float(aggregation[1:]) < 100:
            self._fail("a percentile is above 0 and below 100 (min and max are there for the ends)", at)
        return aggregation

    def _limit(self, metric: str) -> float:
        at = self._skip_space()
        number = float(self._expect(_NUMBER, "a number")[0])
        if not math.isfinite(number):
            self._fail("the number is too large", at)
        unit_at = self._skip_space()
        match = _UNIT.match(self._text, self._at)
        unit = match[0] if match and match[0] != "over" else ""
        self._at += len(unit)
        if metric in DURATIONS:
            if unit not in SECONDS_PER_UNIT:
                self._fail(f"{metric} needs a unit of time: {' '.join(SECONDS_PER_UNIT)}", unit_at)
            return number * SECONDS_PER_UNIT[unit]
        allowed = {"throughput": ("", "/s")}.get(metric, ("", "%") if metric in RATES else ("",))
        if unit not in allowed:
            named = [one for one in allowed if one]
            self._fail(f"{metric} takes {'the unit ' + named[0] if named else 'no unit'}", unit_at)
        if metric not in RATES:
            return number
        limit = number / 100 if unit else number
        if not 0 <= limit <= 1:
            self._fail("a rate is from 0 to 1, or from 0 % to 100 %", at)
        return limit

    def _end(self) -> None:
        at = self._skip_space()
        if re.match(r"over\b", self._text[at:]):
            self._fail("'over' windows are not available in this version", at)
        if at < len(self._text):
            self._fail("expected the end of the expression", at)

    def _choice(self, pattern: re.Pattern[str], choices: tuple[str, ...], what: str) -> str:
        at = self._skip_space()
        name = self._expect(pattern, f"a {what} ({', '.join(choices)})")[0]
        if name not in choices:
            self._fail(f"unknown {what} {name!r}; there are {', '.join(choices)}", at)
        return name

    def _expect(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        self._skip_space()
        match = pattern.match(self._text, self._at)
        if match is None:
            self._fail(f"expected {what}")
        self._at = match.end()
        return match

    def _literal(self, character: str) -> bool:
        found = self._text[self._skip_space() :].startswith(character)
        self._at += found
        return found

    def _skip_space(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _fail(self, reason: str, at: int | None = None) -> NoReturn:
        before = one_line(self._text[: self._at if at is None else at])
        raise ThresholdError(
            f"{self._label}: {one_line(reason)}\n  {one_line(self._text)}\n  {' ' * len(before)}^"
        )
