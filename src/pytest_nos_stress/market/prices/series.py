"""The prices of one symbol of a model, computed on demand and cached.

Guarantees: bars, trades and quotes agree. A bar's high and low are those of its path, its volume is that of its
trades, and long bars are made of the same prices as short ones. No result depends on earlier calls.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress.market.source import Prices, SourceTrade

from .bars import OhlcvColumns
from .events import Event, Shock
from .halts import Halt, apply_halts
from .intraday import (
    MINUTES_PER_SESSION,
    POINT_INTERVAL,
    POINTS_PER_HALF_HOUR,
    POINTS_PER_MINUTE,
    POINTS_PER_SESSION,
    QUOTE_INTERVAL,
    QUOTES_PER_MINUTE,
    path_of,
    quotes_of,
    ticks,
)
from .orderflow import Flow, flow_of
from .rng import Bools, BoundedCache, CommonFactor, Floats, Integers
from .sessions import HALF_HOURS_PER_SESSION, LAST_SESSION, SESSION_SECONDS, Sessions, u_shape
from .volatility import Model

QUOTES_PER_SECOND: Final = round(1 / QUOTE_INTERVAL)

_SPREAD_WIDENING = 8.0
_MINUTE = 60.0


class SessionPath(NamedTuple):
    """A session with events and halts: log prices every five seconds, volatility of each minute, halts."""

    log_prices: Floats
    volatility: Floats
    halts: tuple[Halt, ...]


class Series:
    """The prices of one symbol of a model. ``start``: seconds of the source at which the market starts."""

    def __init__(
        self, model: Model, symbol: str, common: CommonFactor, events: tuple[Event, ...], start: float
    ) -> None:
        self._model = model
        self._sessions = Sessions(model, symbol, common)
        self._draws = self._sessions.draws
        self._shocks = [
            Shock(event, start, number, self._draws, common.seed, symbol) for number, event in enumerate(events)
        ]
        self._paths: BoundedCache[int, SessionPath] = BoundedCache(8)
        self._flows: BoundedCache[int, Flow] = BoundedCache(4)
        self._quotes: BoundedCache[int, list[Prices]] = BoundedCache(4)
        self.recent_quotes = self._quotes.values

    def quotes(self, minute: int) -> list[Prices]:
        """Return the quotes of a minute of the source, four a second."""
        return self._quotes.get(minute, self._make_quotes)

    def session(self, number: int) -> SessionPath:
        """Return the path of a session."""
        return self._paths.get(number, self._make_path)

    def bars(self, start: float, interval: float, count: int) -> OhlcvColumns:
        """Return ``count`` bars of ``interval`` seconds, aggregated from the longest intervals that fit."""
        unit = next(
            unit
            for unit in (SESSION_SECONDS, POINT_INTERVAL, QUOTE_INTERVAL)
            if start % unit == 0 and interval % unit == 0
        )
        size, first = round(interval / unit), round(start / unit)
        last = first + size * count
        if unit == SESSION_SECONDS:
            return self._whole_sessions(first, last).aggregated(size)
        part_size = POINTS_PER_SESSION if unit == POINT_INTERVAL else QUOTES_PER_MINUTE
        bars_of = self._bars_of_session if unit == POINT_INTERVAL else self._bars_of_minute
        numbers = range(first // part_size, -(-last // part_size))
        begin = first - numbers.start * part_size
        return (
            OhlcvColumns.concatenated([bars_of(number) for number in numbers])
            .rows(begin, begin + size * count)
            .aggregated(size)
        )

    def trades(self, after: float, until: float) -> list[SourceTrade]:
        """Return the trades with ``after < seconds <= until``, in order."""
        trades = []
        for session in range(
            max(0, int(after // SESSION_SECONDS)), min(int(until // SESSION_SECONDS), LAST_SESSION) + 1
        ):
            flow = self._flow(session)
            seconds = session * SESSION_SECONDS + flow.seconds
            first, last = np.searchsorted(seconds, (after, until), side="right").tolist()
            number = self._trades_before(session) + first
            for moment, quantity in zip(
                seconds[first:last].tolist(), flow.quantities[first:last].tolist(), strict=True
            ):
                number += 1
                minute, step = divmod(int(moment * QUOTES_PER_SECOND), QUOTES_PER_MINUTE)
                trades.append(SourceTrade(number, moment, self.quotes(minute)[step].last, quantity))
        return trades

    def _whole_sessions(self, first: int, last: int) -> OhlcvColumns:
        parts = []
        while first < last:
            block = self._sessions.block_of(first)
            next_first = min(last, block.first + len(block.log_prices))
            parts.append(self._sessions_by_half_hours(first, next_first))
            first = next_first
        return OhlcvColumns.concatenated(parts)

    def _sessions_by_half_hours(self, first: int, last: int) -> OhlcvColumns:
        block = self._sessions.block_of(first)
        rows = slice(first - block.first, last - block.first)
        points = POINTS_PER_SESSION * np.arange(first, last)[:, None] + POINTS_PER_HALF_HOUR * np.arange(
            HALF_HOURS_PER_SESSION + 1
        )
        prices = ticks(block.log_prices[rows] + self._log_price_change(points))
        bars = OhlcvColumns(
            prices[:, 0].copy(),
            prices.max(axis=1),
            prices.min(axis=1),
            prices[:, -1].copy(),
            block.volume[rows].copy(),
        )
        # Half hours show neither the effect of a halt nor the depth of an event between two of them.
        for session in (first + np.flatnonzero(block.sudden[rows] | self._has_event(first, last))).tolist():
            path = ticks(self.session(session).log_prices)
            volume = block.volume[session - block.first] + self._extra_volume(session)
            values_of_session = (path[0], path.max(), path.min(), path[-1], volume)
            for column, value in zip(bars, values_of_session, strict=True):
                column[session - first] = value
        return bars

    def _has_event(self, first: int, last: int) -> Bools:
        begins = SESSION_SECONDS * np.arange(first, last)
        eventful = np.zeros(last - first, np.bool_)
        for shock in self._shocks:
            eventful |= (begins < shock.end) & (begins + SESSION_SECONDS > shock.begin)
        return eventful

    def _bars_of_session(self, session: int) -> OhlcvColumns:
        prices, flow = ticks(self.session(session).log_prices), self._flow(session)
        before, after = prices[:-1], prices[1:]
        volume = np.bincount(
            (flow.seconds / POINT_INTERVAL).astype(np.int64), flow.quantities, POINTS_PER_SESSION
        ).astype(np.int64)
        return OhlcvColumns(before, np.maximum(before, after), np.minimum(before, after), after, volume)

    def _bars_of_minute(self, minute: int) -> OhlcvColumns:
        session, minute_of_session = divmod(minute, MINUTES_PER_SESSION)
        after = np.array([prices.last for prices in self.quotes(minute)])
        opening = ticks(self.session(session).log_prices[minute_of_session * POINTS_PER_MINUTE])
        before = np.concatenate(([opening], after[:-1]))
        flow = self._flow(session)
        begin = minute_of_session * _MINUTE
        first, last = np.searchsorted(flow.seconds, (begin, begin + _MINUTE))
        steps = ((flow.seconds[first:last] - begin) / QUOTE_INTERVAL).astype(np.int64)
        volume = np.bincount(steps, flow.quantities[first:last], QUOTES_PER_MINUTE).astype(np.int64)
        return OhlcvColumns(before, np.maximum(before, after), np.minimum(before, after), after, volume)

    def _make_path(self, session: int) -> SessionPath:
        block = self._sessions.block_of(session)
        row = session - block.first
        path = path_of(self._draws, self._model, session, block.log_prices[row], float(block.volatility[row]))
        log_prices = path.log_prices + self._log_price_change(
            session * POINTS_PER_SESSION + np.arange(POINTS_PER_SESSION + 1)
        )
        halts: tuple[Halt, ...] = ()
        begin = self._first_point_with_halts(session, bool(block.sudden[row]))
        if begin is not None:
            log_prices, halts = apply_halts(log_prices, begin)
        return SessionPath(log_prices, path.volatility, halts)

    def _first_point_with_halts(self, session: int, sudden: bool) -> int | None:
        """Return the first point at which a halt can begin; None if the session has no halts.

        It is the open after a sudden move, otherwise the beginning of the first event.
        """
        if sudden:
            return 0
        begins = [
            max(0, round((shock.begin - session * SESSION_SECONDS) / POINT_INTERVAL))
            for shock in self._shocks
            if shock.begin < (session + 1) * SESSION_SECONDS and shock.end > session * SESSION_SECONDS
        ]
        return min(begins, default=None)

    def _make_quotes(self, minute: int) -> list[Prices]:
        session, minute_of_session = divmod(minute, MINUTES_PER_SESSION)
        path, first = self.session(session), minute_of_session * POINTS_PER_MINUTE
        volatility = float(path.volatility[minute_of_session])
        points = session * POINTS_PER_SESSION + first + np.arange(POINTS_PER_MINUTE)
        intensity = sum((shock.intensity(points) for shock in self._shocks), np.zeros(POINTS_PER_MINUTE))
        parameters = self._sessions.parameters
        ordinary = (
            parameters.volatility
            * self._model.daily.level
            * u_shape(MINUTES_PER_SESSION)[minute_of_session]
            / math.sqrt(MINUTES_PER_SESSION)
        )
        spread = parameters.spread * math.sqrt(volatility / ordinary) * (1.0 + _SPREAD_WIDENING * intensity)
        return quotes_of(
            self._draws,
            minute,
            path.log_prices[first : first + POINTS_PER_MINUTE + 1],
            volatility,
            spread,
        )

    def _flow(self, session: int) -> Flow:
        return self._flows.get(session, self._make_flow)

    def _make_flow(self, session: int) -> Flow:
        block, path = self._sessions.block_of(session), self.session(session)
        trades, volume = (int(column[session - block.first]) for column in (block.trades, block.volume))
        extra = self._extra_trades(session)
        return flow_of(self._draws, session, trades, volume, path.volatility, extra, path.halts)

    def _extra_trades(self, session: int) -> Floats:
        """Return the times of the trades that events add, in seconds of the session."""
        begin = session * SESSION_SECONDS
        times = [
            shock.trades[slice(*np.searchsorted(shock.trades, (begin, begin + SESSION_SECONDS)))] - begin
            for shock in self._shocks
        ]
        return np.concatenate((*times, np.empty(0)))

    def _extra_volume(self, session: int) -> int:
        block = self._sessions.block_of(session)
        row = session - block.first
        return len(self._extra_trades(session)) * int(block.volume[row] // block.trades[row])

    def _trades_before(self, session: int) -> int:
        block = self._sessions.block_of(session)
        extra = sum(int(np.searchsorted(shock.trades, session * SESSION_SECONDS)) for shock in self._shocks)
        return int(block.trades_before[session - block.first]) + extra

    def _log_price_change(self, points: Integers) -> Floats:
        return sum((shock.log_price_change(points) for shock in self._shocks), np.zeros(points.shape))
