"""Delivery: how a call gets from its caller to what it calls in a world of limits, networks and faults.

One delivery serves one run. Each attempt at a call goes through the network, meets the exchange's limits,
takes the course its fault gives it, and comes back through the network; an attempt that fails as planned is
made again as the retries say. What the run's callers share (link, limits) is here; what is drawn comes from
the plan.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .call_faults import SHORTEST_WAIT, CallEffect, Steps, effect_of, follow
from .errors import InjectedFault, RequestTimeout, is_injected
from .link import Link
from .mix import LOST_REQUEST, PlannedFault
from .rate_limits import RateLimits
from .retries import Retries

if TYPE_CHECKING:
    from pytest_nos_stress.scenario.scenario import Scenario

    from .network import Network

OneWayDelays = tuple[float, float]
"""Seconds a request and its reply are on their way."""


class Call(NamedTuple):
    """What a delivery has to know of one call.

    ``kind`` is what is planned for the first attempt, ``later`` gives the kind of a later one by its number;
    ``draws`` makes the random generator of an attempt.
    """

    caller: str
    kind: PlannedFault
    legs: OneWayDelays | None
    later: Callable[[int], PlannedFault]
    draws: Callable[[int], Random]


class Notes(Protocol):
    """What a delivery tells its caller beside the answer."""

    def on_fault(self, fault: InjectedFault) -> None:
        """An attempt has met a fault that was not planned for the operation: of limits, or in a later
        attempt.
        """

    def on_retry(self) -> None:
        """An attempt has failed, and there is to be another one."""

    def on_success(self) -> None:
        """The last attempt has ended well."""


class FastPath:
    """A function's calls over a network and past an exchange's limits, with nothing else in their way.

    Nearly all calls of a run are such calls, so they are not made in steps.
    """

    __slots__ = ("_elapsed", "_function", "_limits", "_link", "_sleep")

    def __init__(
        self,
        function: Callable[..., Any],
        sleep: Callable[[float], None],
        link: Link | None,
        limits: RateLimits | None,
        elapsed: Callable[[], float],
    ) -> None:
        self._function = function
        self._sleep = sleep
        self._link = link
        self._limits = limits
        self._elapsed = elapsed

    def make(self, argument: tuple[Any, ...], legs: OneWayDelays | None) -> Any:
        """Call the function. Raises what it raises, or the limits' refusal."""
        if legs is None:
            return self._arrive(argument)
        self._pass(legs[0])
        try:
            answer = self._arrive(argument)
        except RequestTimeout:
            raise
        except Exception:
            self._pass(legs[1])
            raise
        self._pass(legs[1])
        return answer

    def _arrive(self, argument: tuple[Any, ...]) -> Any:
        if self._limits is not None and (refusal := self._limits.check(self._elapsed())) is not None:
            raise refusal
        return self._function(*argument)

    def _pass(self, leg: float) -> None:
        """Wait until a message has arrived."""
        link = self._link
        if link is not None and link.network.bandwidth is not None:
            leg += link.queueing(self._elapsed(), link.network.message_size)
        if leg >= SHORTEST_WAIT:
            self._sleep(leg)


class FaultyTransport:
    """The way of calls in one run.

    ``elapsed`` gives the seconds since its start; ``network`` and ``limits`` say whether calls of this kind
    go over the scenario's network and meet its exchange's limits.
    """

    def __init__(
        self, scenario: Scenario, elapsed: Callable[[], float], *, network: bool = True, limits: bool = True
    ) -> None:
        self._elapsed = elapsed
        self._retries = Retries.of(scenario.retries)
        self._network = scenario.network if network else None
        self._link = None if self._network is None else Link(self._network)
        self._limits = RateLimits.of(scenario.faults) if limits else None
        self.does_nothing = not (self._network or self._limits or self._retries.times)
        """Whether ordinary calls arrive as they are."""

    def ordinary(self, function: Callable[..., Any], sleep: Callable[[float], None]) -> FastPath | None:
        """A function's calls that are to meet no fault, in a thread; None where they need to be made in
        steps.
        """
        if self._network is not None and self._network.partitions:
            return None
        return FastPath(function, sleep, self._link, self._limits, self._elapsed)

    def steps(self, call: Call, notes: Notes, met: Exception | None = None) -> Steps:
        """A call and the retries of it. Raises what its last attempt has met.

        ``met``: what the first attempt has met, where that has been made already.
        """
        late: list[float] = []
        try:
            answer = yield from self._attempts(call, notes, late, met)
        except Exception:
            yield from self._execute_late(late)
            raise
        yield from self._execute_late(late)
        return answer

    def _attempts(self, call: Call, notes: Notes, late: list[float], met: Exception | None) -> Steps:
        number = 0
        kind = call.kind
        while True:
            try:
                if met is not None:
                    raise met
                answer = yield from self._attempt(call, kind, functools.partial(call.draws, number), late)
            except Exception as error:
                met = None
                if not is_injected(error):
                    raise
                if isinstance(error, InjectedFault) and (number or error.kind != kind.shown):
                    notes.on_fault(error)
                if number >= self._retries.times:
                    raise
            else:
                notes.on_success()
                return answer
            notes.on_retry()
            number += 1
            kind = call.later(number)
            yield self._retries.wait(number)

    def _execute_late(self, late: list[float]) -> Steps:
        for due in sorted(late):
            wait = due - self._elapsed()
            if wait > 0:
                yield wait
            yield None

    def _attempt(self, call: Call, kind: PlannedFault, draws: Callable[[], Random], late: list[float]) -> Steps:
        if self._network is not None and self._link is not None:
            return (yield from self._over_network(self._network, self._link, call, kind, draws, late))
        self._meet_limits(kind)
        return (yield from self._course(effect_of(kind, draws), late))

    def _over_network(
        self,
        network: Network,
        link: Link,
        call: Call,
        kind: PlannedFault,
        draws: Callable[[], Random],
        late: list[float],
    ) -> Steps:
        request, reply = call.legs or (0.0, 0.0)
        if not kind.switched_off and link.is_partitioned(self._elapsed(), call.caller):
            yield network.timeout
            raise RequestTimeout("the network is partitioned: the request was lost", "partition")
        if kind.fault == LOST_REQUEST:
            return (yield from self._course(effect_of(kind, draws, timeout=network.timeout), late))
        yield request + link.queueing(self._elapsed(), network.message_size)
        try:
            self._meet_limits(kind)
            answer = yield from self._course(effect_of(kind, draws, timeout=network.timeout), late)
        except RequestTimeout:
            raise
        except Exception:
            yield reply + link.queueing(self._elapsed(), network.message_size)
            raise
        yield reply + link.queueing(self._elapsed(), network.message_size)
        return answer

    def _course(self, course: CallEffect, late: list[float]) -> Steps:
        try:
            return (yield from follow(course))
        except InjectedFault:
            if course.late is not None:
                late.append(self._elapsed() + course.late)
            raise

    def _meet_limits(self, kind: PlannedFault) -> None:
        if self._limits is None or kind.switched_off:
            return
        refusal = self._limits.check(self._elapsed())
        if refusal is not None:
            raise refusal
