"""Recorded bars are replayed as quotes, trades and bars of any length."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress.market import Market, UnknownSymbol, replay
from pytest_nos_stress.market.source import Prices, PriceSource, SourceBar, SourceTrade

Row = tuple[int, int, int, int, int]
"""Open, high, low, close in ticks, and the volume."""

HEADER = "timestamp,open,high,low,close,volume"
NINE = datetime(2024, 3, 1, 9, tzinfo=UTC)
TWO_BARS = """timestamp,open,high,low,close,volume
2024-03-01T09:00:00Z,100.00,100.80,99.60,100.40,400
2024-03-01T09:01:00Z,100.40,100.60,99.00,99.40,3
"""


def written(directory: Path, text: str, name: str = "aapl.csv") -> Path:
    file = directory / name
    file.write_text(text)
    return file


def minutes(rows: Iterable[Row], first: datetime = NINE) -> str:
    """Return the text of a CSV file with one bar per minute."""
    lines = [HEADER]
    for number, (opening, high, low, close, volume) in enumerate(rows):
        prices = ",".join(f"{ticks / 100:.2f}" for ticks in (opening, high, low, close))
        lines.append(f"{(first + timedelta(minutes=number)).isoformat()},{prices},{volume}")
    return "\n".join(lines) + "\n"


@st.composite
def rows_of_bars(draw: st.DrawFn) -> list[Row]:
    price = st.integers(1, 5_000_000)
    rows = []
    for _ in range(draw(st.integers(2, 12))):
        low, opening, close, high = sorted(draw(st.tuples(price, price, price, price)))
        if draw(st.booleans()):
            opening, close = close, opening
        rows.append((opening, high, low, close, draw(st.integers(0, 10_000))))
    return rows


def test_the_symbol_of_a_replay_is_the_files_name(tmp_path: Path) -> None:
    source: PriceSource = replay(written(tmp_path, TWO_BARS))
    assert source.symbols == ("AAPL",)


def test_a_rising_bar_goes_from_open_to_low_to_high_to_close(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    assert [source.prices("AAPL", second).last for second in (0, 15, 30, 45, 59.9)] == [
        10_000,
        9_960,
        10_080,
        10_040,
        10_040,
    ]


def test_a_falling_bar_has_its_high_first(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    assert [source.prices("AAPL", second).last for second in (60, 75, 90, 105)] == [10_040, 10_060, 9_900, 9_940]


def test_prices_between_the_four_prices_of_a_bar_are_interpolated(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    assert [source.prices("AAPL", second).last for second in (3, 6, 22.5)] == [9_992, 9_984, 10_020]


def test_prices_before_the_first_record_and_after_the_last_record_do_not_change(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    assert source.prices("AAPL", -100) == source.prices("AAPL", 0)
    assert source.prices("AAPL", 1e9) == source.prices("AAPL", 119) == Prices(9_939, 9_941, 9_940)


def test_prices_become_stale_in_gaps_and_after_the_end_of_the_recording(tmp_path: Path) -> None:
    gap = TWO_BARS + "2024-03-01T11:00:00Z,100,100,100,100,5\n"
    source = replay(written(tmp_path, gap))
    assert [source.updated("AAPL", second) for second in (7.5, 119, 3000, 7200, 9999)] == [
        7.5,
        119,
        120,
        7200,
        7260,
    ]


def test_the_spread_is_two_ticks_by_default(tmp_path: Path) -> None:
    file = written(tmp_path, TWO_BARS)
    assert replay(file).prices("AAPL", 0) == Prices(9_999, 10_001, 10_000)
    assert replay(file, spread=5).prices("AAPL", 0) == Prices(9_998, 10_003, 10_000)


def test_prices_of_more_than_two_decimals_are_rounded_to_ticks(tmp_path: Path) -> None:
    source = replay(written(tmp_path, minutes([(1, 1, 1, 1, 1)] * 2).replace("0.01", "1.23456")))
    assert source.prices("AAPL", 0).last == 123


def test_each_of_the_four_prices_is_a_trade_of_a_quarter_of_the_volume(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    assert source.trades("AAPL", -1, 59) == [
        SourceTrade(1, 0.0, 10_000, 100),
        SourceTrade(2, 15.0, 9_960, 100),
        SourceTrade(3, 30.0, 10_080, 100),
        SourceTrade(4, 45.0, 10_040, 100),
    ]


def test_a_volume_of_less_than_four_makes_fewer_trades_without_a_gap_in_their_numbers(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    trades = source.trades("AAPL", 45, 1e9)
    assert [trade.sequence for trade in trades] == [5, 6, 7]
    assert [trade.quantity for trade in trades] == [1, 1, 1]


def test_trades_are_selected_by_a_half_open_interval(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    assert [trade.seconds for trade in source.trades("AAPL", 15, 45)] == [30, 45]
    assert source.trades("AAPL", 46, 59) == []


def test_bars_can_be_longer_or_shorter_than_the_recorded_bars(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    assert source.bars("AAPL", 0, 120, 1) == [SourceBar(0, 10_000, 10_080, 9_900, 9_940, 403)]
    assert source.bars("AAPL", 30, 15, 2) == [
        SourceBar(30, 10_080, 10_080, 10_080, 10_080, 100),
        SourceBar(45, 10_040, 10_040, 10_040, 10_040, 100),
    ]


def test_a_bar_without_a_record_has_the_last_price_and_no_volume(tmp_path: Path) -> None:
    source = replay(written(tmp_path, TWO_BARS))
    assert source.bars("AAPL", 120, 60, 1) == [SourceBar(120, 9_940, 9_940, 9_940, 9_940, 0)]
    assert source.bars("AAPL", -60, 60, 1) == [SourceBar(-60, 10_000, 10_000, 10_000, 10_000, 0)]


def test_recorded_bars_are_never_halted(tmp_path: Path) -> None:
    assert not replay(written(tmp_path, TWO_BARS)).is_halted("AAPL", 30)


@settings(deadline=None)
@given(rows=rows_of_bars())
def test_bars_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    source = replay(written(tmp_path_factory.mktemp("bars"), minutes(rows)))
    assert source.bars("AAPL", 0, 60, len(rows)) == [
        SourceBar(60.0 * number, *row) for number, row in enumerate(rows)
    ]


@settings(deadline=None)
@given(rows=rows_of_bars(), moments=st.lists(st.floats(0, 719.99), min_size=1))
def test_a_price_is_always_within_its_bar_and_bid_below_ask(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], moments: list[float]
) -> None:
    source = replay(written(tmp_path_factory.mktemp("bars"), minutes(rows)))
    for moment in moments:
        bid, ask, last = source.prices("AAPL", moment)
        _, high, low, _, _ = rows[min(int(moment // 60), len(rows) - 1)]
        assert low <= last <= high
        assert 1 <= bid < ask


@settings(deadline=None)
@given(rows=rows_of_bars())
def test_trades_add_up_to_the_recorded_volume_and_are_at_the_price_of_their_moment(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    source = replay(written(tmp_path_factory.mktemp("bars"), minutes(rows)))
    trades = source.trades("AAPL", -1, 1e9)
    assert sum(trade.quantity for trade in trades) == sum(volume for *_, volume in rows)
    assert [trade.sequence for trade in trades] == list(range(1, len(trades) + 1))
    assert [source.prices("AAPL", trade.seconds).last for trade in trades] == [trade.price for trade in trades]


@settings(deadline=None)
@given(rows=rows_of_bars(), cuts=st.lists(st.floats(-10, 800), min_size=1, max_size=5))
def test_trades_read_in_parts_are_the_same_as_trades_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], cuts: list[float]
) -> None:
    source = replay(written(tmp_path_factory.mktemp("bars"), minutes(rows)))
    edges = [-1e9, *sorted(cuts), 1e9]
    parts = [trade for after, until in pairwise(edges) for trade in source.trades("AAPL", after, until)]
    assert parts == source.trades("AAPL", -1e9, 1e9)


@pytest.mark.parametrize(
    "stamps",
    [
        ("2024-03-01T09:00:00Z", "2024-03-01T09:00:30Z"),
        ("2024-03-01 09:00:00", "2024-03-01 09:00:30"),
        ("2024-03-01T10:00:00+01:00", "2024-03-01T10:00:30+01:00"),
        ("2024-03-01T04:00:00.000-0500", "2024-03-01T04:00:30.000000000-0500"),
        ("1709283600", "1709283630"),
        ("1709283600.0", "1709283630.000"),
        ("1709283600000", "1709283630000"),
        ("1709283600000000", "1709283630000000"),
        ("1709283600000000000", "1709283630000000000"),
        ("0", "30"),
    ],
)
def test_timestamps_can_be_iso_8601_or_numbers_since_1970(tmp_path: Path, stamps: tuple[str, str]) -> None:
    first, second = stamps
    source = replay(written(tmp_path, f"{HEADER}\n{first},1,2,1,2,4\n{second},3,3,3,3,4\n"))
    assert [trade.seconds for trade in source.trades("AAPL", -1, 1e9)] == [0, 7.5, 15, 22.5, 30, 37.5, 45, 52.5]


def test_daily_bars_can_have_dates(tmp_path: Path) -> None:
    text = "Date,Open,High,Low,Close,Adj Close,Volume\n2024-03-01,1,2,1,2,2,4\n2024-03-04,3,3,3,3,3,4\n"
    assert replay(written(tmp_path, text), interval=86_400).prices("AAPL", 2 * 86_400).last == 200


def test_columns_can_be_in_any_order_and_case_and_beside_other_columns(tmp_path: Path) -> None:
    header = "\ufeffVolume, Close ,LOW,high,open,trades,DateTime\r\n"
    text = header + "4,1.5,1,2,1,9,2024-03-01\r\n5,1.5,1,2,1,9,2024-03-02\r\n"
    assert replay(written(tmp_path, text)).bars("AAPL", 0, 86_400, 1) == [SourceBar(0, 100, 200, 100, 150, 4)]


def test_rows_of_several_symbols_can_be_sorted_by_time_or_by_symbol(tmp_path: Path) -> None:
    text = "time,symbol,open,high,low,close,volume\n"
    by_time = text + "0,A,1,1,1,1,1\n0,B,2,2,2,2,1\n60,A,3,3,3,3,1\n60,B,4,4,4,4,1\n"
    by_symbol = text + "0,A,1,1,1,1,1\n60,A,3,3,3,3,1\n0,B,2,2,2,2,1\n60,B,4,4,4,4,1\n"
    for content in (by_time, by_symbol):
        source = replay(written(tmp_path, content))
        assert source.symbols == ("A", "B")
        assert [source.prices(symbol, 60).last for symbol in source.symbols] == [300, 400]
    assert replay(written(tmp_path, by_time), symbol="B").symbols == ("B",)


def test_a_mapping_names_the_symbols_and_its_files_share_a_time_axis(tmp_path: Path) -> None:
    early = written(tmp_path, minutes([(100, 100, 100, 100, 4)] * 3), "one.csv")
    late = written(tmp_path, minutes([(500, 500, 500, 500, 4)] * 3, NINE + timedelta(minutes=2)), "two.csv")
    source = replay({"MSFT": late, "AAPL": str(early)})
    assert source.symbols == ("MSFT", "AAPL")
    assert source.trades("MSFT", -1, 1e9)[0].seconds == 120
    assert source.prices("MSFT", 0).last == 500


def test_files_with_different_offsets_are_aligned(tmp_path: Path) -> None:
    tokyo = written(
        tmp_path, f"{HEADER}\n2024-03-01T18:00+09:00,1,1,1,1,4\n2024-03-01T18:01+09:00,1,1,1,1,4\n", "t.csv"
    )
    source = replay({"AAPL": written(tmp_path, TWO_BARS), "7203.T": tokyo})
    assert source.trades("7203.T", -1, 1)[0].seconds == 0


def test_timestamps_without_an_offset_are_in_the_time_zone_of_the_settings(tmp_path: Path) -> None:
    text = f"{HEADER}\n2024-03-08 16:00,1,1,1,1,4\n2024-03-11 16:00,2,2,2,2,4\n"
    source = replay(written(tmp_path, text), timezone="America/New_York")
    # Summer time began on 10 March.
    assert source.trades("AAPL", 1e5, 1e9)[-4].seconds == (3 * 24 - 1) * 3600


def test_offsets_can_change_with_the_time_zone_of_the_settings(tmp_path: Path) -> None:
    text = f"{HEADER}\n2024-03-08T16:00-05:00,1,1,1,1,4\n2024-03-11T16:00-04:00,2,2,2,2,4\n"
    assert (
        replay(written(tmp_path, text), timezone="America/New_York").prices("AAPL", (3 * 24 - 1) * 3600).last
        == 200
    )


def test_volumes_are_rounded_but_never_to_0(tmp_path: Path) -> None:
    text = f"{HEADER}\n0,1,1,1,1,0.2\n60,1,1,1,1,7.6\n120,1,1,1,1,0\n"
    assert [bar.volume for bar in replay(written(tmp_path, text)).bars("AAPL", 0, 60, 3)] == [1, 8, 0]


def test_bars_of_a_tenth_of_a_second_are_not_mixed_up_by_rounding(tmp_path: Path) -> None:
    rows = "".join(
        f"{number / 10:.1f},{price},{price},{price},{price},4\n" for number, price in enumerate(range(1, 60))
    )
    source = replay(written(tmp_path, f"{HEADER}\n{rows}"))
    assert [bar.open for bar in source.bars("AAPL", 0, 0.1, 59)] == [100 * price for price in range(1, 60)]


def test_an_unknown_symbol_is_named_with_the_recorded_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownSymbol, match=r"unknown symbol 'MSFT'; available: AAPL"):
        replay(written(tmp_path, TWO_BARS)).prices("MSFT", 0)


def test_concurrent_threads_read_the_same_prices(tmp_path: Path) -> None:
    source = replay(written(tmp_path, minutes([(100 + n, 110 + n, 90 + n, 95 + n, n) for n in range(200)])))

    def read(shift: int) -> list[tuple[Prices, list[SourceTrade]]]:
        moments = [(37 * (number + shift)) % 12_000 for number in range(2_000)]
        return sorted(
            (source.prices("AAPL", moment), source.trades("AAPL", moment, moment + 30)) for moment in moments
        )

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(read, [0] * 8))
    assert all(result == read(0) for result in results)


def test_files_longer_than_a_chunk_are_read_completely(tmp_path: Path) -> None:
    rows = [(100 + n % 50, 150 + n % 50, 90, 95, n) for n in range(10_001)]
    source = replay(written(tmp_path, minutes(rows)))
    assert source.bars("AAPL", 0, 60, len(rows)) == [SourceBar(60.0 * n, *row) for n, row in enumerate(rows)]


def test_importing_replay_does_not_import_numpy() -> None:
    code = (
        "import sys; from pytest_nos_stress.market.recorded.replay import replay; sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_market_quotes_the_recorded_prices(tmp_path: Path) -> None:
    market = Market(model=replay(written(tmp_path, TWO_BARS)), clock=lambda: 1015.0, start=1000.0)
    quote = market.quote("AAPL")
    assert market.symbols == ("AAPL",)
    assert (quote.bid, quote.ask, quote.last) == (99.59, 99.61, 99.6)


def test_a_market_gives_the_recorded_trades_and_bars(tmp_path: Path) -> None:
    market = Market(model=replay(written(tmp_path, TWO_BARS)), clock=lambda: 1002.0, start=1000.0, speed=60)
    assert [(bar.start, bar.close, bar.volume) for bar in market.bars("AAPL", 2, 60)] == [
        (1000.0, 100.4, 400),
        (1001.0, 99.4, 3),
    ]
    assert [trade.price for trade in market.trades("AAPL", 3)] == [100.6, 99.0, 99.4]


def test_the_quote_of_a_market_becomes_old_after_the_end_of_the_recording(tmp_path: Path) -> None:
    market = Market(model=replay(written(tmp_path, TWO_BARS)), clock=lambda: 5000.0, start=1000.0)
    assert (market.quote("AAPL").last, market.quote("AAPL").timestamp) == (99.4, 1120.0)
