"""Proxies in a run: the scenario's network, faults and fault windows, at the proxies and not at the agents' calls.

A proxy sees bytes, so a fault of a call is there what it does to a request and its reply: neither passes, or the
request does and its reply is lost, or they pass late. What is lost ends with a connection that is reset. What the
exchange number n of a connection meets follows from the seed, the proxy's name, the connection's number and n.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Final

from pytest_nos_stress.faults import catalogue
from pytest_nos_stress.faults.calls import Course, course_of
from pytest_nos_stress.faults.limits import Limits
from pytest_nos_stress.faults.network import Network
from pytest_nos_stress.faults.network_draws import ARRIVES, REPLY_LOST, REQUEST_LOST

from .control import Proxy
from .messages import NextLegs, drawn

if TYPE_CHECKING:
    from pytest_nos_stress.world import World

_NOT_SEEN: Final = ("duplicate_ack", "lost_fill")
"""Faults of what messages say, which a proxy does not read."""
_NO_NETWORK: Final = Network(timeout=0.05)
"""Between client and proxy there is none; a connection whose message is lost is reset soon."""


class PlannedExchanges:
    """What the exchanges of all connections meet in one run."""

    def __init__(self, world: World, network: Network | None) -> None:
        scenario = world.scenario
        self.met: Counter[str] = Counter()
        """The faults that exchanges have met, by name."""
        self._world = world
        self._network = network
        self._kinds = scenario.kinds
        states = catalogue.states(scenario.faults)
        self._limits = Limits(states) if states else None

    def of(self, connection: str) -> NextLegs:
        """What the exchanges of a connection meet, one after another."""
        seed = self._world.scenario.seed
        network = None if self._network is None else drawn(self._network.draws(seed, connection))
        numbers = itertools.count()
        return functools.partial(self._next, f"proxy\0{seed}\0{connection}", numbers, network)

    def _next(self, key: str, numbers: Iterator[int], network: NextLegs | None) -> tuple[float, float, int]:
        request, reply, lost = (0.0, 0.0, ARRIVES) if network is None else network()
        random = Random(blake2b(f"{key}\0{next(numbers)}".encode("utf-8", "surrogatepass")).digest())
        refusal = None if self._limits is None else self._limits.refusal(self._world.elapsed())
        if refusal is not None:
            self.met[refusal.kind] += 1
            return request, reply, REQUEST_LOST
        kind = self._kinds.drawn_call(random.random())
        if kind is None or kind.fault in _NOT_SEEN:
            return request, reply, lost
        self.met[str(kind.shown)] += 1
        course = course_of(kind, lambda: random)
        if course.late is not None:
            return request + course.before + course.late, reply, REPLY_LOST
        return request + course.before, reply + course.after, lost or _lost(course)


@contextmanager
def in_run(proxies: Sequence[Proxy], world: World, *, calls_fail: bool) -> Iterator[Counter[str]]:
    """In the block, proxies meet the scenario's network, where they have none of their own, and its faults.

    They rest while faults do not take place. ``calls_fail``: whether faults of calls are met here. Gives the
    faults that are met, by name.
    """
    before = [(proxy, proxy.network, proxy.predicate) for proxy in proxies]
    met: Counter[str] = Counter()
    for proxy, own, predicate in before:
        network = own or world.scenario.network
        planned: Callable[[str], NextLegs] | None = None
        if calls_fail:
            exchanges = PlannedExchanges(world, network)
            exchanges.met = met
            planned = exchanges.of
        proxy.use_network(network or (_NO_NETWORK if calls_fail else None), planned)
        proxy.reseed(world.scenario.seed)
        world.at_the_start.append(proxy.restart_clock)
        if predicate is None:
            proxy.active_when(functools.partial(world.faults_take_place, None))
    try:
        yield met
    finally:
        for proxy, own, predicate in before:
            proxy.active_when(predicate)
            if not proxy.is_closed:
                proxy.use_network(own)


def _lost(course: Course) -> int:
    if course.times == 0:
        return REQUEST_LOST
    return REPLY_LOST if course.error is not None else ARRIVES
