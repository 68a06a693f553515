"""Operations per second, against the plain loop and against Locust users firing their request event.

Zero delays, default probabilities, all files written. The contestants take turns, each in a fresh process, and
a ratio is made from the figures of one turn, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping

from . import measuring
from .measuring import Effort, Figure

_BUDGETS: Mapping[int, tuple[float, float]] = {4: (60, 9), 512: (45, 6)}
"""For each number of agents: times the plain loop, times Locust."""

_VARIANTS = {"noop": "def buy(self)", "operation": "def buy(self, operation)"}


def measure(effort: Effort) -> Iterator[Figure]:
    locust = _version_of_locust(effort.locust_python)
    if locust is None:
        yield Figure(
            "Locust", "skipped: locust is not installed here; name a Python that has it by --locust-python"
        )
    for agents, (times_loop, times_locust) in _BUDGETS.items():
        rates: dict[str, list[float]] = {"loop": [], "locust": [], **{variant: [] for variant in _VARIANTS}}
        for _ in range(effort.repetitions):
            for variant in _VARIANTS:
                rates[variant].append(_ours(agents, effort.operations, variant))
            rates["loop"].append(_loop(agents, effort.loop_operations))
            if locust is not None:
                rates["locust"].append(_locust(agents, effort.locust_operations, effort.locust_python))
        yield from _absolute(agents, rates, locust)
        for variant, signature in _VARIANTS.items():
            what = f"{agents} agents, {signature}, against"
            yield measuring.at_least(f"{what} the plain loop", _ratios(rates, variant, "loop"), times_loop)
            if locust is not None:
                yield measuring.at_least(f"{what} Locust", _ratios(rates, variant, "locust"), times_locust)


def _absolute(agents: int, rates: Mapping[str, list[float]], locust: str | None) -> Iterator[Figure]:
    names = {**_VARIANTS, "loop": "plain loop", "locust": f"Locust {locust}"}
    for key, values in rates.items():
        if values:
            thousands = measuring.median_and_range([value / 1e3 for value in values])
            yield Figure(f"{agents} agents, {names[key]}", f"{thousands} thousand op/s")


def _ratios(rates: Mapping[str, list[float]], ours: str, other: str) -> list[float]:
    return [a / b for a, b in zip(rates[ours], rates[other], strict=True)]


def _ours(agents: int, operations: int, variant: str) -> float:
    return float(measuring.ask("one_run", "ours", agents, operations // agents, variant)["per_second"])


def _loop(agents: int, operations: int) -> float:
    return float(measuring.ask("one_run", "loop", agents, operations // agents, "noop")["per_second"])


def _locust(agents: int, operations: int, python: str) -> float:
    return float(measuring.ask("locust_users", agents, operations // agents, python=python)["per_second"])


def _version_of_locust(python: str = sys.executable) -> str | None:
    program = "from importlib.metadata import version; print(version('locust'))"
    found = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None
