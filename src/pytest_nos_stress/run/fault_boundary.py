"""The boundary at which a run meets faults and network: the agents' calls, flaky clients, or proxies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_nos_stress.faults.client_faults import connected
from pytest_nos_stress.faults.clients import interceptor_of
from pytest_nos_stress.faults.rate_limits import RateLimits
from pytest_nos_stress.faults.settings import planned_states
from pytest_nos_stress.scenario.scenario import Scenario

from .context import RunContext

if TYPE_CHECKING:
    from pytest_nos_stress.faults.proxy import Proxy


class FaultBoundary:
    """The boundary of one run. Clients take the faults from the agents' calls; without clients, proxies do."""

    def __init__(self, scenario: Scenario, clients: Sequence[Any], proxies: Sequence[Proxy]) -> None:
        self._scenario = scenario
        self._interceptors = list(dict.fromkeys(map(interceptor_of, clients)))
        self._proxies = proxies
        # A list says which operation meets which fault, and a proxy sees no operations.
        self._faults_at_proxies = bool(proxies) and not clients and scenario.planned is None
        self._proxy_fault_counts: Counter[str] = Counter()
        self._proxies_were_used = False

    @property
    def faults_at(self) -> str:
        """The place of call faults: the agents' ``calls``, flaky ``clients`` or ``proxies``."""
        if self._interceptors:
            return "clients"
        return "proxies" if self._faults_at_proxies else "calls"

    @property
    def network_at_calls(self) -> bool:
        """True if the agents' calls go over the scenario's network; otherwise proxies apply it."""
        return not self._proxies

    @contextmanager
    def connected(self, context: RunContext) -> Iterator[None]:
        """Let clients and proxies meet the faults of this run while the block runs."""
        limits = RateLimits.of(self._scenario.faults)
        with connected(self._interceptors, context, limits), self._connected_proxies(context):
            yield

    def fault_counts(self) -> Counter[str]:
        """Count the faults that clients and proxies met, by name."""
        counts = Counter(self._proxy_fault_counts)
        for interceptor in self._interceptors:
            counts.update(interceptor.fault_counts)
        return counts

    @property
    def first_faults(self) -> dict[tuple[str, int], str]:
        """The fault that the first call of a flaky client met in each operation, by agent and index."""
        return {
            operation: fault
            for interceptor in self._interceptors
            for operation, fault in interceptor.first_faults.items()
        }

    def unused(self) -> str:
        """Return a message if clients or proxies should have met faults and were not used; otherwise nothing."""
        plans_call_faults = self._plans_call_faults()
        clients_were_used = any(interceptor.is_used for interceptor in self._interceptors)
        if self._interceptors and plans_call_faults and not clients_were_used:
            return (
                "flaky client: the run did not call it, so no planned fault was injected; "
                "call it in the target, or remove it from clients=[...]"
            )
        needs_proxies = (self._faults_at_proxies and plans_call_faults) or self._scenario.network is not None
        if self._proxies and needs_proxies and not self._proxies_were_used:
            return (
                "stress_proxy: the run sent nothing through it, so no fault or delay was applied; "
                "connect the target to the proxy's address"
            )
        return ""

    @contextmanager
    def _connected_proxies(self, context: RunContext) -> Iterator[None]:
        if not self._proxies:
            yield
            return
        from .proxies import in_run

        before = self._traffic()
        with in_run(self._proxies, context, faults_at_proxies=self._faults_at_proxies) as self._proxy_fault_counts:
            yield
        self._proxies_were_used = self._traffic() > before

    def _traffic(self) -> int:
        """A number that grows when a client connects to a proxy or sends something."""
        return sum(proxy.statistics.bytes_up + proxy.statistics.connections for proxy in self._proxies)

    def _plans_call_faults(self) -> bool:
        scenario, mix = self._scenario, self._scenario.fault_mix
        if planned_states(scenario.faults):
            return True
        if scenario.planned is None:
            return any(variant.probability for variant in mix.call_faults)
        listed = {row.fault for row in scenario.planned}
        return any(variant.fault in listed for variant in mix.call_faults)
