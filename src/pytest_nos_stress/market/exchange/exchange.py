"""An exchange: accounts trade with each other through order books, and an audit finds what went wrong.

Guaranteed, under any number of threads: cash and positions are conserved, fees included; an order is accepted
only if the account can pay for all of it; nothing is sold that is not there; one client id is one order,
however often it is sent; orders and trades are numbered from 1 without gaps. `audit()` checks this and more,
from the state itself.

One lock guards everything. It is reentrant and public: hold `exchange.lock` to make several calls one step.

Memory is bounded by the accounts and the open orders: of the past, an account keeps its last few ended orders
and the exchange its last few trades.
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
    """An exchange for some symbols; more may be listed later.

    `fee`: ticks that each side of a trade pays for a unit, collected in the account `FEE_ACCOUNT`; default 0.
    `remember`: how many ended orders an account keeps, so that sending their client ids again is recognised;
    default 64. `journal`: how many trades `recent_trades` keeps; default 1000. `book`: makes the book of a
    symbol; a subclass of `OrderBook` puts a matching engine of one's own under these accounts and this audit.
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
        """Start to trade a symbol; one that is traded already stays as it is."""
        with self.lock:
            if symbol not in self._books:
                self._books[symbol] = self._make_book(symbol, self._trade_numbers)

    def open_account(self, name: str, cash: int = 0, positions: Mapping[str, int] = _NO_POSITIONS) -> None:
        """Open an account with `cash` in ticks and `positions` in units. Raises `AccountExists`."""
        with self.lock:
            if name in self._accounts:
                raise AccountExists(f"there is an account {name!r} already")
            _check_deposit(cash, positions)
            self._accounts[name] = Account(name, self._remember)
            self._accounts[name].deposit(cash, positions)

    def deposit(self, account: str, cash: int = 0, positions: Mapping[str, int] = _NO_POSITIONS) -> None:
        """Bring in cash (ticks) and positions (units). Raises `UnknownAccount`, `ValueError` below 0."""
        with self.lock:
            _check_deposit(cash, positions)
            self._account(account).deposit(cash, positions)

    def submit(
        self, account: str, symbol: str, side: Side, quantity: int, limit_price: int, client_id: str
    ) -> Order:
        """Trade up to `quantity` units at `limit_price` ticks or better; what remains waits in the book.

        Sending a client id again returns the account's order of that id as it stands now, whatever else the
        request says, and executes nothing: always while it is open, and afterwards until `remember` more of
        the account's orders have ended.

        Raises `OrderRefused`: `UnknownAccount`, `SymbolNotListed`, `InvalidOrder`, `InsufficientFunds` or
        `InsufficientPosition`. Then nothing has changed, and the client id may be used again.
        """
        with self.lock:
            try:
                holder = self._account(account)
                known = holder.orders.get(client_id)
                if known is not None:
                    return known
                book = self._book(symbol)
                order = Order(account, symbol, side, quantity, limit_price, client_id)
                self._accept(order, holder)
            except OrderRefused:
                self._refusals += 1
                raise
            for trade in book.submit(order):
                self._settle(trade)
            if order.filled == order.quantity:
                holder.ended(order)
            self._check_not_crossed(book, order)
            return order

    def cancel(self, account: str, client_id: str) -> Order:
        """Cancel what has not traded of an order, and return it.

        An order that has ended already is returned as it is: its status says which came first. Raises
        `UnknownAccount`, and `UnknownOrder` for a client id never used or forgotten.
        """
        with self.lock:
            holder = self._account(account)
            order = holder.orders.get(client_id)
            if order is None:
                raise UnknownOrder(
                    f"{account!r} has no order {client_id!r} that is open or ended a short while ago"
                )
            if order.is_open:
                book = self._books[order.symbol]
                book.cancel(order)
                holder.release(order, self.fee)
                holder.ended(order)
                self._cancellations += 1
                self._cancelled_quantity += order.remaining
                self._check_not_crossed(book, order)
            return order

    def find(self, account: str, client_id: str) -> Order | None:
        """The account's order of this client id; None where unknown or forgotten. Raises `UnknownAccount`."""
        with self.lock:
            return self._account(account).orders.get(client_id)

    def open_orders(self, account: str) -> tuple[Order, ...]:
        """The account's orders that can still trade, the first to come first. Raises `UnknownAccount`."""
        with self.lock:
            return tuple(order for order in self._account(account).orders.values() if order.is_open)

    def best(self, symbol: str) -> tuple[int | None, int | None]:
        """Best bid and best ask in ticks, each None where nobody waits. Raises `SymbolNotListed`."""
        with self.lock:
            book = self._book(symbol)
            return book.best_bid, book.best_ask

    def depth(self, symbol: str, levels: int = 5) -> Depth:
        """The best `levels` prices of both sides, with quantities. Raises `SymbolNotListed`."""
        with self.lock:
            return self._book(symbol).depth(levels)

    def balance(self, account: str) -> Balance:
        """What the account holds now: a copy. Raises `UnknownAccount`."""
        with self.lock:
            return self._account(account).balance()

    def position(self, account: str, symbol: str) -> int:
        """Units of the symbol that the account holds now. Raises `UnknownAccount`."""
        with self.lock:
            return self._account(account).positions.get(symbol, 0)

    def recent_trades(self) -> tuple[Trade, ...]:
        """The last trades, oldest first: as many as `journal` says."""
        with self.lock:
            return tuple(self._journal[max(0, len(self._journal) - self._journal_size) :])

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that are traded, in the order in which they were listed."""
        with self.lock:
            return tuple(self._books)

    @property
    def counts(self) -> Counts:
        """What has happened so far, all of one moment."""
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
        """Check every invariant now: one sentence for each problem, empty when all is well.

        Looks at each account and open order a few times and at each new trade once, so it may be called during
        a run.
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
            raise UnknownAccount(f"no account {name!r}; there are {len(self._accounts)}")
        return account

    def _book(self, symbol: str) -> OrderBook:
        book = self._books.get(symbol)
        if book is None:
            listed = name_list(self._books, len(self._books))
            raise SymbolNotListed(f"symbol {symbol!r} is not traded here; there are {listed}")
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
        # Below the fee a sale would cost its seller money, which nothing was set aside for.
        if order.side == "sell" and order.price < self.fee:
            raise InvalidOrder(f"a limit price of {order.price} ticks is below the fee of {self.fee} ticks a unit")

    def _settle(self, trade: Trade) -> None:
        _, symbol, price, quantity, maker, taker = trade
        buy, sell = (taker, maker) if taker.side == "buy" else (maker, taker)
        notional, fees = price * quantity, self.fee * quantity
        self._accounts[buy.account].bought(symbol, quantity, notional + fees, (buy.price + self.fee) * quantity)
        self._accounts[sell.account].sold(symbol, quantity, notional - fees)
        self._fees.cash += 2 * fees
        if maker.filled == maker.quantity:
            self._accounts[maker.account].ended(maker)
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
