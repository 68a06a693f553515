"""Runs made from arrays instead of performed: a million operations in a moment, with errors at chosen times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pytest_nos_stress import Scenario
from pytest_nos_stress._internal.outcome import ERROR, FAILED
from pytest_nos_stress.results import stats as statistics
from pytest_nos_stress.results.measurements import Measurements
from pytest_nos_stress.results.records import Batch, Column, Records
from pytest_nos_stress.results.summary_types import Summary
from pytest_nos_stress.results.threshold_parser import parse_threshold
from pytest_nos_stress.results.timeline import time_series
from pytest_nos_stress.scenario.operation import Task
from pytest_nos_stress.scenario.phases import Phase


@dataclass
class FakeRun:
    """The part of a result that a report reads."""

    scenario: Scenario
    stats: dict[str, Any]
    measured: Measurements
    verdicts: Sequence[Any] = ()
    checks: Sequence[Any] = ()
    phases: Sequence[Phase] = ()
    fault_spans: Sequence[tuple[float, float]] = ()
    vitals: Any = field(default_factory=lambda: fake_vitals([], [], [], []))

    @property
    def error_types(self) -> list[dict[str, Any]]:
        return list(self.stats["error_types"])


def fake_summary(run: FakeRun, **more: Any) -> Summary:
    """Return the summary of a passed run, with ``more`` in place of its values."""
    stats = run.stats
    counts = {"operations": "total", "successes": "successful", "failures": "failed"}
    summary = {
        "test": "tests/test_orders.py::test_orders",
        "run": 1,
        "verdict": "passed",
        "passed": True,
        "outcome": "",
        "failure": "",
        "seed": run.scenario.seed,
        "agents": len(run.scenario.agent_names),
        **{name: stats[f"{key}_operations"] for name, key in counts.items()},
        "missing_data": stats["missing_data_events"],
        "calls": stats["calls"],
        **{
            name: stats[name]
            for name in ("errors", "duration", "throughput", "fairness", "latency", "response_time")
        },
        **{f"{name}_rate": stats[f"{name}_rate"] for name in ("success", "failure", "error", "missing_data")},
        "memory": {"start": 0, "end": 0, "growth": 0, "peak": 0},
        "thresholds": [
            dict(zip(("wanted", "measured", "verdict"), one.row(), strict=True)) for one in run.verdicts
        ],
        "checks": [],
        "not_applicable": [],
        "harness": "",
        "phases": [],
        "notes": [],
        "history": time_series(run.measured),
        "files": {"log": "out/stress_test_results.log", "report": "out/stress_test_report.html"},
        "repeat": "pytest --stress --stress-seed=7",
        **more,
    }
    return cast("Summary", summary)


def fake_vitals(seconds: Any, memory: Any, lag: Any, cpu: Any) -> Any:
    columns = {"seconds": seconds, "memory": memory, "lag": lag, "cpu": cpu}
    return SimpleNamespace(**{name: np.asarray(column) for name, column in columns.items()})


def fake_verdict(text: str, verdict: str, measured: str = "", windows: Sequence[Any] = ()) -> Any:
    return SimpleNamespace(
        threshold=parse_threshold(text),
        verdict=verdict,
        windows=tuple(windows),
        row=lambda: (text, measured, verdict),
    )


def fake_run(
    agent: Column,
    task: Column,
    outcome: Column,
    seconds: Column,
    latency: Column,
    *,
    agents: Sequence[str],
    tasks: Sequence[str],
    duration: float | None = None,
    error_types: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> FakeRun:
    """Return a run of these operations; ``outcome`` has 3 for an error, ``latency`` is in seconds."""
    scenario = Scenario(agents=list(agents), tasks=list(tasks), seed=7)
    kinds = scenario.fault_mix
    records = Records(agents, [Task(name, print, True) for name in tasks], kinds)
    nanoseconds = np.round(np.asarray(latency) * 1e9).astype(np.uint64)
    records.append(
        Batch(
            agent=np.asarray(agent, np.uint16),
            code=(np.asarray(task) * kinds.count).astype(np.uint16),
            outcome=np.where(np.asarray(outcome) == ERROR, FAILED, outcome).astype(np.uint8),
            is_error=np.asarray(outcome) == ERROR,
            end=np.round(np.asarray(seconds) * 1e9).astype(np.int64),
            latency=nanoseconds,
            response_time=nanoseconds,
            errors={},
            called=np.ones(len(nanoseconds), np.bool_),
            is_cut_short=np.zeros(len(nanoseconds), np.bool_),
        )
    )
    ended = None if duration is None else round(duration * 1e9)
    measured = Measurements(records, 0, ended)
    stats = {
        **statistics.compute(measured, 0),
        "error_types": list(error_types),
        "aborted": None,
        "python": "3.13.0",
    }
    return FakeRun(scenario, stats, measured, **more)


def drawn_run(
    operations: int, agents: int, tasks: int, *, seconds: float = 60.0, seed: int = 1, **more: Any
) -> FakeRun:
    """Return a run without a trend: random outcomes, latencies of a few milliseconds."""
    draws = np.random.default_rng(seed)
    return fake_run(
        draws.integers(0, agents, operations),
        draws.integers(0, tasks, operations),
        draws.choice(4, operations, p=[0.85, 0.08, 0.06, 0.01]),
        np.sort(draws.uniform(0, seconds, operations)),
        draws.lognormal(-6, 0.6, operations),
        agents=[f"Agent_{number}" for number in range(1, agents + 1)],
        tasks=[f"task_{number}" for number in range(1, tasks + 1)],
        duration=seconds,
        **more,
    )


def burst_run(**more: Any) -> FakeRun:
    """Return a minute of 3000 operations whose last tenth has errors of one agent and task, and slow calls."""
    number = np.arange(3000)
    is_late = number >= 2700
    draws = np.random.default_rng(2)
    outcome = draws.choice(3, number.size, p=[0.9, 0.05, 0.05])
    outcome[is_late & (number % 5 == 1) & (number // 5 % 2 == 0)] = ERROR
    return fake_run(
        number % 5,
        number // 5 % 2,
        outcome,
        (number + 1) / 50,
        draws.lognormal(0, 0.2, number.size) * np.where(is_late, 60e-3, 4e-3),
        **{
            "agents": ["MM_1", "MM_2", "Arb_1", "Hedge_1", "Retail_1"],
            "tasks": ["buy", "sell"],
            "phases": [Phase("warmup", 0.0, 5.0), Phase("steady", 5.0, 60.0)],
            "fault_spans": [(20.0, 25.0), (40.0, 45.0)],
            "vitals": fake_vitals(
                np.arange(60.0), 100_000_000 + 1_000_000 * np.arange(60), np.full(60, 1e-3), np.full(60, 0.7)
            ),
            "verdicts": [
                fake_verdict(
                    "latency.p99 < 20ms over 10s",
                    "failed",
                    "90 ms",
                    [SimpleNamespace(start=50.0, end=60.0, verdict="failed")],
                ),
                fake_verdict("errors == 0", "failed", "30"),
                fake_verdict("latency{task=buy}.p95 < 1s", "passed", "9 ms"),
                fake_verdict("throughput > 10/s", "passed", "50/s"),
                fake_verdict("failure_rate < 10%", "passed", "6%"),
                fake_verdict("memory.growth < 70MiB", "passed", "56 MiB"),
            ],
            "error_types": [
                {
                    "type": "ConnectionError",
                    "count": 30,
                    "message": "the venue refused",
                    "source": "operation",
                    "agent": "MM_2",
                    "task": "buy",
                    "traceback": "Traceback (most recent call last):\n  ...\nConnectionError: the venue refused\n",
                }
            ],
            **more,
        },
    )


HOSTILE = '</script><img src=x onerror="window.harmed=1">\'&amp;\x1b[31m\n\u2028\ud800/../${title}'
"""A name with characters special to HTML, scripts, terminals, paths, templates and UTF-8."""


def hostile_run() -> FakeRun:
    """Return a run in which every name and text from outside is hostile."""
    error = dict.fromkeys(("type", "message", "source", "agent", "task", "traceback"), HOSTILE)
    return burst_run(
        agents=[f"{HOSTILE}{number}" for number in range(5)],
        tasks=[f"{HOSTILE}buy", f"{HOSTILE}sell"],
        error_types=[{**error, "count": 30}],
    )


def hostile_summary() -> Summary:
    return fake_summary(
        hostile_run(),
        test=HOSTILE,
        verdict="failed",
        passed=False,
        failure=HOSTILE,
        harness=HOSTILE,
        repeat=HOSTILE,
        checks=[{"name": HOSTILE, "verdict": "failed", "finding": HOSTILE}],
        not_applicable=[HOSTILE],
        files={"log": f"out/{HOSTILE}.log", "report": f"javascript:alert(1)/{HOSTILE}/stress_test_report.html"},
    )


def failed_summary(run: FakeRun, **more: Any) -> Summary:
    failure = "threshold latency.p99 < 20ms over 10s failed: 90 ms"
    return fake_summary(run, **{"verdict": "failed", "passed": False, "failure": failure, **more})


@pytest.fixture(scope="session")
def make_run() -> Callable[..., FakeRun]:
    return fake_run


@pytest.fixture(scope="session")
def draw_run() -> Callable[..., FakeRun]:
    return drawn_run


@pytest.fixture(scope="session")
def make_summary() -> Callable[..., Summary]:
    return fake_summary


@pytest.fixture(scope="session")
def burst() -> tuple[FakeRun, Summary]:
    """A run with an error burst, and its summary."""
    run = burst_run()
    return run, failed_summary(run)


@pytest.fixture(scope="session")
def hostile() -> tuple[FakeRun, Summary, str]:
    """A run of hostile names, its summary, and the text that all of them hold."""
    return hostile_run(), hostile_summary(), HOSTILE
