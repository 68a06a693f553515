"""Crashes and flash crashes: price changes that begin at a given moment.

Guarantees: an event adds to the logarithm of a price from its beginning on, so earlier prices do not change. The
event ends, and its total change stays. It begins at its time ``at``, rounded up to five seconds. The whole market
falls, each symbol by its own amount. The market is nervous during the fall and for about half a session after it:
prices move more, spreads are wider and trades are more frequent.

Sources: the depth and duration of a flash crash are those of 6 May 2010 (CFTC and SEC report, 30 September 2010).
The slow decay of volatility after a crash: Lillo and Mantegna (2003).
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

from .intraday import POINT_INTERVAL, QUOTE_INTERVAL
from .rng import Floats, Integers, SymbolDraws
from .sessions import SESSION_SECONDS

_AFTERMATH_SECONDS = 2 * SESSION_SECONDS
_CALMING_SECONDS = SESSION_SECONDS / 2
_VOLATILITY_MULTIPLIER = 2.0
_EXTRA_TRADES_RATE = 2.0
_BASE_VOLATILITY = 0.0115


class Event(NamedTuple):
    """A fall of the whole market.

    ``at``: seconds of market time after the market's start. ``depth``: the fall, as a fraction. ``lasts``: seconds
    from the beginning to the lowest point. ``recovers``: the fraction of the fall that is recovered, in four times
    as many seconds.
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
"""The events and their default parameters, by name."""

_RANGES: Final = {
    "at": (0.0, 1e9, "0 to 1e9 seconds"),
    "depth": (0.0, 0.95, "0 to 0.95"),
    "lasts": (POINT_INTERVAL, SESSION_SECONDS, "5 to 23400 seconds"),
    "recovers": (0.0, 1.0, "0 to 1"),
}


def events_of(described: Iterable[str | Mapping[str, Any]]) -> tuple[Event, ...]:
    """Make events from their names, or from mappings of ``event`` (the name) and parameters that differ.

    Raises ``SettingError`` for an unknown event or an invalid parameter.
    """
    if isinstance(described, (str, Mapping)):
        raise SettingError(f"events={described!r}: must be a list of events, got a single event")
    return tuple(map(_event, described))


def _event(described: str | Mapping[str, Any]) -> Event:
    parameters = {"event": described} if isinstance(described, str) else described
    if not isinstance(parameters, Mapping) or "event" not in parameters:
        raise SettingError(f"events={described!r}: must be a name, or a mapping with the key 'event'")
    default = EVENTS.get(parameters["event"]) if isinstance(parameters["event"], str) else None
    if default is None:
        raise SettingError(f"event={parameters['event']!r}: unknown event; must be one of {', '.join(EVENTS)}")
    changes = {key: _number(key, value) for key, value in parameters.items() if key != "event"}
    return Event(**{**default._asdict(), **changes})


def _number(key: Any, value: Any) -> float:
    if key not in _RANGES:
        raise SettingError(f"{key}={value!r}: unknown key of an event; allowed: {', '.join(Event._fields)}")
    low, high, allowed = _RANGES[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise SettingError(f"{key}={value!r}: must be {allowed}")
    return float(value)


class Shock:
    """The effect of an event on one symbol.

    ``number``: the event's index in its market. ``begin`` and ``end``: seconds of the source between which the
    event changes prices.
    """

    def __init__(
        self, event: Event, start: float, number: int, draws: SymbolDraws, seed: int, symbol: str
    ) -> None:
        self._event = event
        self._draws = draws
        self._number = number
        self.begin = math.ceil((start + event.at) / POINT_INTERVAL) * POINT_INTERVAL
        self.end = self.begin + 5 * event.lasts + _AFTERMATH_SECONDS
        draw = Random(stream_key(seed, symbol, f"market/event/{number}"))
        self._strength = draw.uniform(0.85, 1.15)
        self._trade_rate = draw.uniform(0.7, 1.5) * _EXTRA_TRADES_RATE

    def log_price_change(self, points: Integers) -> Floats:
        """Return the change of the log price at these points. The source has a point every five seconds."""
        since = points - round(self.begin / POINT_INTERVAL)
        fall = -math.log1p(-self._event.depth) * self._strength
        seconds = since * POINT_INTERVAL
        falling = np.clip(seconds / self._event.lasts, 0.0, 1.0) ** 2
        recovery = np.clip((seconds - self._event.lasts) / (4 * self._event.lasts), 0.0, 1.0)
        noise = self._noise[np.clip(since, 0, len(self._noise) - 1)]
        return np.asarray(noise - fall * (falling - self._event.recovers * np.sqrt(recovery)), np.float64)

    def intensity(self, points: Integers) -> Floats:
        """Return the event's intensity at each point: 0 before it, 1 during the fall, then decaying."""
        since = points * POINT_INTERVAL - self.begin
        return np.where(since < 0, 0.0, self._intensity(since))

    @cached_property
    def _noise(self) -> Floats:
        count = round((self.end - self.begin) / POINT_INTERVAL)
        drawn = self._draws.normals("event", self._number, (count,))
        base = _BASE_VOLATILITY * math.sqrt(POINT_INTERVAL / SESSION_SECONDS)
        changes = base * _VOLATILITY_MULTIPLIER * self._intensity(np.arange(count) * POINT_INTERVAL) * drawn
        return np.concatenate(([0.0], np.cumsum(changes)))

    def _intensity(self, since: npt.NDArray[Any]) -> Floats:
        calm = np.maximum(0.0, since - self._event.lasts)
        return np.asarray(np.exp(-calm / _CALMING_SECONDS), np.float64)

    @cached_property
    def trades(self) -> Floats:
        """The times of the additional trades, in seconds of the source."""
        count = int((self.end - self.begin) / QUOTE_INTERVAL)
        chances = self._trade_rate * QUOTE_INTERVAL * self._intensity(np.arange(count) * QUOTE_INTERVAL)
        drawn = self._draws.uniforms("event trades", self._number, count)
        hits = np.flatnonzero(drawn < chances)
        return self.begin + QUOTE_INTERVAL * (hits + drawn[hits] / chances[hits])
