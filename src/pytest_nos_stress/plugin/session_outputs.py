"""Write a session's own files: the index of its runs, and the files that CI systems read.

They are written once, by the process that sees every report. Under xdist, that is the controller.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_nos_stress._internal.atomic_write import write_all, write_atomic
from pytest_nos_stress._internal.system import system
from pytest_nos_stress.reporting.ci import benchmark, github, openmetrics
from pytest_nos_stress.reporting.session_tests import without_run
from pytest_nos_stress.results.session_tests import SessionTests
from pytest_nos_stress.results.summary_types import Summary

INDEX_NAME: Final = "stress_test_index.html"
_MOST_LINKS: Final = 40
_OPEN_FILE: Final = r"(/dev|/proc/self)/fd/\d+"


def write(
    runs: Sequence[Summary],
    session: SessionTests,
    settings: Mapping[str, Any],
    directory: Path,
    output_dir: Path,
    *,
    has_reports: bool,
) -> list[str]:
    """Write the files of a session. Return a line for each file that could not be written.

    ``settings``: the session's settings. ``directory``: the directory to which the paths in ``settings`` and in
    ``runs`` are relative. ``has_reports``: False if the session's settings turn off reports, so also the index.
    """
    problems = []
    path = output_dir / INDEX_NAME
    if any("report" in run["files"] for run in runs) or (has_reports and without_run(runs, session)):
        from pytest_nos_stress.reporting.html import index

        relative = os.path.relpath(output_dir, directory)
        problems += _try("output_dir", path, lambda: index.render(runs, relative, session))
    else:
        remove_index(output_dir)
    if settings.get("openmetrics"):
        path = directory / settings["openmetrics"]
        problems += _try_named("--stress-openmetrics", path, lambda: _encoded(openmetrics.render(runs, session)))
    if settings.get("benchmark"):
        path = directory / settings["benchmark"]
        problems += _try_named("--stress-benchmark", path, lambda: _encoded(benchmark.render(runs, session)))
    step_summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if step_summary and (runs or session.tests):
        problems += filter(None, [github.append(step_summary, github.step_summary(runs, session))])
    return problems


def remove_index(output_dir: Path) -> None:
    """Remove the index of an earlier session, if there is one."""
    with contextlib.suppress(OSError):
        (output_dir / INDEX_NAME).unlink(missing_ok=True)


def workflow_commands(runs: Sequence[Summary], session: SessionTests, directory: Path) -> list[str]:
    """Return the workflow commands by which GitHub shows failures; empty outside of GitHub Actions.

    ``directory``: the directory to which the paths of test files are relative. GitHub needs paths relative to the
    repository's root.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true" and not os.environ.get("GITHUB_STEP_SUMMARY"):
        return []
    relative = os.path.relpath(directory, os.environ.get("GITHUB_WORKSPACE") or directory)
    return github.annotations(runs, relative, session)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _try(setting: str, path: Path, render: Callable[[], bytes]) -> list[str]:
    """Write a file of ours. A link in its place is replaced."""
    return _attempt(setting, path, lambda: write_atomic(path, [render()]))


def _try_named(setting: str, path: Path, render: Callable[[], bytes]) -> list[str]:
    """Write a file that the user has named: a link leads to the file, and a pipe or open file is written to."""

    def write() -> None:
        target = _link_target(path)
        if re.fullmatch(_OPEN_FILE, str(target)):
            # Through its own descriptor: standard output may be a file, and has a position in it.
            write_all(int(target.name), render())
        elif target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(render())
        else:
            write_atomic(target.resolve(), [render()])

    return _attempt(setting, path, write)


def _attempt(setting: str, path: Path, write: Callable[[], None]) -> list[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        reason = getattr(error, "strerror", None) or error
        return [f"{setting}={str(path)!r}: cannot be written ({reason}); must be a writable path"]
    return []


def _link_target(path: Path) -> Path:
    """Return the path behind links, or the name of an open file of this process, such as ``/proc/self/fd/1``."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink() or re.fullmatch(_OPEN_FILE, str(path)):
            break
        path = path.parent / system.readlink(path)
    return path
