"""What this process has of the machine: processors, and whether its threads take turns."""

from __future__ import annotations

import os
import sys


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_gil() -> bool:
    """Whether threads of this interpreter take turns."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())
