"""What goes wrong on purpose: faults that the plan has drawn, as callers meet them."""

from .errors import (
    BadClock,
    Banned,
    ExchangeFault,
    ExchangeNotAvailable,
    InjectedFault,
    NetworkFault,
    RateLimited,
    RequestRejected,
    RequestTimeout,
)
from .mix import FAULTS

__all__ = [
    "FAULTS",
    "BadClock",
    "Banned",
    "ExchangeFault",
    "ExchangeNotAvailable",
    "InjectedFault",
    "NetworkFault",
    "RateLimited",
    "RequestRejected",
    "RequestTimeout",
]
