"""Operations per second, compared with the plain loop and with Locust users that fire their request event.

The runs have no delays, default probabilities and the seed document's files; one also writes the HTML report. The
contestants take turns, each in a fresh process. A ratio is of two figures of the same turn, so that a slow machine
slows both.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping

from . import measuring
from .measuring import Effort, Figure

_BUDGETS: Mapping[int, tuple[float, float]] = {4: (60, 9), 512: (45, 6)}
"""For each number of agents, the smallest ratios to the plain loop and to Locust."""

_OURS = {"noop": "def buy(self)", "operation": "def buy(self, operation)"}
_WITH_REPORT = {"report": "def buy(self), with the HTML report"}
_LOCUST = {"users": "Locust's users", "greenlets": "Locust, bare greenlets"}
_LOOPS = {"loop": "the plain loop", "loop-without-sleep": "plain loop without sleep(0)"}
_OTHERS = {**_LOOPS, **_LOCUST}


def measure(effort: Effort) -> Iterator[Figure]:
    locust = version_of_locust(effort.locust_python)
    yield Figure("version of Locust", locust or "skipped: not installed here; see --locust-python")
    for agents, (times_loop, times_locust) in _BUDGETS.items():
        rates = _rates(agents, effort, with_locust=locust is not None)
        for name, values in rates.items():
            thousands = measuring.median_and_range([value / 1e3 for value in values])
            yield Figure(
                f"{agents} agents, {(_OURS | _WITH_REPORT | _OTHERS)[name]}", f"{thousands} thousand op/s"
            )
        for ours, signature in (_OURS | _WITH_REPORT).items():
            for other in (name for name in _OTHERS if name in rates):
                ratios = [a / b for a, b in zip(rates[ours], rates[other], strict=True)]
                name = f"{agents} agents, {signature} / {_OTHERS[other]}"
                if other == "loop-without-sleep" or ours in _WITH_REPORT:
                    yield Figure(name, f"{measuring.median_and_range(ratios)} x")
                else:
                    bound = times_loop if other == "loop" else times_locust
                    yield measuring.at_least(name, ratios, bound)


def _rates(agents: int, effort: Effort, *, with_locust: bool) -> dict[str, list[float]]:
    """Operations per second of each contestant, turn by turn."""
    contestants: dict[str, Callable[[], float]] = {
        name: _contestant("one_run", "ours", agents, effort.operations // agents, name) for name in _OURS
    }
    contestants["report"] = _contestant("one_run", "ours-and-report", agents, effort.operations // agents, "noop")
    share = effort.loop_operations // agents
    contestants |= {name: _contestant("one_run", name, agents, share, "noop") for name in _LOOPS}
    if with_locust:
        python = effort.locust_python
        contestants |= {name: _contestant("locust_users", name, agents, python=python) for name in _LOCUST}
    turns = [{name: run() for name, run in contestants.items()} for _ in range(effort.repetitions)]
    return {name: [turn[name] for turn in turns] for name in contestants}


def _contestant(module: str, *arguments: object, **options: str) -> Callable[[], float]:
    return lambda: float(measuring.ask(module, *arguments, **options)["per_second"])


def version_of_locust(python: str) -> str | None:
    program = "from importlib.metadata import version; print(version('locust'))"
    process = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    return process.stdout.strip() if process.returncode == 0 else None
