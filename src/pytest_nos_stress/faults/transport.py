"""Transport of calls from their callers to the target, through network, rate limits, faults and retries.

One transport serves one run. Each attempt at a call passes the network, then the exchange's limits, has the effect
of its fault, and returns through the network. An attempt that fails because of a fault is retried. The transport
holds the state that callers share (link, limits). All random choices come from the plan.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple, Protocol

from .call_faults import CallEffect
from .call_steps import SHORTEST_WAIT, Steps, follow
from .errors import InjectedFault, RequestTimeout, is_injected
from .link import Link
from .mix import PlannedFault
from .network import Network
from .rate_limits import RateLimits
from .retries import Retries

OneWayDelays = tuple[float, float]
"""Seconds that a request and its reply take through the network."""


class PlannedCall(NamedTuple):
    """Plan of one call.

    ``caller`` is the agent's name. ``planned`` is the fault of the first attempt. ``fault_of_attempt`` returns the
    fault of a later attempt, and ``random_of_attempt`` the random generator of an attempt, by the attempt's
    number.
    """

    caller: str
    planned: PlannedFault
    one_way_delays: OneWayDelays | None
    fault_of_attempt: Callable[[int], PlannedFault]
    random_of_attempt: Callable[[int], Random]


class CallObserver(Protocol):
    """Callbacks for events of a call, besides its answer."""

    def on_fault(self, fault: InjectedFault) -> None:
        """Note a fault that was not planned for the operation: the refusal of a limit, or the fault of a retry."""

    def on_retry(self) -> None:
        """Note that an attempt has failed and a retry follows."""

    def on_success(self) -> None:
        """Note that the last attempt has succeeded."""

    def on_met(self, planned: PlannedFault, *, is_first: bool) -> None:
        """Note that an attempt has come to its planned fault: neither network nor limits stopped it before."""


class EnteringAgent(Protocol):
    """An agent, which notes the operations in which the target's function is entered."""

    entered: int
    """Index of the last operation in which a call through the transport entered the target's function."""


class FastPath:
    """Calls of one function over a network and an exchange's limits, without faults.

    Nearly all calls of a run are of this kind. For speed, they are made directly and not by steps.
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

    def make(
        self, argument: tuple[Any, ...], delays: OneWayDelays | None, agent: EnteringAgent, index: int
    ) -> Any:
        """Call the function and return its answer. Raises its exceptions, or the refusal of a limit.

        The agent notes the operation's index when the function is entered.
        """
        if delays is None:
            return self._arrive(argument, agent, index)
        self._pass(delays[0])
        try:
            answer = self._arrive(argument, agent, index)
        except RequestTimeout:
            raise
        except Exception:
            self._pass(delays[1])
            raise
        self._pass(delays[1])
        return answer

    def _arrive(self, argument: tuple[Any, ...], agent: EnteringAgent, index: int) -> Any:
        if self._limits is not None and (refusal := self._limits.check(self._elapsed())) is not None:
            raise refusal
        agent.entered = index
        return self._function(*argument)

    def _pass(self, delay: float) -> None:
        """Wait until a message has arrived."""
        link = self._link
        if link is not None and link.network.bandwidth is not None:
            delay += link.queueing(self._elapsed(), link.network.message_size)
        if delay >= SHORTEST_WAIT:
            self._sleep(delay)


class FaultyTransport:
    """Transport of the calls of one run.

    ``elapsed`` returns the seconds since the run's start. Without a ``network``, messages take no time. Without
    ``limits``, the exchange refuses no request.
    """

    def __init__(
        self,
        elapsed: Callable[[], float],
        *,
        retries: Retries,
        network: Network | None = None,
        limits: RateLimits | None = None,
    ) -> None:
        self._elapsed = elapsed
        self._retries = retries
        self._network = network
        self._link = None if network is None else Link(network)
        self._limits = limits
        self.does_nothing = not (network or limits or retries.times)
        """True if the transport does not affect ordinary calls, so that they can be made directly."""

    def fast_path(self, function: Callable[..., Any], sleep: Callable[[float], None]) -> FastPath | None:
        """Return the fast path for calls without faults; None if the network has partitions."""
        if self._network is not None and self._network.partitions:
            return None
        return FastPath(function, sleep, self._link, self._limits, self._elapsed)

    def steps(self, call: PlannedCall, observer: CallObserver, first_error: Exception | None = None) -> Steps:
        """Return the steps of a call and its retries. They raise the exception of the last attempt.

        ``first_error``: the exception of the first attempt, if that attempt has been made already.
        """
        late: list[float] = []
        try:
            answer = yield from self._attempts(call, observer, late, first_error)
        except Exception:
            yield from self._execute_late(late)
            raise
        yield from self._execute_late(late)
        return answer

    def _attempts(
        self, call: PlannedCall, observer: CallObserver, late: list[float], first_error: Exception | None
    ) -> Steps:
        number = 0
        planned = call.planned
        while True:
            try:
                if first_error is not None:
                    raise first_error
                random = functools.partial(call.random_of_attempt, number)
                on_met = functools.partial(observer.on_met, planned, is_first=not number)
                answer = yield from self._attempt(call, planned, random, late, on_met)
            except Exception as error:
                first_error = None
                if not is_injected(error):
                    raise
                if isinstance(error, InjectedFault) and (number or error.kind != planned.reported_as):
                    observer.on_fault(error)
                if number >= self._retries.times:
                    raise
            else:
                observer.on_success()
                return answer
            observer.on_retry()
            number += 1
            planned = call.fault_of_attempt(number)
            yield self._retries.wait(number)

    def _execute_late(self, late: list[float]) -> Steps:
        for due in sorted(late):
            wait = due - self._elapsed()
            if wait > 0:
                yield wait
            yield None

    def _attempt(
        self,
        call: PlannedCall,
        planned: PlannedFault,
        draws: Callable[[], Random],
        late: list[float],
        on_met: Callable[[], None],
    ) -> Steps:
        if self._network is not None and self._link is not None:
            return (yield from self._over_network(self._network, self._link, call, planned, draws, late, on_met))
        self._check_limits(planned)
        on_met()
        return (yield from self._apply(planned.effect(draws), late))

    def _over_network(
        self,
        network: Network,
        link: Link,
        call: PlannedCall,
        planned: PlannedFault,
        draws: Callable[[], Random],
        late: list[float],
        on_met: Callable[[], None],
    ) -> Steps:
        request, reply = call.one_way_delays or (0.0, 0.0)
        if not planned.switched_off and link.is_partitioned(self._elapsed(), call.caller):
            yield network.timeout
            raise RequestTimeout("the network is partitioned: the request was lost", "partition")
        if not planned.row.reaches_exchange:
            on_met()
            return (yield from self._apply(planned.effect(draws, timeout=network.timeout), late))
        yield request + link.queueing(self._elapsed(), network.message_size)
        try:
            self._check_limits(planned)
            on_met()
            answer = yield from self._apply(planned.effect(draws, timeout=network.timeout), late)
        except RequestTimeout:
            raise
        except Exception:
            yield reply + link.queueing(self._elapsed(), network.message_size)
            raise
        yield reply + link.queueing(self._elapsed(), network.message_size)
        return answer

    def _apply(self, effect: CallEffect, late: list[float]) -> Steps:
        try:
            return (yield from follow(effect))
        except InjectedFault:
            if effect.late is not None:
                late.append(self._elapsed() + effect.late)
            raise

    def _check_limits(self, planned: PlannedFault) -> None:
        if self._limits is None or planned.switched_off:
            return
        refusal = self._limits.check(self._elapsed())
        if refusal is not None:
            raise refusal
