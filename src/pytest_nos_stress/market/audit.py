"""What must be true of an exchange at every moment, checked from its state alone.

Each check is a function from the state to sentences about what is wrong; `problems_of` runs them all. They
recompute from the books and the deposits what the exchange keeps in running totals, so a lost or doubled
update shows, whichever it was.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pytest_nos_stress.market.accounts import Account
from pytest_nos_stress.market.book import Order, OrderBook, Trade

if TYPE_CHECKING:
    from pytest_nos_stress.market.exchange import Counts


class Audited(NamedTuple):
    """The state of an exchange, at rest."""

    accounts: Mapping[str, Account]
    books: Mapping[str, OrderBook]
    journal: deque[Trade]
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
        _quantities,
        _numbering,
        _replay,
    )
    return [problem for check in checks for problem in check(state)]


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
    waiting = set(_waiting(state))
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
    first = state.counts.trades - len(state.journal) + 1
    for expected, trade in enumerate(state.journal, first):
        if trade.sequence != expected:
            yield f"trade numbers have a gap: {trade.sequence} stands where {expected} belongs"
            break
    known = {order for account in state.accounts.values() for order in account.orders.values()}
    numbers = Counter(order.number for order in known.union(_waiting(state)))
    for number, times in sorted(numbers.items()):
        if times > 1:
            yield f"{times} orders have the number {number}"
        if not 1 <= number <= state.counts.orders:
            yield f"an order has the number {number}, but {state.counts.orders} were accepted"


def _replay(state: Audited) -> Iterator[str]:
    """While the journal has every trade: deposits and trades make up what each account holds."""
    if len(state.journal) != state.counts.trades:
        return
    cash = {name: account.deposited_cash for name, account in state.accounts.items()}
    units = Counter({(n, s): u for n, a in state.accounts.items() for s, u in a.deposited_positions.items()})
    for trade in state.journal:
        buyer, seller, fees = trade.buy.account, trade.sell.account, state.fee * trade.quantity
        cash[buyer] -= trade.price * trade.quantity + fees
        cash[seller] += trade.price * trade.quantity - fees
        cash[state.fees.name] += 2 * fees
        units[buyer, trade.symbol] += trade.quantity
        units[seller, trade.symbol] -= trade.quantity
    for name, account in state.accounts.items():
        if account.cash != cash[name]:
            yield f"{name!r} holds {account.cash} ticks, its deposits and trades make {cash[name]}"
        for symbol, held in account.positions.items():
            if held != units[name, symbol]:
                yield f"{name!r} holds {held} {symbol}, its deposits and trades make {units[name, symbol]}"


def _waiting(state: Audited) -> Iterator[Order]:
    for book in state.books.values():
        yield from book.orders()
