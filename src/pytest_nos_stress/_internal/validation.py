"""Option types: parse and validate the values of settings.

Guarantee: ``OptionType.check`` returns only valid, normalised values. For any other value it raises a
``SettingError`` of one line with the setting, the value and the allowed values.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytest_nos_stress.errors import SettingError

from .parsing import parse_number, parse_switch, parse_whole
from .text import safe_repr

LONGEST_NUMBER = 4096
LONGEST_SECONDS = 366 * 86_400.0
ALLOWED_FILE_NAME = "a name of letters, digits, '.', '_' and '-' that does not begin with '.'"
SECONDS_PER_UNIT = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class InvalidValue(ValueError):
    """Reason for refusing a value, if the description of the type does not give it."""


class InvalidPart(InvalidValue):
    """Reason for refusing a part of a value. It includes the allowed values of that part."""


class OptionType:
    """Type of an option's values.

    ``allowed`` describes the allowed values in words. ``convert`` returns the normalised value. It raises
    ``InvalidValue``, ``TypeError``, ``ValueError``, ``OverflowError`` or ``RecursionError`` for any other value.
    ``parse`` turns text into a value (default: the text is the value).
    """

    __slots__ = ("allowed", "convert", "parse")

    def __init__(
        self,
        allowed: str,
        convert: Callable[[Any], Any],
        parse: Callable[[Any], Any] = lambda text: text,
    ) -> None:
        self.allowed = allowed
        self.convert = convert
        self.parse = parse

    def check(self, value: Any, label: str) -> Any:
        """Return the value, normalised. Raises ``SettingError``, with the label, if the value is not allowed."""
        try:
            return self.convert(value)
        except InvalidPart as reason:
            raise _refusal(label, value, str(reason)) from None
        except InvalidValue as reason:
            raise _refusal(label, value, f"{reason}; allowed: {self.allowed}") from None
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise _refusal(label, value, f"must be {self.allowed}") from None

    def read(self, text: Any, label: str) -> Any:
        """Parse text, or a native TOML value, and return the normalised value. Raises as ``check`` does."""
        try:
            value = self.parse(text)
        except SettingError:
            raise
        except (TypeError, ValueError):
            raise _refusal(label, text, f"must be {self.allowed}") from None
        return self.check(value, label)


def _refusal(label: str, value: Any, reason: str) -> SettingError:
    return SettingError(f"{label}={safe_repr(value)}: {reason}")


def finite_number(value: Any) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise ValueError(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def whole_number(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(value)
    number = operator.index(value)
    if number.bit_length() > LONGEST_NUMBER:
        raise ValueError(value)
    return number


def probability(value: Any) -> float:
    number = finite_number(value)
    if not 0 <= number <= 1:
        raise ValueError(value)
    return number


def seconds(value: Any) -> float:
    """Return seconds from a number, or from text with a unit (``"500ms"``, ``"2m"``).

    Raises ``ValueError``, or ``KeyError`` for an unknown unit.
    """
    if not isinstance(value, str):
        return finite_number(value)
    text = value.strip()
    number = text.rstrip("nusmh")
    return finite_number(float(number)) * SECONDS_PER_UNIT[text[len(number) :].strip() or "s"]


def seconds_from_zero(value: Any) -> float:
    try:
        number = seconds(value)
    except KeyError:
        raise ValueError(value) from None
    if not 0 <= number <= LONGEST_SECONDS:
        raise ValueError(value)
    return number


def seconds_above_zero(value: Any) -> float:
    number = seconds_from_zero(value)
    if number == 0:
        raise ValueError(value)
    return number


def optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def count_from_one(value: Any) -> int:
    number = whole_number(value)
    if number < 1:
        raise ValueError(value)
    return number


def one_of(names: Sequence[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in names:
            raise ValueError(value)
        return str(value)

    return check


def non_empty_name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    if not value.strip():
        raise InvalidValue("empty name")
    return str.__str__(value)


def file_name(value: Any) -> str:
    """Return a name that is valid for a file or directory on any system. Raises ``ValueError``."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", value):
        raise ValueError(value)
    return str.__str__(value)


def distinct_names(values: Iterable[Any], noun: str) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)):
        raise InvalidValue("expected a list of names, got a single string")
    names = tuple(non_empty_name(value) for value in values)
    if not names:
        raise InvalidValue(f"there are no {noun}s")
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise InvalidValue(f"duplicate {noun} {duplicate!r}")
    return names


def path_text(value: Any) -> str:
    if isinstance(value, bytes) or not (isinstance(value, str) or hasattr(value, "__fspath__")):
        raise ValueError(value)
    path = value if isinstance(value, str) else value.__fspath__()
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError(value)
    return path


def callable_value(value: Any) -> Any:
    if not callable(value):
        raise ValueError(value)
    return value


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def some_of(names: Sequence[str]) -> Callable[[Any], tuple[str, ...]]:
    """Return the selected names in the order of ``names``. ``none`` alone selects nothing."""

    def check(value: Any) -> tuple[str, ...]:
        selected = {value} if isinstance(value, str) else set(value or ())
        if not selected - {"none"}:
            return ()
        if not selected <= set(names):
            raise ValueError(value)
        return tuple(name for name in names if name in selected)

    return check


PROBABILITY = OptionType("a number from 0 to 1", probability, parse_number)
DELAY = OptionType("seconds from 0 up, or text with a unit such as '50ms'", seconds_from_zero)
SPAN = OptionType("seconds above 0, or text with a unit such as '30s'", seconds_above_zero)
SPAN_OR_NONE = OptionType(SPAN.allowed, optional(seconds_above_zero))
WHOLE = OptionType("a whole number of at most 4096 bits", optional(whole_number), parse_whole)
COUNT = OptionType("a whole number from 1 up", count_from_one, parse_whole)
SWITCH = OptionType("True or False", boolean, parse_switch)
COUNT_OR_NONE = OptionType(COUNT.allowed, optional(count_from_one))
