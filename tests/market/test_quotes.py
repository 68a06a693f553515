"""A market keeps its guarantees: prices follow from the seed, are positive and are never crossed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.market import DEFAULT_SYMBOLS, Bar, Market, MarketTrade, Quote, UnknownSymbol
from pytest_nos_stress.market.source import Prices, SourceBar, SourceTrade


@dataclass
class Clock:
    """A clock that stands still until a test sets it."""

    time: float = 0.0

    def __call__(self) -> float:
        return self.time


def prices_over_time(market: Market, clock: Clock, symbol: str = "AAPL") -> list[float]:
    """Return the symbol's last price, once a second for ten minutes."""
    prices = []
    for second in range(600):
        clock.time = float(second)
        prices.append(market.quote(symbol).last)
    return prices


def test_a_market_has_the_given_symbols_or_the_default_ones() -> None:
    assert Market(["B", "A"]).symbols == ("B", "A")
    assert Market().symbols == DEFAULT_SYMBOLS


def test_a_quote_has_its_symbol_and_the_time_of_its_last_change() -> None:
    clock = Clock(1234.6)
    market = Market(["X"], clock=clock, start=1000.0)
    quote = market.quote("X")
    assert quote.symbol == "X"
    assert 1233.6 < quote.timestamp <= 1234.6
    clock.time = quote.timestamp
    assert market.quote("X") == quote


def test_a_quote_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Market(["X"]).quote("X").bid = 1.0  # type: ignore[misc]


def test_a_quote_can_be_pickled() -> None:
    quote = Quote("X", 1.0, 1.02, 1.01, 5.0)
    assert pickle.loads(pickle.dumps(quote)) == quote


@settings(deadline=None)
@given(
    seed=st.integers(),
    symbol=st.text(min_size=1),
    seconds=st.floats(min_value=-1e9, max_value=1e9),
)
def test_prices_are_positive_on_the_grid_and_never_crossed(seed: int, symbol: str, seconds: float) -> None:
    quote = Market([symbol], seed=seed, clock=lambda: seconds, start=0.0).quote(symbol)
    assert 0 < quote.bid < quote.ask
    assert quote.bid <= quote.last <= quote.ask
    for price in (quote.bid, quote.ask, quote.last):
        assert price == round(price, 2)


def test_one_seed_gives_the_same_prices_at_the_same_time_since_the_start() -> None:
    early, late = Clock(100.0), Clock(5000.0)
    first, second = Market(seed=7, clock=early), Market(seed=7, clock=late)
    early.time, late.time = 142.0, 5042.0
    for symbol in DEFAULT_SYMBOLS:
        assert first.quote(symbol)[:4] == second.quote(symbol)[:4]
        assert first.quote(symbol).timestamp + 4900.0 == second.quote(symbol).timestamp


def test_earlier_reads_do_not_change_prices() -> None:
    clock = Clock()
    read, unread = Market(seed=1, clock=clock), Market(seed=1, clock=clock)
    prices_over_time(read, clock)
    clock.time = 9.0
    assert read.quote("TSLA") == unread.quote("TSLA")


def test_another_seed_or_symbol_gives_other_prices() -> None:
    quotes = {
        Market([symbol], seed=seed, clock=lambda: 0.0).quote(symbol).last for seed in range(20) for symbol in "ABC"
    }
    assert len(quotes) > 50


def test_adding_a_symbol_changes_no_other_price() -> None:
    alone, together = Market(["A"], clock=lambda: 0.0), Market(["Z", "A"], clock=lambda: 0.0)
    assert alone.quote("A") == together.quote("A")


def test_prices_move_but_never_jump() -> None:
    clock = Clock()
    prices = prices_over_time(Market(seed=3, clock=clock), clock)
    assert len(set(prices)) > 20
    assert all(abs(after - before) < 0.01 * before for before, after in pairwise(prices))


