"""Table of the files that a run can write, a row for each.

``OUTPUTS`` is the only source of allowed values of settings, help texts, file names, keys of the summary and media
types. A new output needs a row here and the module that renders it.

Every pytest session with the plugin imports this module, so it imports nothing heavy. A row names its renderer by
text, and the renderer is imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_nos_stress.results.result import StressResult

    Renderer = Callable[[StressResult], Iterable[bytes]]
    """Function that renders a result as the parts of one file."""

ALWAYS: Final = "always"
"""Group of the files that every run writes."""
_RENDERERS: Final = __name__.rpartition(".")[0]


class Output:
    """One file that a run can write.

    ``group`` is the setting that selects the output by ``name`` (``report`` or ``records``), or ``ALWAYS``.
    ``key`` is its name in ``summary["files"]``. ``renderer`` is ``module:function``; the module is relative to
    this package, or a full name. The log has no renderer, because it is written during the run. ``modules`` are
    further modules that the output needs, all of them in the extra ``extra``. ``skipped_after_interrupt``: True
    if a long run that Ctrl-C ended does not write it, because nobody waits for it.
    """

    __slots__ = (
        "extra",
        "filename",
        "group",
        "key",
        "media_type",
        "modules",
        "name",
        "renderer",
        "skipped_after_interrupt",
    )

    def __init__(
        self,
        name: str,
        group: str,
        filename: str,
        media_type: str,
        key: str,
        renderer: str = "",
        *,
        modules: tuple[str, ...] = (),
        extra: str = "",
        skipped_after_interrupt: bool = False,
    ) -> None:
        self.name = name
        self.group = group
        self.filename = filename
        self.media_type = media_type
        self.key = key
        self.renderer = renderer
        self.modules = modules
        self.extra = extra
        self.skipped_after_interrupt = skipped_after_interrupt

    def render(self, result: StressResult) -> Iterable[bytes]:
        """Render the file's content in parts. Imports the renderer."""
        module, _, function = self.renderer.partition(":")
        home = import_module(f"{_RENDERERS}{module}" if module.startswith(".") else module)
        render: Renderer = getattr(home, function)
        return render(result)


LOG: Final = Output("log", ALWAYS, "stress_test_results.log", "text/plain", "log")
SNAPSHOT: Final = Output(
    "snapshot", ALWAYS, "agent_memory_snapshot.json", "application/json", "snapshot", ".files.snapshot:render"
)
STATISTICS: Final = Output(
    "statistics",
    ALWAYS,
    "simulation_statistics.json",
    "application/json",
    "statistics",
    ".files.documents:statistics",
)
SCENARIO: Final = Output(
    "scenario", ALWAYS, "scenario.json", "application/json", "scenario", ".files.documents:scenario"
)

OUTPUTS: tuple[Output, ...] = (
    LOG,
    SNAPSHOT,
    STATISTICS,
    SCENARIO,
    Output(
        "html",
        "report",
        "stress_test_report.html",
        "text/html",
        "report",
        ".html.page:render_result",
        skipped_after_interrupt=True,
    ),
    Output(
        "svg",
        "report",
        "stress_test_report.svg",
        "image/svg+xml",
        "report_svg",
        ".html.images:render_svg",
        modules=("py_mini_racer",),
        extra="pictures",
        skipped_after_interrupt=True,
    ),
    Output(
        "png",
        "report",
        "stress_test_report.png",
        "image/png",
        "report_png",
        ".html.images:render_png",
        modules=("py_mini_racer", "resvg_py"),
        extra="pictures",
        skipped_after_interrupt=True,
    ),
    Output("csv", "records", "stress_test_records.csv", "text/csv", "records_csv", ".files.records:render_csv"),
    Output(
        "jsonl",
        "records",
        "stress_test_records.jsonl",
        "application/jsonl",
        "records_jsonl",
        ".files.records:render_json_lines",
    ),
    Output(
        "parquet",
        "records",
        "stress_test_records.parquet",
        "application/vnd.apache.parquet",
        "records_parquet",
        ".files.parquet:render",
        modules=("pyarrow",),
        extra="parquet",
    ),
)


def in_group(group: str) -> tuple[Output, ...]:
    """Return the outputs of a group, in the order in which files are listed."""
    return tuple(output for output in OUTPUTS if output.group == group)


def selected(group: str, names: Iterable[str]) -> tuple[Output, ...]:
    """Return the outputs of a group that have one of the names."""
    wanted = set(names)
    return tuple(output for output in in_group(group) if output.name in wanted)


def of_file(filename: str) -> Output:
    """Return the output that has a file name. Raises ``KeyError`` for an unknown name."""
    for output in OUTPUTS:
        if output.filename == filename:
            return output
    raise KeyError(filename)


def choices(group: str) -> str:
    """Name the outputs of a group for a help text: ``csv, jsonl or parquet (extra [parquet])``."""
    *others, last = [
        f"{output.name} (extra [{output.extra}])" if output.extra else output.name for output in in_group(group)
    ]
    return f"{', '.join(others)} or {last}" if others else last
