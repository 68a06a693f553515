"""Write the outputs of a run: its files, and the export to OpenTelemetry.

Guarantee: each file is written whole or not at all. A run with a file that cannot be written does not pass. The
statistics are written last, so that they name such a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pytest_nos_stress._internal.atomic_write import write_atomic
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.status import INTERRUPTED

from . import outputs
from .failure_message import describe
from .outputs import Output
from .summary import RunInfo

_MOST_DRAWN_AFTER_CTRL_C: Final = 500_000


class OutputRequest(NamedTuple):
    """Outputs that a run shall write: reports and records by name, in a directory.

    ``exports``: True if the run is also exported to OpenTelemetry.
    """

    directory: Path
    info: RunInfo
    reports: Sequence[str] = ()
    records: Sequence[str] = ()
    exports: bool = False

    @property
    def paths(self) -> list[Path]:
        """Paths of the files: those of the seed document first."""
        selected = (
            *outputs.in_group(outputs.ALWAYS),
            *outputs.selected("report", self.reports),
            *outputs.selected("records", self.records),
        )
        return [self.directory / output.filename for output in selected]

    def in_writing_order(self) -> Iterator[Output]:
        """Yield the outputs that are written after the run: records before reports, and the statistics last."""
        yield outputs.SCENARIO
        yield outputs.SNAPSHOT
        yield from outputs.selected("records", self.records)
        yield from outputs.selected("report", self.reports)
        yield outputs.STATISTICS


def write(result: StressResult, request: OutputRequest, problems: Sequence[str]) -> tuple[StressResult, list[str]]:
    """Write the files of a result, and export it. ``problems`` are those found so far.

    Return all problems, and the result with every file that could not be written in its statistics and summary.
    """
    problems = list(problems)
    for output in request.in_writing_order():
        if output.skipped_after_interrupt and _is_long_and_interrupted(result):
            continue
        problem = _try(request.directory / output.filename, output, result)
        if problem:
            problems.append(problem)
            result = result.failed_by(problems[0])
    if request.exports:
        from . import otel

        note = otel.export(result, result.summary)
        if note:
            result = result.with_note(note)
    return result, problems


def not_written(path: Path, error: OSError) -> str:
    """Name a file that could not be written, and the reason."""
    return f"output_dir={str(path.parent)!r}: {path.name} could not be written ({error.strerror or error})"


def _is_long_and_interrupted(result: StressResult) -> bool:
    """Return True after Ctrl-C in a long run: nobody waits for its pictures."""
    return result.status == INTERRUPTED and result.operations > _MOST_DRAWN_AFTER_CTRL_C


def _try(path: Path, output: Output, result: StressResult) -> str:
    """Write a file; return the problem, if any. A report that cannot be rendered does not affect other files."""
    try:
        write_atomic(path, output.render(result))
    except OSError as error:
        return not_written(path, error)
    except SettingError as error:
        return str(error)
    except Exception as error:
        return f"{path.name} could not be rendered ({describe(error)})"
    return ""
