"""Limits that all callers of an exchange share: a rate limit, a ban for callers that ignore it, and maintenance.

A refusal depends on the time and on earlier calls. It is reproducible if these are, as in virtual time.

Source: Binance Spot API documentation ("IP limits": status 429 once a limit is exceeded; status 418 and a ban for
callers that continue, from two minutes to three days). Binance's window of a minute is a window of ``per`` seconds
here.
"""

from __future__ import annotations

import _thread
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_nos_stress._internal.frozen import FrozenDict

from .errors import Banned, ExchangeNotAvailable, InjectedFault, RateLimited
from .settings import planned_states

_LONGEST_BAN: Final = 3 * 86_400.0
_MOST_DOUBLINGS: Final = 60
_NEVER: Final = 1 << 62


class RateLimits:
    """State of one exchange's limits in a run, shared by all threads. ``check`` is called for each request."""

    def __init__(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        self._limit = limit = states.get("rate_limit")
        self._maintenance = states.get("maintenance")
        self._most = limit["limit"] if limit else 0
        self._window = round(limit["per"] * 1e9) if limit else 1
        self._lock = _thread.allocate_lock()
        self._window_ends = 0 if limit else _NEVER
        self._request: Iterator[int] = itertools.repeat(-1)
        """Counter of the requests in the current window, from 0. ``next`` on it needs no lock."""
        self._ignored = 0
        self._bans = 0
        self._banned_until = 0

    @classmethod
    def of(cls, faults: str | FrozenDict | None) -> RateLimits | None:
        """Make the limits of a scenario's checked ``faults``. Returns None if they contain no limits."""
        states = planned_states(faults)
        return cls(states) if states else None

    def check(self, elapsed: float) -> InjectedFault | None:
        """Count a request, ``elapsed`` seconds after the run's start. Returns its refusal; None if it may pass."""
        if self._maintenance is not None and (error := self._in_maintenance(elapsed)) is not None:
            return error
        now = int(elapsed * 1e9 + 0.5)
        is_counted = now < self._window_ends
        if is_counted and next(self._request) < self._most:
            return None
        with self._lock:
            return self._at_the_limit(now, self._limit or {}, is_counted=is_counted)

    def _in_maintenance(self, elapsed: float) -> ExchangeNotAvailable | None:
        parameters = self._maintenance or {}
        begin = float(parameters["at"])
        end = begin + float(parameters["lasts"])
        if not begin <= elapsed < end:
            return None
        status = parameters["status"] or 503
        message = f"the exchange is under maintenance (HTTP {status})"
        return ExchangeNotAvailable(
            message, "maintenance", status=status, code=parameters["code"], retry_after=end - elapsed
        )

    def _at_the_limit(self, now: int, parameters: Mapping[str, Any], *, is_counted: bool) -> RateLimited | None:
        """Return the refusal of a request that came after the window's end, or exceeds the limit in the window."""
        if now < self._banned_until:
            return self._banned(now, parameters)
        if now >= self._window_ends:
            self._request, self._ignored = itertools.count(1), 0
            self._window_ends = (now // self._window + 1) * self._window
            return None
        if not is_counted and next(self._request) < self._most:
            return None
        self._ignored += 1
        if parameters["tolerated"] is not None and self._ignored > parameters["tolerated"]:
            lasts = min(float(parameters["ban"]) * 2 ** min(self._bans, _MOST_DOUBLINGS), _LONGEST_BAN)
            self._bans += 1
            self._banned_until = now + round(lasts * 1e9)
            self._window_ends = 0
            return self._banned(now, parameters)
        status = parameters["status"] or 429
        message = f"{self._most} requests in {parameters['per']:g} s are allowed (HTTP {status})"
        rest = _seconds(self._window_ends - now)
        return RateLimited(message, "rate_limit", status=status, code=parameters["code"], retry_after=rest)

    def _banned(self, now: int, parameters: Mapping[str, Any]) -> Banned:
        rest = _seconds(self._banned_until - now)
        return Banned(
            f"banned for {rest:g} s after ignored limits (HTTP 418)",
            "ip_ban",
            status=418,
            code=parameters["code"],
            retry_after=rest,
        )


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9
