"""Put the files of a run on the reports of other plugins, if they are installed: pytest-html and Allure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_nos_stress._internal.system import is_file
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


def attach_to_allure(result: StressResult) -> None:
    """Attach the run's files to the current test in Allure's report."""
    import allure

    for path in _existing(result):
        media_type = of_file(path.name).media_type
        allure.attach.file(  # type: ignore[no-untyped-call]
            str(path), name=path.name, attachment_type=media_type, extension=path.suffix[1:]
        )


def _existing(result: StressResult) -> list[Path]:
    return [path for path in result.files if is_file(path)]
