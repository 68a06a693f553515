"""A model's bars, trades and quotes agree, its symbols are correlated, and its events change prices."""

from __future__ import annotations

import math
import random
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from statistics import correlation, fmean, pstdev, pvariance

import pytest

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.market import Bar, Market
from pytest_nos_stress.market.prices.model import HISTORY, ModelSource
from pytest_nos_stress.market.prices.volatility import MODELS
from pytest_nos_stress.market.source import SourceBar

SESSION = 23_400.0
EVENTS = ("crash", "flash_crash")


def modelled(model: str = "equity", events: tuple[object, ...] = (), seed: int = 3) -> ModelSource:
    return ModelSource(("A", "B", "C"), model, seed, events)  # type: ignore[arg-type]


def returns(bars: list[SourceBar]) -> list[float]:
    closes = [math.log(bar.close) for bar in bars]
    return [after - before for before, after in pairwise(closes)]


def merged(bars: list[SourceBar]) -> SourceBar:
    return SourceBar(
        bars[0].seconds,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
    )


@pytest.mark.parametrize("events", [(), ("crash",), ("flash_crash",)], ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_session_bars_agree_with_minute_bars(model: str, events: tuple[str, ...]) -> None:
    source = modelled(model, events)
    first = 29 * SESSION
    minutes = source.bars("A", first, 60.0, 3 * 390)
    assert source.bars("A", first, SESSION, 3) == [merged(minutes[i : i + 390]) for i in range(0, 3 * 390, 390)]


@pytest.mark.parametrize("interval", [0.25, 1.0, 5.0, 300.0, 1800.0, 7200.0])
def test_short_bars_add_up_to_long_bars(interval: float) -> None:
    source = modelled()
    start = 30 * SESSION - 7200.0
    parts = source.bars("A", start, interval, round(7200.0 / interval))
    whole = source.bars("A", start, 7200.0, 1)[0]
    assert sum(bar.volume for bar in parts) == whole.volume
    assert parts[0].open == whole.open
    traded = [bar for bar in parts if bar.volume]
    assert max(bar.high for bar in traded) <= whole.high
    assert min(bar.low for bar in traded) >= whole.low


def test_a_bar_without_trades_has_four_equal_prices() -> None:
    bars = modelled().bars("A", HISTORY, 0.25, 1200)
    silent = [bar for bar in bars if not bar.volume]
    assert 100 < len(silent) < 1200
    assert all(bar.open == bar.high == bar.low == bar.close for bar in silent)


def test_a_bar_over_the_night_begins_before_the_jump_and_ends_after_it() -> None:
    source = modelled()
    before, after = source.bars("A", 30 * SESSION - 60.0, 60.0, 2)
    (both,) = source.bars("A", 30 * SESSION - 60.0, 120.0, 1)
    assert both == merged([before, after])
    assert before.close != after.open


def test_the_price_at_the_open_is_the_opening_price() -> None:
    source = modelled()
    assert source.prices("A", 31 * SESSION).last == source.bars("A", 31 * SESSION, SESSION, 1)[0].open


@pytest.mark.parametrize("events", [(), EVENTS], ids=str)
def test_trades_add_up_to_the_sessions_volume_and_continue_the_numbers_of_the_last_session(
    events: tuple[str, ...],
) -> None:
    source = modelled(events=events)
    sessions = [source.trades("A", number * SESSION - 1e-9, (number + 1) * SESSION - 1e-9) for number in (30, 31)]
    bars = source.bars("A", 30 * SESSION, SESSION, 2)
    assert [sum(trade.quantity for trade in trades) for trades in sessions] == [bar.volume for bar in bars]
    trades = sessions[0] + sessions[1]
    first = trades[0].sequence
    assert [trade.sequence for trade in trades] == list(range(first, first + len(trades)))
    assert all(trade.quantity > 0 for trade in trades)


def test_results_do_not_depend_on_the_order_of_calls() -> None:
    questions: list[Callable[[ModelSource], object]] = [
        *(lambda s, t=t: s.prices("A", t) for t in (HISTORY, 5.0, 900 * SESSION, HISTORY + 1e4)),
        *(lambda s, t=t: s.trades("B", t, t + 20) for t in (HISTORY, 2000 * SESSION + 7)),
        lambda s: s.bars("A", 0.0, SESSION, 1500),
        lambda s: s.bars("A", 1200 * SESSION, 60.0, 40),
        lambda s: s.is_halted("A", HISTORY + 500.0),
    ]
    expected = [question(modelled(events=EVENTS)) for question in questions]
    shuffled = list(enumerate(questions))
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)
        source = modelled(events=EVENTS)
        assert {number: question(source) for number, question in shuffled} == dict(enumerate(expected))


