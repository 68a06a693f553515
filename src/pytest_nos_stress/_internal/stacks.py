"""Where a thread is, for reports of agents that hang or wait for each other."""

from __future__ import annotations

import itertools
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Final

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
