"""The trace of a run: what two runs of one scenario have in common in virtual time, to the nanosecond."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final, NamedTuple

from pytest_nos_stress._internal.outcome import OUTCOME_NAMES
from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.reporting.files.paths import LOG_NAME
from pytest_nos_stress.results.records import Column
from pytest_nos_stress.results.result import StressResult

CAUSES: Final = (
    "Usual causes: the wall clock (time.time() and the like), id(), the order of a set, a random generator that "
    "is not operation.random, a thread of the target's own, state that outlives the test."
)


class RunFingerprint(NamedTuple):
    """A run's records, and its log, which has the texts of errors."""

    records: Column
    log: tuple[str, ...]
    agents: tuple[str, ...]
    tasks: tuple[str, ...]
    status: str

    @classmethod
    def of(cls, result: StressResult) -> RunFingerprint:
        log = (result.output_dir / LOG_NAME).read_text(encoding="utf-8", errors="replace")
        scenario = result.scenario
        return cls(
            result.records, tuple(log.splitlines()), scenario.agent_names, scenario.task_names, result.status
        )

    @property
    def hash(self) -> str:
        digest = blake2b(self.records.tobytes(), digest_size=16)
        digest.update("\n".join((self.status, *self.log)).encode())
        return digest.hexdigest()

    def row(self, number: int) -> tuple[object, ...]:
        return (*self.records[number].tolist(), self.log[number] if number < len(self.log) else "")

    def place_of(self, other: RunFingerprint, number: int) -> int:
        """Where the operation that is another trace's row of that number stands here; that number if nowhere."""
        if number >= other.records.size:
            return number
        wanted = other.records[number]
        same = (self.records["agent"] == wanted["agent"]) & (self.records["index"] == wanted["index"])
        return int(same.argmax()) if same.any() else number

    def describe(self, number: int) -> str:
        """An operation in words."""
        if number >= self.records.size:
            return f"no more operations ({self.status} after {self.records.size})"
        row = self.records[number]
        end = datetime.fromtimestamp(int(row["end"]) / 1e9, UTC).strftime("%H:%M:%S.%f")
        text = self.log[number].partition(" task.: ")[2] if number < len(self.log) else ""
        outcome = f"{OUTCOME_NAMES[row['outcome']].replace('_', ' ')}{': ' + text if text else ''}"
        who = f"{self.agents[row['agent']]} operation {row['index']} ({self.tasks[row['task']]})"
        return escape_controls(f"{who} {outcome}, ended {end}, took {row['latency'] / 1e9:g} s")


def first_difference(first: Sequence[RunFingerprint], second: Sequence[RunFingerprint]) -> str:
    """Where two performances of a test differ, and how; the empty text where they do not."""
    if len(first) != len(second):
        return f"not deterministic: {len(first)} runs the first time, {len(second)} the second\n{CAUSES}"
    for number, (one, other) in enumerate(zip(first, second, strict=True), 1):
        if one.hash == other.hash:
            continue
        row = _first_different_row(one, other)
        of_run = f" of run {number}" if len(first) > 1 else ""
        return "\n".join(
            (
                f"not deterministic: operation {row + 1}{of_run}, by the order of ends, is the first that differs",
                f"  first time:  {one.describe(row)}",
                f"  second time: {other.describe(other.place_of(one, row))}",
                CAUSES,
            )
        )
    return ""


def _first_different_row(one: RunFingerprint, other: RunFingerprint) -> int:
    both = min(one.records.size, other.records.size)
    return next((row for row in range(both) if one.row(row) != other.row(row)), both)
