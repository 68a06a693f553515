"""Runs many stress tests in one process, and prints what the process keeps of them.

    python benchmarks/repeated_runs.py         500 runs
    python benchmarks/repeated_runs.py 2000    any number

After the first 50 runs, the process must have no thread, open file or object more, and less than 2 MiB of memory
more. A process that has grown gets as many runs again, twice at most: the system's allocator grows by a step once,
and a leak grows with each run. The runs take turns: the engines, a run that fails, and a run that a task skips.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

_ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "src")]

from pytest_nos_stress import AsyncOperation, MultiAgentSimulator, Operation, ThresholdsNotMet  # noqa: E402

WARM_UP: Final = 50
MOST_GROWTH: Final = 2 << 20
_TURNS_OF_ALL: Final = 3


class Kept(NamedTuple):
    """Threads, open files, objects and bytes of memory of this process."""

    threads: int
    files: int
    objects: int
    memory: int


class Skipped(Exception):
    """Ends a run as ``pytest.skip`` does."""


def kept() -> Kept:
    """Return what the process holds, without garbage."""
    gc.collect()
    process = psutil.Process()
    return Kept(threading.active_count(), process.num_fds(), len(gc.get_objects()), process.memory_info().rss)


def sleeps(operation: Operation) -> None:
    operation.sleep(0.0001)


async def sleeps_on_loop(operation: AsyncOperation) -> None:
    await operation.sleep(0.0001)


def fails(operation: Operation) -> None:
    raise LookupError(operation.id)


def skips(operation: Operation) -> None:
    if operation.index == 5:
        raise Skipped


_TURNS: Final[tuple[tuple[str, Callable[..., Any]], ...]] = (
    ("threads", sleeps),
    ("asyncio", sleeps_on_loop),
    ("virtual", sleeps),
    ("threads", fails),
    ("virtual", skips),
)


def perform(number: int) -> None:
    """Perform the run of this number."""
    engine, task = _TURNS[number % len(_TURNS)]
    with tempfile.TemporaryDirectory(prefix="nos-stress-repeated-") as directory:
        simulator = MultiAgentSimulator(
            target={"buy": task},
            engine=engine,
            agents=4,
            operations_per_agent=20,
            min_delay=0,
            max_delay=0,
            market="calm",
            output_dir=directory,
            seed=number,
        )
        with suppress(ThresholdsNotMet, Skipped):
            simulator.run(ending_errors=(Skipped,))


def _has_grown(first: int, last: int) -> bool:
    """Perform runs. Return True if the process then holds more than before."""
    before = kept()
    before = kept()  # which counts the first one, as the last one counts this
    for number in range(first, last):
        perform(number)
    after = kept()
    print(f"after {first} runs: {before}\nafter {last} runs: {after}")
    print(f"growth of memory: {(after.memory - before.memory) / 2**20:.2f} MiB", flush=True)
    has_more = any(now > then for now, then in zip(after[:3], before[:3], strict=True))
    return has_more or after.memory - before.memory > MOST_GROWTH


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for number in range(WARM_UP):
        perform(number)
    more = runs - WARM_UP
    sys.exit(all(_has_grown(WARM_UP + turn * more, runs + turn * more) for turn in range(_TURNS_OF_ALL)))


if __name__ == "__main__":
    main()
