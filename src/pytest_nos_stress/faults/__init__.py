"""Faults: everything that the run breaks on purpose, and the exceptions that callers get."""

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
