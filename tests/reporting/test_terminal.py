"""Runs in the terminal: the live line, and the summary's table."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from pytest_nos_stress.reporting.progress import ProgressLine, live_text
from pytest_nos_stress.reporting.terminal import summary
from pytest_nos_stress.results.status import Progress
from pytest_nos_stress.results.summary_types import Summary

LIVE = re.compile(r"\d+ ops, \d+/s")
TOKEN = re.compile(r"\x1b7|\x1b8|\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|.", re.S)
PROJECT = """
import pytest

def test_before():
    pass

@pytest.mark.stress(agents=2, duration=1.4, min_delay=0.02, max_delay=0.03, missing_data_prob=0, failure_prob=0)
def test_body():
    print("a word of the test")

def test_after():
    pass
"""


class Screen:
    """The part of a terminal that pytest and the live line use."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines: list[list[str]] = [[]]
        self.column = 0
        self.saved = (0, 0)

    def feed(self, text: str) -> None:
        for token in TOKEN.findall(text):
            self._obey(token)

    def shown(self) -> list[str]:
        return ["".join(line).rstrip() for line in self.lines]

    def _obey(self, token: str) -> None:
        line = self.lines[-1]
        if token == "\n":
            self.lines.append([])
            self.column = 0
        elif token == "\r":
            self.column = 0
        elif token == "\x1b7":
            self.saved = (len(self.lines), self.column)
        elif token == "\x1b8":
            assert self.saved[0] == len(self.lines), "the live line went over the end of its line"
            self.column = self.saved[1]
        elif token == "\x1b[K":
            del line[self.column :]
        elif not token.startswith("\x1b"):
            if self.column == self.columns:
                self._obey("\n")
                line = self.lines[-1]
            line.extend(" " * (self.column + 1 - len(line)))
            line[self.column] = token
            self.column += 1


class Ended(NamedTuple):
    """Output of a pytest session in a terminal or a pipe."""

    written: str
    shown: list[str]


SESSIONS: dict[str, tuple[list[str], dict[str, str], bool]] = {
    "terminal": ([], {}, True),
    "verbose": (["-v"], {}, True),
    "narrow": ([], {"COLUMNS": "24"}, True),
    "pipe": ([], {}, False),
    "quiet": (["-q"], {}, True),
    "no capture": (["-s"], {}, True),
    "xdist": (["-n", "1"], {}, True),
    "CI": ([], {"CI": "true"}, True),
    "dumb": ([], {"TERM": "dumb"}, True),
}


