"""Types of a fault's parameters: the default, the validation of a value, and its conversion.

``check`` raises ``InvalidValue`` with a label that names the parameter and the fault. ``convert`` turns a checked
value into the form of the default: text with a unit into a number, a single number into a range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pytest_nos_stress._internal.validation import LONGEST_SECONDS, InvalidValue
from pytest_nos_stress._internal.validation import seconds as seconds_of

Parameters = Mapping[str, Any]
"""Values of a fault's parameters, by name; times are in seconds of the run's clock."""

_LARGEST_WHOLE: Final = 1e12


class Parameter(Protocol):
    """Type of one parameter."""

    @property
    def default(self) -> Any: ...

    def check(self, label: str, value: Any) -> None:
        """Raise ``InvalidValue`` if the value is not allowed."""

    def convert(self, value: Any) -> Any:
        """Return a checked value in the form of the default."""


@dataclass(frozen=True)
class Number:
    """A number of seconds, or of another unit, from ``least`` up."""

    default: float
    least: float = 0.0

    def check(self, label: str, value: Any) -> None:
        if not holds(lambda: self.least <= seconds_of(value) <= LONGEST_SECONDS):
            raise InvalidValue(
                f"{label} is {value!r}, not a number from {self.least:g} up, at most {LONGEST_SECONDS:g}"
            )

    def convert(self, value: Any) -> float:
        return seconds_of(value)


@dataclass(frozen=True)
class Whole:
    """A whole number from ``least`` up, or None if it is ``optional``."""

    default: int
    least: int = 0
    optional: bool = False

    def check(self, label: str, value: Any) -> None:
        if value is None and self.optional:
            return
        if not holds(lambda: self.least <= seconds_of(value) <= _LARGEST_WHOLE):
            raise InvalidValue(
                f"{label} is {value!r}, not a number from {self.least:g} up, at most {_LARGEST_WHOLE:g}"
            )
        if int(float(value)) != float(value):
            raise InvalidValue(f"{label} is {value!r}, not a whole number")

    def convert(self, value: Any) -> int | None:
        return None if value is None else int(float(value))


@dataclass(frozen=True)
class Share:
    """A share from 0 to 1."""

    default: float

    def check(self, label: str, value: Any) -> None:
        if not holds(lambda: 0 <= seconds_of(value) <= 1):
            raise InvalidValue(f"{label} is {value!r}, not from 0 to 1")

    def convert(self, value: Any) -> float:
        return seconds_of(value)


class Range:
    """A pair of numbers, the smaller first, between which a value is drawn. A single number is both bounds."""

    def __init__(self, least: float, most: float) -> None:
        self.default = least, most

    def check(self, label: str, value: Any) -> None:
        pair = _pair(value)
        if len(pair) != 2 or not holds(lambda: 0 <= seconds_of(pair[0]) <= seconds_of(pair[1]) <= LONGEST_SECONDS):
            raise InvalidValue(f"{label} is {value!r}, not a number from 0 up or a pair of them in order")

    def convert(self, value: Any) -> tuple[float, ...]:
        return tuple(seconds_of(bound) for bound in _pair(value))


class Code:
    """An HTTP status or a broker's own code; None if the answer has none."""

    default = None

    def check(self, label: str, value: Any) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, str))):
            raise InvalidValue(f"{label} is {value!r}, not a whole number or text")

    def convert(self, value: Any) -> int | str | None:
        code: int | str | None = value
        return code


def holds(condition: Callable[[], bool]) -> bool:
    """Return the value of a comparison; False if the compared values are not numbers."""
    try:
        return condition()
    except (TypeError, ValueError, KeyError):
        return False


def _pair(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value, value)
