"""Runs leave nothing behind in their process: no thread, open file or object, and no memory that adds up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "repeated_runs.py"
HANG = 120.0


def test_runs_keep_no_threads_files_objects_or_memory() -> None:
    """The program has a process of its own: other tests would change its memory."""
    ended = subprocess.run(
        [sys.executable, str(PROGRAM), "200"], capture_output=True, text=True, timeout=HANG, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
