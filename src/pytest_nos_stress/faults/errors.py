"""The exceptions that planned faults raise where a call meets them.

The split into what the network does and what the exchange says is ccxt's (its error hierarchy), so that a client's
handlers for the one and the other can be told apart. Faults of the network are also the built-in
``ConnectionError``, those of waiting ``TimeoutError``.
"""

from __future__ import annotations


class InjectedFault(Exception):
    """A call that failed because the plan said so: never an error of the target.

    ``kind`` is the fault's name (``"lost_reply"``, ``"rate_limit"``, ...), ``status`` the HTTP status and ``code``
    the broker's own code where it has them, ``retry_after`` the seconds to wait where the answer says so.
    """

    def __init__(
        self,
        message: str,
        kind: str = "",
        *,
        status: int | None = None,
        code: int | str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.is_counted = False
        """Whether the run's statistics have it, wherever it comes up next."""


class NetworkFault(InjectedFault, ConnectionError):
    """The request or its reply did not come through: whether it was executed is not known."""


class RequestTimeout(NetworkFault, TimeoutError):
    """No answer came in time: whether the request was executed is not known."""


class ExchangeFault(InjectedFault):
    """The other side answered, and not as hoped."""


class ExchangeNotAvailable(ExchangeFault):
    """Overloaded or under maintenance (HTTP 503): the request was not executed."""


class RateLimited(ExchangeFault):
    """Too many requests (HTTP 429): the request was not executed. ``retry_after`` says how long to wait."""


class Banned(RateLimited):
    """Limits were ignored (HTTP 418): nothing is answered until ``retry_after`` seconds are over."""


class RequestRejected(ExchangeFault):
    """The request was refused (HTTP 4xx)."""


class BadClock(RequestRejected):
    """The request's timestamp lies outside of what is accepted."""


for _public in (
    InjectedFault,
    NetworkFault,
    RequestTimeout,
    ExchangeFault,
    ExchangeNotAvailable,
    RateLimited,
    Banned,
    RequestRejected,
    BadClock,
):
    _public.__module__ = "pytest_nos_stress.faults"


def is_injected(error: BaseException | None) -> bool:
    """Whether an exception is a planned fault, or was raised *from* one (``raise X from fault``).

    A group of exceptions is one if all of its exceptions are. An exception that merely came up while a fault was
    being handled is an error like any other.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, InjectedFault):
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(map(is_injected, error.exceptions))
        seen.add(id(error))
        error = error.__cause__
    return False
