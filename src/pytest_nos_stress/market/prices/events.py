"""Crashes and flash crashes: what is added to prices from a moment on.

Guarantees: an event adds to the logarithm of a price, so nothing changes before it; it ends, and what it has
added by then stays. It begins at the first full five seconds that its ``at`` lets it. The whole market falls,
each symbol by more or less, and is nervous while it falls and for half a session after: prices move more,
spreads are wider and there are more trades.

Sources: the depth and the time of a flash crash are those of 6 May 2010 (CFTC and SEC report, 30 September
2010); that volatility decays slowly after a crash: Lillo and Mantegna (2003).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_nos_stress._internal.seeding import stream_key
from pytest_nos_stress.errors import SettingError

from .intraday import MARK, STEP
from .rng import Floats, Integers, SymbolDraws
from .sessions import SESSION

_AFTERMATH = 2 * SESSION
_CALMING = SESSION / 2
_NERVOUSNESS = 2.0
_EXTRA_TRADES = 2.0
_ORDINARY = 0.0115


class Event(NamedTuple):
    """A fall of the whole market.

    ``at``: seconds of market time after the market's start. ``depth``: the fall as a fraction. ``lasts``: seconds
    from its beginning to its lowest point. ``recovers``: how much of it comes back, in four times as long.
    """

    event: str
    at: float
    depth: float
    lasts: float
    recovers: float


EVENTS: Final = {
    "crash": Event("crash", at=5.0, depth=0.20, lasts=600.0, recovers=0.0),
    "flash_crash": Event("flash_crash", at=5.0, depth=0.09, lasts=240.0, recovers=1.0),
}
"""The events there are, as they are where nothing else is said."""

_RANGES: Final = {
    "at": (0.0, 1e9, "0 to 1e9 seconds"),
    "depth": (0.0, 0.95, "0 to 0.95"),
    "lasts": (MARK, SESSION, "5 to 23400 seconds"),
    "recovers": (0.0, 1.0, "0 to 1"),
}


def events_of(described: Iterable[str | Mapping[str, Any]]) -> tuple[Event, ...]:
    """Events from their names, or from mappings of ``event`` and what is to differ from the usual."""
    if isinstance(described, (str, Mapping)):
        raise SettingError(f"events={described!r}: a list of events, not one")
    return tuple(_event(one) for one in described)


def _event(described: str | Mapping[str, Any]) -> Event:
    given = {"event": described} if isinstance(described, str) else described
    if not isinstance(given, Mapping) or "event" not in given:
        raise SettingError(f"events={described!r}: a name, or a mapping with the key 'event'")
    usual = EVENTS.get(given["event"]) if isinstance(given["event"], str) else None
    if usual is None:
        raise SettingError(f"event={given['event']!r}: no such event; there are {', '.join(EVENTS)}")
    changes = {key: _number(key, value) for key, value in given.items() if key != "event"}
    return Event(**{**usual._asdict(), **changes})


def _number(key: Any, value: Any) -> float:
    if key not in _RANGES:
        raise SettingError(f"{key}={value!r}: an event has no such key; there are {', '.join(Event._fields)}")
    low, high, allowed = _RANGES[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise SettingError(f"{key}={value!r}: must be {allowed}")
    return float(value)


class Shock:
    """What an event does to one symbol. ``number`` tells events of one market apart.

    ``begin`` and ``end`` are seconds of the source between which it changes prices.
    """

    def __init__(
        self, event: Event, start: float, number: int, draws: SymbolDraws, seed: int, symbol: str
    ) -> None:
        self._event = event
        self._draws = draws
        self._number = number
        self.begin = math.ceil((start + event.at) / MARK) * MARK
        self.end = self.begin + 5 * event.lasts + _AFTERMATH
        draw = Random(stream_key(seed, symbol, f"market/event/{number}"))
        self._strength = draw.uniform(0.85, 1.15)
        self._rate = draw.uniform(0.7, 1.5) * _EXTRA_TRADES

    def added(self, marks: Integers) -> Floats:
        """What is added to the logarithm of the price at these marks, each five seconds of the source."""
        since = marks - round(self.begin / MARK)
        fall = -math.log1p(-self._event.depth) * self._strength
        seconds = since * MARK
        falling = np.clip(seconds / self._event.lasts, 0.0, 1.0) ** 2
        back = np.clip((seconds - self._event.lasts) / (4 * self._event.lasts), 0.0, 1.0)
        noise = self._noise[np.clip(since, 0, len(self._noise) - 1)]
        return np.asarray(noise - fall * (falling - self._event.recovers * np.sqrt(back)), np.float64)

    def nervousness(self, marks: Integers) -> Floats:
        """At each mark: 0 before the event, 1 during the fall, less and less after it."""
        since = marks * MARK - self.begin
        return np.where(since < 0, 0.0, self._nervous(since))

    @cached_property
    def _noise(self) -> Floats:
        count = round((self.end - self.begin) / MARK)
        drawn = self._draws.normals("event", self._number, (count,))
        ordinary = _ORDINARY * math.sqrt(MARK / SESSION)
        changes = ordinary * _NERVOUSNESS * self._nervous(np.arange(count) * MARK) * drawn
        return np.concatenate(([0.0], np.cumsum(changes)))

    def _nervous(self, since: npt.NDArray[Any]) -> Floats:
        calm = np.maximum(0.0, since - self._event.lasts)
        return np.asarray(np.exp(-calm / _CALMING), np.float64)

    @cached_property
    def trades(self) -> Floats:
        """When there are trades that would not have been, in seconds of the source."""
        count = int((self.end - self.begin) / STEP)
        chances = self._rate * STEP * self._nervous(np.arange(count) * STEP)
        drawn = self._draws.uniforms("event trades", self._number, count)
        places = np.flatnonzero(drawn < chances)
        return self.begin + STEP * (places + drawn[places] / chances[places])
