"""A market that is a model: prices as a function of seed, symbol and time.

Guarantees: the same answer to the same question in any process, in any order, from any thread, and whatever other
symbols there are. Reading takes no lock; what is made stays for a while, in bounded memory.

The choice made: sessions first (``sessions``), then a path of five-second points fitted into each
(``intraday``), then four quotes a second between the points. So a year of sessions needs none of their seconds,
and a quote needs no year.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.market.source import Prices, SourceBar, SourceTrade

from .events import events_of
from .intraday import POINT_INTERVAL, QUOTE_INTERVAL, QUOTES_PER_MINUTE
from .rng import CommonFactor
from .series import QUOTES_PER_SECOND, Series
from .sessions import LAST_SESSION, SESSION_SECONDS
from .volatility import MODELS, Model

HISTORY: Final = 30 * SESSION_SECONDS + 3600.0
"""Seconds of prices before the market's start: thirty sessions and the first hour of the next."""

END: Final = (LAST_SESSION + 1) * SESSION_SECONDS
"""Later times have the last prices."""


class ModelSource:
    """A ``PriceSource`` that is a model.

    ``symbols``: names. ``model``: one of ``MODELS``, or a ``Model``. ``seed``: decides everything. ``events``:
    names or mappings, as ``events_of`` reads them. Raises ``SettingError`` for a model or an event that is none.
    """

    history = HISTORY

    def __init__(
        self,
        symbols: Iterable[str],
        model: str | Model = "equity",
        seed: int = 0,
        events: Iterable[str | Mapping[str, Any]] = (),
    ) -> None:
        self.symbols = tuple(symbols)
        self.events = events_of(events)
        chosen, common = _model_of(model), CommonFactor(seed)
        self._series = {symbol: Series(chosen, symbol, common, self.events, HISTORY) for symbol in self.symbols}

    def prices(self, symbol: str, seconds: float) -> Prices:
        """The symbol's prices at this moment."""
        if not 0.0 <= seconds < END:
            seconds = _within(seconds)
        series = self._series[symbol]
        minute, step = divmod(int(seconds * QUOTES_PER_SECOND), QUOTES_PER_MINUTE)
        quotes = series.recent_quotes.get(minute)
        return (quotes or series.quotes(minute))[step]

    def updated(self, symbol: str, seconds: float) -> float:  # noqa: ARG002
        """When these prices came to be: a quote stands for 0.25 s."""
        return seconds - seconds % QUOTE_INTERVAL

    def trades(self, symbol: str, after: float, until: float) -> list[SourceTrade]:
        """The trades with ``after < seconds <= until``, in order."""
        return self._series[symbol].trades(max(after, -1.0), _within(until))

    def bars(self, symbol: str, start: float, interval: float, count: int) -> list[SourceBar]:
        """``count`` bars in order. Raises ``SettingError`` unless they begin and last a multiple of 0.25 s."""
        if not interval > 0 or interval % QUOTE_INTERVAL or start % QUOTE_INTERVAL:
            raise SettingError(
                f"interval={interval!r}: bars of a model last a multiple of {QUOTE_INTERVAL} seconds"
            )
        if not 0.0 <= start <= start + interval * count <= END:
            raise SettingError(f"start={start!r}: bars of a model lie between 0 and {END:.0f} seconds")
        if count < 1:
            return []
        columns = self._series[symbol].bars(start, interval, count)
        starts = start + interval * np.arange(count)
        return list(map(SourceBar, starts.tolist(), *(column.tolist() for column in columns)))

    def is_halted(self, symbol: str, seconds: float) -> bool:
        """Whether trading is apply_halts: limit up or limit down."""
        session, within = divmod(_within(seconds), SESSION_SECONDS)
        halts = self._series[symbol].session(int(session)).halts
        return any(halt.first * POINT_INTERVAL <= within < halt.last * POINT_INTERVAL for halt in halts)


def _within(seconds: float) -> float:
    return min(max(seconds, 0.0), END - QUOTE_INTERVAL)


def _model_of(model: str | Model) -> Model:
    if isinstance(model, Model):
        return model
    known = MODELS.get(model) if isinstance(model, str) else None
    if known is None:
        raise SettingError(f"model={model!r}: no such model; there are {', '.join(MODELS)}")
    return known
