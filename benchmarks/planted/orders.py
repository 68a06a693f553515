"""Planted bugs in order books, between the placing of an order and its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pytest_nos_stress import Operation

from .bug import Bug


@dataclass
class Order:
    """A buy order; quantities are in units."""

    owner: str
    quantity: int
    filled: int = 0
    status: str = "open"
    expires_ms: int = 0

    @property
    def remaining(self) -> int:
        return self.quantity - self.filled


class LostReplyRetried:
    """Clients who buy at a venue with cash they deposited, and retry an order if its reply is lost.

    Bug: the retry has a new order id, so the venue cannot recognise the duplicate.
    """

    PRICE = 40

    def __init__(self) -> None:
        self.cash: Counter[str] = Counter()
        self.ids: set[str] = set()
        self.orders: Counter[str] = Counter()

    def deposit(self, operation: Operation) -> None:
        self.cash[operation.agent] += 100

    def withdraw(self, operation: Operation) -> None:
        self.cash[operation.agent] = 0

    def buy(self, operation: Operation) -> None:
        self._accept(operation, operation.id)
        if operation.fault == "lost_reply":
            self._accept(operation, self._id_of_retry(operation))

    def _id_of_retry(self, operation: Operation) -> str:
        return f"{operation.id}-retry"

    def _accept(self, operation: Operation, order_id: str) -> None:
        if order_id not in self.ids and self.cash[operation.agent] >= self.PRICE:
            self.cash[operation.agent] -= self.PRICE
            self.ids.add(order_id)
            self.orders[operation.id] += 1

    def audit(self) -> list[str]:
        return [
            f"{times} orders where {client_order} was wanted"
            for client_order, times in self.orders.items()
            if times > 1
        ]


class LostReplyRetriedFixed(LostReplyRetried):
    """The retry has the same order id."""

    def _id_of_retry(self, operation: Operation) -> str:
        return operation.id


class FillAfterCancel:
    """A book with at most one order of 10 units for each client. Another client can fill 5 of the oldest order.

    Bug: a partly filled order stays in the book after its cancellation, and is filled again.
    """

    def __init__(self) -> None:
        self.book: list[Order] = []
        self.filled_when_cancelled: list[tuple[Order, int]] = []

    def place(self, operation: Operation) -> None:
        if self._own(operation.agent) is None:
            self.book.append(Order(operation.agent, 10))

    def cancel(self, operation: Operation) -> None:
        order = self._own(operation.agent)
        if order is None or order.status != "open":
            return
        order.status = "cancelled"
        self.filled_when_cancelled.append((order, order.filled))
        if self._leaves_book(order):
            self.book.remove(order)

    def _leaves_book(self, order: Order) -> bool:
        return order.filled == 0

    def fill(self, operation: Operation) -> None:
        order = next((order for order in self.book if order.owner != operation.agent), None)
        if order is not None:
            order.filled += 5
            if order.remaining == 0:
                self.book.remove(order)

    def _own(self, client: str) -> Order | None:
        return next((order for order in self.book if order.owner == client), None)

    def audit(self) -> list[str]:
        return [
            f"{order} had {filled} when it was cancelled"
            for order, filled in self.filled_when_cancelled
            if order.filled != filled
        ]


class FillAfterCancelFixed(FillAfterCancel):
    """Every cancelled order leaves the book."""

    def _leaves_book(self, order: Order) -> bool:
        return order.status == "cancelled"


class AmendPastLimit:
    """A limit of 10 units on a client's position and open orders together. New orders have 5 units.

    Bug: an amendment to 10 units is checked against the other open orders, but not against the position.
    """

    LIMIT = 10

    def __init__(self) -> None:
        self.positions: Counter[str] = Counter()
        self.open: dict[str, list[int]] = {}

    def place(self, operation: Operation) -> None:
        orders = self._orders(operation)
        if self.positions[operation.agent] + sum(orders) + 5 <= self.LIMIT:
            orders.append(5)

    def fill(self, operation: Operation) -> None:
        orders = self._orders(operation)
        if orders:
            self.positions[operation.agent] += orders.pop(0)

    def amend(self, operation: Operation) -> None:
        orders = self._orders(operation)
        if orders and self._counted(operation.agent) + sum(orders[1:]) + 10 <= self.LIMIT:
            orders[0] = 10

    def _counted(self, _client: str) -> int:
        return 0

    def _orders(self, operation: Operation) -> list[int]:
        return self.open.setdefault(operation.agent, [])

    def audit(self) -> list[str]:
        totals = {client: self.positions[client] + sum(orders) for client, orders in self.open.items()}
        return [f"{client} can reach {total} units" for client, total in totals.items() if total > self.LIMIT]


class AmendPastLimitFixed(AmendPastLimit):
    """The check of an amendment counts the position too."""

    def _counted(self, client: str) -> int:
        return self.positions[client]


class LostRemainder:
    """A book with buy orders of 10 units. Sellers sell 3 units at a time.

    Bug: the part of a sale that exceeds the oldest order is lost. It should fill the next order.
    """

    def __init__(self) -> None:
        self.book: list[Order] = []
        self.bought = self.sold = self.returned = 0

    def buy(self, operation: Operation) -> None:
        self.book.append(Order(operation.agent, 10))

    def sell(self) -> None:
        if not self.book:
            return
        self.sold += 3
        left = self._fill_oldest(3)
        while left and self.book and self._fills_next():
            left = self._fill_oldest(left)
        if not self.book:
            self.returned += left

    def _fill_oldest(self, units: int) -> int:
        """Fill the oldest order. Return the units that are left."""
        order = self.book[0]
        taken = min(units, order.remaining)
        order.filled += taken
        self.bought += taken
        if order.remaining == 0:
            self.book.pop(0)
        return units - taken

    def _fills_next(self) -> bool:
        return False

    def audit(self) -> list[str]:
        lost = self.sold - self.returned - self.bought
        return [f"{lost} sold units were not bought"] if lost else []


class LostRemainderFixed(LostRemainder):
    """The remainder fills the next order."""

    def _fills_next(self) -> bool:
        return True


class ExpiryMeetsFill:
    """Orders that expire after a minute. A sweep refunds the cash of expired orders.

    Bug: both a sweep and a fill are allowed at the last instant, and a fill does not check the order's status.
    """

    MINUTE_MS = 60_000

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.refunded: list[Order] = []

    def place(self, operation: Operation) -> None:
        expires = round(operation.now() * 1e3) + self.MINUTE_MS
        self.orders.append(Order(operation.agent, 1, expires_ms=expires))

    def fill(self, operation: Operation) -> None:
        now = round(operation.now() * 1e3)
        order = next((order for order in self.orders if order.remaining and self._can_trade(order, now)), None)
        if order is not None:
            order.filled = 1
            order.status = "filled"

    def sweep(self, operation: Operation) -> None:
        now = round(operation.now() * 1e3)
        for order in self.orders:
            if order.status == "open" and now >= order.expires_ms:
                order.status = "expired"
                self.refunded.append(order)

    def _can_trade(self, order: Order, now: int) -> bool:
        return now <= order.expires_ms

    def audit(self) -> list[str]:
        return [f"{order} was both filled and refunded" for order in self.refunded if order.filled]


class ExpiryMeetsFillFixed(ExpiryMeetsFill):
    """Only open orders are filled."""

    def _can_trade(self, order: Order, now: int) -> bool:
        return order.status == "open" and now <= order.expires_ms


BUGS = (
    Bug(
        "lost-reply-retried",
        "an order whose reply is lost is retried under a new id",
        ("deposit", "withdraw", "buy"),
        LostReplyRetried,
        LostReplyRetriedFixed,
        (("Agent_1", "deposit"), ("Agent_1", "buy", "lost_reply")),
    ),
    Bug(
        "fill-after-cancel",
        "a partly filled order is filled again after it was cancelled",
        ("place", "cancel", "fill"),
        FillAfterCancel,
        FillAfterCancelFixed,
        (("Agent_1", "place"), ("Agent_2", "fill"), ("Agent_1", "cancel"), ("Agent_2", "fill")),
    ),
    Bug(
        "amend-past-limit",
        "an amendment is not checked against the position",
        ("place", "fill", "amend"),
        AmendPastLimit,
        AmendPastLimitFixed,
        (("Agent_1", "place"), ("Agent_1", "fill"), ("Agent_1", "place"), ("Agent_1", "amend")),
    ),
    Bug(
        "lost-remainder",
        "the part of a sale that exceeds the oldest order is lost",
        ("buy", "sell"),
        LostRemainder,
        LostRemainderFixed,
        (("Agent_1", "buy"), ("Agent_1", "buy"), *[("Agent_1", "sell")] * 4),
    ),
    Bug(
        "expiry-meets-fill",
        "an order expires and is filled at the same instant",
        ("place", "fill", "sweep"),
        ExpiryMeetsFill,
        ExpiryMeetsFillFixed,
        (("Agent_1", "place"), ("Agent_1", "sweep", None, 60.0), ("Agent_1", "fill")),
    ),
)
