"""``stress_test_results.log``: a line for each operation, in the words of the seed document.

For speed, lines are rendered in batches. The time stamp is formatted once for each millisecond of a batch, the
rest of a line once for each agent, task and outcome of the run. The lines of a millisecond are then one join.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pytest_nos_stress._internal.atomic_write import create, write_all
from pytest_nos_stress._internal.instrument import localtime, strftime
from pytest_nos_stress._internal.system import is_same_file, system
from pytest_nos_stress._internal.text import escape_controls, shorten
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.results.records import Batch, Column, Records

_WORDS: Final = (
    "INFO - {agent} successfully completed {task}\n",
    "ERROR - {agent} failed to complete {task} task.\n",
    "WARNING - {agent} encountered missing data during {task} task.\n",
)
_LONGEST_ERROR: Final = 500


class OperationLog:
    """The log of one run. ``failure`` is the first ``OSError`` of a write; nothing is written after it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: OSError | None = None
        self._endings: Column
        self._tasks = 0
        self._width = 1
        self._wall_offset_ns = 0
        self._second = -1
        self._second_text = ""
        try:
            self._file = create(path, system.O_APPEND)
        except OSError as error:
            raise SettingError(
                f"output_dir={str(path.parent)!r}: the log cannot be written ({error.strerror}); "
                "must be a writable directory"
            ) from None

    def attach(self, records: Records, wall_offset_ns: int) -> None:
        """Set the agents and tasks of the run, and the nanoseconds to add to its clock for the wall clock."""
        self._wall_offset_ns = wall_offset_ns
        self._tasks = len(records.tasks)
        self._width = records.kinds.count
        endings = [
            words.format(agent=agent, task=task).encode()
            for agent in map(escape_controls, records.agents)
            for task in map(escape_controls, records.tasks)
            for words in _WORDS
        ]
        self._endings = np.array(endings, object)

    def write(self, batch: Batch) -> None:
        """Append the batch's lines to the file. Stores an ``OSError`` in ``failure``."""
        if self.failure is not None:
            return
        try:
            write_all(self._file, self._render(batch))
        except OSError as error:
            self.failure = error

    def write_entries(self, entries: Sequence[tuple[int, str]]) -> None:
        """Append errors that belong to no operation: their times on the engine's clock, and their texts."""
        if self.failure is not None:
            return
        try:
            write_all(self._file, b"".join(self._entry(at, text) for at, text in entries))
        except OSError as error:
            self.failure = error

    def close(self) -> None:
        """Close the file. Also sets ``failure`` if the file was removed or replaced during the run."""
        try:
            if not is_same_file(system.fstat(self._file), system.lstat(self.path)):
                raise FileNotFoundError(2, "replaced during the run")
        except OSError as error:
            self.failure = self.failure or error
        system.close(self._file)

    def _render(self, batch: Batch) -> bytes:
        milliseconds = (batch.end + self._wall_offset_ns) // 1_000_000
        task = batch.code // np.uint16(self._width)
        ending = (batch.agent.astype(np.int64) * self._tasks + task) * len(_WORDS) + batch.outcome
        endings: list[bytes] = self._endings[ending].tolist()
        for row, text in batch.errors.items():
            line = shorten(escape_controls(text), _LONGEST_ERROR)
            endings[row] = endings[row][:-1] + f": {line}\n".encode()
        firsts = np.flatnonzero(np.diff(milliseconds, prepend=-1)).tolist()
        parts = []
        for first, after in zip(firsts, [*firsts[1:], len(endings)], strict=True):
            stamp = self._stamp(int(milliseconds[first]))
            parts += [stamp, stamp.join(endings[first:after])]
        return b"".join(parts)

    def _entry(self, at: int, text: str) -> bytes:
        stamp = self._stamp((at + self._wall_offset_ns) // 1_000_000)
        return stamp + f"ERROR - {shorten(escape_controls(text), _LONGEST_ERROR)}\n".encode()

    def _stamp(self, milliseconds: int) -> bytes:
        second, fraction = divmod(milliseconds, 1000)
        if second != self._second:
            self._second = second
            self._second_text = strftime("%Y-%m-%d %H:%M:%S", localtime(second))
        return f"{self._second_text},{fraction:03d} - ".encode()
