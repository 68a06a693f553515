"""Timestamps of recorded data, converted to nanoseconds since 1970 in UTC.

A timestamp is ISO 8601 with or without an offset, or a whole or decimal number of seconds, milliseconds,
microseconds or nanoseconds since 1970. The first timestamp of a file decides the kind.

Guarantees: a file has one kind of timestamp. Offsets that differ within a file, or from the time zone in the
settings, are an error. They are never converted silently, because a file in an unexpected zone would shift all
prices by hours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pytest_nos_stress.errors import SettingError

from .csv_reader import BadValue

Nanoseconds = npt.NDArray[np.int64]

SECOND: Final = 1_000_000_000
_MINUTE: Final = 60 * SECOND
_HOUR: Final = 60 * _MINUTE
_YEAR_2200: Final = 7_258_118_400 * SECOND
# The unit of a number since 1970, by the number's size. Each unit's limit lies in the year 5138.
_UNITS: Final = ((10**11, SECOND), (10**14, SECOND // 10**3), (10**17, SECOND // 10**6), (10**20, 1))

_ISO: Final = re.compile(
    r"((?:19|20|21)\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?)(Z|z|[+-]\d\d(?::?\d\d)?)?"
)
_EPOCH: Final = re.compile(r"\d+(?:\.\d+)?")
_CALENDAR_DATE: Final = re.compile(r"(?:19|20|21)(?:\d{2})(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_NOT_A_TIMESTAMP: Final = "is neither ISO 8601 nor a number of seconds, ms, us or ns since 1970"


def zone_named(name: str | None) -> tzinfo | None:
    """Return the time zone of this name; None for None. Raises ``SettingError`` for an unknown name."""
    if name is None:
        return None
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, TypeError, LookupError):
        raise SettingError(
            f"timezone={name!r}: unknown time zone on this machine; must be None, 'UTC', or a name such as "
            "'America/New_York' (the package tzdata installs all names)"
        ) from None


def zone_of(name: str) -> tzinfo:
    """Return the time zone of a name, or of an offset such as +02:00. Parquet files have either."""
    if re.fullmatch(r"[+-]\d\d:\d\d", name):
        return timezone(timedelta(seconds=_offset_length(name) / SECOND))
    return zone_named(name) or UTC


def format_moment(moment: int) -> str:
    """Format a moment (ns since 1970) for people."""
    text = str(np.datetime64(moment, "ns")).replace("T", " ")
    return text.rstrip("0").rstrip(".") if "." in text else text


class Timestamps:
    """A reader of the column of timestamps of one file.

    ``zone``: the time zone of timestamps without an offset. Offsets must agree with it. None: UTC for timestamps
    without an offset; any offset is allowed if it is the same in the whole file.
    """

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._unit: int | None = None
        self._offset: str | None = None
        self._began = False

    def __call__(self, texts: Sequence[str]) -> Nanoseconds:
        """Read timestamps. Raises ``BadValue`` if one is not allowed."""
        if not self._began:
            self._begin(texts[0].strip())
        return self._iso(texts) if self._unit is None else self._since_1970(texts, self._unit)

    def of_numbers(self, numbers: npt.NDArray[np.int64]) -> Nanoseconds:
        """Convert whole numbers since 1970. The first one decides the unit."""
        if not self._began:
            self._begin(str(numbers[0]))
        return _scaled(numbers, self._unit or SECOND)

    def of_local_times(self, local: Nanoseconds) -> Nanoseconds:
        """Convert timestamps without an offset."""
        return local if self._zone is None else local - _offsets(self._zone, local, local=True)

    def of_zone(self, utc: Nanoseconds, zone: str) -> Nanoseconds:
        """Return moments in UTC that were recorded in the named zone.

        Raises ``BadValue`` if the time zone in the settings has other offsets at these moments.
        """
        if self._zone is not None:
            recorded = zone_of(zone)
            if (_offsets(recorded, utc, local=False) != _offsets(self._zone, utc, local=False)).any():
                raise BadValue(f"is in the time zone {zone}, not in timezone={str(self._zone)!r}")
        return utc

    def check_offset(self, utc: Nanoseconds, offset: int) -> None:
        """Raise ``BadValue`` if the time zone in the settings has another offset (ns) at one of these moments."""
        if self._zone is None:
            return
        expected = _offsets(self._zone, utc, local=False)
        if (expected != offset).any():
            raise BadValue(
                f"has the offset {_format_offset(offset)}, which is not that of timezone={str(self._zone)!r}"
            )

    def _begin(self, first: str) -> None:
        if _CALENDAR_DATE.fullmatch(first):
            raise BadValue("looks like a date; write it as YYYY-MM-DD")
        if _EPOCH.fullmatch(first):
            self._unit = next((unit for limit, unit in _UNITS if Decimal(first) < limit), 1)
        elif match := _ISO.fullmatch(first):
            self._offset = match[2]
        else:
            raise BadValue(_NOT_A_TIMESTAMP)
        self._began = True

    def _since_1970(self, texts: Sequence[str], unit: int) -> Nanoseconds:
        try:
            numbers = np.fromiter(map(int, texts), np.int64, len(texts))
        except (ValueError, OverflowError):
            return _exact(texts, unit)
        return _scaled(numbers, unit)

    def _iso(self, texts: Sequence[str]) -> Nanoseconds:
        matches = [_ISO.fullmatch(text.strip()) for text in texts]
        pairs = [match.groups() for match in matches if match is not None]
        if len(pairs) != len(texts):
            raise BadValue("is not ISO 8601, but the file's first timestamp is")
        local = _parsed([text for text, _ in pairs])
        offsets = [offset for _, offset in pairs]
        different = set(offsets)
        if None in different or self._offset is None:
            self._check_without_offset(different)
            return self.of_local_times(local)
        length = {offset: _offset_length(offset) for offset in different}
        if self._zone is None and set(length.values()) != {_offset_length(self._offset)}:
            raise BadValue(f"must have the offset of the file's first timestamp ({self._offset})")
        utc = local - np.array([length[offset] for offset in offsets], np.int64)
        for offset, nanoseconds in length.items():
            has_offset = np.array([other == offset for other in offsets]) if len(length) > 1 else slice(None)
            self.check_offset(utc[has_offset], nanoseconds)
        return utc

    def _check_without_offset(self, different: set[str | None]) -> None:
        if different != {None}:
            raise BadValue("has an offset, but other timestamps of the file have none")
        if self._offset is not None:
            raise BadValue(f"has no offset, but the file's first timestamp has one ({self._offset})")


def _parsed(texts: list[str]) -> Nanoseconds:
    try:
        return np.array(texts, "datetime64[ns]").astype(np.int64)
    except ValueError:
        raise BadValue("is not a valid date and time") from None


def _exact(texts: Sequence[str], unit: int) -> Nanoseconds:
    """Convert decimal numbers since 1970 exactly. A float would lose the nanoseconds."""
    if not all(map(_EPOCH.fullmatch, map(str.strip, texts))):
        raise BadValue("is not a number since 1970, but the file's first timestamp is")
    exact = [int(Decimal(text.strip()) * unit) for text in texts]
    if max(exact) >= _YEAR_2200:
        raise BadValue("is after the year 2199")
    return np.array(exact, np.int64)


def _scaled(numbers: npt.NDArray[np.int64], unit: int) -> Nanoseconds:
    if numbers.min() < 0:
        raise BadValue("is before 1970")
    if numbers.max() >= _YEAR_2200 // unit:
        raise BadValue("is after the year 2199")
    return numbers * unit


def _offset_length(offset: str) -> int:
    if offset in "Zz":
        return 0
    digits = offset[1:].replace(":", "").ljust(4, "0")
    length = int(digits[:2]) * _HOUR + int(digits[2:]) * _MINUTE
    return -length if offset[0] == "-" else length


def _format_offset(offset: int) -> str:
    minutes = abs(offset) // _MINUTE
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _offsets(zone: tzinfo, moments: Nanoseconds, local: bool) -> Nanoseconds:
    """Return the zone's offsets from UTC at these moments. ``local``: True if they are local times."""
    hours, inverse = np.unique(moments // _HOUR, return_inverse=True)
    offsets = [_offset_at(zone, int(hour), local) for hour in hours]
    return np.array(offsets, np.int64)[inverse]


def _offset_at(zone: tzinfo, hour: int, local: bool) -> int:
    moment = datetime(1970, 1, 1) + timedelta(hours=hour)
    aware = moment.replace(tzinfo=zone) if local else moment.replace(tzinfo=UTC).astimezone(zone)
    return round((aware.utcoffset() or timedelta()).total_seconds()) * SECOND
