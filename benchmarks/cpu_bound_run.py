"""A program that runs agents without pauses for a duration.

``python -m benchmarks.cpu_bound_run 512 6 burn:0.2`` runs 512 agents for 6 seconds on a target that uses 0.2 ms of
processor time. It logs to ``run/stress_test_results.log`` in the current directory, and prints the number of
operations as JSON.
"""

from __future__ import annotations

import json
import sys

from benchmarks import targets

from pytest_nos_stress import MultiAgentSimulator


def main(agents: int, seconds: float, target: str) -> None:
    result = MultiAgentSimulator(
        agents=agents,
        duration=seconds,
        min_delay=0,
        max_delay=0,
        output_dir="run",
        target=targets.create(target),
    ).run()
    print(json.dumps({"operations": result.operations}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