def test_concurrent_threads_read_the_same_prices_as_one_thread() -> None:
    moments = [HISTORY + 37.0 * number for number in range(200)]
    expected = [modelled().prices("A", moment) for moment in moments]
    source = modelled()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: [source.prices("A", moment) for moment in moments], range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert answers == [expected] * 8


def test_another_symbol_changes_neither_prices_nor_trades() -> None:
    alone, together = ModelSource(("A",), seed=9, events=EVENTS), ModelSource(("Z", "A"), seed=9, events=EVENTS)
    assert alone.bars("A", 28 * SESSION, 300.0, 400) == together.bars("A", 28 * SESSION, 300.0, 400)
    assert alone.trades("A", HISTORY, HISTORY + 60) == together.trades("A", HISTORY, HISTORY + 60)


def test_memory_does_not_grow_with_the_length_of_a_run() -> None:
    source = modelled()

    def sessions(first: int, last: int) -> int:
        for tenth in range(39 * first, 39 * last):
            source.prices("A", HISTORY + 600.0 * tenth)
            if tenth % 39 == 0:
                source.trades("A", HISTORY + 600.0 * tenth, HISTORY + 600.0 * tenth + 60.0)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        after_ten, after_fourteen = sessions(0, 10), sessions(10, 14)
    finally:
        tracemalloc.stop()
    assert after_fourteen - after_ten < 2_500_000


def test_symbols_are_correlated_but_not_identical() -> None:
    source = modelled()
    for interval, count in ((SESSION, 2000), (300.0, 2000)):
        first, second = (returns(source.bars(symbol, 0.0, interval, count)) for symbol in ("A", "B"))
        assert 0.1 < correlation(first, second) < 0.7


@pytest.mark.parametrize("model", ["equity", "gjr", "bates"])
def test_open_and_close_are_two_to_three_times_as_busy_and_as_volatile_as_midday(model: str) -> None:
    source, sessions = modelled(model), 120
    bars = [source.bars("A", day * SESSION, 1800.0, 13) for day in range(sessions)]
    volume = [fmean(day[half_hour].volume for day in bars) for half_hour in range(13)]
    moves = [
        fmean(abs(math.log(day[half_hour].close / day[half_hour].open)) for day in bars) for half_hour in range(13)
    ]
    for busy in (volume, moves):
        for end in (0, 12):
            assert 1.7 < busy[end] / fmean(busy[5:8]) < 3.2


def test_volume_is_high_when_prices_move() -> None:
    source = modelled()
    for interval, count in ((SESSION, 2000), (300.0, 2000)):
        bars = source.bars("A", 0.0, interval, count)
        moves = [abs(change) for change in returns(bars)]
        assert correlation(moves, [math.log(bar.volume) for bar in bars[1:]]) > 0.2


def test_trades_come_in_clusters() -> None:
    """Independent trades would have a Fano factor of 1: the variance of their number would equal its mean."""
    source = modelled()
    volumes = [len(source.trades("A", 7200.0 + 10.0 * i, 7210.0 + 10.0 * i)) for i in range(600)]
    assert pvariance(volumes) / fmean(volumes) > 3.0


def test_each_model_has_its_stated_volatility() -> None:
    spread = {name: pstdev(returns(modelled(name).bars("A", 0.0, SESSION, 3000))) for name in MODELS}
    assert 0.004 < spread["calm"] < 0.010
    for name in ("equity", "gjr", "bates"):
        assert 0.007 < spread[name] < 0.025


def test_prices_jump_in_some_nights_and_in_a_calm_market_in_none() -> None:
    def jumps(model: str) -> int:
        bars = modelled(model).bars("A", 0.0, SESSION, 2520)
        return sum(abs(math.log(today.open / yesterday.close)) > 0.035 for yesterday, today in pairwise(bars))

    assert 20 < jumps("bates") < 120
    assert jumps("calm") == 0


def test_sessions_without_an_event_are_not_halted() -> None:
    source = modelled()
    assert not any(source.is_halted("A", HISTORY + 60.0 * minute) for minute in range(1000))


# Events


def closes(market: Market, seconds: float) -> list[Bar]:
    return market.bars("A", int(seconds / 60), 60.0, until=seconds)


def crashing(*events: object, seed: int = 3) -> Market:
    return Market(["A", "B", "C"], seed=seed, clock=lambda: 0.0, events=events)  # type: ignore[arg-type]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("at", [0.0, 33.0, 1200.0])
