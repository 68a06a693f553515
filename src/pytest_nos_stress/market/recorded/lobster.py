"""Recorded order flow from LOBSTER files: the best prices after each message, executions and halts.

Source of the format: https://lobsterdata.com/info/DataStructure.php. A message is a line with time (seconds after
midnight), type, order id, size, price (times 10,000) and direction (1 buy, -1 sell). Types: 1 submission,
2 partial cancellation, 3 deletion, 4 execution of a visible order, 5 execution of a hidden order, 6 cross trade,
7 trading halt. The price of a halt is -1 if trading stops, 0 if quoting resumes, and 1 if trading resumes.

Guarantees: the whole file is checked, and an error names the first invalid line. Bid and ask come from the
orderbook file beside the message file if there is one; otherwise they are rebuilt from the messages. The rebuilt
book is an approximation. It does not know the orders from before the file's beginning, nor some orders that were
outside of the recorded levels. Orders that contradict a message are removed, so the rebuilt book is never crossed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from heapq import heappop, heappush
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_nos_stress.market.source import TICKS_PER_UNIT

from .csv_reader import Array, file_error, numbers, read_columns, read_header, whole_numbers
from .timestamps import SECOND, Nanoseconds, Timestamps, format_moment

Integers = npt.NDArray[np.int64]
_Rule = tuple[npt.NDArray[np.bool_], Callable[[int], str]]
"""A mask of the messages that violate the rule, and a function from such a row to the error's text."""

NAME: Final = re.compile(r"(?P<symbol>[^_]+)_(?P<date>\d{4}-\d\d-\d\d)_\d+_\d+_message_\d+\.csv", re.IGNORECASE)
ZONE: Final = "America/New_York"

_SUBMISSION, _CANCELLATION, _DELETION, _EXECUTION, _HIDDEN_EXECUTION, _, _HALT = range(1, 8)
_FIELDS: Final = ("time", "type", "order_id", "size", "price", "direction")
_BOOK_FIELDS: Final = ("ask", "ask_size", "bid", "bid_size")
_PRICES_PER_TICK: Final = 10_000 // TICKS_PER_UNIT
_EMPTY_LEVEL: Final = 9_999_999_999
_TWO_DAYS: Final = 172_800


class Messages(NamedTuple):
    """A symbol's book over time: times in ns since 1970, prices in ticks, quantities in units.

    ``halts``: 1 if trading is halted from the time in ``halt_times`` on, 0 if it is not.
    """

    times: Nanoseconds
    bids: Integers
    asks: Integers
    lasts: Integers
    trade_times: Nanoseconds
    trade_prices: Integers
    quantities: Integers
    halt_times: Nanoseconds
    halts: Integers


