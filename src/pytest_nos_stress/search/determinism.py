"""Compare two runs of the same scenario. In virtual time, they must agree to the nanosecond."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final, NamedTuple

from pytest_nos_stress._internal.outcome import OUTCOME_NAMES
from pytest_nos_stress._internal.system import read
from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.reporting.outputs import LOG
from pytest_nos_stress.results.records import Column
from pytest_nos_stress.results.result import StressResult

CAUSES: Final = (
    "Usual causes: the wall clock (such as time.time()), id(), the order of a set, a random generator other than "
    "operation.random, a thread that the target starts, state that outlives the test."
)


class RunFingerprint(NamedTuple):
    """The parts of a run that a repetition must reproduce: its records, and its log with the texts of errors.

    ``log_lines``: a line for each record, in the same order.
    """

    records: Column
    log_lines: tuple[str, ...]
    agent_names: tuple[str, ...]
    task_names: tuple[str, ...]
    status: str

    @classmethod
    def of(cls, result: StressResult) -> RunFingerprint:
        """Return the fingerprint of a run. Reads the log that the run has written."""
        log = read(result.output_dir / LOG.filename).decode("utf-8", "replace")
        scenario = result.scenario
        return cls(
            result.records, tuple(log.splitlines()), scenario.agent_names, scenario.task_names, result.status
        )

    @property
    def hash(self) -> str:
        """The fingerprint as 32 hexadecimal digits."""
        digest = blake2b(self.records.tobytes(), digest_size=16)
        digest.update("\n".join((self.status, *self.log_lines)).encode())
        return digest.hexdigest()

    def operation(self, row: int) -> tuple[object, ...]:
        """Return the values of the operation in a row, for comparison with another run."""
        return (*self.records[row].tolist(), self._log_line(row))

    def row_of(self, other: RunFingerprint, row: int) -> int:
        """Return the row of the operation in ``row`` of another run; ``row`` if this run does not have it."""
        if row >= other.records.size:
            return row
        operation = other.records[row]
        same = (self.records["agent"] == operation["agent"]) & (self.records["index"] == operation["index"])
        return int(same.argmax()) if same.any() else row

    def describe(self, row: int) -> str:
        """Describe the operation of a row in one line."""
        if row >= self.records.size:
            return f"no more operations ({self.status} after {self.records.size})"
        operation = self.records[row]
        end = datetime.fromtimestamp(int(operation["end"]) / 1e9, UTC).strftime("%H:%M:%S.%f")
        text = self._log_line(row).partition(" task.: ")[2]
        outcome = f"{OUTCOME_NAMES[operation['outcome']].replace('_', ' ')}{': ' + text if text else ''}"
        agent, task = self.agent_names[operation["agent"]], self.task_names[operation["task"]]
        name = f"{agent} operation {operation['index']} ({task})"
        return escape_controls(f"{name} {outcome}, ended {end}, took {operation['latency'] / 1e9:g} s")

    def _log_line(self, row: int) -> str:
        return self.log_lines[row] if row < len(self.log_lines) else ""


def first_difference(first: Sequence[RunFingerprint], second: Sequence[RunFingerprint]) -> str:
    """Describe the first difference between the runs of a test and of its repetition; "" if all agree."""
    if len(first) != len(second):
        return f"not deterministic: {len(first)} runs the first time, {len(second)} the second time\n{CAUSES}"
    for number, (run, repetition) in enumerate(zip(first, second, strict=True), 1):
        if run.hash == repetition.hash:
            continue
        row = _first_different_row(run, repetition)
        in_run = f" of run {number}" if len(first) > 1 else ""
        return "\n".join(
            (
                f"not deterministic: operation {row + 1}{in_run} differs (the first difference, in order of end)",
                f"  first time:  {run.describe(row)}",
                f"  second time: {repetition.describe(repetition.row_of(run, row))}",
                CAUSES,
            )
        )
    return ""


def _first_different_row(run: RunFingerprint, repetition: RunFingerprint) -> int:
    rows = min(run.records.size, repetition.records.size)
    return next((row for row in range(rows) if run.operation(row) != repetition.operation(row)), rows)
