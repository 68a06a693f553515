"""Summaries of runs as the plugin makes them, and hostile names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from pytest_nos_stress.results.summary_types import Summary

HOSTILE = [
    "<script>alert(1)</script>",
    "</code></td></table><img src=x onerror=alert(1)>",
    "a | b \\| c",
    "`tick` ``` fence ```` longer",
    "```",
    "two\nlines\r\n\n# heading\n- item",
    "::error::injected",
    "##[error]injected",
    "100%0A%0D%25,x=1:2",
    "\x1b[31mred\x07\x00",
    "surrogate \ud800 end",
    "quote \" backslash \\ 'single'",
    "@everyone #1 [link](https://example.org) https://example.org :smile: a@b.example",
    "line\u2028separator \u202ereversed",
    '{curly="1"} # comment',
    "- * _em_ &amp; &#64;",
    " leading and trailing ",
]


def _summary(**changes: Any) -> Summary:
    durations = {"p50": 0.00125, "p95": 0.0025, "p99": 0.004, "max": 0.0075, "mean": 0.0015}
    summary = {
        "test": "tests/test_orders.py::test_orders",
        "run": 1,
        "file": "tests/test_orders.py",
        "line": 12,
        "verdict": "passed",
        "passed": True,
        "outcome": "passed",
        "notes": [],
        "status": "completed",
        "seed": 7,
        "engine": "threads",
        "agents": 4,
        "operations": 400,
        "successes": 300,
        "failures": 60,
        "missing_data": 40,
        "calls": 160,
        "errors": 0,
        "success_rate": 0.75,
        "failure_rate": 0.15,
        "error_rate": 0.0,
        "missing_data_rate": 0.1,
        "duration": 2.5,
        "throughput": 160.0,
        "fairness": 0.98,
        "latency": dict(durations),
        "response_time": dict(durations),
        "thresholds": [{"wanted": "errors == 0", "measured": "0", "verdict": "passed"}],
        "checks": [],
        "error_types": [],
        "harness": "",
        "memory": {"start": 1000, "end": 3000, "growth": 2000, "peak": 4000},
        "phases": [],
        "files": {},
        "directory": "stress_test_output/tests-test_orders.py--test_orders",
        "repeat": "pytest --stress --stress-seed=7 tests/test_orders.py::test_orders",
        "failure": "",
        "history": {},
        **changes,
    }
    return cast("Summary", summary)


def _failed(**changes: Any) -> Summary:
    error = {
        "type": "ValueError",
        "count": 3,
        "message": "no such order",
        "source": "operation",
        "agent": "Agent_1",
        "task": "buy",
    }
    failure = {
        "verdict": "failed",
        "passed": False,
        "outcome": "failed",
        "errors": 3,
        "thresholds": [
            {"wanted": "errors == 0", "measured": "3", "verdict": "failed"},
            {"wanted": "latency.p99 < 1s", "measured": "4 ms of 400 operations", "verdict": "passed"},
        ],
        "checks": [{"name": "books balance", "verdict": "failed", "finding": "off by 3"}],
        "error_types": [error],
        "failure": "threshold errors == 0 failed: 3",
    }
    return _summary(**failure | changes)


def _everywhere(text: str) -> Summary:
    """Return a failed run with ``text`` in every place for text from outside."""
    judged = {"wanted": text, "measured": text, "verdict": "failed"}
    return _failed(
        test=text,
        notes=[text],
        file=text,
        failure=text,
        harness=text,
        directory=text,
        repeat=text,
        thresholds=[judged],
        checks=[{"name": text, "verdict": "failed", "finding": text}],
        error_types=[{"type": text, "count": 1, "message": text, "source": text, "agent": text, "task": text}],
    )


@pytest.fixture
def summary() -> Callable[..., Summary]:
    """A passed run's summary, with changes."""
    return _summary


@pytest.fixture
def failed() -> Callable[..., Summary]:
    """A failed run's summary, with changes."""
    return _failed


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request: pytest.FixtureRequest) -> str:
    """A text that would be markup, a command, a path or a terminal escape if it were not escaped."""
    return str(request.param)


@pytest.fixture
def hostile_run(hostile: str) -> Summary:
    """A failed run with that text everywhere."""
    return _everywhere(hostile)


@pytest.fixture
def hostile_runs() -> list[Summary]:
    """A failed run for each such text."""
    return [_everywhere(text) for text in HOSTILE]
