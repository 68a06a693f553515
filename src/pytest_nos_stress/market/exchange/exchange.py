"""An exchange: accounts trade with each other through order books, and an audit finds violations.

Guarantees, under any number of threads:

- Cash and positions are conserved, fees included.
- An order is accepted only if the account can pay for all of it.
- An account never sells units that it does not have.
- A client id belongs to one order, however often the request is retried.
- Orders and trades are numbered from 1 without gaps.

`audit()` checks these and more from the state.

One lock guards everything. It is reentrant and public: hold `exchange.lock` to make several calls one atomic step.

Memory is bounded by the accounts and the open orders: an account keeps only its last ended orders, and the
exchange only its last trades.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Final

from pytest_nos_stress.market.errors import (
    AccountExists,
    InvalidOrder,
    OrderRefused,
    SymbolNotListed,
    UnknownAccount,
    UnknownOrder,
    name_list,
)
from pytest_nos_stress.market.lock import ExchangeLock

from .accounts import Account, Balance
from .audit import Counts, ExchangeState, audit
from .audit_state import AuditState, PrunedTotals, Violations, numbering_gaps
from .book import Depth, Order, OrderBook, Side, Trade

FEE_ACCOUNT: Final = "(fees)"
_NO_POSITIONS: Final[Mapping[str, int]] = {}
_PRUNED_AT_ONCE: Final = 250


class Exchange:
    """An exchange for some symbols. More can be listed later.

    `fee`: ticks that each side of a trade pays per unit, collected in the account `FEE_ACCOUNT`; default 0.
    `remember`: number of ended orders that an account keeps, so that it recognises a retry of their client ids;
    default 64. `journal`: number of trades that `recent_trades` keeps; default 1000. `book`: makes the book of a
    symbol. Pass a subclass of `OrderBook` to test your matching engine with these accounts and this audit.
    """

    def __init__(
        self,
        symbols: Iterable[str] = (),
        *,
        fee: int = 0,
        remember: int = 64,
        journal: int = 1000,
        book: Callable[[str, Iterator[int]], OrderBook] = OrderBook,
    ) -> None:
        for name, value in (("fee", fee), ("remember", remember), ("journal", journal)):
            _check_amount(name, value)
        self.fee = fee
        self.lock = ExchangeLock()
        self._remember = remember
        self._accounts: dict[str, Account] = {FEE_ACCOUNT: Account(FEE_ACCOUNT, remember)}
        self._fees = self._accounts[FEE_ACCOUNT]
        self._books: dict[str, OrderBook] = {}
        self._make_book = book
        self._journal: list[Trade] = []
        self._journal_size = journal
        self._pruned = PrunedTotals()
        self._audit_state = AuditState(fee, FEE_ACCOUNT)
        self._violations = Violations()
        self._trade_numbers = count(1)
        self._orders = self._trades = self._cancellations = self._refusals = 0
        self._submitted_quantity = self._traded_quantity = self._cancelled_quantity = 0
        for symbol in symbols:
            self.list_symbol(symbol)

    def list_symbol(self, symbol: str) -> None:
        """Start to trade a symbol. Does nothing if the symbol is already listed."""
        with self.lock:
            if symbol not in self._books:
                self._books[symbol] = self._make_book(symbol, self._trade_numbers)

    def open_account(self, name: str, cash: int = 0, positions: Mapping[str, int] = _NO_POSITIONS) -> None:
        """Open an account with `cash` in ticks and `positions` in units.

        Raises `AccountExists`, and `ValueError` for a negative amount.
        """
        with self.lock:
            if name in self._accounts:
                raise AccountExists(f"account {name!r} already exists; choose another name")
            _check_deposit(cash, positions)
            self._accounts[name] = Account(name, self._remember)
            self._accounts[name].deposit(cash, positions)

    def deposit(self, account: str, cash: int = 0, positions: Mapping[str, int] = _NO_POSITIONS) -> None:
        """Add cash (ticks) and positions (units).

        Raises `UnknownAccount`, and `ValueError` for a negative amount.
        """
        with self.lock:
            _check_deposit(cash, positions)
            self._account(account).deposit(cash, positions)

    def submit(
        self, account: str, symbol: str, side: Side, quantity: int, limit_price: int, client_id: str
    ) -> Order:
        """Trade up to `quantity` units at `limit_price` ticks or better. The rest stays in the book.

        If the account already has an order with this client id, the call executes nothing and returns that order,
        whatever the other arguments are. The account knows the order while it is open, and afterwards until
        `remember` more of the account's orders have ended.

        Raises `OrderRefused`: `UnknownAccount`, `SymbolNotListed`, `InvalidOrder`, `InsufficientFunds` or
        `InsufficientPosition`. Then nothing has changed, and the client id may be used again.
        """
        with self.lock:
            try:
                holder = self._account(account)
                earlier = holder.orders.get(client_id)
                if earlier is not None:
                    return earlier
                book = self._book(symbol)
                order = Order(account, symbol, side, quantity, limit_price, client_id)
                self._accept(order, holder)
            except OrderRefused:
                self._refusals += 1
                raise
            for trade in book.submit(order):
                self._settle(trade)
            if order.filled == order.quantity:
                holder.record_end(order)
            self._check_not_crossed(book, order)
            return order

    def cancel(self, account: str, client_id: str) -> Order:
        """Cancel the part of an order that has not traded, and return the order.

        An order that has already ended is returned unchanged. Raises `UnknownAccount`, and `UnknownOrder` for a
        client id that was never used or is forgotten.
        """
        with self.lock:
            holder = self._account(account)
            order = holder.orders.get(client_id)
            if order is None:
                raise UnknownOrder(
                    f"{account!r} has no order {client_id!r}: the client id was never used, or the order ended "
                    f"before the account's last {self._remember} ended orders"
                )
            if order.is_open:
                book = self._books[order.symbol]
                book.cancel(order)
                holder.release(order, self.fee)
                holder.record_end(order)
                self._cancellations += 1
                self._cancelled_quantity += order.remaining
                self._check_not_crossed(book, order)
            return order

    def find(self, account: str, client_id: str) -> Order | None:
        """Return the account's order with this client id, or None if unknown. Raises `UnknownAccount`."""
        with self.lock:
            return self._account(account).orders.get(client_id)

    def open_orders(self, account: str) -> tuple[Order, ...]:
        """Return the account's orders that can still trade, oldest first. Raises `UnknownAccount`."""
        with self.lock:
            return tuple(order for order in self._account(account).orders.values() if order.is_open)

    def best(self, symbol: str) -> tuple[int | None, int | None]:
        """Return best bid and best ask in ticks, None for an empty side. Raises `SymbolNotListed`."""
        with self.lock:
            book = self._book(symbol)
            return book.best_bid, book.best_ask

    def depth(self, symbol: str, levels: int = 5) -> Depth:
        """Return the best `levels` prices of both sides, with quantities. Raises `SymbolNotListed`."""
        with self.lock:
            return self._book(symbol).depth(levels)

    def balance(self, account: str) -> Balance:
        """Return a copy of the account's balance now. Raises `UnknownAccount`."""
        with self.lock:
            return self._account(account).balance()

    def position(self, account: str, symbol: str) -> int:
        """Return the units of the symbol that the account holds now. Raises `UnknownAccount`."""
        with self.lock:
            return self._account(account).positions.get(symbol, 0)

    def recent_trades(self) -> tuple[Trade, ...]:
        """Return the last `journal` trades, oldest first."""
        with self.lock:
            return tuple(self._journal[max(0, len(self._journal) - self._journal_size) :])

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that are traded, in the order in which they were listed."""
        with self.lock:
            return tuple(self._books)

    @property
    def counts(self) -> Counts:
        """Numbers of orders, trades, cancellations and refusals so far, all read at the same moment."""
        with self.lock:
            return Counts(
                self._orders,
                self._trades,
                self._cancellations,
                self._refusals,
                self._submitted_quantity,
                self._traded_quantity,
                self._cancelled_quantity,
            )

    def audit(self) -> list[str]:
        """Check every invariant now. Returns one sentence per violation, or an empty list.

        The cost grows with the accounts, the open orders and the trades since the last audit, so it can be called
        during a run.
        """
        with self.lock:
            self._replay_new_trades()
            return audit(
                ExchangeState(
                    accounts=self._accounts,
                    books=self._books,
                    journal=self._journal,
                    pruned=self._pruned,
                    audit_state=self._audit_state,
                    violations=self._violations,
                    counts=self.counts,
                    fees=self._fees,
                    fee=self.fee,
                )
            )

    def _account(self, name: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            raise UnknownAccount(f"unknown account {name!r}; open it first")
        return account

    def _book(self, symbol: str) -> OrderBook:
        book = self._books.get(symbol)
        if book is None:
            listed = name_list(self._books, len(self._books))
            raise SymbolNotListed(f"symbol {symbol!r} is not listed; listed symbols: {listed}")
        return book

    def _accept(self, order: Order, holder: Account) -> None:
        try:
            self._check_fee(order)
            holder.reserve(order, self.fee)
        except OrderRefused as refusal:
            order.change_to("rejected")
            refusal.order = order
            raise
        self._orders += 1
        self._submitted_quantity += order.quantity
        order.number = self._orders
        holder.orders[order.client_id] = order

    def _check_fee(self, order: Order) -> None:
        # Below the fee a sale costs its seller cash, and a sell order reserves none.
        if order.side == "sell" and order.price < self.fee:
            raise InvalidOrder(
                f"limit price must be at least the fee of {self.fee} ticks per unit for a sell order, "
                f"not {order.price}"
            )

    def _settle(self, trade: Trade) -> None:
        _, symbol, price, quantity, maker, taker = trade
        buy, sell = (taker, maker) if taker.side == "buy" else (maker, taker)
        notional, fees = price * quantity, self.fee * quantity
        reserved = (buy.price + self.fee) * quantity
        self._accounts[buy.account].settle_buy(symbol, quantity, notional + fees, reserved)
        self._accounts[sell.account].settle_sell(symbol, quantity, notional - fees)
        self._fees.cash += 2 * fees
        if maker.filled == maker.quantity:
            self._accounts[maker.account].record_end(maker)
        self._trades += 1
        self._traded_quantity += quantity
        self._journal.append(trade)
        if len(self._journal) == self._journal_size + _PRUNED_AT_ONCE:
            self._prune_journal()

    def _prune_journal(self) -> None:
        self._replay_new_trades()
        oldest = self._journal[:_PRUNED_AT_ONCE]
        del self._journal[:_PRUNED_AT_ONCE]
        for gap in numbering_gaps(oldest, self._pruned.trades + 1):
            self._violations.record(gap)
        self._pruned = self._pruned.including(oldest)

    def _replay_new_trades(self) -> None:
        self._audit_state.replay(self._journal[self._audit_state.trades - self._pruned.trades :])

    def _check_not_crossed(self, book: OrderBook, order: Order) -> None:
        if book.is_crossed:
            self._violations.record(
                f"the book of {book.symbol} was crossed after order {order.number} was {order.status}: "
                f"best bid {book.best_bid}, best ask {book.best_ask}"
            )


def _check_deposit(cash: int, positions: Mapping[str, int]) -> None:
    _check_amount("cash", cash)
    for symbol, quantity in positions.items():
        _check_amount(f"the position in {symbol}", quantity)


def _check_amount(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number, at least 0, not {value!r}")
