"""The names of the files that a run writes, and the directory they go to."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pytest_nos_stress._internal.atomic_write import unfinished_name
from pytest_nos_stress.config.validators import RECORD_FORMATS_THERE_ARE, REPORTS_THERE_ARE
from pytest_nos_stress.errors import SettingError

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


def prepare(directory: Path) -> None:
    """Make the directory and remove the files of an earlier run from it, nothing else.

    Raises ``SettingError`` where that cannot be done.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in (*_ALL_NAMES, *map(unfinished_name, _ALL_NAMES)):
            (directory / name).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingError(
            f"output_dir={str(directory)!r}: cannot be written ({reason}); must be a directory to write in"
        ) from None
