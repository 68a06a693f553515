"""Limits that all callers of an exchange share: so many requests in a time, a ban for who ignores that,
maintenance.

What a call meets here follows from time and from the calls before it. It repeats exactly where these do, in
virtual time.

Source: Binance Spot API documentation ("IP limits": 429 once a limit is broken, 418 and a ban that grows from
two minutes to three days for those that go on), with its window of whole minutes made one of ``per`` seconds.
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
    """The state of one exchange's limits in a run. Asked for each request with the seconds since the run's
    start.
    """

    def __init__(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        self._limit = limit = states.get("rate_limit")
        self._maintenance = states.get("maintenance")
        self._most = limit["limit"] if limit else 0
        self._window = round(limit["per"] * 1e9) if limit else 1
        self._lock = _thread.allocate_lock()
        self._window_ends = 0 if limit else _NEVER
        self._request: Iterator[int] = itertools.repeat(-1)
        """Numbers the requests of a window, from 0; a number is taken without the lock."""
        self._ignored = 0
        self._bans = 0
        self._banned_until = 0

    @classmethod
    def of(cls, faults: str | FrozenDict | None) -> RateLimits | None:
        """Those of a scenario's faults; None where these have none."""
        states = planned_states(faults)
        return cls(states) if states else None

    def check(self, elapsed: float) -> InjectedFault | None:
        """Why a request of this moment is refused; None where it is let through."""
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
        """A request that came when the window had ended, or one too many for it."""
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
