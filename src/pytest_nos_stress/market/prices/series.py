"""One symbol of a model: what is made of it when somebody asks, and kept for a while.

Guarantees: bars, trades and quotes agree. A bar's high and low are those of its path, its volume is that of its
trades, and long bars are made of the same prices as short ones. Nothing depends on what was asked before.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress.market.source import Prices, SourceTrade

from .bars import OhlcvColumns
from .events import Event, Shock
from .halts import Halt, halted
from .intraday import (
    MARK,
    MARKS,
    MARKS_A_HALF_HOUR,
    MARKS_A_MINUTE,
    MINUTES,
    STEP,
    STEPS_A_MINUTE,
    path_of,
    quotes_of,
    ticks,
)
from .orderflow import Flow, flow_of
from .rng import Bools, BoundedCache, CommonFactor, Floats, Integers
from .sessions import HALF_HOURS, LAST_SESSION, SESSION, Sessions, u_shape
from .volatility import Model

STEPS_A_SECOND: Final = round(1 / STEP)

_WIDENING = 8.0
_MINUTE = 60.0


class SessionPath(NamedTuple):
    """A session as it can be seen: five-second marks, each minute's volatility, halts."""

    marks: Floats
    volatility: Floats
    halts: tuple[Halt, ...]


class Series:
    """One symbol under a model. ``start``: seconds of the source at which the market starts."""

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
        self.recent_quotes = self._quotes.made

    def quotes(self, minute: int) -> list[Prices]:
        """The quotes of a minute of the source, four a second."""
        return self._quotes.get(minute, self._make_quotes)

    def session(self, number: int) -> SessionPath:
        """The path of a session."""
        return self._paths.get(number, self._make_path)

    def bars(self, start: float, interval: float, count: int) -> OhlcvColumns:
        """Bars, made of the longest intervals that they are multiples of."""
        unit = next(unit for unit in (SESSION, MARK, STEP) if start % unit == 0 and interval % unit == 0)
        size, first = round(interval / unit), round(start / unit)
        last = first + size * count
        if unit == SESSION:
            return self._whole_sessions(first, last).merged(size)
        a_part = MARKS if unit == MARK else STEPS_A_MINUTE
        part_of = self._steps_of_session if unit == MARK else self._steps_of_minute
        numbers = range(first // a_part, -(-last // a_part))
        begin = first - numbers.start * a_part
        return (
            OhlcvColumns.joined([part_of(number) for number in numbers])
            .part(begin, begin + size * count)
            .merged(size)
        )

    def trades(self, after: float, until: float) -> list[SourceTrade]:
        """The trades in that time."""
        found = []
        for session in range(max(0, int(after // SESSION)), min(int(until // SESSION), LAST_SESSION) + 1):
            flow = self._flow(session)
            seconds = session * SESSION + flow.seconds
            first, last = np.searchsorted(seconds, (after, until), side="right").tolist()
            number = self._trades_before(session) + first
            for moment, quantity in zip(
                seconds[first:last].tolist(), flow.quantities[first:last].tolist(), strict=True
            ):
                number += 1
                minute, step = divmod(int(moment * STEPS_A_SECOND), STEPS_A_MINUTE)
                found.append(SourceTrade(number, moment, self.quotes(minute)[step].last, quantity))
        return found

    def _whole_sessions(self, first: int, last: int) -> OhlcvColumns:
        parts = []
        while first < last:
            block = self._sessions.block_of(first)
            next_first = min(last, block.first + len(block.marks))
            parts.append(self._sessions_by_half_hours(first, next_first))
            first = next_first
        return OhlcvColumns.joined(parts)

    def _sessions_by_half_hours(self, first: int, last: int) -> OhlcvColumns:
        block = self._sessions.block_of(first)
        rows = slice(first - block.first, last - block.first)
        marks = MARKS * np.arange(first, last)[:, None] + MARKS_A_HALF_HOUR * np.arange(HALF_HOURS + 1)
        prices = ticks(block.marks[rows] + self._added(marks))
        steps = OhlcvColumns(
            prices[:, 0].copy(),
            prices.max(axis=1),
            prices.min(axis=1),
            prices[:, -1].copy(),
            block.volume[rows].copy(),
        )
        # Half hours do not show what a halt hides, nor how deep an event went between them.
        for session in (first + np.flatnonzero(block.sudden[rows] | self._eventful(first, last))).tolist():
            seen = ticks(self.session(session).marks)
            volume = block.volume[session - block.first] + self._extra_volume(session)
            whole = (seen[0], seen.max(), seen.min(), seen[-1], volume)
            for column, value in zip(steps, whole, strict=True):
                column[session - first] = value
        return steps

    def _eventful(self, first: int, last: int) -> Bools:
        begins = SESSION * np.arange(first, last)
        eventful = np.zeros(last - first, np.bool_)
        for shock in self._shocks:
            eventful |= (begins < shock.end) & (begins + SESSION > shock.begin)
        return eventful

    def _steps_of_session(self, session: int) -> OhlcvColumns:
        prices, flow = ticks(self.session(session).marks), self._flow(session)
        before, after = prices[:-1], prices[1:]
        volume = np.bincount((flow.seconds / MARK).astype(np.int64), flow.quantities, MARKS).astype(np.int64)
        return OhlcvColumns(before, np.maximum(before, after), np.minimum(before, after), after, volume)

    def _steps_of_minute(self, minute: int) -> OhlcvColumns:
        session, place = divmod(minute, MINUTES)
        after = np.array([prices.last for prices in self.quotes(minute)])
        opening = ticks(self.session(session).marks[place * MARKS_A_MINUTE])
        before = np.concatenate(([opening], after[:-1]))
        flow = self._flow(session)
        first, last = np.searchsorted(flow.seconds, (place * _MINUTE, (place + 1) * _MINUTE))
        steps = ((flow.seconds[first:last] - place * _MINUTE) / STEP).astype(np.int64)
        volume = np.bincount(steps, flow.quantities[first:last], STEPS_A_MINUTE).astype(np.int64)
        return OhlcvColumns(before, np.maximum(before, after), np.minimum(before, after), after, volume)

    def _make_path(self, session: int) -> SessionPath:
        block = self._sessions.block_of(session)
        row = session - block.first
        path = path_of(self._draws, self._model, session, block.marks[row], float(block.volatility[row]))
        marks = path.marks + self._added(session * MARKS + np.arange(MARKS + 1))
        halts: tuple[Halt, ...] = ()
        begin = self._halts_possible_from(session, bool(block.sudden[row]))
        if begin is not None:
            marks, halts = halted(marks, begin)
        return SessionPath(marks, path.volatility, halts)

    def _halts_possible_from(self, session: int, sudden: bool) -> int | None:
        """The mark of the session from which on there may be halts: from its open, or from an event on."""
        if sudden:
            return 0
        begins = [
            max(0, round((shock.begin - session * SESSION) / MARK))
            for shock in self._shocks
            if shock.begin < (session + 1) * SESSION and shock.end > session * SESSION
        ]
        return min(begins, default=None)

    def _make_quotes(self, minute: int) -> list[Prices]:
        session, place = divmod(minute, MINUTES)
        path, first = self.session(session), place * MARKS_A_MINUTE
        volatility = float(path.volatility[place])
        marks = session * MARKS + first + np.arange(MARKS_A_MINUTE)
        nervous = sum((shock.nervousness(marks) for shock in self._shocks), np.zeros(MARKS_A_MINUTE))
        character = self._sessions.character
        ordinary = character.volatility * self._model.daily.level * u_shape(MINUTES)[place] / math.sqrt(MINUTES)
        spread = character.spread * math.sqrt(volatility / ordinary) * (1.0 + _WIDENING * nervous)
        return quotes_of(
            self._draws,
            minute,
            path.marks[first : first + MARKS_A_MINUTE + 1],
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
        """When events add trades, in seconds of the session."""
        begin = session * SESSION
        found = [
            shock.trades[slice(*np.searchsorted(shock.trades, (begin, begin + SESSION)))] - begin
            for shock in self._shocks
        ]
        return np.concatenate((*found, np.empty(0)))

    def _extra_volume(self, session: int) -> int:
        block = self._sessions.block_of(session)
        row = session - block.first
        return len(self._extra_trades(session)) * int(block.volume[row] // block.trades[row])

    def _trades_before(self, session: int) -> int:
        block = self._sessions.block_of(session)
        extra = sum(int(np.searchsorted(shock.trades, session * SESSION)) for shock in self._shocks)
        return int(block.trades_before[session - block.first]) + extra

    def _added(self, marks: Integers) -> Floats:
        return sum((shock.added(marks) for shock in self._shocks), np.zeros(marks.shape))
