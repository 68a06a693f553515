"""Exceptions that planned faults raise in a call.

They are divided into errors of the network and errors of the exchange, as in ccxt's error hierarchy, so that a
client can handle the two differently. Errors of the network are also the built-in ``ConnectionError``. A timeout
is also ``TimeoutError``.
"""

from __future__ import annotations


class InjectedFault(Exception):
    """A call failed because of a planned fault. Never counts as an error of the target.

    - ``kind``: the fault's name (``"lost_reply"``, ``"rate_limit"``, ...).
    - ``status``: the HTTP status, or None.
    - ``code``: the broker's own code, or None.
    - ``retry_after``: seconds to wait before a retry, or None if the answer does not tell.
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
        """True if the run's statistics already include this fault, so that it is not counted a second time."""


class NetworkFault(InjectedFault, ConnectionError):
    """The request or its reply was lost. It is unknown if the request was executed."""


class RequestTimeout(NetworkFault, TimeoutError):
    """No answer came in time. It is unknown if the request was executed."""


class ExchangeFault(InjectedFault):
    """The exchange answered with an error."""


class ExchangeNotAvailable(ExchangeFault):
    """The exchange is overloaded or under maintenance (HTTP 503). The request was not executed."""


class RateLimited(ExchangeFault):
    """Too many requests (HTTP 429). The request was not executed. Retry after ``retry_after`` seconds."""


class Banned(RateLimited):
    """Rate limits were ignored (HTTP 418). All requests are refused for ``retry_after`` seconds."""


class RequestRejected(ExchangeFault):
    """The request was refused (HTTP 4xx)."""


class BadClock(RequestRejected):
    """The request's timestamp is outside the accepted range."""


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
    """Return True if an exception is a planned fault, or was raised *from* one (``raise X from fault``).

    A group of exceptions is a planned fault if all of its exceptions are. Any other exception raised while a fault
    is handled is not a planned fault.
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
