"""Link: the part of a network that all agents of a run share, its bandwidth and its partitions.

Guarantees: the link reads no clock, but gets the time as an argument. So it works in real and virtual time.
Messages of all agents pass one after another, in the order of their arrival. Each takes its bytes / bandwidth. The
link is thread-safe.

An idle link saves no capacity for later: the throughput over any time is at most the bandwidth.
"""

from __future__ import annotations

from pytest_nos_stress._internal.instrument import Lock

from .network import Network


class Link:
    """Link of one run. ``network`` has the bandwidth and the partitions."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._seconds_per_byte = 0.0 if network.bandwidth is None else 1 / network.bandwidth
        self._partitions = network.partitions
        self._lock = Lock()
        self._free_at = float("-inf")

    def queueing(self, now_s: float, size: int) -> float:
        """Queue a message of ``size`` bytes. Returns the seconds from ``now_s`` until the message has passed."""
        if not self._seconds_per_byte:
            return 0.0
        with self._lock:
            self._free_at = max(self._free_at, now_s) + size * self._seconds_per_byte
            return self._free_at - now_s

    def is_partitioned(self, elapsed_s: float, agent: str) -> bool:
        """Return True if the agent is cut off, ``elapsed_s`` seconds after the run's start."""
        return any(
            partition.start <= elapsed_s < partition.end
            and (partition.agents is None or agent in partition.agents)
            for partition in self._partitions
        )