def start(directory: Path, name: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a pytest session in a terminal of 100 columns, or in a pipe. Return the process and its output."""
    options, extra, in_terminal = SESSIONS[name]
    (directory / "test_it.py").write_text(PROJECT)
    ours_only = ("PYTEST", "COLUMNS", "CI", "BUILD")
    outer = {key: value for key, value in os.environ.items() if not key.startswith(ours_only)}
    if in_terminal:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    else:
        ours, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--stress", "-p", "no:cacheprovider", "--stress-seed=1", *options],
        cwd=directory,
        env={**outer, "TERM": "xterm", **extra},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    return process, ours


def read_all(file: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(file, 65536)
        except OSError:  # a terminal that its last user closed
            break
        if not part:
            break
        parts.append(part)
    os.close(file)
    return b"".join(parts).decode()


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """All sessions, run in parallel, because each waits most of the time."""
    started = {name: start(tmp_path_factory.mktemp("session"), name) for name in SESSIONS}
    ended = {}
    try:
        for name, (process, file) in started.items():
            written = read_all(file)
            assert process.wait(60) == 0, written
            screen = Screen(100)
            screen.feed(written)
            ended[name] = Ended(written, screen.shown())
        yield ended
    finally:
        for process, _ in started.values():
            process.kill()
            process.wait()


@pytest.mark.xdist_group("terminal")
@pytest.mark.parametrize("name", ["terminal", "verbose"])
def test_the_live_line_shows_operations_rate_failures_and_time_left(sessions: dict[str, Ended], name: str) -> None:
    lines = [line for line in re.split(r"\x1b7", sessions[name].written) if LIVE.search(line)]
    assert lines
    assert re.match(r" \d+ ops, \d+/s, 0 failed, [01] s left", lines[0])


@pytest.mark.xdist_group("terminal")
@pytest.mark.parametrize("name", ["terminal", "verbose", "narrow"])
def test_the_live_line_leaves_nothing_behind(sessions: dict[str, Ended], name: str) -> None:
    shown = sessions[name].shown
    assert [line for line in shown if LIVE.search(line)] == []
    text = "\n".join(shown)
    assert "\x1b" not in text
    assert re.search(r"^=* ?3 passed in ", text, re.M)
    if name == "terminal":
        assert any(re.match(r"test_it\.py \.\.\. +\[100%\]$", line) for line in shown)
    if name == "verbose":
        for test in ("test_before", "test_body", "test_after"):
            assert any(re.match(rf"test_it\.py::{test} PASSED +\[ *\d+%\]$", line) for line in shown), shown


@pytest.mark.xdist_group("terminal")
@pytest.mark.parametrize("name", ["pipe", "quiet", "no capture", "xdist", "CI", "dumb"])
def test_sessions_without_a_suitable_terminal_have_no_live_line(sessions: dict[str, Ended], name: str) -> None:
    assert not LIVE.search(sessions[name].written)
    assert "\x1b7" not in sessions[name].written
    assert "3 passed" in sessions[name].written


@pytest.mark.xdist_group("terminal")
@pytest.mark.parametrize("name", list(SESSIONS))
def test_the_summary_is_shown_everywhere(sessions: dict[str, Ended], name: str) -> None:
    shown = "\n".join(sessions[name].shown)
    assert re.search(r"^=+ stress tests =+$", shown, re.M)
    assert re.search(r"^(?=.*test_it\.py::test_body)(?=.*\bpassed\b).*\d+/0/0", shown, re.M)


class Terminal:
    """A pipe as a terminal."""

    def __init__(self) -> None:
        self._end, self.file = os.pipe()
        self._text = ""

    @property
    def text(self) -> str:
        """All text written so far."""
        os.set_blocking(self._end, False)
        with contextlib.suppress(BlockingIOError):
            self._text += os.read(self._end, 1 << 16).decode()
        return self._text

    def close(self) -> None:
        os.close(self._end)
        os.close(self.file)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    pipe = Terminal()
    yield pipe
    pipe.close()


HALF_WAY = Progress(operations=500, failures=3, missing_data=1, elapsed=10.0, done=0.5)


def test_the_live_text_has_operations_rate_failures_and_time_left() -> None:
    assert live_text(HALF_WAY) == "500 ops, 50/s, 3 failed, 10 s left"


def test_the_live_text_at_the_start_has_no_time_left() -> None:
    assert live_text(Progress(0, 0, 0, 0.0, 0.0)) == "0 ops, 0/s, 0 failed"


def live_line(terminal: Terminal, room: int = 80) -> ProgressLine:
    return ProgressLine(terminal.file, lambda: room)


def test_a_short_run_shows_no_live_line(live_clock: list[float], terminal: Terminal) -> None:
    live = live_line(terminal)
    live_clock[0] += 0.3
    live(HALF_WAY)
    live.clear()
    assert terminal.text == ""


def test_the_live_line_is_renewed_at_most_twice_a_second(live_clock: list[float], terminal: Terminal) -> None:
    live = live_line(terminal)
    for _ in range(40):
        live_clock[0] += 0.1
        live(HALF_WAY)
    assert 6 <= terminal.text.count("500 ops") <= 8


def test_the_live_line_keeps_within_the_room_there_is(live_clock: list[float], terminal: Terminal) -> None:
    for room in range(120):
        before = len(terminal.text)
        live = live_line(terminal, room)
        live_clock[0] += 1
        live(HALF_WAY)
        visible = re.sub(r"\x1b(7|8|\[K)", "", terminal.text[before:])
        assert len(visible) <= room + 1
        assert bool(visible) == (room >= 20)


def test_clearing_wipes_the_live_line(live_clock: list[float], terminal: Terminal) -> None:
    screen = Screen(80)
    live = live_line(terminal)
    live_clock[0] += 1
    live(HALF_WAY)
    screen.feed("test_it.py ." + terminal.text)
    assert screen.shown() == ["test_it.py . 500 ops, 50/s, 3 failed, 10 s left"]
    before = len(terminal.text)
    live.clear()
    screen.feed(terminal.text[before:] + ".")
    assert screen.shown() == ["test_it.py .."]


def row(**changed: Any) -> Summary:
    durations = {"p50": 0.001, "p95": 0.01, "p99": 0.02, "max": 0.3, "mean": 0.002}
    values = {
        "verdict": "passed",
        "passed": True,
        "outcome": "passed",
        "failure": "",
        "operations": 100,
        "successes": 72,
        "failures": 8,
        "missing_data": 20,
        "calls": 80,
        "errors": 0,
        "success_rate": 0.72,
        "failure_rate": 0.08,
        "error_rate": 0.0,
        "missing_data_rate": 0.2,
        "fairness": 1.0,
        "throughput": 50.0,
        "duration": 2.0,
        "latency": durations,
        "response_time": durations,
        "memory": None,
        "seed": 7,
        "test": "test_a.py::test_b",
        "note": "",
        "notes": [],
        "harness": "",
        "finding": "",
        "not_applicable": [],
        "history": {"seconds": [0.0, 1.0], "operations": [50, 50], "failures": [0, 0], "p99": [None, None]},
        "directory": "out/test_a.py--test_b",
        "files": {},
    }
    return cast("Summary", {**values, **changed})


def test_the_summary_has_a_heading_aligned_columns_and_the_files_below_each_run() -> None:
    heading, first, files, second, _ = summary([row(), row(operations=1_000_000, verdict="stopped")])
    columns = ["verdict", "operations", "success/failed/missing", "errors", "p50", "p99", "seed", "test"]
    assert heading.split() == columns
    for name in ("operations", "success/failed/missing", "seed"):
        at = heading.index(name)
        assert first[at] != " "
        assert first[at - 1] == second[at - 1] == " "
        assert second[at] != " "
    assert files.strip() == "files: out/test_a.py--test_b"


def test_the_summary_escapes_what_a_terminal_would_obey() -> None:
    lines = summary([row(test="test_a.py::test_b[\x1b[31m\nforged]", directory="\x1b]0;title\x07")])
    assert len(lines) == 3
    assert [line for line in lines if not line.isprintable()] == []


def test_the_summary_names_when_most_failures_began() -> None:
    history = row()["history"]
    at_once = row(failures=8, history={**history, "failures": [5, 3]})
    later = row(failures=8, history={**history, "failures": [3, 5]})
    lines = "\n".join(summary([at_once, later]))
    assert "most at the start\n" in lines
    assert "most at 1 s\n" in lines
