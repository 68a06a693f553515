"""What must be true of an exchange at every moment, checked from its state alone.

Each check is a function from the state to sentences about what is wrong; `problems_of` runs them all. They
recompute from the books, the deposits and the journal what the exchange keeps in running totals, so a lost or
doubled update shows, whichever it was.

Guaranteed: nothing is changed, and every sentence is one line and names what does not hold. What no state
shows afterwards, such as a book that was crossed for a moment, is noted in `Incidents` when it happens.

The choice made: each trade is looked at once, by the first audit after it or when it leaves the journal, and
added up in `Ledger`; so a replay gives the whole state after any number of trades, at the price of the new ones.
Event sourcing calls this a snapshot.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .accounts import Account
from .book import Order, OrderBook, Side, Trade

if TYPE_CHECKING:
    from .exchange import Counts

_MOST_INCIDENTS = 20
_MOST_LEVELS = 1_000


# Symbol, side and price.
Level = tuple[str, Side, int]


class Violations:
    """What was wrong at moments that have passed: the first few sentences, and how many there were."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._more = 0

    def note(self, sentence: str) -> None:
        if len(self._first) < _MOST_INCIDENTS:
            self._first.append(sentence)
        else:
            self._more += 1

    def problems(self) -> Iterator[str]:
        yield from self._first
        if self._more:
            yield f"and {self._more} more like these"


class AuditState:
    """What the trades of the journal make: cash (ticks) by account, units by account and symbol.

    `trades` is how many it has seen and `quantity` what they traded, in units. `incidents` says what was wrong
    with them, each looked at by itself and after those before it.
    """

    def __init__(self, fee: int, fee_account: str) -> None:
        self.cash: Counter[str] = Counter()
        self.units: Counter[tuple[str, str]] = Counter()
        self.trades = 0
        self.quantity = 0
        self.incidents = Violations()
        self._fee = fee
        self._fee_account = fee_account
        self._last: Trade | None = None
        self._served: dict[Level, int] = {}

    def take(self, trades: Sequence[Trade]) -> None:
        """Add trades, which follow those taken so far."""
        for trade in trades:
            self._apply(trade)
            self._note_problems_of(trade)
            self._last = trade
        self.trades += len(trades)

    def last_served(self, level: Level) -> int:
        """The number of the order that was the last to wait and trade there; 0 where that is not known."""
        return self._served.get(level, 0)

    def _apply(self, trade: Trade) -> None:
        _, symbol, price, quantity, maker, taker = trade
        buy, sell = (taker, maker) if taker.side == "buy" else (maker, taker)
        notional, fees = price * quantity, self._fee * quantity
        self.cash[buy.account] -= notional + fees
        self.cash[sell.account] += notional - fees
        self.cash[self._fee_account] += 2 * fees
        self.units[buy.account, symbol] += quantity
        self.units[sell.account, symbol] -= quantity
        self.quantity += quantity

    def _note_problems_of(self, trade: Trade) -> None:
        maker, level = trade.maker, _level_of(trade.maker)
        for problem in _problems_of_price(trade, self._last):
            self.incidents.note(problem)
        last = self._served.pop(level, 0)
        if maker.number < last:
            self.incidents.note(
                f"trade {trade.sequence} was not first in, first out: order {last} traded at {maker.price} "
                f"before order {maker.number}, which had come first"
            )
        self._served[level] = maker.number
        if len(self._served) > _MOST_LEVELS:
            del self._served[next(iter(self._served))]


class PrunedTotals(NamedTuple):
    """The trades that have left the journal: how many, and the highest number of an order that had one."""

    trades: int = 0
    last_order: int = 0

    def and_also(self, trades: Sequence[Trade]) -> PrunedTotals:
        numbers = (max(trade.maker.number, trade.taker.number) for trade in trades)
        return PrunedTotals(self.trades + len(trades), max(self.last_order, *numbers))


class Audited(NamedTuple):
    """The state of an exchange, at rest."""

    accounts: Mapping[str, Account]
    books: Mapping[str, OrderBook]
    journal: Sequence[Trade]
    forgotten: PrunedTotals
    ledger: AuditState
    incidents: Violations
    counts: Counts
    fees: Account
    fee: int


def problems_of(state: Audited) -> list[str]:
    """One sentence for each problem, empty when all is well. The state must not change meanwhile."""
    checks = (
        _conservation,
        _fees,
        _books,
        _reservations,
        _availability,
        _orders,
        _ends,
        _client_ids,
        _quantities,
        _numbering,
        _priority,
        _replay,
        _replay_of_orders,
        _incidents,
    )
    return [problem for check in checks for problem in check(state)]


