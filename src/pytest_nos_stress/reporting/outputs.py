"""Writing what a run leaves behind: its files, and what is sent elsewhere.

Guarantee: each file is written whole or not at all, and one that cannot be written is a problem of the run, which
then does not pass; the statistics come last, so that they say so.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pytest_nos_stress._internal.atomic_write import write_atomic
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.reporting.files import paths
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.status import INTERRUPTED
from pytest_nos_stress.run.execution import RunExecution

from .failure_message import describe
from .files import snapshot
from .summary import RunInfo, summarise

_MOST_DRAWN_AFTER_CTRL_C: Final = 500_000


class Outputs(NamedTuple):
    """What a run is to leave behind: which reports and records, in which directory, about which run.

    ``exports`` is whether it is also sent by OpenTelemetry.
    """

    directory: Path
    about: RunInfo
    reports: Sequence[str] = ()
    records: Sequence[str] = ()
    exports: bool = False

    @property
    def paths(self) -> list[Path]:
        """The files, those of the seed document first."""
        names = [
            *paths.NAMES,
            *map(paths.report_name, self.reports),
            *map(paths.records_name, self.records),
        ]
        return [self.directory / name for name in names]


def write(
    performance: RunExecution,
    result: StressResult,
    outputs: Outputs,
    problems: list[str],
    keep: Callable[[], list[str]],
) -> None:
    """Write the files of a result; what goes wrong is added to the problems, and noted in the result.

    ``keep`` keeps the run as a baseline, if it is to be kept, and returns what is to be known of that.
    """
    notes: list[str] = []
    if performance.log.failure is not None:
        problems.append(_not_written(outputs.directory / paths.LOG_NAME, performance.log.failure))
    _fail_over(problems, result)
    try:
        notes += keep()
    except SettingError as error:
        problems.append(str(error))
    _note(result, outputs, problems, notes)
    for name, write_to in _files(performance, result, outputs):
        problem = _try(outputs.directory / name, write_to)
        if problem:
            problems.append(problem)
            _note(result, outputs, problems, notes)
    if outputs.exports:
        from . import otel

        result.summary["notes"] += filter(None, [otel.export(result, result.summary)])


def _files(
    performance: RunExecution, result: StressResult, outputs: Outputs
) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each file's name, and what writes it: each shows the result as it is when its turn comes."""
    yield (
        paths.SCENARIO_NAME,
        lambda path: write_atomic(path, [performance.scenario.to_json().encode()]),
    )
    rows = snapshot.render(performance.records, performance.clock.wall_offset_ns)
    yield paths.SNAPSHOT_NAME, lambda path: write_atomic(path, rows)
    for kind in outputs.records:
        yield paths.records_name(kind), lambda path, kind=kind: _write_records(path, result, kind)  # type: ignore[misc]
    for kind in outputs.reports if _is_to_be_drawn(result) else ():
        yield paths.report_name(kind), functools.partial(_write_report, result, kind)
    yield paths.STATISTICS_NAME, lambda path: _write_statistics(path, result)


def _is_to_be_drawn(result: StressResult) -> bool:
    """After Ctrl-C nobody waits for the picture of a long run."""
    return result.status != INTERRUPTED or result.operations <= _MOST_DRAWN_AFTER_CTRL_C


def _write_records(path: Path, result: StressResult, kind: str) -> None:
    from .files import records as table

    table.write(path, result.records, kind)


def _write_report(result: StressResult, kind: str, path: Path) -> None:
    write_atomic(path, _report(kind, result))


def _report(kind: str, result: StressResult) -> Iterable[bytes]:
    if kind == "html":
        from .html import page

        return page.render(result, result.summary)
    from .html import images

    if kind == "svg":
        return [images.svg(result, result.summary).encode()]
    return [images.png(result, result.summary)]


def _write_statistics(path: Path, result: StressResult) -> None:
    text = json.dumps(result.stats, indent=2, ensure_ascii=True, allow_nan=False)
    write_atomic(path, [text.encode(), b"\n"])


def _try(path: Path, write_to: Callable[[Path], None]) -> str:
    """Write a file; returns what went wrong. A report that cannot be made takes no other file with it."""
    try:
        write_to(path)
    except OSError as error:
        return _not_written(path, error)
    except SettingError as error:
        return str(error)
    except Exception as error:
        return f"{path.name} could not be made ({describe(error)})"
    return ""


def _note(result: StressResult, outputs: Outputs, problems: Sequence[str], notes: Sequence[str]) -> None:
    """Let statistics and summary say what went wrong so far, and what else is to be known."""
    _fail_over(problems, result)
    result.summary = summarise(result, outputs.about)
    result.summary["notes"] += notes


def _fail_over(problems: Sequence[str], result: StressResult) -> None:
    """A run that has a problem does not pass, and the first one is why."""
    if problems:
        result.stats["verdict"] = "failed"
        result.stats["reason"] = problems[0].splitlines()[0]


def _not_written(path: Path, error: OSError) -> str:
    return f"output_dir={str(path.parent)!r}: {path.name} could not be written ({error.strerror or error})"
