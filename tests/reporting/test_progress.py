"""Progress of a run without a terminal: a line every few seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_nos_stress.reporting.progress import ProgressLog
from pytest_nos_stress.results.status import Progress


class Log:
    """A pipe as a log."""

    def __init__(self) -> None:
        self._end, self.file = os.pipe()
        os.set_blocking(self._end, False)

    def read(self) -> str:
        """The text written since the last call."""
        try:
            return os.read(self._end, 1 << 16).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        os.close(self._end)
        os.close(self.file)


@pytest.fixture
def log() -> Iterator[Log]:
    pipe = Log()
    yield pipe
    pipe.close()


def progress(elapsed: float) -> Progress:
    return Progress(operations=int(50 * elapsed), failures=3, missing_data=1, elapsed=elapsed, done=elapsed / 20)


def test_a_line_is_written_every_three_seconds_and_says_which_test_and_how_far(
    live_clock: list[float], log: Log
) -> None:
    live = ProgressLog(log.file, "test_a.py::test_b", lambda: True)
    for tenth in range(1, 101):
        live_clock[0] = 100 + tenth / 10
        live(progress(tenth / 10))
    live.clear()
    assert log.read().splitlines() == [
        "stress: test_a.py::test_b: 3 s, 150 ops, 50/s, 3 failed, 17 s left",
        "stress: test_a.py::test_b: 6 s, 300 ops, 50/s, 3 failed, 14 s left",
        "stress: test_a.py::test_b: 9 s, 450 ops, 50/s, 3 failed, 11 s left",
    ]


def test_a_short_run_writes_nothing(live_clock: list[float], log: Log) -> None:
    live = ProgressLog(log.file, "test_a.py::test_b", lambda: True)
    live_clock[0] += 2.9
    live(progress(2.9))
    live.clear()
    assert log.read() == ""


@pytest.mark.parametrize("begins_line", [True, False])
def test_the_first_line_ends_the_line_that_pytest_has_begun(
    live_clock: list[float], log: Log, begins_line: bool
) -> None:
    live = ProgressLog(log.file, "test_it", lambda: begins_line)
    written = []
    for _ in range(2):
        live_clock[0] += 4
        live(progress(4))
        written.append(log.read())
    assert [text.startswith("\n") for text in written] == [not begins_line, False]
    assert [text.endswith("\n") for text in written] == [True, True]


def test_a_test_id_is_one_line_without_what_a_terminal_would_obey(live_clock: list[float], log: Log) -> None:
    live = ProgressLog(log.file, "test_a[\x1b[31m\n::error::forged\ud800]", lambda: True)
    live_clock[0] += 4
    live(progress(4))
    (line,) = log.read().splitlines()
    assert line.isprintable()
    assert line.startswith("stress: test_a[")


def test_a_closed_log_does_not_end_the_run(live_clock: list[float], log: Log) -> None:
    live = ProgressLog(-1, "test_it", lambda: True)
    live_clock[0] += 4
    live(progress(4))
    live.clear()
    assert log.read() == ""


LONG = """
def test_it(stress_simulator):
    stress_simulator.run(lambda: None, agents=2, duration=3.4, min_delay=0.05, max_delay=0.05)
"""


def test_plain_lines_are_asked_for_on_the_command_line_and_reach_the_log_past_capture(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_it=LONG)
    result = pytester.runpytest_subprocess("--stress", "--stress-live=plain", "--stress-report=none")
    result.assert_outcomes(passed=1)
    (line,) = [line for line in result.outlines if line.startswith("stress: test_it.py::test_it: ")]
    assert line.startswith("stress: test_it.py::test_it: 3 s, ")