def gaps_in(trades: Sequence[Trade], first: int) -> Iterator[str]:
    """A sentence where the numbers of the trades are not `first` and those that follow it."""
    for expected, trade in enumerate(trades, first):
        if trade.sequence != expected:
            yield f"trade numbers have a gap: {trade.sequence} stands where {expected} belongs"
            return


def _problems_of_price(trade: Trade, before: Trade | None) -> Iterator[str]:
    number, price, maker, taker = trade.sequence, trade.price, trade.maker, trade.taker
    sign = 1 if taker.side == "buy" else -1
    if price != maker.price:
        yield f"trade {number} was at {price}, not at the maker's price of {maker.price}"
    if price * sign > taker.price * sign:
        yield f"trade {number} was at {price}, worse than the taker's limit of {taker.price}"
    if maker.side == taker.side:
        yield f"trade {number} was between two orders to {taker.side}"
    if maker.number >= taker.number:
        yield f"trade {number}: its maker, order {maker.number}, did not come before order {taker.number}"
    if before is not None and before.taker is taker and price * sign < before.price * sign:
        yield f"trade {number} was at {price}, a better price than the {before.price} that order traded at before"


def _conservation(state: Audited) -> Iterator[str]:
    accounts = state.accounts.values()
    held, deposited = sum(a.cash for a in accounts), sum(a.deposited_cash for a in accounts)
    if held != deposited:
        yield f"cash is not conserved: {deposited} ticks were deposited, the accounts hold {held}"
    for symbol in sorted({symbol for a in accounts for symbol in (*a.positions, *a.deposited_positions)}):
        units = sum(a.positions.get(symbol, 0) for a in accounts)
        issued = sum(a.deposited_positions.get(symbol, 0) for a in accounts)
        if units != issued:
            yield f"{symbol} is not conserved: {issued} units were deposited, the accounts hold {units}"


def _fees(state: Audited) -> Iterator[str]:
    due = state.fees.deposited_cash + 2 * state.fee * state.counts.traded_quantity
    if state.fees.cash != due:
        yield f"the fee account holds {state.fees.cash} ticks where {due} are due"


def _books(state: Audited) -> Iterator[str]:
    for book in state.books.values():
        yield from book.problems()


def _reservations(state: Audited) -> Iterator[str]:
    cash: Counter[str] = Counter()
    units: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for order in _waiting(state):
        if order.side == "buy":
            cash[order.account] += (order.price + state.fee) * order.remaining
        else:
            units[order.account][order.symbol] += order.remaining
    for name, account in state.accounts.items():
        if account.reserved_cash != cash[name]:
            yield f"{name!r} has {account.reserved_cash} ticks reserved, its open orders need {cash[name]}"
        for symbol in sorted({*units[name], *account.reserved_positions}):
            reserved, needed = account.reserved_positions.get(symbol, 0), units[name][symbol]
            if reserved != needed:
                yield f"{name!r} has {reserved} {symbol} reserved, its open orders need {needed}"


def _availability(state: Audited) -> Iterator[str]:
    for name, account in state.accounts.items():
        if account.cash < account.reserved_cash:
            yield f"{name!r} has {account.cash - account.reserved_cash} ticks available, which is negative"
        for symbol, units in account.positions.items():
            available = units - account.reserved_positions.get(symbol, 0)
            if available < 0:
                yield f"{name!r} has {available} {symbol} available, which is negative"


def _orders(state: Audited) -> Iterator[str]:
    waiting = dict.fromkeys(_waiting(state))
    for order in waiting:
        account = state.accounts.get(order.account)
        if account is None or account.orders.get(order.client_id) is not order:
            yield f"{order} waits in the book, but its account does not know it"
    for account in state.accounts.values():
        for client_id, order in account.orders.items():
            yield from _problems_with(order, account, client_id)
            if order.is_open and order not in waiting:
                yield f"{order} is open, but waits in no book"


def _problems_with(order: Order, account: Account, client_id: str) -> Iterator[str]:
    if (order.account, order.client_id) != (account.name, client_id):
        yield f"{order} is kept under the client id {client_id!r} of {account.name!r}"
    if not 0 <= order.filled <= order.quantity:
        yield f"{order} has more filled than its quantity, or less than nothing"
    elif not _status_fits(order):
        yield f"{order} has a status that does not fit what is filled"


