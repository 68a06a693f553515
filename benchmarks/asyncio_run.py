"""A program that runs many agents on an event loop once.

``python -m benchmarks.asyncio_run ours 10000 10`` runs 10,000 agents with 10 operations each, and prints
operations per second and bytes per agent as JSON. ``bare`` in place of ``ours`` runs coroutines that only await
the same call in a loop, without plan, clock or record.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time

from pytest_nos_stress import AsyncOperation, MultiAgentSimulator


async def buy(_operation: AsyncOperation) -> None:
    await asyncio.sleep(0)


async def _bare(agents: int, operations: int) -> None:
    async def agent() -> None:
        for _ in range(operations):
            await asyncio.sleep(0)

    await asyncio.gather(*(agent() for _ in range(agents)))


def _ours(agents: int, operations: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        MultiAgentSimulator(
            target={"buy": buy},
            agents=agents,
            operations_per_agent=operations,
            min_delay=0,
            max_delay=0,
            missing_data_prob=0,
            failure_prob=0,
            operation_timeout=600,
            output_dir=directory,
            seed=1,
        ).run_simulation()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    contestant, agents, operations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _ours(1, 1)  # imports everything, so that no agent is charged for it
    before, began = _peak(), time.perf_counter()
    if contestant == "ours":
        _ours(agents, operations)
    else:
        asyncio.run(_bare(agents, operations))
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {"per_second": agents * operations / seconds, "bytes_for_an_agent": (_peak() - before) / agents}
        )
    )


if __name__ == "__main__":
    main()
