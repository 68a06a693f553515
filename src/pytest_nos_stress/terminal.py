"""What people see of runs in the terminal: the live line, and the summary's table."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from .checks import BROKEN
from .failure import table
from .performance import COMPLETED, Progress
from .result import StressResult
from .text import one_line
from .verdict import NOT_APPLICABLE, show_seconds

_INTERVAL: Final = 0.5
_NARROWEST: Final = 20
_SAVE, _RESTORE, _CLEAR = "\x1b7", "\x1b8", "\x1b[K"


class LiveLine:
    """A line about a run that goes on, behind what pytest has written on the terminal's current line.

    It is written to the terminal itself, past pytest's capture, and wiped before pytest writes again.
    """

    def __init__(self, terminal: int, room: Callable[[], int]) -> None:
        self._terminal = terminal
        self._room = room
        self._last = time.monotonic()
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < _INTERVAL:
            return
        self._last = now
        room = self._room()
        if room >= _NARROWEST:
            self._shown = True
            self._write(f"{_SAVE} {live_text(progress)[:room]}{_CLEAR}{_RESTORE}")

    def clear(self) -> None:
        if self._shown:
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._terminal, text.encode())


def live_text(progress: Progress) -> str:
    """Operations done, rate, failures and time left."""
    rate = progress.operations / progress.elapsed if progress.elapsed else 0.0
    parts = [f"{progress.operations} ops", f"{rate:.0f}/s", f"{progress.failures} failed"]
    if progress.done > 0:
        left = progress.elapsed * (1 - progress.done) / progress.done
        parts.append(f"{left:.0f} s left")
    return ", ".join(parts)


def describe_run(result: StressResult) -> dict[str, Any]:
    """The main figures of a run as built-in types, under the names that JUnit XML shows."""
    stats = result.stats
    described = {
        "seed": result.seed,
        "operations": result.operations,
        "successful": result.successes,
        "failed": result.failures,
        "missing_data": result.missing_data,
        "errors": result.errors,
        **{name: stats[name] for name in ("success_rate", "failure_rate", "error_rate", "missing_data_rate")},
        "throughput": stats["throughput"],
    }
    for metric in ("latency", "response_time"):
        for figure in ("p50", "p95", "p99", "max"):
            described[f"{metric}_{figure}"] = stats[metric][figure]
    described |= {"verdict": stats["verdict"], "status": stats["status"]}
    return described | {_file_key(path): str(path) for path in result.files}


_FILE_KEYS: Final = {
    "stress_test_results": "log",
    "agent_memory_snapshot": "snapshot",
    "scenario": "scenario",
}


def _file_key(path: Path) -> str:
    return _FILE_KEYS.get(path.stem, "statistics")


def summary_row(test: str, result: StressResult, directory: Path) -> dict[str, str | int]:
    """What the summary shows of a run, as built-in types: it crosses from xdist's workers to the controller."""
    stats = result.stats
    is_judged = stats["status"] == COMPLETED or any(one.verdict == BROKEN for one in result.checks)
    return {
        "verdict": stats["verdict"] if is_judged else stats["status"],
        "operations": result.operations,
        "success/failed/missing": f"{result.successes}/{result.failures}/{result.missing_data}",
        "p50": _seconds_or_dash(stats["latency"]["p50"]),
        "p99": _seconds_or_dash(stats["latency"]["p99"]),
        "seed": result.seed,
        "test": test,
        "files": _relative(result.output_dir, directory),
        "not applicable": ", ".join(
            one.threshold.text for one in result.verdicts if one.verdict == NOT_APPLICABLE
        ),
    }


def summary(runs: Sequence[dict[str, str | int]]) -> list[str]:
    """The summary's table, and below each run where its files are."""
    columns = [name for name in runs[0] if name not in ("files", "not applicable")]
    rows = [columns, *([one_line(str(run[name])) for name in columns] for run in runs)]
    heading, *lines = table(rows, indent="")
    shown = [heading]
    for line, run in zip(lines, runs, strict=True):
        shown += [
            line,
            *(f"  {name}: {one_line(str(run[name]))}" for name in ("files", "not applicable") if run.get(name)),
        ]
    return shown


def replay_summary(replayed: Sequence[str]) -> str:
    """What came of running tests again, in a line."""
    counts = Counter(replayed)
    return "; ".join(
        f"{count} {'test' if count == 1 else 'tests'} {what}" for what, count in sorted(counts.items())
    )


def _seconds_or_dash(value: float | None) -> str:
    return "-" if value is None else show_seconds(value)


def _relative(path: Path, directory: Path) -> str:
    relative = os.path.relpath(path, directory)
    return str(path) if relative.startswith("..") else relative
