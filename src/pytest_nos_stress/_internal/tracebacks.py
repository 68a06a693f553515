"""Tracebacks and stacks from the target's first frame on, without the frames of this package."""

from __future__ import annotations

import itertools
import queue
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    pass


_LONGEST_TRACEBACK: Final = 10_000
_CALLERS: Final = (
    "contextlib",
    "pytest_nos_stress.run.agent",
    "pytest_nos_stress.run.checks",
    "pytest_nos_stress.engines.asyncio_engine",
    "pytest_nos_stress.engines.threads",
    "pytest_nos_stress.engines.virtual.actor",
    "pytest_nos_stress.engines.virtual.engine",
    "pytest_nos_stress.faults.call_faults",
    "pytest_nos_stress.faults.transport",
    "pytest_nos_stress.plugin.simulator_fixture",
    "pytest_nos_stress.run.context",
)


def strip_internal_frames(error: BaseException) -> TracebackType | None:
    """The exception's traceback without the frames of those here who called the target."""
    tail = error.__traceback__
    while tail is not None and tail.tb_frame.f_globals.get("__name__") in _CALLERS:
        tail = tail.tb_next
    return tail


def error_traceback(error: BaseException) -> str:
    """The formatted traceback from the target's first frame on, bounded in length."""
    try:
        text = "".join(traceback.format_exception(type(error), error, strip_internal_frames(error)))
    except BaseException as broken:
        return f"<formatting this traceback raised {type(broken).__name__}>"
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"


_PACKAGE: Final = str(Path(__file__).parent.parent)
_FRAMES: Final = ("cr_frame", "gi_frame", "ag_frame")
_AWAITED: Final = ("cr_await", "gi_yieldfrom", "ag_await")
_WAITING: Final = (threading.__file__, queue.__file__)


def stack_of(thread: int | None) -> str:
    """The stack of a thread, from the target's first frame to its last."""
    frame = sys._current_frames().get(thread or 0)
    if frame is None:
        return "unknown\n"
    return _of_target(list(traceback.extract_stack(frame)))


def stack_of_awaiting(awaiting: Any) -> str:
    """The stack of a coroutine that awaits something, from the target's first frame to its last."""
    frames = []
    while awaiting is not None:
        frame = next((found for name in _FRAMES if (found := getattr(awaiting, name, None)) is not None), None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        awaiting = next((found for name in _AWAITED if (found := getattr(awaiting, name, None)) is not None), None)
    return _of_target(list(traceback.StackSummary.extract(frames)))


def _of_target(frames: list[traceback.FrameSummary]) -> str:
    of_target = list(itertools.dropwhile(_is_ours, frames))
    while of_target and _is_ours(of_target[-1]):
        of_target.pop()
    return "".join(traceback.format_list(of_target or frames))


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith((_PACKAGE, *_WAITING))
