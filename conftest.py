"""Fixtures and settings shared by the tests and the examples."""

from __future__ import annotations

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

# pytester's sessions in process remove the modules that they were the first to import. NumPy cannot be imported
# twice, pyarrow keeps the pandas that it saw first, the plugin's exceptions must stay the classes that tests have
# imported, and importing Hypothesis and the plugin takes long. So all of them are imported here.
for name in ("pandas", "pyarrow.parquet"):
    with suppress(ImportError):
        import_module(name)
for module in pkgutil.walk_packages(pytest_nos_stress.__path__, "pytest_nos_stress."):
    if "demo" not in module.name:
        with suppress(ImportError):  # needs an extra that is not installed
            import_module(module.name)

HANG = 60.0  # Seconds; far more than anything takes on a busy machine, so a wait this long is a hang.

# Hypothesis' deadline for an example is in real time, so a busy machine can exceed it. Its explain phase takes
# most of the time of a failing search, and explains little about code that agents run.
PHASES = [phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain]
hypothesis.settings.register_profile("stress", hypothesis.settings(), deadline=None, phases=PHASES)
hypothesis.settings.load_profile("stress")

# A shell starts its background jobs with SIGINT ignored, and their processes inherit that. Tests press Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Give processes that tests start a directory for bytecode, if Python must not write any and has none.

    Tests start hundreds of processes. Without bytecode, each of them would compile all that it imports.
    """
    if "PYTHONDONTWRITEBYTECODE" not in os.environ or Path(cache_from_source(hypothesis.__file__)).exists():
        return
    directory = tempfile.TemporaryDirectory(prefix="bytecode-")
    config.add_cleanup(directory.cleanup)
    del os.environ["PYTHONDONTWRITEBYTECODE"]
    os.environ["PYTHONPYCACHEPREFIX"] = directory.name


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Run sessions with workers in a process of their own.

    On a busy machine, pytest-xdist gives up waiting for a worker and leaves its pipes open. A garbage collection
    in another test would find them.
    """
    in_process = pytester.runpytest_inprocess

    def run(*arguments: str, **options: Any) -> pytest.RunResult:
        has_workers = any(str(argument).startswith("-n") for argument in arguments)
        return pytester.runpytest_subprocess(*arguments) if has_workers else in_process(*arguments, **options)

    monkeypatch.setattr(pytester, "runpytest_inprocess", run)
    return pytester


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up hung agents after 0.3 s, instead of the seconds that agents on a busy machine may need."""
    for row in ENGINES.values():
        module, _, _ = row.location.partition(":")
        monkeypatch.setattr(f"{module}._GRACE", 0.3)


class Interrupted(NamedTuple):
    """The output and files of a session that Ctrl-C ended."""

    returncode: int
    output: str
    stats: dict[str, Any]
    directory: Path


@pytest.fixture
def takes_less_than() -> Callable[[float, Callable[[], float]], None]:
    """Return a function that requires an action, which returns seconds, to be fast in one of three attempts.

    In the other attempts, the machine may have been busy with something else.
    """

    def require(limit: float, action: Callable[[], float]) -> None:
        seconds: list[float] = []
        while not seconds or seconds[-1] >= limit:
            assert len(seconds) < 3, f"took {seconds} s, three times more than {limit} s"
            seconds.append(action())

    return require


@pytest.fixture
def interrupt() -> Callable[..., list[Interrupted]]:
    """Press Ctrl-C in pytest sessions of several projects, after a test of each has touched ``started``."""
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
        time.sleep(0.2)  # So that Ctrl-C finds agents in the middle of waiting, sleeping or blocking.
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
    """Return a list with the time in seconds that live displays read. Tests set it."""
    now = [100.0]
    monkeypatch.setattr("pytest_nos_stress.reporting.progress.perf_counter", lambda: now[0])
    return now
