"""A program that runs four agents once, with or without market, faults and network.

``python -m benchmarks.world_run bare 50000`` prints the processor's microseconds per operation as JSON.

No operation waits: the delays of the network are drawn, but all are 0. So the figure is the cost of drawing delays
and faults, and of the code around the call.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from pytest_nos_stress import MultiAgentSimulator, Operation

_FAULTS = {"lost_reply": 1, "reject": 1, "rate_limit": {"limit": 10**9}}
_NETWORK = {"latency": 0, "loss": 0, "burst": 3, "timeout": 1e-9}


def no_operation(operation: Operation) -> None:
    pass


def quote(operation: Operation) -> None:
    operation.market.quote("AAPL")


_WORLDS: Mapping[str, tuple[Callable[[Operation], None], dict[str, Any]]] = {
    "bare": (no_operation, {}),
    "market": (quote, {}),
    "faults": (no_operation, {"faults": _FAULTS}),
    "network": (no_operation, {"network": _NETWORK}),
    "all": (quote, {"faults": _FAULTS, "network": _NETWORK}),
    "all, 10% faults": (quote, {"faults": _FAULTS, "network": _NETWORK, "failure_prob": 0.1}),
}


def main() -> None:
    name, operations = sys.argv[1], int(sys.argv[2])
    target, world = _WORLDS[name]
    with tempfile.TemporaryDirectory() as directory:
        simulator = MultiAgentSimulator(
            target=target,
            agents=4,
            tasks=["buy"],
            operations_per_agent=operations // 4,
            min_delay=0,
            max_delay=0,
            missing_data_prob=0,
            output_dir=directory,
            seed=1,
            **{"failure_prob": 0, **world},
        )
        began = time.process_time()
        simulator.run_simulation()
        print(json.dumps({"microseconds": (time.process_time() - began) / operations * 1e6}))


if __name__ == "__main__":
    main()
