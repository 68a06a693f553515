"""Where a thread is, for reports of agents that hang or wait for each other."""

from __future__ import annotations

import itertools
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import Final

_PACKAGE: Final = str(Path(__file__).parent.parent)
_WAITING: Final = (threading.__file__, queue.__file__)


def stack_of(thread: int | None) -> str:
    """The stack of a thread, from the target's first frame to its last."""
    frame = sys._current_frames().get(thread or 0)
    if frame is None:
        return "unknown\n"
    frames = list(traceback.extract_stack(frame))
    of_target = list(itertools.dropwhile(_is_ours, frames))
    while of_target and _is_ours(of_target[-1]):
        of_target.pop()
    return "".join(traceback.format_list(of_target or frames))


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith((_PACKAGE, *_WAITING))