def read(path: str, zone: tzinfo, spread: int) -> Messages:
    """Read a message file, and the orderbook file beside it if there is one.

    ``zone``: time zone of the exchange. ``spread``: ticks between bid and ask while one side of the book is empty.
    Raises ``SettingError`` for an invalid file.
    """
    columns = _read_messages(path)
    times = _timestamps(path, columns["time"], zone)
    _check_messages(path, columns, times)
    kinds = columns["type"]
    prices = _in_ticks(columns["price"])
    trade = (kinds == _EXECUTION) | (kinds == _HIDDEN_EXECUTION)
    bids, asks = _best_prices(path, columns, prices, trade, spread)
    halt = kinds == _HALT
    return Messages(
        times,
        bids,
        asks,
        _last_prices(prices, trade, (bids + asks) // 2),
        times[trade],
        prices[trade],
        columns["size"][trade],
        times[halt],
        # When quoting resumes (price 0), trading is still halted.
        (columns["price"][halt] != 1).astype(np.int64),
    )


def symbol_in(path: str) -> str | None:
    """Return the symbol in a LOBSTER file's name, or None for another name."""
    match = NAME.fullmatch(Path(path).name)
    return match and match["symbol"]


def _read_messages(path: str) -> dict[str, Array]:
    width = len(read_header(path))
    if width not in (len(_FIELDS), len(_FIELDS) + 1):
        raise file_error(path, f"has {width} fields, but a LOBSTER message has {len(_FIELDS)}", 1)
    fields = {name: (index, numbers if name == "time" else whole_numbers) for index, name in enumerate(_FIELDS)}
    return read_columns(path, fields, width, header=False)


def _timestamps(path: str, seconds: Array, zone: tzinfo) -> Nanoseconds:
    within = (seconds >= 0) & (seconds < _TWO_DAYS)
    if not within.all():
        row = int(np.argmin(within))
        raise file_error(
            path,
            f"time {seconds[row]:g} is not allowed; must be seconds after midnight, below {_TWO_DAYS}",
            row + 1,
        )
    since_midnight: Nanoseconds = np.rint(seconds * SECOND).astype(np.int64)
    return _midnight(path, zone) + since_midnight


def _midnight(path: str, zone: tzinfo) -> int:
    match = NAME.fullmatch(Path(path).name)
    day = match["date"] if match else "1970-01-01"
    try:
        local = np.array([datetime.fromisoformat(day)], "datetime64[ns]").astype(np.int64)
    except ValueError:
        raise file_error(path, f"{day!r} in the file's name is not a date") from None
    return int(Timestamps(zone).of_local_times(local)[0])


def _check_messages(path: str, columns: dict[str, Array], times: Nanoseconds) -> None:
    """Raise ``SettingError`` for the first invalid message."""
    kinds = columns["type"]
    order = (kinds >= _SUBMISSION) & (kinds <= _HIDDEN_EXECUTION)
    rules = [*_message_rules(kinds, columns["price"], times), *_order_rules(columns, order)]
    violated = [(int(np.argmax(mask)), text) for mask, text in rules if mask.any()]
    if violated:
        row, text = min(violated, key=lambda rule: rule[0])
        raise file_error(path, text(row), row + 1)
    if not order.any():
        raise file_error(path, "has no message with a price")


def _message_rules(kinds: Array, prices: Array, times: Nanoseconds) -> Iterator[_Rule]:
    def unsorted(row: int) -> str:
        before, after = format_moment(int(times[row - 1])), format_moment(int(times[row]))
        return f"not sorted: {after} comes after {before} (UTC)"

    yield np.concatenate([[False], np.diff(times) < 0]), unsorted
    yield (kinds < _SUBMISSION) | (kinds > _HALT), lambda row: f"type {kinds[row]} is unknown; must be 1 to 7"
    unknown_halt = (kinds == _HALT) & (np.abs(prices) > 1)
    yield unknown_halt, lambda row: f"price {prices[row]} of a halt is unknown; must be -1, 0 or 1"


def _order_rules(columns: dict[str, Array], order: npt.NDArray[np.bool_]) -> Iterator[_Rule]:
    sizes, prices, directions = (columns[name] for name in ("size", "price", "direction"))
    yield order & (sizes <= 0), lambda row: f"size {sizes[row]} must be above 0"
    yield order & (prices <= 0), lambda row: f"price {prices[row]} must be above 0"
    yield (
        order & (_in_ticks(prices) == 0),
        lambda row: f"price {prices[row]} (times 10,000) rounds to 0 ticks of 0.01; scale the prices",
    )
    yield order & (prices >= _EMPTY_LEVEL), lambda row: f"price {prices[row]} must be below {_EMPTY_LEVEL}"
    yield order & (np.abs(directions) != 1), lambda row: f"direction {directions[row]} must be 1 or -1"


def _best_prices(
    path: str, columns: dict[str, Array], prices: Integers, trade: npt.NDArray[np.bool_], spread: int
) -> tuple[Integers, Integers]:
    beside = _orderbook_beside(path)
    bids, asks = _rebuild(columns) if beside is None else _read_orderbook(beside, path, len(prices))
    bids, asks = _in_ticks(bids), _in_ticks(asks)
    has_price = (bids > 0) | (asks > 0)
    if not has_price.any():
        # The file has only hidden orders and orders from before its beginning: use the prices of their executions.
        bids, has_price = np.where(trade, prices - spread // 2, 0), trade
    if not has_price.any():
        raise file_error(path, "has no submission and no execution, so no prices are known")
    bids = np.where(bids > 0, bids, asks - spread)
    asks = np.where(asks > 0, asks, bids + spread)
    latest = np.maximum.accumulate(np.where(has_price, np.arange(len(has_price)), int(np.argmax(has_price))))
    bids = np.maximum(bids[latest], 1)
    return bids, np.maximum(asks[latest], bids + 1)


def _last_prices(prices: Integers, trade: npt.NDArray[np.bool_], before: Integers) -> Integers:
    """Return the price of the last execution after each message. Before the first execution, it is ``before``."""
    latest = np.maximum.accumulate(np.where(trade, np.arange(len(trade)), -1))
    return np.where(latest >= 0, prices[latest], before)


def _in_ticks(prices: Integers) -> Integers:
    return np.rint(prices / _PRICES_PER_TICK).astype(np.int64)


def _orderbook_beside(path: str) -> str | None:
    file = Path(path)
    beside = file.with_name(re.sub("message", "orderbook", file.name, flags=re.IGNORECASE))
    return str(beside) if beside != file and beside.is_file() else None


def _read_orderbook(path: str, messages: str, count: int) -> tuple[Integers, Integers]:
    """Return bids and asks of an orderbook file, in its prices; 0 if the side is empty."""
    width = len(read_header(path))
    if width % len(_BOOK_FIELDS):
        raise file_error(path, f"has {width} fields; must be four for each level of the book", 1)
    fields = {name: (index, whole_numbers) for index, name in enumerate(_BOOK_FIELDS)}
    columns = read_columns(path, fields, width, header=False)
    if len(columns["bid"]) != count:
        raise file_error(path, f"has {len(columns['bid'])} lines, but {Path(messages).name} has {count}")
    bids, asks = (np.where(np.abs(columns[side]) < _EMPTY_LEVEL, columns[side], 0) for side in ("bid", "ask"))
    crossed = (bids > asks) & (bids > 0) & (asks > 0)
    if crossed.any():
        row = int(np.argmax(crossed))
        raise file_error(path, f"bid {bids[row]} is above ask {asks[row]}", row + 1)
    return bids, asks


def _rebuild(columns: dict[str, Array]) -> tuple[Integers, Integers]:
    """Rebuild bids and asks from the messages, in their prices; 0 if no order of that side is known."""
    bids, asks = _Side(sign=1), _Side(sign=-1)
    best_bids, best_asks = [], []
    rows = zip(*(columns[name].tolist() for name in _FIELDS[1:]), strict=True)
    for kind, order, size, price, direction in rows:
        own, other = (bids, asks) if direction == 1 else (asks, bids)
        if kind == _SUBMISSION:
            other.forget_through(price)
            own.add(order, price, size)
        elif kind == _EXECUTION:
            own.forget_better_than(price)
            own.reduce(order, size)
        elif kind == _CANCELLATION:
            own.reduce(order, size)
        elif kind == _DELETION:
            own.remove(order)
        best_bids.append(bids.best())
        best_asks.append(asks.best())
    return np.array(best_bids, np.int64), np.array(best_asks, np.int64)


class _Side:
    """One side of a book. ``sign``: 1 if a higher price is better (bids), -1 if a lower price is better (asks)."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._orders: dict[int, tuple[int, int]] = {}
        self._orders_at: dict[int, set[int]] = {}
        self._heap: list[int] = []

    def add(self, order: int, price: int, size: int) -> None:
        self.remove(order)
        self._orders[order] = (price, size)
        if price not in self._orders_at:
            self._orders_at[price] = set()
            heappush(self._heap, -self._sign * price)
        self._orders_at[price].add(order)

    def reduce(self, order: int, size: int) -> None:
        if order not in self._orders:
            return
        price, remaining = self._orders[order]
        if remaining <= size:
            self.remove(order)
        else:
            self._orders[order] = (price, remaining - size)

    def remove(self, order: int) -> None:
        if order in self._orders:
            price, _ = self._orders.pop(order)
            self._orders_at[price].discard(order)

    def best(self) -> int:
        """Return the best price, or 0 for an empty side."""
        while self._heap:
            price = -self._sign * self._heap[0]
            if self._orders_at[price]:
                return price
            heappop(self._heap)
            del self._orders_at[price]
        return 0

    def forget_better_than(self, price: int) -> None:
        """Remove the orders with a better price: an execution at this price shows that they are gone."""
        while (best := self.best()) and self._sign * best > self._sign * price:
            self._forget(best)

    def forget_through(self, price: int) -> None:
        """Remove the orders that match an order of the other side resting at this price: they must be gone."""
        while (best := self.best()) and self._sign * best >= self._sign * price:
            self._forget(best)

    def _forget(self, price: int) -> None:
        for order in tuple(self._orders_at[price]):
            self.remove(order)
