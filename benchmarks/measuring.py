"""Helpers of all benchmarks: programs in fresh processes, medians, and a line for each figure.

Every figure comes from its own process, in an empty directory that is deleted before the next process starts. So
no measurement inherits memory, page cache, threads or loggers from another.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent


class Figure(NamedTuple):
    """One line of the report. ``met`` is None if there is no budget, or if nothing was measured."""

    name: str
    measured: str
    budget: str = ""
    met: bool | None = None


class Effort(NamedTuple):
    """Amount of measuring: repetitions of each figure, imports and operations of a run, seconds of a log's run.

    ``locust_python`` is the path of a Python that has Locust.
    """

    repetitions: int
    imports: int
    operations: int
    loop_operations: int
    lag_seconds: float
    locust_python: str


def environment() -> dict[str, str]:
    """Return this process's environment, changed to import from the working tree first and to write bytecode."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONDONTWRITEBYTECODE": ""}


@contextlib.contextmanager
def started(
    arguments: Sequence[str], python: str = sys.executable, files: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a Python process in a new directory with these files. At the end, kill it and delete the directory."""
    with tempfile.TemporaryDirectory(prefix="nos-stress-bench-") as directory:
        for name, text in (files or {}).items():
            (Path(directory) / name).write_text(text)
        process = subprocess.Popen(
            [python, *arguments],
            cwd=directory,
            env=environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process, Path(directory)
        finally:
            process.kill()
            process.communicate()


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for the end of a program. Return the JSON in the last line of its output."""
    output, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} ended with status {process.returncode}:\n{errors or output}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def ask(module: str, *arguments: object, python: str = sys.executable) -> dict[str, Any]:
    """Run a module of this directory in a fresh process and return its answer."""
    with started(["-m", f"benchmarks.{module}", *map(str, arguments)], python) as (process, _):
        return answer(process)


def median_and_range(values: Iterable[float], digits: int = 1) -> str:
    """Return the median as text, with minimum and maximum in parentheses."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):.{digits}f} ({ordered[0]:.{digits}f} to {ordered[-1]:.{digits}f})"


def at_least(name: str, ratios: Sequence[float], bound: float) -> Figure:
    met = statistics.median(ratios) >= bound
    return Figure(name, f"{median_and_range(ratios)} x", f"at least {bound:g} x", met)


def at_most(name: str, measured: float, text: str, bound: float, unit: str) -> Figure:
    return Figure(name, text, f"at most {bound:g} {unit}", measured <= bound)


def machine() -> str:
    """Return one line that states date, Python, system, cores and load."""
    load = f"load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "load unknown"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d %H:%M')}, {python}, {platform.system()}, {os.cpu_count()} cores, {load}"
