"""Check the invariants of an exchange from its state.

Each check is a function that takes the state and yields one sentence per violation. `audit` runs all checks. The
checks recompute the running totals of the exchange from the books, the deposits and the journal. So they find
any lost or duplicate update.

Guarantees: nothing is changed, and every sentence is one line that names the violated invariant.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .accounts import Account
from .audit_state import AuditState, PrunedTotals, Violations, level_of, numbering_gaps
from .book import Order, OrderBook, Trade


class Counts(NamedTuple):
    """Numbers of orders, trades, cancellations and refusals so far, and of the units in them."""

    orders: int
    trades: int
    cancellations: int
    refusals: int
    submitted_quantity: int
    traded_quantity: int
    cancelled_quantity: int


class ExchangeState(NamedTuple):
    """The state of an exchange between two calls."""

    accounts: Mapping[str, Account]
    books: Mapping[str, OrderBook]
    journal: Sequence[Trade]
    pruned: PrunedTotals
    audit_state: AuditState
    violations: Violations
    counts: Counts
    fees: Account
    fee: int


def audit(state: ExchangeState) -> list[str]:
    """Return one sentence per violation, or an empty list. The state must not change during the call."""
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
        _violations,
    )
    return [violation for check in checks for violation in check(state)]


def _conservation(state: ExchangeState) -> Iterator[str]:
    accounts = state.accounts.values()
    held = sum(account.cash for account in accounts)
    deposited = sum(account.deposited_cash for account in accounts)
    if held != deposited:
        yield f"cash is not conserved: {deposited} ticks were deposited, but the accounts hold {held}"
    symbols = {symbol for account in accounts for symbol in (*account.positions, *account.deposited_positions)}
    for symbol in sorted(symbols):
        units = sum(account.positions.get(symbol, 0) for account in accounts)
        issued = sum(account.deposited_positions.get(symbol, 0) for account in accounts)
        if units != issued:
            yield f"{symbol} is not conserved: {issued} units were deposited, but the accounts hold {units}"


def _fees(state: ExchangeState) -> Iterator[str]:
    due = state.fees.deposited_cash + 2 * state.fee * state.counts.traded_quantity
    if state.fees.cash != due:
        yield f"the fee account holds {state.fees.cash} ticks, but {due} are due"


def _books(state: ExchangeState) -> Iterator[str]:
    for book in state.books.values():
        yield from book.problems()


def _reservations(state: ExchangeState) -> Iterator[str]:
    cash: Counter[str] = Counter()
    units: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for order in _open_orders(state):
        if order.side == "buy":
            cash[order.account] += (order.price + state.fee) * order.remaining
        else:
            units[order.account][order.symbol] += order.remaining
    for name, account in state.accounts.items():
        if account.reserved_cash != cash[name]:
            yield f"{name!r} has {account.reserved_cash} ticks reserved, but its open orders need {cash[name]}"
        for symbol in sorted({*units[name], *account.reserved_positions}):
            reserved, needed = account.reserved_positions.get(symbol, 0), units[name][symbol]
            if reserved != needed:
                yield f"{name!r} has {reserved} {symbol} reserved, but its open orders need {needed}"


def _availability(state: ExchangeState) -> Iterator[str]:
    for name, account in state.accounts.items():
        if account.cash < account.reserved_cash:
            yield f"{name!r} has {account.cash - account.reserved_cash} ticks available, which is negative"
        for symbol, units in account.positions.items():
            available = units - account.reserved_positions.get(symbol, 0)
            if available < 0:
                yield f"{name!r} has {available} {symbol} available, which is negative"


def _orders(state: ExchangeState) -> Iterator[str]:
    waiting = dict.fromkeys(_open_orders(state))
    for order in waiting:
        account = state.accounts.get(order.account)
        if account is None or account.orders.get(order.client_id) is not order:
            yield f"{order} is in the book, but its account does not know it"
    for account in state.accounts.values():
        for client_id, order in account.orders.items():
            yield from _order_violations(order, account, client_id)
            if order.is_open and order not in waiting:
                yield f"{order} is open, but is not in any book"


def _order_violations(order: Order, account: Account, client_id: str) -> Iterator[str]:
    if (order.account, order.client_id) != (account.name, client_id):
        yield f"{order} is stored under the client id {client_id!r} of {account.name!r}"
    if not 0 <= order.filled <= order.quantity:
        yield f"{order} has a filled quantity below 0 or above its quantity"
    elif not _status_fits(order):
        yield f"{order} has a status that contradicts its filled quantity"


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


def _ends(state: ExchangeState) -> Iterator[str]:
    for name, account in state.accounts.items():
        for client_id, times in Counter(account.ended_ids).items():
            order = account.orders.get(client_id)
            if times > 1:
                yield f"order {client_id!r} of {name!r} ended {times} times"
            if order is not None and order.is_open:
                yield f"{order} changed after its end"


def _client_ids(state: ExchangeState) -> Iterator[str]:
    waiting = Counter((order.account, order.client_id) for order in _open_orders(state))
    for (name, client_id), times in waiting.items():
        if times > 1:
            yield f"duplicate client id: {times} open orders are {client_id!r} of {name!r}"


def _quantities(state: ExchangeState) -> Iterator[str]:
    counts = state.counts
    resting = sum(order.remaining for order in _open_orders(state))
    accounted = 2 * counts.traded_quantity + counts.cancelled_quantity + resting
    if counts.submitted_quantity != accounted:
        yield (
            f"submitted quantity {counts.submitted_quantity} is not 2 x {counts.traded_quantity} traded "
            f"+ {counts.cancelled_quantity} cancelled + {resting} resting = {accounted}"
        )


def _numbering(state: ExchangeState) -> Iterator[str]:
    yield from numbering_gaps(state.journal, state.pruned.trades + 1)
    journalled = state.pruned.trades + len(state.journal)
    if journalled != state.counts.trades:
        yield f"{state.counts.trades} trades were counted, but the journal recorded {journalled}"
    remembered = {order for account in state.accounts.values() for order in account.orders.values()}
    numbers = Counter(order.number for order in remembered.union(_open_orders(state)))
    for number, times in sorted(numbers.items()):
        if times > 1:
            yield f"{times} orders have the number {number}"
        if not 1 <= number <= state.counts.orders:
            yield f"an order has the number {number}, but {state.counts.orders} were accepted"
    ended = sum(account.ended_orders for account in state.accounts.values())
    waiting = sum(1 for _ in _open_orders(state))
    if ended + waiting != state.counts.orders:
        yield f"{state.counts.orders} orders were accepted, but {ended} ended and {waiting} are open"


def _priority(state: ExchangeState) -> Iterator[str]:
    """Find open orders that should have traded before a later one. `AuditState` checks the orders that traded."""
    for order in _open_orders(state):
        last = state.audit_state.last_maker(level_of(order))
        if order.number < last:
            yield f"{order} was not first in, first out: the later order {last} has traded at the same price"


def _replay(state: ExchangeState) -> Iterator[str]:
    """Compare each account's holdings with its deposits and trades."""
    replayed = state.audit_state
    for name, account in state.accounts.items():
        cash = account.deposited_cash + replayed.cash[name]
        if account.cash != cash:
            yield f"{name!r} holds {account.cash} ticks, but its deposits and trades add up to {cash}"
        for symbol, held in account.positions.items():
            units = account.deposited_positions.get(symbol, 0) + replayed.units[name, symbol]
            if held != units:
                yield f"{name!r} holds {held} {symbol}, but its deposits and trades add up to {units}"
    if replayed.quantity != state.counts.traded_quantity:
        traded = state.counts.traded_quantity
        yield f"{traded} units were counted as traded, but the journal's trades add up to {replayed.quantity}"


def _replay_of_orders(state: ExchangeState) -> Iterator[str]:
    """Compare each order's filled quantity with its trades, some of which may have been pruned."""
    traded: Counter[Order] = Counter()
    for trade in state.journal:
        traded[trade.maker] += trade.quantity
        traded[trade.taker] += trade.quantity
    remembered = (order for account in state.accounts.values() for order in account.orders.values())
    for order in dict.fromkeys((*remembered, *traded)):
        quantity, has_all_trades = traded[order], order.number > state.pruned.last_order
        if quantity > order.filled or (quantity < order.filled and has_all_trades):
            yield f"{order} has {order.filled} filled, but its trades add up to {quantity}"


def _violations(state: ExchangeState) -> Iterator[str]:
    yield from state.violations.problems()
    yield from state.audit_state.violations.problems()


def _open_orders(state: ExchangeState) -> Iterator[Order]:
    for book in state.books.values():
        yield from book.orders()
