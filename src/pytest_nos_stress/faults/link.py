"""What the agents of one run share of a network: its bandwidth, and the times in which nothing passes.

Guarantees: the link reads no clock; it is told the time, so real and virtual time are the same to it. Messages
pass one after another at the bandwidth, in the order in which they came to the link, whoever sent them; one that
meets an idle link takes its own bytes / bandwidth. Any number of threads may use it.

The bucket holds one message: tokens are not saved up while the link is idle, so a rate measured over
any time is at most the bandwidth.
"""

from __future__ import annotations

import threading

from .network import Network


class Link:
    """The link of one run over a network. ``network``: gives bandwidth and partitions."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._seconds_per_byte = 0.0 if network.bandwidth is None else 1 / network.bandwidth
        self._partitions = network.partitions
        self._lock = threading.Lock()
        self._free_at = float("-inf")

    def queueing(self, now_s: float, size: int) -> float:
        """Seconds from ``now_s`` until a message of ``size`` bytes has passed, after all that came before it."""
        if not self._seconds_per_byte:
            return 0.0
        with self._lock:
            self._free_at = max(self._free_at, now_s) + size * self._seconds_per_byte
            return self._free_at - now_s

    def is_partitioned(self, elapsed_s: float, agent: str) -> bool:
        """Whether the agent is cut off, so many seconds after the run's start."""
        return any(
            partition.start <= elapsed_s < partition.end
            and (partition.agents is None or agent in partition.agents)
            for partition in self._partitions
        )
