"""Where a run's files go, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pytest_nos_stress.config.options import SettingError
from pytest_nos_stress.config.validators import RECORD_FORMATS_THERE_ARE, REPORTS_THERE_ARE

LOG_NAME: Final = "stress_test_results.log"
SNAPSHOT_NAME: Final = "agent_memory_snapshot.json"
STATISTICS_NAME: Final = "simulation_statistics.json"
SCENARIO_NAME: Final = "scenario.json"
NAMES: Final = (LOG_NAME, SNAPSHOT_NAME, STATISTICS_NAME, SCENARIO_NAME)
"""What every run writes."""


def report_name(kind: str) -> str:
    """The name of a run's report: ``html``, ``svg`` or ``png``."""
    return f"stress_test_report.{kind}"


def records_name(kind: str) -> str:
    """The name of a run's records: ``csv``, ``jsonl`` or ``parquet``."""
    return f"stress_test_records.{kind}"


_ALL_NAMES: Final = (
    *NAMES,
    *map(report_name, REPORTS_THERE_ARE),
    *map(records_name, RECORD_FORMATS_THERE_ARE),
)

# One call with more than a megabyte was measured to take ten times as long as several with less.
_PIECE: Final = 1 << 20


def prepare(directory: Path) -> None:
    """Make the directory and remove the files of an earlier run from it, nothing else.

    Raises ``SettingError`` where that cannot be done.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in (*_ALL_NAMES, *map(_unfinished, _ALL_NAMES)):
            (directory / name).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingError(
            f"output_dir={str(directory)!r}: cannot be written ({reason}); must be a directory to write in"
        ) from None


def _unfinished(name: str) -> str:
    return f".{name}.unfinished"


def write_all(file: int, data: bytes) -> None:
    """Write to a file descriptor. Raises ``OSError``."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left[:_PIECE]) :]


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file so that a reader finds all of it or none. Raises ``OSError``."""
    unfinished = path.with_name(_unfinished(path.name))
    try:
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            for part in parts:
                write_all(file, part)
        finally:
            os.close(file)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
