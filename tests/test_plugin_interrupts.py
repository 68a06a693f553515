"""Ctrl-C during a run: pytest ends at once, and what was recorded is kept and marked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# A run must end within 2 s; the rest is for the end of pytest on a busy machine.
MARGIN = 6.0


class Interrupted(NamedTuple):
    """What Ctrl-C left."""

    returncode: int
    output: str
    seconds: float
    stats: dict[str, Any]
    path: Path


def interrupt(pytester: pytest.Pytester, *options: str) -> Interrupted:
    """Start pytest, wait until a test has touched ``started``, press Ctrl-C, and wait for the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--stress", *options],
        cwd=pytester.path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 40
        while not (pytester.path / "started").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "the run never started"
            time.sleep(0.02)
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=40)
    finally:
        process.kill()
        process.wait()
    seconds = time.monotonic() - pressed
    (file,) = pytester.path.rglob("simulation_statistics.json")
    return Interrupted(process.returncode, output, seconds, json.loads(file.read_text()), file.parent)


WAITING = {
    "sleep of the operation": (
        "operation.sleep(3600)",
        "min_delay=0, max_delay=0, agents=['Ann', 'Bob']",
    ),
    "target that does not end": (
        "time.sleep(3600)",
        "min_delay=0, max_delay=0, agents=['Ann', 'Bob'], operation_timeout='1h'",
    ),
}


def assert_was_interrupted(ended: Interrupted) -> None:
    assert ended.returncode == pytest.ExitCode.INTERRUPTED, ended.output
    assert ended.seconds < MARGIN
    assert ended.stats["status"] == "interrupted"
    assert ended.stats["interrupted"] is True
    assert ended.stats["verdict"] == "failed"
    assert "KeyboardInterrupt" in ended.output
    assert "INTERNALERROR" not in ended.output


@pytest.mark.parametrize("where", list(WAITING))
def test_ctrl_c_ends_a_run_and_keeps_what_was_recorded(pytester: pytest.Pytester, where: str) -> None:
    waiting, settings = WAITING[where]
    pytester.makepyfile(
        "import pathlib, time\n\nSTARTED = pathlib.Path('started')\n\n"
        f"def buy(operation):\n    if operation.index == 3:\n        STARTED.touch()\n        {waiting}\n\n"
        f"def test_it(stress_simulator):\n    stress_simulator.run({{'buy': buy}}, missing_data_prob=0, "
        f"failure_prob=0, operations_per_agent=1000, {settings})\n\n"
        "def test_next():\n    pathlib.Path('next-ran').touch()\n"
    )
    ended = interrupt(pytester)
    assert_was_interrupted(ended)
    assert ended.stats["successful_operations"] >= 3
    lines = (ended.path / "stress_test_results.log").read_text().splitlines()
    assert len(lines) == ended.stats["total_operations"]
    snapshot = json.loads((ended.path / "agent_memory_snapshot.json").read_text())
    assert len(snapshot) == ended.stats["successful_operations"]
    assert not (pytester.path / "next-ran").exists()
    row = re.search(r"^.*::test_it\b.*$", ended.output.partition(" stress tests =")[2], re.M)
    assert row is not None, ended.output
    assert "interrupted" in row[0]


def test_ctrl_c_ends_a_body_in_its_think_time(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pathlib
        import pytest

        @pytest.mark.stress(agents=["Ann", "Bob"], seed=3, min_delay="0", max_delay="1h", missing_data_prob=0,
            failure_prob=0, per_agent=lambda agent: pathlib.Path("started").open("w"))
        def test_it():
            pass
        """
    )
    ended = interrupt(pytester)
    assert_was_interrupted(ended)
    assert ended.stats["total_operations"] < 200


def test_ctrl_c_in_a_later_run_keeps_the_summary_of_earlier_ones(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pathlib
        import pytest

        CALM = dict(missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0)
        QUICK = dict(agents=1, operations_per_agent=2, **CALM)

        @pytest.fixture(autouse=True)
        def keep_only_the_last():
            for file in pathlib.Path().rglob("simulation_statistics.json"):
                file.unlink()

        @pytest.mark.stress(**QUICK)
        def test_first():
            pass

        def test_second(stress_simulator):
            def buy(operation):
                pathlib.Path("started").touch()
                operation.sleep(3600)
            stress_simulator.run({"buy": buy}, **QUICK)
        """
    )
    ended = interrupt(pytester, "-q")
    assert_was_interrupted(ended)
    shown = ended.output.partition(" stress tests =")[2]
    assert re.search(r"^.*::test_first\b.*$", shown, re.M), ended.output
    assert re.search(r"^(?=.*::test_second\b).*interrupted", shown, re.M), ended.output
