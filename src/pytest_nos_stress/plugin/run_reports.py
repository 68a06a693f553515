"""Put the runs of a test on its reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_nos_stress.reporting import terminal
from pytest_nos_stress.reporting.summary import (
    IN_SETUP,
    IN_TEARDOWN,
    OWN_ASSERTION,
    UNEXPECTED_PASS,
    properties,
    with_outcome,
)
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.summary_types import Summary


def add_run(item: pytest.Item, result: StressResult, summary: Summary, number: int, directory: Path) -> str:
    """Add a run to the test's properties and report sections. ``directory``: that of the summary's paths.

    This happens while the test is in progress, because JUnit XML does not show what is added later. Returns the
    problem on one line if Allure cannot have the files, otherwise an empty text.
    """
    prefix = "stress" if number == 1 else f"stress_run_{number}"
    paths = {name: str(directory / path) for name, path in summary["files"].items()}
    for name, value in (properties(summary) | paths).items():
        item.user_properties.append((f"{prefix}_{name}", value))
    item.add_report_section("call", "stress", "\n".join(terminal.details(summary)))
    if not item.config.pluginmanager.hasplugin("allure_listener"):
        return ""
    from .integrations import attach_to_allure

    return attach_to_allure(result)


def failed_by(report: pytest.TestReport) -> str:
    """Return what the report of a failed test says failed, if it was none of the runs."""
    if report.when != "call":
        return IN_SETUP if report.when == "setup" else IN_TEARDOWN
    return UNEXPECTED_PASS if str(report.longrepr).startswith("[XPASS(strict)]") else OWN_ASSERTION


def outcomes(
    summaries: Sequence[Summary], results: Sequence[StressResult], test_outcome: str, has_failed: bool
) -> list[Summary]:
    """Return the summary of each run with the outcome of the test.

    A failed test is ``failed`` for the runs that did not pass, or for its last run if all runs passed.
    """
    return [
        with_outcome(summary, outcome, raised=result.raised)
        for summary, result, outcome in zip(
            summaries, results, _outcomes(results, test_outcome, has_failed), strict=True
        )
    ]


def _outcomes(results: Sequence[StressResult], test_outcome: str, has_failed: bool) -> list[str]:
    if not has_failed:
        return [test_outcome] * len(results)
    if all(result.passed for result in results):
        return ["passed"] * (len(results) - 1) + ["failed"] * bool(results)
    return ["passed" if result.passed else "failed" for result in results]
