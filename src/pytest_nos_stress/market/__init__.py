"""Prices to trade at, and an exchange to trade on.

`Market` gives the prices of a symbol. `Exchange` keeps accounts and matches orders. `EmbeddedExchange` joins them
into a target that agents can trade on if a test has no target of its own. Importing this package imports nothing
outside the standard library.
"""

from pytest_nos_stress.market.exchange.accounts import Balance
from pytest_nos_stress.market.exchange.audit import Counts
from pytest_nos_stress.market.exchange.book import Depth, Order, OrderBook, Side, Status, Trade
from pytest_nos_stress.market.exchange.embedded import Analysis, EmbeddedExchange
from pytest_nos_stress.market.exchange.exchange import Exchange
from pytest_nos_stress.market.exchange.operation import MarketView, TradingOperation
from pytest_nos_stress.market.recorded.replay import Replay, replay

from .errors import (
    AccountExists,
    BadQuote,
    IllegalStatusChange,
    InsufficientFunds,
    InsufficientPosition,
    InvalidOrder,
    OrderRefused,
    SymbolNotListed,
    UnknownAccount,
    UnknownOrder,
    UnknownSymbol,
)
from .quotes import DEFAULT_SYMBOLS, Bar, Market, MarketTrade, Quote

__all__ = [
    "DEFAULT_SYMBOLS",
    "AccountExists",
    "Analysis",
    "BadQuote",
    "Balance",
    "Bar",
    "Counts",
    "Depth",
    "EmbeddedExchange",
    "Exchange",
    "IllegalStatusChange",
    "InsufficientFunds",
    "InsufficientPosition",
    "InvalidOrder",
    "Market",
    "MarketTrade",
    "MarketView",
    "Order",
    "OrderBook",
    "OrderRefused",
    "Quote",
    "Replay",
    "Side",
    "Status",
    "SymbolNotListed",
    "Trade",
    "TradingOperation",
    "UnknownAccount",
    "UnknownOrder",
    "UnknownSymbol",
    "replay",
]
