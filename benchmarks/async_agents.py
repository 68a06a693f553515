"""10,000 agents on one event loop: operations per second and memory per agent, compared with Locust's users.

Then 100,000 agents, with three operations each. The runs write all files. The contestants take turns, each in a
fresh process. The memory of an agent is the growth of its process's peak, divided by the agents. The time is that
of the whole run, including its start and all planning.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import measuring
from .measuring import Effort, Figure
from .throughput import version_of_locust

_AGENTS = 10_000
_MANY_AGENTS = 100_000


def measure(effort: Effort) -> Iterator[Figure]:
    locust = version_of_locust(effort.locust_python)
    operations = max(1, effort.operations // _AGENTS)
    turns = [_turn(operations, effort.locust_python if locust else None) for _ in range(effort.repetitions)]
    kilobytes = measuring.median_and_range([turn["ours"]["bytes_for_an_agent"] / 1e3 for turn in turns])
    yield Figure(f"memory for one of {_AGENTS} agents", f"{kilobytes} kB")
    many = measuring.ask("asyncio_run", "ours", _MANY_AGENTS, 3)
    yield Figure(f"memory for one of {_MANY_AGENTS} agents", f"{many['bytes_for_an_agent'] / 1e3:.1f} kB")
    for name in turns[0]:
        thousands = measuring.median_and_range([turn[name]["per_second"] / 1e3 for turn in turns])
        yield Figure(f"{_AGENTS} agents, {name}", f"{thousands} thousand op/s")
    for other in turns[0]:
        if other != "ours":
            ratios = [turn["ours"]["per_second"] / turn[other]["per_second"] for turn in turns]
            yield Figure(f"ours / {other}", f"{measuring.median_and_range(ratios)} x")


def _turn(operations: int, locust_python: str | None) -> dict[str, dict[str, float]]:
    results = {name: measuring.ask("asyncio_run", name, _AGENTS, operations) for name in ("ours", "bare")}
    if locust_python is not None:
        results["Locust's users"] = measuring.ask("locust_users", "users", _AGENTS, python=locust_python)
    return results
