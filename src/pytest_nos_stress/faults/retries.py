"""Retries: further attempts at an operation, under the same id, after a call that failed because of a fault."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_nos_stress._internal.frozen import FrozenDict
from pytest_nos_stress._internal.validation import InvalidValue
from pytest_nos_stress._internal.validation import seconds as seconds_of

LONGEST_BACKOFF = 60.0


class Retries(NamedTuple):
    """Number of retries (``times``), and the waiting time before each.

    The first retry waits for ``backoff`` seconds. Each further retry waits ``factor`` times as long, at most
    ``LONGEST_BACKOFF`` seconds.
    """

    times: int = 0
    backoff: float = 0.1
    factor: float = 2.0

    def wait(self, attempt: int) -> float:
        """Return the seconds to wait before retry number ``attempt``, counted from 1."""
        try:
            return min(self.backoff * self.factor ** (attempt - 1), LONGEST_BACKOFF)
        except OverflowError:
            return LONGEST_BACKOFF if self.backoff else 0.0

    @classmethod
    def of(cls, value: int | Mapping[str, Any]) -> Retries:
        """Make the retries of a setting's checked value."""
        return cls(**value) if isinstance(value, Mapping) else cls(value)


def check_retries(value: Any) -> int | FrozenDict:
    """Return a number of retries, or all parameters. Raises ``InvalidValue``, ``TypeError`` or ``ValueError``."""
    if not isinstance(value, Mapping):
        return _times(value)
    unknown = [name for name in value if name not in Retries._fields]
    if unknown:
        raise InvalidValue(f"no such parameter {unknown[0]!r}; choose from {', '.join(Retries._fields)}")
    return FrozenDict(
        {
            "times": _times(value.get("times", 1)),
            "backoff": _number(value, "backoff", 0),
            "factor": _number(value, "factor", 1),
        }
    )


def _times(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(value)
    times: int = operator.index(value)
    if not 0 <= times <= 1000:
        raise InvalidValue(f"times is {times}, not from 0 to 1000")
    return times


def _number(value: Mapping[str, Any], name: str, least: float) -> float:
    try:
        number = seconds_of(value.get(name, Retries._field_defaults[name]))
    except (KeyError, TypeError, ValueError):
        number = -1.0
    if not least <= number <= 3600:
        raise InvalidValue(f"{name} is {value[name]!r}, not a number from {least:g} to 3600")
    return number
