"""Threads that a target has left behind, at the end of a run: waiting for what they are about to raise."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from pytest_nos_stress._internal.instrument import Thread, all_threads, perf_counter, sleep
from pytest_nos_stress._internal.system import system

from .background import BackgroundErrors, Origin

ORIGIN: Final = "_nos_stress_origin"
"""Attribute of a thread that holds the operation which started it."""
_PATIENCE: Final = 0.5
"""Seconds to wait for threads that were started during the run."""
_TIME_TO_CONTINUE: Final = 0.02
"""Seconds to wait for threads from before the run, which may work forever."""
_INTERVAL: Final = 0.001
_EXECUTORS: Final = "concurrent.futures.thread"

_endless: set[tuple[str, str]] = set()
"""Kinds of threads that did not end within ``_PATIENCE`` in an earlier run."""
_endless_raw: set[int] = set()
"""The system's numbers of raw threads that did not end within ``_PATIENCE`` in an earlier run."""


def join_threads(run: BackgroundErrors) -> list[str]:
    """Wait for the threads that operations of a run started. Return the names of those that do not end.

    A kind of thread that does not end is waited for once in a process. Threads of executors wait for work forever.
    """
    deadline = perf_counter() + _PATIENCE
    still_running = []
    for thread in all_threads():
        origin: Origin | None = getattr(thread, ORIGIN, None)
        if origin is None or origin.run is not run or _is_of_an_executor(thread):
            continue
        kind = (type(thread).__qualname__, getattr(getattr(thread, "_target", None), "__qualname__", ""))
        if kind not in _endless:
            thread.join(max(0.0, deadline - perf_counter()))
        if thread.is_alive():
            _endless.add(kind)
            still_running.append(thread.name)
    return still_running


def system_threads() -> set[int]:
    """Return the system's numbers of all threads of this process; an empty set if the system does not tell."""
    try:
        return {int(name) for name in system.listdir("/proc/self/task")}
    except (OSError, ValueError):
        return set()


def await_raw_threads(before: set[int]) -> None:
    """Wait for threads that are not in ``before`` and that ``threading`` does not know.

    ``_thread.start_new_thread`` starts them, also long before they first run. Nobody can join them.
    """
    deadline = perf_counter() + _PATIENCE
    while raw := system_threads() - before - _endless_raw - {thread.native_id for thread in all_threads()}:
        if perf_counter() > deadline:
            _endless_raw.update(raw)
            return
        sleep(_INTERVAL)


def await_older_threads() -> None:
    """Let threads from before the run continue until they wait: a worker may have work of the last operation."""
    older = {thread.ident for thread in all_threads() if not _is_ours(thread)}
    deadline = perf_counter() + _TIME_TO_CONTINUE
    positions = _positions(older)
    while positions and perf_counter() < deadline:
        sleep(_INTERVAL)
        before, positions = positions, _positions(older)
        if positions == before:
            return


def _is_ours(thread: Any) -> bool:
    return isinstance(thread, Thread) or hasattr(thread, ORIGIN) or _is_of_an_executor(thread)


def _is_of_an_executor(thread: Any) -> bool:
    target: Callable[..., object] | None = getattr(thread, "_target", None)
    return getattr(target, "__module__", "") == _EXECUTORS


def _positions(threads: set[int | None]) -> dict[int, tuple[int, int]]:
    """Return the frame and the instruction at which each of these threads is; without the calling thread."""
    frames = sys._current_frames()
    caller = sys._getframe()
    return {
        ident: (id(frame), frame.f_lasti)
        for ident, frame in frames.items()
        if ident in threads and frame is not caller
    }
