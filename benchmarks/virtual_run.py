"""A program that times runs in virtual time, of the library or of SimPy.

``python -m benchmarks.virtual_run ours shared 4 250000 noop drawn`` runs 4 agents with 250,000 operations each in
one thread, with the default think times. It prints as JSON the seconds from the creation of the simulator until
its files are written. ``simpy`` in place of ``ours`` runs SimPy processes with the same pauses, and writes no
files. ``default 100`` prints the milliseconds of 100 runs with the seed document's defaults.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario
from pytest_nos_stress.scenario.schedule import AgentSchedule

_WARM_UP = 50
_DELAYS = {"none": (0.0, 0.0), "drawn": (0.05, 0.15)}
_LATENCY = 0.01


class Target:
    """A target with a task that does nothing, and a task that waits for a reply."""

    def noop(self) -> None:
        pass

    def sleeping(self, operation: Operation) -> None:
        operation.sleep(_LATENCY)


def run_ours(own: str, agents: int, operations: int, target: str, delays: str, directory: Path) -> None:
    shortest, longest = _DELAYS[delays]
    MultiAgentSimulator(
        agents=agents,
        tasks=[target],
        operations_per_agent=operations,
        min_delay=shortest,
        max_delay=longest,
        output_dir=directory,
        target=Target(),
        seed=1,
        engine="virtual",
        own_threads=own == "own",
    ).run()


def run_simpy(agents: int, operations: int, delays: str) -> None:
    import simpy

    shortest, longest = _DELAYS[delays]
    scenario = Scenario(agents=agents, operations_per_agent=operations, min_delay=shortest, max_delay=longest)
    environment = simpy.Environment()
    performed = []

    def process(pauses: Iterable[float]) -> Generator[Any, Any, Any]:
        for pause in pauses:
            yield environment.timeout(pause)
            performed.append(environment.now)

    for name in scenario.agent_names:
        pauses = AgentSchedule(scenario, name).block(0, operations).think_times
        environment.process(process([0.0] * operations if pauses is None else pauses.tolist()))
    environment.run()
    assert len(performed) == agents * operations


def milliseconds_of_default_runs(runs: int) -> list[float]:
    def run() -> float:
        started = time.perf_counter()
        MultiAgentSimulator(engine="virtual", output_dir="default").run()
        return (time.perf_counter() - started) * 1e3

    run()
    return [run() for _ in range(runs)]


def main(arguments: list[str]) -> None:
    contestant = arguments[0]
    if contestant == "default":
        print(json.dumps({"milliseconds": milliseconds_of_default_runs(int(arguments[1]))}))
        return
    own, agents, operations, target, delays = arguments[1:]
    if contestant == "ours":
        run_ours(own, int(agents), _WARM_UP, target, delays, Path("warm-up"))
    started = time.perf_counter()
    if contestant == "ours":
        run_ours(own, int(agents), int(operations), target, delays, Path("timed"))
    else:
        run_simpy(int(agents), int(operations), delays)
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(sys.argv[1:])
