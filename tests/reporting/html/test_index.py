from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_nos_stress.reporting.html import index
from pytest_nos_stress.reporting.summary import OWN_ASSERTION, formatted, with_failure_outside
from pytest_nos_stress.results.summary_types import Summary

MakeSummary = Callable[..., Summary]


@pytest.fixture
def summary(burst: tuple[Any, Summary]) -> Summary:
    return burst[1]


def test_failed_runs_come_first(summary: Summary) -> None:
    passed: Summary = {**summary, "test": "test_good", "passed": True, "verdict": "passed", "failure": ""}
    written = index.render([passed, {**summary, "test": "test_bad"}]).decode()
    assert "1 of 2 runs failed" in written
    assert written.index("test_bad") < written.index("test_good")


def test_the_outcome_of_the_test_decides_and_not_only_the_run(summary: Summary) -> None:
    accepted: Summary = {**summary, "test": "test_accepted", "outcome": "passed", "raised": False}
    passed: Summary = {**summary, "test": "test_failed", "passed": True, "verdict": "passed", "outcome": "failed"}
    failed = with_failure_outside(passed, OWN_ASSERTION)
    caught: Summary = {**accepted, "test": "test_caught", "raised": True}
    written = index.render([accepted, caught, failed]).decode()
    assert "failed (exception caught by the test)" in written
    assert "1 of 3 runs failed" in written
    assert written.index("failed (the test&#x27;s own assertion)") < written.index("failed (gate=False)")
    assert written.index("✕</span> failed (the") < written.index("✓</span> failed (gate")


def test_every_figure_is_the_one_of_the_summary(summary: Summary) -> None:
    written = index.render([summary]).decode()
    figures = formatted(summary)
    for name in ("operations", "failures", "errors", "latency p50", "latency p99"):
        assert figures[name] in written
    assert "latency.p99 &lt; 20ms over 10s failed" in written
    assert written.count("<polyline") == 3


@pytest.mark.parametrize(
    ("report", "directory", "address"),
    [
        ("out/a/stress_test_report.html", "", "./out/a/stress_test_report.html"),
        ("out/a/stress_test_report.html", "out", "./a/stress_test_report.html"),
        ("out/a/stress_test_report.html", "reports/now", "./../../out/a/stress_test_report.html"),
        ("out/a b#?/r.html", "out", "./a%20b%23%3F/r.html"),
        ("javascript:alert(1)/r.html", "", "./javascript%3Aalert%281%29/r.html"),
    ],
)
def test_links_lead_from_the_index_to_the_report(
    summary: Summary, report: str, directory: str, address: str
) -> None:
    written = index.render([{**summary, "files": {"report": report}}], directory).decode()
    assert f'href="{address}"' in written


def test_a_run_without_a_report_has_no_link(summary: Summary) -> None:
    assert "<a " not in index.render([{**summary, "files": {}}]).decode()


def test_hostile_names_are_text(hostile: tuple[Any, Summary, str]) -> None:
    written = index.render([hostile[1]]).decode()
    assert "<img" not in written
    assert "<script" not in written
    assert 'href="./javascript%3A' in written


def test_a_session_without_runs_is_not_shown_as_passed() -> None:
    written = index.render([]).decode()
    assert "No runs" in written
    assert "✓" not in written
