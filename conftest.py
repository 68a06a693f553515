"""Shared by the tests and the examples."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Before pytester, which forgets what is imported in its own runs: NumPy cannot be imported a second time in one
# process, the plugin's exceptions must stay the classes that tests have imported, and Hypothesis takes long.
import hypothesis  # noqa: F401
import pytest

pytest_plugins = ["pytester"]

MARGIN = 6.0  # A run must end within 2 s; the rest is for the end of pytest on a busy machine.
START = 40.0  # Far above what pytest takes to start.


def pytest_collection_finish() -> None:
    """What is there before the first test stays there, and no later garbage collection need look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is given up after a moment, and not after the seconds that agents on a busy machine are given."""
    for engine in ("asyncio_engine", "threads", "virtual.engine"):
        monkeypatch.setattr(f"pytest_nos_stress.engines.{engine}._GRACE", 0.3)


class Interrupted(NamedTuple):
    """What Ctrl-C left of a session."""

    returncode: int
    output: str
    stats: dict[str, Any]
    directory: Path


@pytest.fixture
def interrupt() -> Callable[..., list[Interrupted]]:
    """Presses Ctrl-C in pytest sessions of several projects, once a test of each has touched ``started``."""
    return _interrupt


def _interrupt(*projects: Path, options: tuple[str, ...] = ()) -> list[Interrupted]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    sessions = {
        project: subprocess.Popen(
            [sys.executable, "-m", "pytest", "--stress", *options],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for project in projects
    }
    try:
        deadline = time.monotonic() + START
        for project, session in sessions.items():
            _wait_until_started(project, session, deadline)
        time.sleep(0.2)  # Not for a race: so that what waits for ever, sleeps or blocks is in the middle of that.
        return [_press(project, session) for project, session in sessions.items()]
    finally:
        for session in sessions.values():
            session.kill()
            session.communicate()


def _wait_until_started(project: Path, session: subprocess.Popen[str], deadline: float) -> None:
    while not (project / "started").exists():
        assert session.poll() is None, session.communicate()[0]
        assert time.monotonic() < deadline, "the run never started"
        time.sleep(0.02)


def _press(project: Path, session: subprocess.Popen[str]) -> Interrupted:
    session.send_signal(signal.SIGINT)
    try:
        output, _ = session.communicate(timeout=MARGIN)
    except subprocess.TimeoutExpired:
        session.kill()
        pytest.fail(f"Ctrl-C did not end the session:\n{session.communicate()[0]}")
    assert session.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "KeyboardInterrupt" in output
    assert "INTERNALERROR" not in output
    (file,) = project.rglob("simulation_statistics.json")
    stats = json.loads(file.read_text())
    assert stats["status"] == "interrupted", output
    assert stats["interrupted"] is True
    assert stats["verdict"] == "failed"
    return Interrupted(session.returncode, output, stats, file.parent)


@pytest.fixture
def live_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the what is shown of a run that goes on sees: one number to set."""

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now[0]

    now = [100.0]
    monkeypatch.setattr("pytest_nos_stress.reporting.progress.time", Time)
    return now