def _status_fits(order: Order) -> bool:
    match order.status:
        case "open":
            return order.filled == 0
        case "partially filled":
            return 0 < order.filled < order.quantity
        case "filled":
            return order.filled == order.quantity
        case "cancelled":
            return order.filled < order.quantity
        case "rejected":
            return False


def _ends(state: Audited) -> Iterator[str]:
    for name, account in state.accounts.items():
        for client_id, times in Counter(account.ended_ids).items():
            order = account.orders.get(client_id)
            if times > 1:
                yield f"the order {client_id!r} of {name!r} ended {times} times"
            if order is not None and order.is_open:
                yield f"{order} changed after its end"


def _client_ids(state: Audited) -> Iterator[str]:
    waiting = Counter((order.account, order.client_id) for order in _waiting(state))
    for (name, client_id), times in waiting.items():
        if times > 1:
            yield f"one client id is not one order: {times} orders {client_id!r} of {name!r} wait"


def _quantities(state: Audited) -> Iterator[str]:
    counts = state.counts
    resting = sum(order.remaining for order in _waiting(state))
    accounted = 2 * counts.traded_quantity + counts.cancelled_quantity + resting
    if counts.submitted_quantity != accounted:
        yield (
            f"submitted quantity {counts.submitted_quantity} is not 2 x {counts.traded_quantity} traded "
            f"+ {counts.cancelled_quantity} cancelled + {resting} resting = {accounted}"
        )


def _numbering(state: Audited) -> Iterator[str]:
    yield from gaps_in(state.journal, state.forgotten.trades + 1)
    journalled = state.forgotten.trades + len(state.journal)
    if journalled != state.counts.trades:
        yield f"{state.counts.trades} trades were counted, the journal has had {journalled}"
    known = {order for account in state.accounts.values() for order in account.orders.values()}
    numbers = Counter(order.number for order in known.union(_waiting(state)))
    for number, times in sorted(numbers.items()):
        if times > 1:
            yield f"{times} orders have the number {number}"
        if not 1 <= number <= state.counts.orders:
            yield f"an order has the number {number}, but {state.counts.orders} were accepted"
    ended = sum(account.ended_orders for account in state.accounts.values())
    waiting = sum(1 for _ in _waiting(state))
    if ended + waiting != state.counts.orders:
        yield f"{state.counts.orders} orders were accepted, but {ended} ended and {waiting} wait"


def _priority(state: Audited) -> Iterator[str]:
    """Whether orders wait that should have traded; those that traded are in the ledger."""
    for order in _waiting(state):
        last = state.ledger.last_served(_level_of(order))
        if order.number < last:
            yield f"{order} was not first in, first out: order {last}, which came later, has traded at its price"


def _replay(state: Audited) -> Iterator[str]:
    """Deposits and trades make up what each account holds."""
    ledger = state.ledger
    for name, account in state.accounts.items():
        cash = account.deposited_cash + ledger.cash[name]
        if account.cash != cash:
            yield f"{name!r} holds {account.cash} ticks, its deposits and trades make {cash}"
        for symbol, held in account.positions.items():
            units = account.deposited_positions.get(symbol, 0) + ledger.units[name, symbol]
            if held != units:
                yield f"{name!r} holds {held} {symbol}, its deposits and trades make {units}"
    if ledger.quantity != state.counts.traded_quantity:
        traded = state.counts.traded_quantity
        yield f"{traded} units were counted as traded, the journal's trades make {ledger.quantity}"


def _replay_of_orders(state: Audited) -> Iterator[str]:
    """Trades make up what is filled of each order; no more than that where some of them may be forgotten."""
    traded: Counter[Order] = Counter()
    for trade in state.journal:
        traded[trade.maker] += trade.quantity
        traded[trade.taker] += trade.quantity
    known = (order for account in state.accounts.values() for order in account.orders.values())
    for order in dict.fromkeys((*known, *traded)):
        quantity, all_known = traded[order], order.number > state.forgotten.last_order
        if quantity > order.filled or (quantity < order.filled and all_known):
            yield f"{order} has {order.filled} filled, its trades make {quantity}"


def _incidents(state: Audited) -> Iterator[str]:
    yield from state.incidents.problems()
    yield from state.ledger.incidents.problems()


def _level_of(order: Order) -> Level:
    return order.symbol, order.side, order.price


def _waiting(state: Audited) -> Iterator[Order]:
    for book in state.books.values():
        yield from book.orders()