def test_prices_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from pytest_nos_stress.market import Market\n"
        "market = Market(seed=5, clock=lambda: 17.0, start=0.0)\n"
        "print([market.quote(symbol) for symbol in market.symbols])"
    )
    path = os.pathsep.join(sys.path)
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1


def test_many_threads_read_the_same_prices() -> None:
    market = Market(seed=2, clock=lambda: 33.0, start=0.0)
    with ThreadPoolExecutor(8) as pool:
        quotes = set(pool.map(market.quote, ["AAPL"] * 1000))
    assert quotes == {market.quote("AAPL")}


def test_an_unknown_symbol_is_named_with_the_available_ones() -> None:
    with pytest.raises(UnknownSymbol, match=r"^unknown symbol 'XYZ'; available: A, B$") as caught:
        Market(["A", "B"]).quote("XYZ")
    assert isinstance(caught.value, LookupError)


def test_a_message_about_many_symbols_stays_short() -> None:
    with pytest.raises(UnknownSymbol, match=r"S0, S1, .* and 490 more$"):
        Market([f"S{number}" for number in range(500)]).quote("XYZ")


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ([], "at least one name"),
        ("AAPL", "symbols='AAPL': must be a list of names, got a single string"),
        (["A", "B", "A"], "duplicate symbol 'A'"),
        (["A", ""], "'' is not a name"),
        (["A", 5], "5 is not a name"),
    ],
)
def test_invalid_symbols_are_refused(symbols: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Market(symbols)


def test_quotes_of_the_past_and_the_future_are_the_same_as_at_their_time() -> None:
    clock = Clock()
    market = Market(seed=4, clock=clock)
    now = market.quote("AAPL")
    clock.time = 500.0
    later = market.quote("AAPL")
    assert market.quote_at("AAPL", 0.0) == now
    clock.time = 0.0
    assert market.quote_at("AAPL", 500.0) == later != now


def test_at_speed_60_a_minute_of_prices_passes_in_a_second() -> None:
    usual = Market(seed=4, clock=lambda: 0.0)
    fast = Market(seed=4, clock=lambda: 0.0, speed=60.0)
    assert fast.quote_at("AAPL", 10.0)[:4] == usual.quote_at("AAPL", 600.0)[:4]
    assert fast.quote_at("AAPL", 10.0).timestamp == pytest.approx(10.0, abs=1 / 60)
    assert [bar.start for bar in fast.bars("AAPL", 3, until=10.0)] == [7.0, 8.0, 9.0]


def test_the_last_trades_are_numbered_without_gaps_and_in_order() -> None:
    market = Market(seed=5, clock=lambda: 1000.0)
    trades = market.trades("AAPL", 500)
    assert len(trades) == 500
    assert [trade.sequence for trade in trades] == list(range(trades[0].sequence, trades[0].sequence + 500))
    assert [trade.timestamp for trade in trades] == sorted(trade.timestamp for trade in trades)
    assert all(trade.quantity > 0 and trade.symbol == "AAPL" for trade in trades)
    assert market.trades("AAPL", 20) == trades[-20:]
    assert market.trades("AAPL", 20, until=trades[-21].timestamp) == trades[-40:-20]


def test_a_trade_is_at_the_last_price_of_its_moment() -> None:
    market = Market(seed=5, clock=lambda: 0.0)
    for trade in market.trades("AAPL", 50, until=300.0):
        assert market.quote_at("AAPL", trade.timestamp).last == trade.price


def test_bars_are_the_last_complete_bars() -> None:
    market = Market(seed=6, clock=lambda: 0.0)
    bars = market.bars("AAPL", 5, 60.0, until=119.0)
    assert [bar.start for bar in bars] == [-240.0, -180.0, -120.0, -60.0, 0.0]
    assert market.bars("AAPL", 6, 60.0, until=120.0)[:5] == bars


def test_a_market_has_a_history_of_thirty_sessions() -> None:
    market = Market(seed=6, clock=lambda: 0.0)
    assert len(market.bars("AAPL", 100, 23_400.0)) == 30
    assert len(market.trades("AAPL", 5, until=-30.9 * 23_400.0)) < 5


def test_a_bar_agrees_with_the_quotes_and_trades_of_its_interval() -> None:
    market = Market(seed=6, clock=lambda: 0.0)
    (bar,) = market.bars("AAPL", 1, 60.0, until=60.0)
    quotes = [market.quote_at("AAPL", quarter / 4) for quarter in range(240)]
    prices = [bar.open, *(quote.last for quote in quotes)]
    assert (bar.high, bar.low, bar.close) == (max(prices), min(prices), prices[-1])
    trades = [trade for trade in market.trades("AAPL", 1000, until=60.0) if trade.timestamp > 0.0]
    assert bar.volume == sum(trade.quantity for trade in trades)


def test_the_repr_of_a_market_makes_an_equal_market() -> None:
    market = Market(
        ["A", "B"], "gjr", 7, clock=lambda: 50.0, speed=2.0, events=("crash", {"event": "flash_crash"})
    )
    again = eval(repr(market))
    assert repr(again) == repr(market)
    assert again.quote_at("B", 99.0) == market.quote_at("B", 99.0)


class Flat:
    """Recorded prices of one symbol that never move."""

    symbols: tuple[str, ...] = ("X",)

    def prices(self, symbol: str, seconds: float) -> Prices:
        return Prices(99, 101, 100)

    def updated(self, symbol: str, seconds: float) -> float:
        return 0.0

    def trades(self, symbol: str, after: float, until: float) -> list[SourceTrade]:
        return [SourceTrade(1, 10.0, 100, 5)] if after < 10.0 <= until else []

    def bars(self, symbol: str, start: float, interval: float, count: int) -> list[SourceBar]:
        return [SourceBar(start + interval * i, 100, 101, 99, 100, 7) for i in range(count)]

    def is_halted(self, symbol: str, seconds: float) -> bool:
        return seconds >= 50.0


def test_a_market_has_the_symbols_and_prices_of_its_source() -> None:
    market = Market(model=Flat(), clock=lambda: 1030.0, start=1000.0)
    assert market.symbols == ("X",)
    assert market.quote("X") == Quote("X", 0.99, 1.01, 1.0, 1000.0)
    assert market.trades("X") == [MarketTrade(1, "X", 1.0, 5, 1010.0)]
    assert market.bars("X", interval=20.0) == [Bar("X", 1000.0, 1.0, 1.01, 0.99, 1.0, 7)]
    assert not market.is_halted("X")
    assert market.is_halted("X", at=1050.0)


@pytest.mark.parametrize("method", [Market.trades, Market.bars, Market.is_halted])
def test_every_method_names_an_unknown_symbol(method: Callable[[Market, str], object]) -> None:
    with pytest.raises(UnknownSymbol, match="unknown symbol 'XYZ'"):
        method(Market(["A"]), "XYZ")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Market(model="brownian"),
            "^model='brownian': unknown model; must be one of equity, gjr, bates, calm$",
        ),
        (
            lambda: Market(model=5),  # type: ignore[arg-type]
            "^model=5: unknown model",
        ),
        (lambda: Market(speed=0), "^speed=0: must be a number above 0$"),
        (lambda: Market(speed=float("nan")), "^speed=nan: must be"),
        (
            lambda: Market(["A"], Flat()),
            r"^symbols=\['A'\]: must be those of the recorded prices \(X\) or left out$",
        ),
        (lambda: Market(model=Flat(), events=("crash",)), "only a model has events"),
        (lambda: Market().bars("AAPL", interval=0), "^interval=0: must be"),
        (lambda: Market().bars("AAPL", interval=0.1), "^interval=0.1: .* multiple of 0.25 seconds with a model$"),
        (lambda: Market().bars("AAPL", -1), "^count=-1: must be 0 or more$"),
        (lambda: Market().trades("AAPL", -1), "^count=-1: must be 0 or more$"),
    ],
)
def test_an_invalid_argument_is_a_one_line_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
