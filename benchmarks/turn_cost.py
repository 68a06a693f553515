"""Cost of a turn that passes from thread to thread, on one processor and on several, and cost of a new thread.

Run it with ``python benchmarks/turn_cost.py``. Its figures are the reason that the virtual engine keeps its agents
on one processor, and that it can afford new threads for every run.
"""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Callable

_TURNS = 50_000
_THREADS = 500


def microseconds_per_turn(agents: int) -> float:
    batons = [_thread.allocate_lock() for _ in range(agents)]
    for baton in batons:
        baton.acquire()
    last_has_ended = threading.Event()

    def take_turns(number: int) -> None:
        for _ in range(_TURNS // agents):
            batons[number].acquire()
            batons[(number + 1) % agents].release()
        if number == agents - 1:
            last_has_ended.set()

    for number in range(agents):
        threading.Thread(target=take_turns, args=(number,), daemon=True).start()

    def let_them_take_turns() -> None:
        batons[0].release()
        last_has_ended.wait()

    return _microseconds(let_them_take_turns, _TURNS)


def microseconds_per_thread() -> float:
    def start_and_join() -> None:
        for _ in range(_THREADS):
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()

    return _microseconds(start_and_join, _THREADS)


def _microseconds(work: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / times * 1e6


def main() -> None:
    print(f"starting and joining a thread: {microseconds_per_thread():.0f} us")
    for where in ("all processors", "one processor"):
        if where == "one processor":
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        turns = ", ".join(f"{agents} agents {microseconds_per_turn(agents):.1f} us" for agents in (2, 4, 64))
        print(f"a turn on {where}: {turns}")


if __name__ == "__main__":
    main()
