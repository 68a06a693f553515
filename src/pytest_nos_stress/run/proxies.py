"""Proxies in a run: they apply the scenario's network, faults and fault windows in place of the agents' calls.

A proxy sees bytes. It applies a fault of a call to a request and its reply: both are lost, the reply is lost, or
they are late. A loss resets the connection. The fault of a request follows from the seed, the proxy's name, the
connection's number, and the request's number in the connection.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from pytest_nos_stress._internal.seeding import derived_rng
from pytest_nos_stress.faults.call_faults import CallEffect
from pytest_nos_stress.faults.catalogue import LOST_REPLY, LOST_REQUEST
from pytest_nos_stress.faults.network import Network
from pytest_nos_stress.faults.network_sampling import ARRIVES, REPLY_LOST, REQUEST_LOST, NetworkSampler
from pytest_nos_stress.faults.proxy.network_stage import NextDelays, drawn
from pytest_nos_stress.faults.proxy.proxy import Proxy
from pytest_nos_stress.faults.rate_limits import RateLimits

if TYPE_CHECKING:
    from .context import RunContext

_NO_NETWORK: Final = Network(timeout=0.05)
"""No delays between client and proxy. A connection whose message is lost is reset after this timeout."""


class PlannedExchanges:
    """The faults of every exchange at a proxy of one run. ``faults_at_proxies=True`` adds the faults of calls."""

    def __init__(self, run: RunContext, *, faults_at_proxies: bool) -> None:
        self.fault_counts: Counter[str] = Counter()
        """Number of faults applied, by name."""
        self._run = run
        self._fault_mix = run.scenario.fault_mix
        self._faults_at_proxies = faults_at_proxies
        self._limits = RateLimits.of(run.scenario.faults) if faults_at_proxies else None

    def over(self, network: Network | None) -> Callable[[str], NextDelays]:
        """Return a function from a connection's name to the delays and losses of its requests over a network."""
        return functools.partial(self._of, network)

    def _of(self, network: Network | None, connection: str) -> NextDelays:
        delays = None if network is None else drawn(NetworkSampler(network, self._run.scenario.seed, connection))
        return functools.partial(self._next, connection, itertools.count(), delays)

    def _next(
        self, connection: str, numbers: Iterator[int], network: NextDelays | None
    ) -> tuple[float, float, int]:
        request, reply, lost = (0.0, 0.0, ARRIVES) if network is None else network()
        random = derived_rng("proxy", self._run.scenario.seed, connection, next(numbers))
        if lost != ARRIVES:
            self.fault_counts[LOST_REQUEST if lost == REQUEST_LOST else LOST_REPLY] += 1
            return request, reply, lost
        refusal = None if self._limits is None else self._limits.check(self._run.elapsed())
        if refusal is not None:
            self.fault_counts[refusal.kind] += 1
            return request, reply, REQUEST_LOST
        planned = self._fault_mix.drawn_call_fault(random.random()) if self._faults_at_proxies else None
        if planned is None or not planned.row.at_proxies:
            return request, reply, ARRIVES
        self.fault_counts[str(planned.reported_as)] += 1
        effect = planned.effect(lambda: random)
        if effect.late is not None:
            return request + effect.before + effect.late, reply, REPLY_LOST
        return request + effect.before, reply + effect.after, _lost(effect)


@contextmanager
def in_run(proxies: Sequence[Proxy], run: RunContext, *, faults_at_proxies: bool) -> Iterator[Counter[str]]:
    """Let proxies apply the scenario's faults, and its network unless they have their own, while the block runs.

    Proxies pass everything on while faults are not active. With ``faults_at_proxies=True`` they apply faults of
    calls. The value is the number of faults applied, by name.
    """
    exchanges = PlannedExchanges(run, faults_at_proxies=faults_at_proxies)
    with ExitStack() as stack:
        for number, proxy in enumerate(proxies):
            stack.callback(_restore, proxy, proxy.network, proxy.predicate)
            proxy.reseed(run.scenario.seed, f"proxy {number}")
            network = proxy.network or run.scenario.network
            if network is not None or faults_at_proxies:
                proxy.use_network(network or _NO_NETWORK, exchanges.over(network))
            run.on_start.append(proxy.restart_clock)
            if proxy.predicate is None:
                proxy.active_when(functools.partial(run.faults_are_active, None))
        yield exchanges.fault_counts


def _restore(proxy: Proxy, network: Network | None, predicate: Callable[[], bool] | None) -> None:
    proxy.active_when(predicate)
    if not proxy.is_closed:
        proxy.use_network(network)


def _lost(effect: CallEffect) -> int:
    if effect.times == 0:
        return REQUEST_LOST
    return REPLY_LOST if effect.error is not None else ARRIVES
