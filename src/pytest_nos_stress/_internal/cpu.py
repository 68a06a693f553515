"""Processors of this process, and the global interpreter lock (GIL)."""

from __future__ import annotations

import sys

from .system import system


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(allowed_processors()) or system.cpu_count() or 1


def allowed_processors() -> list[int]:
    """Return the numbers of the processors that this process may use. Empty if the system does not tell."""
    try:
        return sorted(system.sched_getaffinity(0))
    except (AttributeError, OSError):
        return []


def has_gil() -> bool:
    """Return True if this interpreter has a GIL, so that one thread at a time runs Python code."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())
