"""LOBSTER files are replayed as quotes, trades, bars and halts, and an invalid file is a one-line error."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.market import replay
from pytest_nos_stress.market.source import Prices, SourceBar, SourceTrade

NAME = "AAPL_2012-06-21_34200000_57600000_message_1.csv"
BOOK = NAME.replace("message", "orderbook")
MESSAGES = """\
34200.000000000,1,1,100,1000000,1
34201.000000000,1,2,100,1000400,-1
34202.000000000,1,3,50,1000100,1
34203.000000000,4,3,30,1000100,1
34203.500000000,2,3,10,1000100,1
34204.000000000,3,3,10,1000100,1
34205.250000000,5,0,70,1000250,-1
34206.000000000,6,-1,500,1000200,-1
34207.000000000,7,0,0,-1,-1
34208.000000000,7,0,0,0,-1
34209.000000000,7,0,0,1,-1
34210.000000000,4,2,100,1000400,-1
"""
EMPTY_ASK, EMPTY_BID = 9_999_999_999, -9_999_999_999


def written(directory: Path, messages: str = MESSAGES, book: str | None = None) -> Path:
    file = directory / NAME
    file.write_text(messages)
    if book is not None:
        (directory / BOOK).write_text(book)
    return file


def error_of(file: Path, **settings: Any) -> str:
    with pytest.raises(SettingError) as caught:
        replay(file, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_name_of_a_message_file_gives_format_and_symbol(tmp_path: Path) -> None:
    assert replay(written(tmp_path)).symbols == ("AAPL",)


def test_a_file_of_another_name_is_read_with_format_lobster(tmp_path: Path) -> None:
    (tmp_path / "flow.csv").write_text(MESSAGES)
    source = replay(tmp_path / "flow.csv", format="lobster", symbol="AAPL")
    assert source.prices("AAPL", 2) == Prices(10_001, 10_004, 10_002)


def test_bid_and_ask_follow_the_messages(tmp_path: Path) -> None:
    source = replay(written(tmp_path))
    quotes = [source.prices("AAPL", second)[:2] for second in (1, 2, 3, 3.5, 4)]
    assert quotes == [(10_000, 10_004), (10_001, 10_004), (10_001, 10_004), (10_001, 10_004), (10_000, 10_004)]


def test_an_empty_side_is_one_spread_away_from_the_other(tmp_path: Path) -> None:
    source = replay(written(tmp_path))
    assert source.prices("AAPL", 0) == Prices(10_000, 10_002, 10_001)
    assert source.prices("AAPL", 10)[:2] == (10_000, 10_002)


def test_the_last_price_is_that_of_the_last_execution_or_else_the_middle_of_bid_and_ask(tmp_path: Path) -> None:
    source = replay(written(tmp_path))
    assert [source.prices("AAPL", second).last for second in (2, 3, 5, 5.25, 1e6)] == [
        10_002,
        10_001,
        10_001,
        10_002,
        10_004,
    ]


def test_trades_are_the_executions_of_visible_and_hidden_orders(tmp_path: Path) -> None:
    assert replay(written(tmp_path)).trades("AAPL", -1, 60) == [
        SourceTrade(1, 3.0, 10_001, 30),
        SourceTrade(2, 5.25, 10_002, 70),
        SourceTrade(3, 10.0, 10_004, 100),
    ]


def test_bars_are_made_of_the_executions(tmp_path: Path) -> None:
    assert replay(written(tmp_path)).bars("AAPL", 0, 6, 3) == [
        SourceBar(0, 10_001, 10_002, 10_001, 10_002, 100),
        SourceBar(6, 10_004, 10_004, 10_004, 10_004, 100),
        SourceBar(12, 10_004, 10_004, 10_004, 10_004, 0),
    ]


def test_trading_is_halted_until_trading_resumes_not_until_quoting_resumes(tmp_path: Path) -> None:
    source = replay(written(tmp_path))
    assert [source.is_halted("AAPL", second) for second in (0, 6.9, 7, 8, 8.9, 9, 60)] == [
        False,
        False,
        True,
        True,
        True,
        False,
        False,
    ]


def test_prices_are_as_old_as_the_last_message(tmp_path: Path) -> None:
    source = replay(written(tmp_path))
    assert [source.updated("AAPL", second) for second in (2.5, 3.9, 99)] == [2, 3.5, 10]


def test_bid_and_ask_come_from_the_orderbook_file_if_there_is_one(tmp_path: Path) -> None:
    messages = "34200.1,1,1,100,1000000,1\n34200.2,1,2,100,1000500,-1\n34200.3,3,9,1,1000300,-1\n"
    book = "1000300,5,1000000,100\n1000300,5,1000100,7\n1000500,5,1000100,7\n"
    source = replay(written(tmp_path, messages, book))
    assert [source.prices("AAPL", second)[:2] for second in (0, 0.11, 0.21)] == [
        (10_000, 10_003),
        (10_001, 10_003),
        (10_001, 10_005),
    ]


def test_an_empty_side_in_the_orderbook_file_is_not_a_price(tmp_path: Path) -> None:
    messages = "34200.1,1,1,100,1000000,1\n34201.1,3,1,100,1000000,1\n34202.1,1,2,5,990000,-1\n"
    book = (
        f"{EMPTY_ASK},0,1000000,100,{EMPTY_ASK},0,{EMPTY_BID},0\n"
        f"{EMPTY_ASK},0,{EMPTY_BID},0,{EMPTY_ASK},0,{EMPTY_BID},0\n"
        f"990000,5,{EMPTY_BID},0,{EMPTY_ASK},0,{EMPTY_BID},0\n"
    )
    source = replay(written(tmp_path, messages, book))
    assert [source.prices("AAPL", second)[:2] for second in (0, 1, 2)] == [
        (10_000, 10_002),
        (10_000, 10_002),
        (9_898, 9_900),
    ]


def test_bid_stays_below_ask_when_prices_are_rounded_to_ticks(tmp_path: Path) -> None:
    source = replay(written(tmp_path, "34200,1,1,100,1000010,1\n34201,1,2,100,1000040,-1\n"))
    assert source.prices("AAPL", 1)[:2] == (10_000, 10_001)


def test_a_file_can_have_only_orders_from_before_its_beginning(tmp_path: Path) -> None:
    source = replay(written(tmp_path, "34200,4,77,100,1000000,1\n34201,3,78,100,1000400,-1\n"))
    assert source.prices("AAPL", 1) == Prices(9_999, 10_001, 10_000)


def test_the_seventh_field_of_a_message_is_ignored(tmp_path: Path) -> None:
    source = replay(written(tmp_path, MESSAGES.replace("\n", ",null\n")))
    assert source.prices("AAPL", 2)[:2] == (10_001, 10_004)


def test_order_flow_and_bars_are_aligned(tmp_path: Path) -> None:
    bars = tmp_path / "msft.csv"
    bars.write_text(
        "time,open,high,low,close,volume\n"
        "2012-06-21T09:30:00-04:00,1,1,1,1,4\n"
        "2012-06-21T09:31:00-04:00,1,1,1,1,4\n"
    )
    source = replay({"AAPL": written(tmp_path), "MSFT": bars})
    assert source.symbols == ("AAPL", "MSFT")
    assert source.trades("MSFT", -1, 0)[0].seconds == 0
    assert source.trades("AAPL", -1, 3)[0].seconds == 3


Event = tuple[int, int, int, int, int]


@st.composite
def order_flow(draw: st.DrawFn) -> tuple[list[Event], list[tuple[int, int]]]:
    """Draw messages of a book that begins empty, and its best bid and ask after each, in units of 0.0001."""
    orders: dict[int, tuple[int, int, int]] = {}
    events: list[Event] = []
    best: list[tuple[int, int]] = []
    for number in range(1, draw(st.integers(2, 40))):
        bids = [price for price, _, direction in orders.values() if direction == 1]
        asks = [price for price, _, direction in orders.values() if direction == -1]
        kind = draw(st.sampled_from([1, 1, 2, 3, 4])) if orders else 1
        if kind == 1:
            direction = draw(st.sampled_from([1, -1]))
            lowest = max(bids, default=900) + 1 if direction == -1 else 900
            highest = min(asks, default=1_100) - 1 if direction == 1 else 1_100
            if lowest > highest:
                continue
            order, price, size = number, draw(st.integers(lowest, highest)), draw(st.integers(1, 9))
            orders[order] = (price, size, direction)
        else:
            direction = draw(st.sampled_from(sorted({side for _, _, side in orders.values()})))
            own = {order: row for order, row in orders.items() if row[2] == direction}
            if kind == 4:
                price = (max if direction == 1 else min)(row[0] for row in own.values())
                own = {order: row for order, row in own.items() if row[0] == price}
            order = draw(st.sampled_from(sorted(own)))
            price, left, _ = own[order]
            size = left if kind == 3 else draw(st.integers(1, left))
            orders[order] = (price, left - size, direction)
            if left == size:
                del orders[order]
        events.append((kind, order, size, 100 * price, direction))
        bids = [row[0] for row in orders.values() if row[2] == 1]
        asks = [row[0] for row in orders.values() if row[2] == -1]
        best.append((100 * max(bids, default=0), 100 * min(asks, default=0)))
    return events, best


def message_lines(events: Iterable[Event]) -> str:
    return "".join(f"{34_200 + number}.5,{','.join(map(str, event))}\n" for number, event in enumerate(events))


@settings(deadline=None)
@given(flow=order_flow())
def test_the_rebuilt_book_is_the_recorded_book_if_the_file_has_all_orders(
    tmp_path_factory: pytest.TempPathFactory, flow: tuple[list[Event], list[tuple[int, int]]]
) -> None:
    events, best = flow
    alone = written(tmp_path_factory.mktemp("alone"), message_lines(events))
    book = "".join(f"{ask or EMPTY_ASK},{int(ask > 0)},{bid or EMPTY_BID},{int(bid > 0)}\n" for bid, ask in best)
    beside = written(tmp_path_factory.mktemp("beside"), message_lines(events), book)
    rebuilt, recorded = replay(alone), replay(beside)
    for second in range(len(events)):
        assert rebuilt.prices("AAPL", second) == recorded.prices("AAPL", second)


@settings(deadline=None)
@given(
    events=st.lists(
        st.tuples(
            st.integers(1, 6),
            st.integers(1, 9),
            st.integers(1, 50),
            st.integers(900, 1_100).map(lambda price: 100 * price),
            st.sampled_from([1, -1]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_the_rebuilt_book_is_never_crossed_even_if_orders_are_missing(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event]
) -> None:
    events = [(1, 99, 5, 100_000, 1), *events]
    source = replay(written(tmp_path_factory.mktemp("flow"), message_lines(events)))
    for second in range(len(events)):
        bid, ask, _ = source.prices("AAPL", second)
        assert 1 <= bid < ask


GOOD = "34200.5,1,1,100,1000000,1\n"
MISTAKES = {
    "nothing in the file": ("", ": the file is empty"),
    "other fields": ("1,2,3\n", ": line 1: has 3 fields, but a LOBSTER message has 6"),
    "cut in its last line": (
        GOOD + "34201.5,1,2",
        ": line 2: has 3 fields, expected 6; the file may be cut off",
    ),
    "unsorted": (
        GOOD + "34200.25,1,2,100,1000000,1\n",
        ": line 2: not sorted: 2012-06-21 13:30:00.25 comes after 2012-06-21 13:30:00.5 (UTC)",
    ),
    "NaN for a time": (GOOD + "nan,1,2,100,1000000,1\n", ": line 2: time nan is not allowed"),
    "a time since 1970": (
        "1340285400.0,1,2,100,1000000,1\n",
        ": line 1: time 1.34029e+09 is not allowed; must be seconds after midnight",
    ),
    "NaN for a price": (GOOD + "34201,1,2,100,nan,1\n", ": line 2: price 'nan' is not a whole number"),
    "a price in dollars": (GOOD + "34201,1,2,100,100.5,1\n", ": line 2: price '100.5' is not a whole number"),
    "a price below a tick": (
        GOOD + "34201,1,2,100,40,1\n",
        ": line 2: price 40 (times 10,000) rounds to 0 ticks of 0.01; scale the prices",
    ),
    "no price": (GOOD + "34201,1,2,100,0,1\n", ": line 2: price 0 must be above 0"),
    "an empty level's price": (
        GOOD + "34201,1,2,100,9999999999,1\n",
        ": line 2: price 9999999999 must be below 9999999999",
    ),
    "no size": (GOOD + "34201,1,2,0,1000000,1\n", ": line 2: size 0 must be above 0"),
    "an unknown type": (GOOD + "34201,8,2,100,1000000,1\n", ": line 2: type 8 is unknown; must be 1 to 7"),
    "no direction": (GOOD + "34201,1,2,100,1000000,0\n", ": line 2: direction 0 must be 1 or -1"),
    "an unknown halt": (GOOD + "34201,7,0,0,5,-1\n", ": line 2: price 5 of a halt is unknown; must be -1, 0 or 1"),
    "only halts": ("34201,7,0,0,-1,-1\n", ": has no message with a price"),
    "only deletions": (
        "34201,3,5,100,1000000,-1\n",
        ": has no submission and no execution, so no prices are known",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_error_of_an_invalid_message_file_names_the_line(tmp_path: Path, mistake: str) -> None:
    content, message = MISTAKES[mistake]
    assert message in error_of(written(tmp_path, content))


@pytest.mark.parametrize(
    ("book", "message"),
    [
        ("1000400,1,1000000,1\n", "has 1 lines, but AAPL_2012-06-21_34200000_57600000_message_1.csv has 2"),
        ("1000400,1,1000000\n" * 2, "line 1: has 3 fields; must be four for each level of the book"),
        (
            "1000400,1,1000000,1\n1000400,1,10",
            "line 2: has 3 fields, expected 4; the file may be cut off",
        ),
        ("1000400,1,1000000,1\n1000400,1,1000500,1\n", "line 2: bid 1000500 is above ask 1000400"),
        ("1000400,1,1000000,1\n1000400,1,nan,1\n", "line 2: bid 'nan' is not a whole number"),
    ],
)
def test_the_error_of_an_invalid_orderbook_file_names_the_file(tmp_path: Path, book: str, message: str) -> None:
    text = error_of(written(tmp_path, GOOD + GOOD, book))
    assert "_orderbook_1.csv'" in text
    assert message in text


def test_an_invalid_date_in_the_file_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / NAME.replace("06-21", "13-21")
    file.write_text(GOOD)
    assert "'2012-13-21' in the file's name is not a date" in error_of(file)


def test_days_that_do_not_overlap_are_refused(tmp_path: Path) -> None:
    other = tmp_path / NAME.replace("AAPL", "MSFT").replace("06-21", "06-22")
    other.write_text(GOOD)
    with pytest.raises(SettingError, match="the files must overlap in time"):
        replay({"AAPL": written(tmp_path), "MSFT": other})