def test_an_event_changes_nothing_before_it(event: str, at: float) -> None:
    calm, market = crashing(), crashing({"event": event, "at": at})
    for symbol in market.symbols:
        for quarter in range(-40, 4 * int(at)):
            assert market.quote_at(symbol, quarter / 4) == calm.quote_at(symbol, quarter / 4)
        assert market.bars(symbol, 50, 60.0, until=at) == calm.bars(symbol, 50, 60.0, until=at)
        assert market.bars(symbol, 30, SESSION) == calm.bars(symbol, 30, SESSION)
        assert market.trades(symbol, 100, until=at) == calm.trades(symbol, 100, until=at)


def test_a_crash_lowers_all_symbols_permanently_by_about_its_depth() -> None:
    calm = crashing()
    market = crashing({"event": "crash", "at": 30.0, "depth": 0.2, "lasts": 600.0})
    for symbol in market.symbols:
        for when in (2000.0, 10 * SESSION):
            left = market.quote_at(symbol, when).last / calm.quote_at(symbol, when).last
            assert 0.72 < left < 0.88


def test_after_a_crash_prices_move_more_spreads_are_wider_and_there_are_more_trades() -> None:
    calm, market = crashing(), crashing("crash")

    def spread(market: Market) -> float:
        quotes = [market.quote_at("A", 700.0 + second) for second in range(300)]
        return fmean((quote.ask - quote.bid) / quote.last for quote in quotes)

    def moves(market: Market) -> float:
        bars = market.bars("A", 60, 60.0, until=5400.0)
        return pstdev(math.log(bar.close / bar.open) for bar in bars)

    assert spread(market) > 3 * spread(calm)
    assert moves(market) > 1.3 * moves(calm)
    volumes = [sum(bar.volume for bar in quoted.bars("A", 60, until=3600.0)) for quoted in (market, calm)]
    assert volumes[0] > 1.5 * volumes[1]


@pytest.mark.parametrize("seed", range(5))
def test_a_flash_crash_falls_by_about_its_depth_and_recovers(seed: int) -> None:
    calm, market = crashing(seed=seed), crashing("flash_crash", seed=seed)
    for symbol in market.symbols:
        before = market.quote_at(symbol, 0.0).last
        lowest = min(bar.low for bar in market.bars(symbol, 10, 60.0, until=600.0))
        assert 0.88 < lowest / before < 0.96
        after = market.quote_at(symbol, 2400.0).last / calm.quote_at(symbol, 2400.0).last
        assert 0.97 < after < 1.03


def test_a_price_that_leaves_its_band_is_halted_for_five_minutes() -> None:
    market = crashing("crash")
    first = next(second for second in range(3600) if market.is_halted("A", at=float(second)))
    assert all(market.is_halted("A", at=float(second)) for second in range(first, first + 300))
    assert not market.is_halted("A", at=first + 300.0)
    frozen = {market.quote_at("A", first + second / 4).last for second in range(0, 1200, 7)}
    assert len(frozen) == 1
    during = [trade for trade in market.trades("A", 100_000, until=3600.0) if 0 < trade.timestamp - first < 300]
    assert during == []


def test_the_recovery_from_a_crash_can_be_set() -> None:
    calm = crashing()
    left = [
        crashing({"event": "crash", "recovers": share}).quote_at("A", 9000.0).last
        / calm.quote_at("A", 9000.0).last
        for share in (0.0, 0.5, 1.0)
    ]
    assert left[0] < left[1] < left[2]
    assert left[2] == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ("crash", r"^events='crash': must be a list of events, got a single event$"),
        (("boom",), r"^event='boom': unknown event; must be one of crash, flash_crash$"),
        ((5,), r"^events=5: must be a name, or a mapping with the key 'event'$"),
        (({"at": 5.0},), r"^events=\{'at': 5.0\}: must be a name, or a mapping"),
        (({"event": ["crash"]},), r"^event=\['crash'\]: unknown event"),
        (({"event": "crash", "dept": 0.1},), r"^dept=0.1: unknown key of an event; allowed: event, at, depth"),
        (({"event": "crash", "depth": 1.0},), r"^depth=1.0: must be 0 to 0.95$"),
        (({"event": "crash", "depth": "deep"},), r"^depth='deep': must be 0 to 0.95$"),
        (({"event": "crash", "at": -1},), r"^at=-1: must be 0 to 1e9 seconds$"),
        (({"event": "crash", "lasts": 0},), r"^lasts=0: must be 5 to 23400 seconds$"),
        (({"event": "crash", "recovers": float("nan")},), r"^recovers=nan: must be 0 to 1$"),
    ],
)
def test_an_invalid_event_is_a_one_line_error(events: tuple[object, ...], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        modelled(events=events)
