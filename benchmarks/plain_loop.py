"""The reference of the benchmarks: a plain stress loop, as the seed document describes it.

It has a thread for each agent, `random` for each choice, `logging` for each operation, dicts for the counters and
a list for the snapshot. A team can write such a loop in an afternoon.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

TASKS = ["buy", "sell", "hedge", "rebalance"]


def run(
    agents: int,
    operations: int,
    output_dir: Path,
    target: Callable[[str], object],
    min_delay: float = 0.05,
    max_delay: float = 0.15,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    logger = logging.getLogger(f"plain_loop_{id(output_dir)}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.FileHandler(output_dir / "stress_test_results.log", mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(message)s"))
    logger.addHandler(handler)
    lock = threading.Lock()
    snapshot: list[dict[str, str]] = []
    stats: dict[str, Any] = {
        "total_operations": 0,
        "successful_operations": 0,
        "failed_operations": 0,
        "missing_data_events": 0,
        "start_time": datetime.now().isoformat(),
        "agent_stats": {},
    }

    def count(agent: str, key: str) -> None:
        with lock:
            for counters in (stats, stats["agent_stats"][agent]):
                counters["total_operations"] += 1
                counters[key] += 1

    def live(agent: str) -> None:
        for _ in range(operations):
            pause(random.uniform(min_delay, max_delay))
            task = random.choice(TASKS)
            if random.random() < 0.2:
                logger.warning(f"{agent} encountered missing data during {task} task.")
                count(agent, "missing_data_events")
                continue
            if random.random() < 0.1:
                logger.error(f"{agent} failed to complete {task} task.")
                count(agent, "failed_operations")
                continue
            target(task)
            logger.info(f"{agent} successfully completed {task}")
            count(agent, "successful_operations")
            with lock:
                snapshot.append({"agent": agent, "task": task, "timestamp": datetime.now().isoformat()})

    names = [f"Agent_{number}" for number in range(1, agents + 1)]
    for name in names:
        stats["agent_stats"][name] = dict.fromkeys(
            ["total_operations", "successful_operations", "failed_operations", "missing_data_events"], 0
        )
    threads = [threading.Thread(target=live, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats["end_time"] = datetime.now().isoformat()
    (output_dir / "agent_memory_snapshot.json").write_text(json.dumps(snapshot, indent=4))
    (output_dir / "simulation_statistics.json").write_text(json.dumps(stats, indent=4))
    logger.removeHandler(handler)
    handler.close()
    return stats
