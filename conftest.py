"""Shared by the tests and the examples."""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import numpy  # noqa: F401
import pytest

import pytest_nos_stress
from pytest_nos_stress.engines import ENGINES

pytest_plugins = ["pytester"]

# A session in process forgets what it was the first to import. NumPy cannot be imported twice, the plugin's
# exceptions must stay the classes that tests have imported, and Hypothesis and the plugin take long.
for module in pkgutil.walk_packages(pytest_nos_stress.__path__, "pytest_nos_stress."):
    if "demo" not in module.name:
        with suppress(ImportError):  # of an extra that is not installed
            import_module(module.name)

HANG = 60.0  # Far above what anything takes on a busy machine: what reaches it hangs.

# Hypothesis' deadline for an example is real time, of which a busy machine takes any amount. Its explain phase is
# most of the time of a failing search, and has little to say of code that runs in agents.
PHASES = [phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain]
hypothesis.settings.register_profile("stress", hypothesis.settings(), deadline=None, phases=PHASES)
hypothesis.settings.load_profile("stress")

# A shell starts its background jobs with SIGINT ignored, and their processes inherit that. Tests press Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Give processes that tests start a directory for bytecode, if Python may not write any and none is there.

    Tests start hundreds of processes. Each of them would compile all that it imports.
    """
    if "PYTHONDONTWRITEBYTECODE" not in os.environ or Path(cache_from_source(hypothesis.__file__)).exists():
        return
    directory = tempfile.TemporaryDirectory(prefix="bytecode-")
    config.add_cleanup(directory.cleanup)
    del os.environ["PYTHONDONTWRITEBYTECODE"]
    os.environ["PYTHONPYCACHEPREFIX"] = directory.name


def pytest_collection_finish() -> None:
    """What is there before the first test stays there, and no later garbage collection need look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is given up after a moment, and not after the seconds that agents on a busy machine are given."""
    for row in ENGINES.values():
        module, _, _ = row.where.partition(":")
        monkeypatch.setattr(f"{module}._GRACE", 0.3)


class Interrupted(NamedTuple):
    """What Ctrl-C left of a session."""

    returncode: int
    output: str
    stats: dict[str, Any]
    directory: Path


@pytest.fixture
def takes_less_than() -> Callable[[float, Callable[[], float]], None]:
    """Requires that an action, which returns seconds, is fast enough in one of three attempts.

    The machine may have been busy with something else in the others.
    """

    def require(limit: float, action: Callable[[], float]) -> None:
        seconds: list[float] = []
        while not seconds or seconds[-1] >= limit:
            assert len(seconds) < 3, f"took {seconds} s, three times more than {limit} s"
            seconds.append(action())

    return require


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
        deadline = time.monotonic() + HANG
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
        output, _ = session.communicate(timeout=HANG)
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
