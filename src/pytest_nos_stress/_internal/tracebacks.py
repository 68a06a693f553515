"""Tracebacks and stacks that begin with the target's first frame, without the frames of this package."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final

_LONGEST_TRACEBACK: Final = 10_000
_PACKAGE: Final = str(Path(__file__).parent.parent) + os.sep
_TARGETS: Final = tuple(f"{_PACKAGE}{part}{os.sep}" for part in ("market", "demo"))
"""Parts of this package that are a target, so that their frames are shown: the embedded exchange and the demo."""
_FRAMES: Final = ("cr_frame", "gi_frame", "ag_frame")
_AWAITED: Final = ("cr_await", "gi_yieldfrom", "ag_await")
_WAITING: Final = (threading.__file__, queue.__file__)


def strip_internal_frames(error: BaseException) -> TracebackType | None:
    """Return the exception's traceback from the target's first frame; None if it has no frame of the target."""
    tail = error.__traceback__
    while tail is not None and is_internal(tail.tb_frame.f_code.co_filename):
        tail = tail.tb_next
    return tail


def strip_waiting_frames(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception that interrupted a run, without the frames in which the run waited.

    Return None if nothing is left, as after Ctrl-C.
    """
    tail = error.__traceback__
    while tail is not None and _is_around_target_file(tail.tb_frame.f_code.co_filename):
        tail = tail.tb_next
    return tail


def is_internal(filename: str) -> bool:
    """Return True if frames of this file do not belong to the target.

    These are files of this package, and ``contextlib``, with which this package enters users' context managers.
    """
    return filename == contextlib.__file__ or (filename.startswith(_PACKAGE) and not filename.startswith(_TARGETS))


def error_traceback(error: BaseException) -> str:
    """Return the formatted traceback from the target's first frame, bounded in length."""
    try:
        text = "".join(traceback.format_exception(type(error), error, strip_internal_frames(error)))
    except BaseException as broken:
        return f"<formatting this traceback raised {type(broken).__name__}>"
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"


def stack_of(thread: int | None) -> str:
    """Return the formatted stack of a thread, from the target's first frame to its last."""
    frame = sys._current_frames().get(thread or 0)
    if frame is None:
        return "unknown\n"
    return _frames_of_target(list(traceback.extract_stack(frame)))


def stack_of_awaiting(awaiting: Any) -> str:
    """Return the formatted stack of a waiting coroutine, from the target's first frame to its last."""
    frames = []
    while awaiting is not None:
        frame = _first_attribute(awaiting, _FRAMES)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        awaiting = _first_attribute(awaiting, _AWAITED)
    return _frames_of_target(list(traceback.StackSummary.extract(frames)))


def _first_attribute(subject: Any, names: tuple[str, ...]) -> Any:
    """Return the first of these attributes that exists and is not None; None if there is none."""
    return next((value for name in names if (value := getattr(subject, name, None)) is not None), None)


def _frames_of_target(frames: list[traceback.FrameSummary]) -> str:
    of_target = list(itertools.dropwhile(_is_around_target, frames))
    while of_target and _is_around_target(of_target[-1]):
        of_target.pop()
    return "".join(traceback.format_list(of_target or frames))


def _is_around_target(frame: traceback.FrameSummary) -> bool:
    """Return True for a frame outside the target: of this package, or of a wait in the standard library."""
    return _is_around_target_file(frame.filename)


def _is_around_target_file(filename: str) -> bool:
    return is_internal(filename) or filename in _WAITING
