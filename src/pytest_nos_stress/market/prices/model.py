"""A model of a market: prices as a function of seed, symbol and time.

Guarantees: a call gives the same result in any process, in any order and from any thread, whatever other symbols
the market has. Reading takes no lock. Computed prices are cached in bounded memory.

Prices are computed in three steps: sessions (``sessions``), then a path of five-second points within a session
(``intraday``), then four quotes a second between the points. So a year of daily bars needs no path, and a quote
needs the path of only one session.
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
"""Seconds of prices before the market's start: thirty sessions and the first hour of the next session."""

END: Final = (LAST_SESSION + 1) * SESSION_SECONDS
"""The end of the model, in seconds of the source. Later times have the last prices."""


class ModelSource:
    """A ``PriceSource`` that computes prices from a model.

    ``symbols``: names. ``model``: the name of one of ``MODELS``, or a ``Model``. ``seed``: decides all prices.
    ``events``: names or mappings for ``events_of``. Raises ``SettingError`` for an unknown model or event.
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
        parameters, common = _model_of(model), CommonFactor(seed)
        self._series = {
            symbol: Series(parameters, symbol, common, self.events, HISTORY) for symbol in self.symbols
        }

    def prices(self, symbol: str, seconds: float) -> Prices:
        """Return the symbol's prices at this moment."""
        if not 0.0 <= seconds < END:
            seconds = _within(seconds)
        series = self._series[symbol]
        minute, step = divmod(int(seconds * QUOTES_PER_SECOND), QUOTES_PER_MINUTE)
        quotes = series.recent_quotes.get(minute)
        return (quotes or series.quotes(minute))[step]

    def updated(self, symbol: str, seconds: float) -> float:  # noqa: ARG002
        """Return the time of the last price change. Prices change every 0.25 s."""
        return seconds - seconds % QUOTE_INTERVAL

    def trades(self, symbol: str, after: float, until: float) -> list[SourceTrade]:
        """Return the trades with ``after < seconds <= until``, in order."""
        return self._series[symbol].trades(max(after, -1.0), _within(until))

    def bars(self, symbol: str, start: float, interval: float, count: int) -> list[SourceBar]:
        """Return ``count`` successive bars.

        Raises ``SettingError`` unless ``start`` and ``interval`` are multiples of 0.25 s within the model's time.
        """
        if not interval > 0 or interval % QUOTE_INTERVAL or start % QUOTE_INTERVAL:
            raise SettingError(
                f"interval={interval!r}: must be a multiple of {QUOTE_INTERVAL} seconds with a model"
            )
        if not 0.0 <= start <= start + interval * count <= END:
            raise SettingError(f"start={start!r}: bars of a model must lie between 0 and {END:.0f} seconds")
        if count < 1:
            return []
        columns = self._series[symbol].bars(start, interval, count)
        starts = start + interval * np.arange(count)
        return list(map(SourceBar, starts.tolist(), *(column.tolist() for column in columns)))

    def is_halted(self, symbol: str, seconds: float) -> bool:
        """Return True if trading is halted (limit up, limit down) at this moment."""
        session, within = divmod(_within(seconds), SESSION_SECONDS)
        halts = self._series[symbol].session(int(session)).halts
        return any(halt.first * POINT_INTERVAL <= within < halt.last * POINT_INTERVAL for halt in halts)


def _within(seconds: float) -> float:
    return min(max(seconds, 0.0), END - QUOTE_INTERVAL)


def _model_of(model: str | Model) -> Model:
    if isinstance(model, Model):
        return model
    named = MODELS.get(model) if isinstance(model, str) else None
    if named is None:
        raise SettingError(f"model={model!r}: unknown model; must be one of {', '.join(MODELS)}")
    return named
