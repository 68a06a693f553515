"""Write a session's own files: the index of its runs, and the files that CI systems read.

They are written once, by the process that sees every report. Under xdist, that is the controller.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_nos_stress._internal.atomic_write import write_atomic
from pytest_nos_stress.reporting.ci import benchmark, github, openmetrics
from pytest_nos_stress.results.summary_types import Summary

INDEX_NAME: Final = "stress_test_index.html"


def write(runs: Sequence[Summary], settings: Mapping[str, Any], directory: Path, output_dir: Path) -> list[str]:
    """Write the files of a session. Return a line for each file that could not be written.

    ``settings``: the session's settings. ``directory``: the directory to which the paths in ``settings`` and in
    ``runs`` are relative.
    """
    problems = []
    if any("report" in run["files"] for run in runs):
        from pytest_nos_stress.reporting.html import index

        relative = os.path.relpath(output_dir, directory)
        path = output_dir / INDEX_NAME
        problems += _try("output_dir", path, lambda: index.render(runs, relative))
    else:
        with contextlib.suppress(OSError):
            (output_dir / INDEX_NAME).unlink(missing_ok=True)
    if settings.get("openmetrics"):
        path = directory / settings["openmetrics"]
        problems += _try("--stress-openmetrics", path, lambda: _encoded(openmetrics.render(runs)))
    if settings.get("benchmark"):
        path = directory / settings["benchmark"]
        problems += _try("--stress-benchmark", path, lambda: _encoded(benchmark.render(runs)))
    step_summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if step_summary and runs:
        problems += filter(None, [github.append(step_summary, github.step_summary(runs))])
    return problems


def workflow_commands(runs: Sequence[Summary], directory: Path) -> list[str]:
    """Return the workflow commands by which GitHub shows failures; empty outside of GitHub Actions.

    ``directory``: the directory to which the paths of test files are relative. GitHub needs paths relative to the
    repository's root.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true" and not os.environ.get("GITHUB_STEP_SUMMARY"):
        return []
    return github.annotations(runs, os.path.relpath(directory, os.environ.get("GITHUB_WORKSPACE") or directory))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _try(setting: str, path: Path, render: Callable[[], bytes]) -> list[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(render())
        else:
            write_atomic(path.resolve(), [render()])
    except OSError as error:
        return [f"{setting}={str(path)!r}: cannot be written ({error.strerror or error}); must be a writable path"]
    return []
