"""What agents can rely on when they ask a market for a price."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress.market import DEFAULT_SYMBOLS, Market, Quote, UnknownSymbol


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    time: float = 0.0

    def __call__(self) -> float:
        return self.time


def prices_over_time(market: Market, clock: Clock, symbol: str = "AAPL") -> list[float]:
    """The symbol's last price, once a second for ten minutes."""
    prices = []
    for second in range(600):
        clock.time = float(second)
        prices.append(market.quote(symbol).last)
    return prices


def test_a_market_has_the_symbols_it_was_given() -> None:
    assert Market(["B", "A"]).symbols == ("B", "A")
    assert Market().symbols == DEFAULT_SYMBOLS


def test_a_quote_has_its_symbol_and_the_time_of_the_clock() -> None:
    quote = Market(["X"], clock=lambda: 1234.5).quote("X")
    assert (quote.symbol, quote.timestamp) == ("X", 1234.5)


def test_a_quote_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Market(["X"]).quote("X").bid = 1.0  # type: ignore[misc]


def test_a_quote_survives_the_way_to_another_process() -> None:
    quote = Quote("X", 1.0, 1.02, 1.01, 5.0)
    assert pickle.loads(pickle.dumps(quote)) == quote


@settings(deadline=None)
@given(
    seed=st.integers(),
    symbol=st.text(min_size=1),
    seconds=st.floats(min_value=-1e9, max_value=1e9),
)
def test_prices_are_positive_on_the_grid_and_never_crossed(seed: int, symbol: str, seconds: float) -> None:
    quote = Market([symbol], seed, clock=lambda: seconds, start=0.0).quote(symbol)
    assert 0 < quote.bid < quote.ask
    assert quote.bid <= quote.last <= quote.ask
    for price in (quote.bid, quote.ask, quote.last):
        assert price == round(price, 2)


def test_one_seed_gives_the_same_prices_at_the_same_time_since_the_start() -> None:
    early, late = Clock(100.0), Clock(5000.0)
    one, other = Market(seed=7, clock=early), Market(seed=7, clock=late)
    early.time, late.time = 142.0, 5042.0
    for symbol in DEFAULT_SYMBOLS:
        assert one.quote(symbol)[:4] == other.quote(symbol)[:4]


def test_who_asks_first_changes_nothing() -> None:
    clock = Clock()
    asked, unasked = Market(seed=1, clock=clock), Market(seed=1, clock=clock)
    prices_over_time(asked, clock)
    clock.time = 9.0
    assert asked.quote("TSLA") == unasked.quote("TSLA")


def test_another_seed_or_symbol_gives_other_prices() -> None:
    quotes = {
        Market([symbol], seed, clock=lambda: 0.0).quote(symbol).last for seed in range(20) for symbol in "ABC"
    }
    assert len(quotes) > 50


def test_adding_a_symbol_changes_no_other_price() -> None:
    alone, together = Market(["A"], clock=lambda: 0.0), Market(["Z", "A"], clock=lambda: 0.0)
    assert alone.quote("A") == together.quote("A")


def test_prices_move_but_never_jump() -> None:
    clock = Clock()
    prices = prices_over_time(Market(seed=3, clock=clock), clock)
    assert len(set(prices)) > 100
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


def test_an_unknown_symbol_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownSymbol, match=r"^no symbol 'XYZ'; there are A, B$") as caught:
        Market(["A", "B"]).quote("XYZ")
    assert isinstance(caught.value, LookupError)


def test_a_message_about_many_symbols_stays_short() -> None:
    with pytest.raises(UnknownSymbol, match=r"S0, S1, .* and 490 more$"):
        Market([f"S{number}" for number in range(500)]).quote("XYZ")


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ([], "at least one name"),
        ("AAPL", "not the text 'AAPL'"),
        (["A", "B", "A"], "'A' is there twice"),
        (["A", ""], "must be names, not ''"),
        (["A", 5], "must be names, not 5"),
    ],
)
def test_symbols_that_make_no_market_are_refused(symbols: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Market(symbols)
