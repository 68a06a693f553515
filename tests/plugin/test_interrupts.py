"""Ctrl-C during a run: pytest ends at once, and the records so far are kept and marked as interrupted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

Interrupt = Callable[..., list[Any]]

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


def test_ctrl_c_ends_a_run_and_keeps_its_records(pytester: pytest.Pytester, interrupt: Interrupt) -> None:
    projects = [pytester.mkdir(name.replace(" ", "-")) for name in WAITING]
    for project, (waiting, settings) in zip(projects, WAITING.values(), strict=True):
        (project / "test_waiting.py").write_text(
            "import pathlib, time\n\nSTARTED = pathlib.Path('started')\n\n"
            f"def buy(operation):\n    if operation.index == 3:\n        STARTED.touch()\n        {waiting}\n\n"
            f"def test_it(stress_simulator):\n    stress_simulator.run({{'buy': buy}}, missing_data_prob=0, "
            f"failure_prob=0, operations_per_agent=1000, {settings})\n\n"
            "def test_next():\n    pathlib.Path('next-ran').touch()\n"
        )
    for project, ended in zip(projects, interrupt(*projects), strict=True):
        assert ended.stats["successful_operations"] >= 3
        lines = (ended.directory / "stress_test_results.log").read_text().splitlines()
        assert len(lines) == ended.stats["total_operations"]
        snapshot = json.loads((ended.directory / "agent_memory_snapshot.json").read_text())
        assert len(snapshot) == ended.stats["successful_operations"]
        assert not (project / "next-ran").exists()
        row = re.search(r"^.*::test_it\b.*$", ended.output.partition(" stress tests =")[2], re.M)
        assert row is not None, ended.output
        assert "interrupted" in row[0]


def test_ctrl_c_ends_a_body_in_its_think_time(pytester: pytest.Pytester, interrupt: Interrupt) -> None:
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
    (ended,) = interrupt(pytester.path)
    assert ended.stats["total_operations"] < 200


def test_ctrl_c_in_a_later_run_keeps_the_summary_of_earlier_ones(
    pytester: pytest.Pytester, interrupt: Interrupt
) -> None:
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
    (ended,) = interrupt(pytester.path, options=("-q",))
    summary = ended.output.partition(" stress tests =")[2]
    assert re.search(r"^.*::test_first\b.*$", summary, re.M), ended.output
    assert re.search(r"^(?=.*::test_second\b).*interrupted", summary, re.M), ended.output


@pytest.mark.parametrize(
    ("error", "reason"),
    [("TimeoutError('too long')", "TimeoutError: too long"), ("pytest.fail.Exception('too long')", "too long")],
)
def test_an_alarm_in_a_run_fails_the_test_and_keeps_its_row_and_files(
    pytester: pytest.Pytester, error: str, reason: str
) -> None:
    pytester.makepyfile(
        f"""
        import os, signal, pytest

        def ring(number, frame):
            raise {error}

        def buy(operation):
            if operation.index == 5:
                os.kill(os.getpid(), signal.SIGALRM)
            operation.sleep(0.01)

        def test_it(stress_simulator):
            before = signal.signal(signal.SIGALRM, ring)
            try:
                stress_simulator.run(
                    {{"buy": buy}}, agents=1, operations_per_agent=100_000,
                    missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0
                )
            finally:
                signal.signal(signal.SIGALRM, before)
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["interrupted *test_it", f"  why: interrupted by {reason}", "*files: stress_test_output/*"]
    )
    frames = re.findall(r"^(\S+\.py):\d+: ", result.stdout.str(), re.M)
    assert len(frames) == 2, "the traceback has the line of the test and that of the handler only"
    assert set(frames) == {next(pytester.path.glob("test_*.py")).name}
    result.stdout.no_fnmatch_line("*never ran the simulator*")
    (statistics,) = pytester.path.rglob("simulation_statistics.json")
    stats = json.loads(statistics.read_text())
    assert (stats["status"], stats["verdict"]) == ("interrupted", "failed")
    assert stats["successful_operations"] > 0
