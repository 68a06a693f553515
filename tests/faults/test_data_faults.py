"""Effect of each kind of missing data on ``operation.market``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MissingDataError, MultiAgentSimulator, Operation, Scenario, StressResult
from pytest_nos_stress.faults import catalogue
from pytest_nos_stress.market import EmbeddedExchange, Market, UnknownSymbol

SYMBOL = "MSFT"
KINDS = tuple(catalogue.data_faults())
OF_A_FEED = tuple(kind for kind in KINDS if kind != "unavailable")


def run(target: Any, tmp_path: Path, **settings: Any) -> StressResult:
    defaults = {"agents": 2, "operations_per_agent": 50, "seed": 5, "engine": "virtual", "failure_prob": 0}
    return MultiAgentSimulator(target=target, output_dir=tmp_path, **{**defaults, **settings}).run()


def nothing(operation: Operation) -> None:
    """A target that takes the operation and does nothing."""


def looks(
    tmp_path: Path, kind: str | dict[str, Any], look: Callable[[Any, float, Market], Any], **settings: Any
) -> list[Any]:
    """Return what ``look`` returns for the broken feed, the time and the intact market, in 100 operations."""
    views: list[Any] = []

    def buy(operation: Operation) -> None:
        views.append(look(operation.market, operation.now(), operation._agent.market))

    result = run({"buy": buy}, tmp_path, missing_data=kind, missing_data_prob=1, **settings)
    assert result.errors == 0
    assert result.missing_data == 100
    return views


def test_unavailable_gives_no_market_at_all(tmp_path: Path) -> None:
    assert looks(tmp_path, "unavailable", lambda feed, now, market: feed.quote(SYMBOL) or now or market) == []


def test_a_stale_quote_is_as_old_as_said_and_was_right_then(tmp_path: Path) -> None:
    def look(feed: Any, now: float, market: Market) -> tuple[float, bool]:
        quote = feed.quote(SYMBOL)
        return now - quote.timestamp, quote == market.quote_at(SYMBOL, quote.timestamp)

    quotes = looks(tmp_path, {"stale": {"age": (5, 30)}}, look)
    assert all(right for _, right in quotes)
    ages = [age for age, _ in quotes]
    assert 5 <= min(ages) < 8
    assert 27 < max(ages) <= 30.25


def test_a_stale_feed_stays_as_it_is_while_the_operation_waits(tmp_path: Path) -> None:
    def buy(operation: Operation) -> None:
        before = operation.market.quote(SYMBOL), operation.market.trades(SYMBOL)
        operation.sleep(60)
        assert (operation.market.quote(SYMBOL), operation.market.trades(SYMBOL)) == before

    result = run({"buy": buy}, tmp_path, missing_data="stale", missing_data_prob=1, operation_timeout=100)
    assert result.missing_data == 100


def test_silence_is_short_as_a_rule_and_bounded(tmp_path: Path) -> None:
    ages = looks(tmp_path, "silence", lambda feed, now, _: now - feed.quote(SYMBOL).timestamp, market={"speed": 1})
    assert max(ages) <= 10.25
    # The median of 0.1 s is seen through quotes of 0.25 s.
    assert sum(age < 0.5 for age in ages) > 70


def test_in_a_halt_is_halted_is_true_and_prices_do_not_change(tmp_path: Path) -> None:
    halts = looks(
        tmp_path, "halt", lambda feed, now, _: (feed.is_halted(SYMBOL), now - feed.quote(SYMBOL).timestamp)
    )
    assert all(halted for halted, _ in halts)
    assert 15 <= min(age for _, age in halts) < max(age for _, age in halts) <= 300.25


def test_a_gap_is_a_jump_in_the_numbers_of_trades(tmp_path: Path) -> None:
    def look(feed: Any, now: float, market: Market) -> list[int]:
        numbers = [trade.sequence for trade in feed.trades(SYMBOL, 20)]
        assert len(numbers) == 20
        assert feed.quote(SYMBOL).timestamp < market.quote(SYMBOL).timestamp
        return [after - before for before, after in pairwise(numbers)]

    numbers = looks(tmp_path, {"gap": {"length": (5, 20)}}, look)
    jumps = [[step for step in steps if step != 1] for steps in numbers]
    assert {len(steps) for steps in jumps} == {1}
    lost = [steps[0] - 1 for steps in jumps]
    assert min(lost) in range(5, 8)
    assert max(lost) in range(18, 21)


@pytest.mark.parametrize("kind", OF_A_FEED)
def test_no_more_trades_come_than_requested_except_duplicates(tmp_path: Path, kind: str) -> None:
    counts = (0, 1, 2, 5)

    def come(feed: Any, count: int) -> int:
        try:
            return len(feed.trades(SYMBOL, count))
        except MissingDataError:
            return 0

    lengths = looks(tmp_path, kind, lambda feed, *_: [come(feed, count) for count in counts])
    for count, most in zip(counts, map(max, zip(*lengths, strict=True)), strict=True):
        assert most <= (2 * count if kind == "duplicate" else count)


def test_a_gap_in_a_short_history_is_a_gap_too(tmp_path: Path) -> None:
    """At the start of recorded prices, there are fewer trades than requested."""
    path = tmp_path / "prices.csv"
    rows = [f"2026-01-05T14:{30 + minute}:00+00:00,10,11,9,10,300" for minute in range(5)]
    path.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")

    def look(feed: Any, now: float, market: Market) -> None:
        symbol = feed.symbols[0]
        numbers = [trade.sequence for trade in feed.trades(symbol, 1000)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) < len(market.trades(symbol, 1000)) or len(numbers) == 0

    looks(tmp_path, "gap", look, market={"replay": str(path)}, max_delay=5)


def test_disconnected_feeds_raise_until_they_are_back(tmp_path: Path) -> None:
    waited: list[float] = []

    def buy(operation: Operation) -> None:
        market, began = operation.market, operation.now()
        for read in (market.quote, market.trades, market.bars, market.is_halted):
            with pytest.raises(MissingDataError, match="the feed is disconnected"):
                read(SYMBOL)
        while True:
            operation.sleep(0.5)
            try:
                market.quote(SYMBOL)
            except MissingDataError:
                continue
            break
        waited.append(operation.now() - began)

    kind = {"disconnect": {"lasts": (1, 10)}}
    result = run({"buy": buy}, tmp_path, missing_data=kind, missing_data_prob=1)
    assert result.missing_data == 100
    assert 1 <= min(waited) < 3
    assert 8 < max(waited) <= 10.5


def test_undefined_prices_have_the_values_that_feeds_send(tmp_path: Path) -> None:
    def look(feed: Any, now: float, market: Market) -> set[str]:
        quote, true = feed.quote(SYMBOL), market.quote(SYMBOL)
        wrong = {name for name in ("bid", "ask", "last") if getattr(quote, name) != getattr(true, name)}
        values = {repr(getattr(quote, name)) for name in wrong}
        assert values <= {"nan", repr(float(2**63 - 1)), "-1.0"}
        assert len(values) == 1
        assert repr(feed.trades(SYMBOL)[-1].price) in values
        assert repr(feed.bars(SYMBOL)[-1].close) in values
        return {"+".join(sorted(wrong)), *values}

    values = set().union(*looks(tmp_path, "undefined", look))
    assert values == {"bid", "ask", "last", "ask+bid+last", "nan", repr(float(2**63 - 1)), "-1.0"}


def test_bad_timestamps_are_off_to_either_side_and_out_of_order(tmp_path: Path) -> None:
    def look(feed: Any, now: float, market: Market) -> float:
        quote, true = feed.quote(SYMBOL), market.quote(SYMBOL)
        assert quote._replace(timestamp=true.timestamp) == true
        *_, before, last = feed.trades(SYMBOL)
        assert before.sequence == last.sequence + 1
        return float(quote.timestamp - true.timestamp)

    skews = looks(tmp_path, {"bad_timestamp": {"skew": 2}}, look)
    assert all(1 <= abs(skew) <= 2.000001 for skew in skews)
    assert min(skews) < 0 < max(skews)


def test_duplicates_are_the_last_trades_once_more(tmp_path: Path) -> None:
    def look(feed: Any, now: float, market: Market) -> int:
        trades, true = feed.trades(SYMBOL, 20), market.trades(SYMBOL, 20)
        again = trades[20:]
        assert trades[:20] == true
        assert again == true[-len(again) :]
        assert feed.quote(SYMBOL).timestamp < market.quote(SYMBOL).timestamp
        return len(again)

    assert set(looks(tmp_path, {"duplicate": {"length": (1, 5)}}, look)) == {1, 2, 3, 4, 5}


def test_a_crossed_book_has_its_bid_above_its_ask(tmp_path: Path) -> None:
    def look(feed: Any, now: float, market: Market) -> int:
        quote = feed.quote(SYMBOL)
        true = market.quote(SYMBOL)
        assert quote.ask == true.bid
        spread: float = quote.bid - true.ask
        return round(spread * 100)

    assert set(looks(tmp_path, {"crossed": {"ticks": (1, 3)}}, look)) == {1, 2, 3}


def test_an_outlier_is_off_by_its_size_and_still_a_quote(tmp_path: Path) -> None:
    def look(feed: Any, now: float, market: Market) -> float:
        quote, true = feed.quote(SYMBOL), market.quote(SYMBOL)
        assert 0 < quote.bid < quote.ask
        assert feed.trades(SYMBOL)[-1].price / market.trades(SYMBOL)[-1].price - 1 == pytest.approx(
            quote.last / true.last - 1, abs=0.001
        )
        return float(quote.last / true.last - 1)

    sizes = looks(tmp_path, {"outlier": {"size": (0.1, 0.5)}}, look)
    assert all(0.099 < abs(size) < 0.501 for size in sizes)
    assert min(sizes) < 0 < max(sizes)


@pytest.mark.parametrize(("share", "left"), [(0.2, 16), (0.01, 19), (1, 0)])
def test_missing_bars_are_one_block_of_the_set_share(tmp_path: Path, share: float, left: int) -> None:
    def look(feed: Any, now: float, market: Market) -> tuple[float, ...]:
        bars, true = feed.bars(SYMBOL, 20), market.bars(SYMBOL, 20)
        lost = [position for position, bar in enumerate(true) if bar not in bars]
        assert lost == list(range(lost[0], lost[0] + len(lost)))
        assert len(bars) == left
        return tuple(lost)

    places = set(looks(tmp_path, {"missing_bar": {"share": share}}, look))
    assert len(places) > 5 or share == 1


# What is true of all of them.


@pytest.mark.parametrize("kind", OF_A_FEED)
def test_one_operation_sees_one_feed_however_often_it_asks(tmp_path: Path, kind: str) -> None:
    def look(feed: Any, now: float, market: Market) -> None:
        def read() -> str:
            try:
                return repr((feed.quote(SYMBOL), feed.trades(SYMBOL), feed.bars(SYMBOL), feed.is_halted(SYMBOL)))
            except MissingDataError as error:
                return repr(error)

        assert read() == read()

    looks(tmp_path, kind, look)


@pytest.mark.parametrize("kind", [kind for kind in OF_A_FEED if kind != "disconnect"])
def test_an_unknown_symbol_is_unknown_to_a_broken_feed_too(tmp_path: Path, kind: str) -> None:
    def look(feed: Any, now: float, market: Market) -> None:
        for read in (feed.quote, feed.trades, feed.bars):
            with pytest.raises(UnknownSymbol):
                read("XYZ")

    looks(tmp_path, kind, look)


@pytest.mark.parametrize("kind", OF_A_FEED)
def test_the_same_seed_breaks_the_feed_the_same_way_in_every_run(tmp_path: Path, kind: str) -> None:
    def look(feed: Any, now: float, market: Market) -> str:
        try:
            return repr((feed.quote(SYMBOL), feed.trades(SYMBOL), feed.bars(SYMBOL), feed.is_halted(SYMBOL)))
        except MissingDataError as error:
            return repr(error)

    first, again, other = (looks(tmp_path, kind, look, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other or kind == "disconnect"


def test_the_kind_of_an_operation_is_the_same_in_every_engine(tmp_path: Path) -> None:
    planned: dict[str, dict[tuple[str, int], str | None]] = {}
    for engine in ("threads", "virtual", "asyncio"):
        kinds: dict[tuple[str, int], str | None] = {}

        def buy(operation: Operation) -> None:
            kinds[operation.agent, operation.index] = operation.fault  # noqa: B023

        async def buy_async(operation: Operation) -> None:
            buy(operation)

        run(
            {"buy": buy_async if engine == "asyncio" else buy},
            tmp_path,
            engine=engine,
            min_delay=0,
            max_delay=0,
            missing_data={"stale": 3, "gap": 1, "unavailable": 1},
        )
        planned[engine] = kinds
    assert planned["threads"] == planned["virtual"] == planned["asyncio"]
    assert set(planned["virtual"].values()) == {None, "stale", "gap", "missing_data"}


def test_kinds_mix_by_weight_and_the_probability_stays_the_share_of_all(tmp_path: Path) -> None:
    result = run({"buy": nothing}, tmp_path, missing_data={"stale": 3, "gap": 1}, operations_per_agent=5000)
    stale, gap = (result.stats["faults"][kind] for kind in ("stale", "gap"))
    # Five standard deviations of 10,000 draws.
    assert stale + gap == result.missing_data == pytest.approx(2000, abs=5 * 40)
    assert stale == pytest.approx(1500, abs=5 * 36)
    assert gap == pytest.approx(500, abs=5 * 22)


@pytest.mark.parametrize("kind", OF_A_FEED)
def test_a_target_that_raises_another_exception_over_missing_data_has_failed(tmp_path: Path, kind: str) -> None:
    def buy(operation: Operation) -> None:
        raise ZeroDivisionError("mid price")

    result = run({"buy": buy}, tmp_path, missing_data=kind, missing_data_prob=1, gate=False)
    assert (result.failures, result.errors, result.missing_data) == (100, 100, 0)


@pytest.mark.parametrize("kind", OF_A_FEED)
def test_a_target_that_raises_missing_data_error_has_missing_data(tmp_path: Path, kind: str) -> None:
    class Stale(MissingDataError):
        pass

    def buy(operation: Operation) -> None:
        raise Stale(f"{operation.task}: too old")

    result = run({"buy": buy}, tmp_path, missing_data=kind, missing_data_prob=1)
    assert (result.failures, result.errors, result.missing_data) == (0, 0, 100)


@pytest.mark.parametrize("kind", KINDS)
def test_the_embedded_exchange_survives_every_kind(tmp_path: Path, kind: str) -> None:
    exchange = EmbeddedExchange()
    result = run(
        exchange,
        tmp_path,
        missing_data=kind,
        missing_data_prob=0.6,
        operations_per_agent=200,
        checks=[exchange.audit],
    )
    assert result.errors == 0
    assert result.operations == 400
    assert result.failures == 0
    assert result.missing_data == pytest.approx(240, abs=50)


def test_an_explicit_list_may_name_every_kind(tmp_path: Path) -> None:
    kinds = ["missing_data", *OF_A_FEED]
    scenario = Scenario(operations=[("Ann", "buy", kind) for kind in kinds], engine="virtual")
    faults: list[str | None] = []
    MultiAgentSimulator(
        target={"buy": lambda operation: faults.append(operation.fault)}, scenario=scenario, output_dir=tmp_path
    ).run()
    assert faults == kinds
