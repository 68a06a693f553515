"""Put the files of a run on the reports of other plugins, if they are installed: pytest-html and Allure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_nos_stress._internal.system import is_file
from pytest_nos_stress._internal.text import error_message, error_name, escape_controls
from pytest_nos_stress.reporting.outputs import of_file
from pytest_nos_stress.results.result import StressResult


def html_extras(results: Sequence[StressResult]) -> list[dict[str, Any]]:
    """Return links to the runs' files as pytest-html extras."""
    from pytest_html import extras

    return [
        extras.url(path.as_uri(), name=f"{path.parent.name}/{path.name}")
        for result in results
        for path in _existing(result)
    ]


def attach_to_allure(result: StressResult) -> str:
    """Attach the run's files to the current test in Allure's report.

    Returns the problem on one line, or an empty text. Allure copies the files, and cannot while a test has faked
    the file system.
    """
    import allure

    try:
        for path in _existing(result):
            media_type = of_file(path.name).media_type
            allure.attach.file(  # type: ignore[no-untyped-call]
                str(path), name=path.name, attachment_type=media_type, extension=path.suffix[1:]
            )
    except Exception as error:
        return escape_controls(f"Allure: files were not attached ({error_name(error)}: {error_message(error)})")
    return ""


def _existing(result: StressResult) -> list[Path]:
    return [path for path in result.files if is_file(path)]
