"""A program that times one run without delays, of the library or of the plain loop, with all files.

``python -m benchmarks.one_run ours 4 250000 noop`` runs 4 agents with 250,000 operations each and prints
operations per second as JSON. The time is from the creation of the simulator until its files are written. It does
not include imports, nor a short run before it, which loads everything that is loaded on first use.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import plain_loop, targets

from pytest_nos_stress import MultiAgentSimulator

_WARM_UP = 50


def run_ours(agents: int, operations: int, target: str, directory: Path, report: str = "none") -> None:
    MultiAgentSimulator(
        agents=agents,
        operations_per_agent=operations,
        min_delay=0,
        max_delay=0,
        output_dir=directory,
        target=targets.create(target),
        report=report,
    ).run()


def run_ours_and_report(agents: int, operations: int, target: str, directory: Path) -> None:
    """Run with the HTML report, which the plain loop does not have."""
    run_ours(agents, operations, target, directory, report="html")


def run_loop(
    agents: int, operations: int, target: str, directory: Path, pause: Callable[[float], None] = time.sleep
) -> None:
    directory.mkdir()
    system = targets.create(target)

    def perform(task: str) -> None:
        getattr(system, task)()

    plain_loop.run(agents, operations, directory, perform, min_delay=0, max_delay=0, pause=pause)


def run_loop_without_sleep(agents: int, operations: int, target: str, directory: Path) -> None:
    """Run the loop without ``time.sleep(0)``, which releases the GIL before every operation."""
    run_loop(agents, operations, target, directory, pause=lambda _seconds: None)


_RUNNERS: Mapping[str, Callable[[int, int, str, Path], None]] = {
    "ours": run_ours,
    "ours-and-report": run_ours_and_report,
    "loop": run_loop,
    "loop-without-sleep": run_loop_without_sleep,
}


def main(contestant: str, agents: int, operations: int, target: str) -> None:
    run = _RUNNERS[contestant]
    run(agents, _WARM_UP, target, Path("warm-up"))
    started = time.perf_counter()
    run(agents, operations, target, Path("timed"))
    elapsed = time.perf_counter() - started
    print(json.dumps({"per_second": agents * operations / elapsed}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
