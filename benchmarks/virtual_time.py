"""Speed of virtual time: operations per second, short runs, and a comparison with SimPy's processes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from . import measuring
from .measuring import Effort, Figure


def measure(effort: Effort) -> Iterator[Figure]:
    yield from _long_runs(effort)
    yield from _own_threads(effort)
    yield from _short_runs(effort)
    yield from _against_simpy(effort)


def _seconds(effort: Effort, *arguments: object) -> list[float]:
    return [measuring.ask("virtual_run", *arguments)["seconds"] for _ in range(effort.repetitions)]


def _long_runs(effort: Effort) -> Iterator[Figure]:
    for delays, bound in (("none", 5.0), ("drawn", 5.0)):
        seconds = _seconds(effort, "ours", "shared", 4, effort.operations // 4, "noop", delays)
        per_million = [elapsed * 1e6 / effort.operations for elapsed in seconds]
        text = f"{measuring.median_and_range(per_million, 2)} s"
        name = f"a million operations in one thread, all files, delays {delays}"
        yield measuring.at_most(name, sorted(per_million)[len(per_million) // 2], text, bound, "s")


def _own_threads(effort: Effort) -> Iterator[Figure]:
    operations = effort.operations // 10
    for agents in (4, 64):
        for target, bound in (("noop", 50_000.0), ("sleeping", None)):
            seconds = _seconds(effort, "ours", "own", agents, operations // agents, target, "drawn")
            rates = [operations / elapsed for elapsed in seconds]
            text = f"{measuring.median_and_range([rate / 1e3 for rate in rates])} thousand/s"
            met = None if bound is None else sorted(rates)[len(rates) // 2] >= bound
            budget = "" if bound is None else "at least 50 thousand/s"
            yield Figure(f"a thread for each of {agents} agents, {target} target", text, budget, met)
    for own in ("shared", "own"):
        noop, sleeping = (
            min(_seconds(effort, "ours", own, 4, operations // 4, target, "drawn")) / operations * 1e6
            for target in ("noop", "sleeping")
        )
        yield Figure(f"extra cost of an operation that sleeps, {own} threads", f"{sleeping - noop:.1f} us")


def _short_runs(effort: Effort) -> Iterator[Figure]:
    runs = measuring.ask("virtual_run", "default", 40 * effort.repetitions)["milliseconds"]
    text = f"{measuring.median_and_range(runs)} ms"
    yield measuring.at_most("the seed document's default run", sorted(runs)[len(runs) // 2], text, 50, "ms")


def _against_simpy(effort: Effort) -> Iterator[Figure]:
    if importlib.util.find_spec("simpy") is None:
        yield Figure("against SimPy", "skipped: simpy is not installed")
        return
    operations = effort.operations // 10
    for agents in (4, 512):
        ratios: dict[str, list[float]] = {"shared": [], "own": []}
        for _ in range(effort.repetitions):
            simpy = measuring.ask("virtual_run", "simpy", "-", agents, operations // agents, "noop", "drawn")
            for own, of_turns in ratios.items():
                ours = measuring.ask("virtual_run", "ours", own, agents, operations // agents, "noop", "drawn")
                of_turns.append(ours["seconds"] / simpy["seconds"])
        for own, of_turns in ratios.items():
            name = f"time of {agents} agents ({own} threads) to SimPy's processes with the same timeouts"
            yield Figure(name, f"{measuring.median_and_range(of_turns)} x")
