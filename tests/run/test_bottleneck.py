"""The harness is named as the bottleneck if it was one, and only then."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, ThresholdsNotMet
from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.results.statistics_types import HarnessStatistics
from pytest_nos_stress.run import bottleneck as module
from pytest_nos_stress.run.process_monitor import Collections

MILLISECOND = 1_000_000
QUIET: dict[str, Any] = {
    "lag": 0.1,
    "latency": 20,
    "cores_used": 0.3,
    "machine_busy": 0.4,
    "seconds": 10,
    "collections": Collections(5, 0.05, 0.02),
    "waited": 0,
    "checked": 0,
    "engine": "threads",
    "operations": 1_000,
    "processors": 4,
    "gil": True,
}
"""A run in which all is well. Lag and latency are in milliseconds."""


def detect(monkeypatch: pytest.MonkeyPatch, **but: Any) -> HarnessStatistics:
    """Return the figures and the message of a quiet run with these changes."""
    run = {**QUIET, **but}
    monkeypatch.setattr(module, "processors", lambda: run["processors"])
    monkeypatch.setattr(module, "has_gil", lambda: run["gil"])
    monitor: Any = SimpleNamespace(
        cores_used=run["cores_used"],
        machine_busy=run["machine_busy"],
        real_seconds=run["seconds"],
        collections=run["collections"],
    )
    latency = np.full(run["operations"], run["latency"] * MILLISECOND)
    measured: Any = SimpleNamespace(
        lags=np.full(run["operations"], run["lag"] * MILLISECOND).astype(np.int64),
        durations=lambda _: latency.astype(np.int64),
        records=SimpleNamespace(total=run["operations"]),
    )
    return module.detect_bottleneck(
        monitor,
        measured,
        engine=engine_class(run["engine"]),
        waited_ns=round(run["waited"] * 1e9),
        checked_ns=round(run["checked"] * 1e9),
        agents=10,
    )


@pytest.mark.parametrize(
    ("but", "bottleneck"),
    [
        ({}, None),
        ({"lag": 50, "cores_used": 3.7}, "processor"),
        ({"lag": 50, "cores_used": 0.9, "processors": 1}, "processor"),
        ({"lag": 50, "cores_used": 0.98}, "interpreter"),
        ({"lag": 50, "machine_busy": 0.99}, "processor"),
        ({"lag": 50, "engine": "asyncio"}, "event loop"),
        ({"lag": 50, "engine": "asyncio", "cores_used": 0.98}, "event loop"),
        ({"collections": Collections(9, 2.5, 0.4)}, "garbage collection"),
        ({"waited": 40}, "recorder"),
        ({"lag": 50, "engine": "asyncio", "checked": 4}, "checks"),
    ],
    ids=[
        "quiet",
        "all processors used",
        "the only processor used",
        "one GIL used up",
        "others use the machine",
        "a blocked event loop",
        "a busy event loop",
        "pauses for garbage",
        "agents wait for the recorder",
        "agents are paused for checks",
    ],
)
def test_the_bottleneck_is_named_and_explained(
    but: dict[str, Any], bottleneck: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = detect(monkeypatch, **but)
    assert harness["bottleneck"] == bottleneck
    assert bool(harness["words"]) == (bottleneck is not None)
    assert "\n" not in harness["words"]


@pytest.mark.parametrize(
    "but",
    [
        {"cores_used": 3.9, "machine_busy": 1.0},
        {"cores_used": 0.99, "machine_busy": 1.0, "engine": "asyncio"},
        {"lag": 50},
        {"lag": 50, "cores_used": 0.98, "gil": False},
        {"lag": 5, "cores_used": 3.9, "machine_busy": 1.0, "latency": 20},
        {"lag": 50, "cores_used": 3.9, "machine_busy": 1.0, "latency": 2_000},
        {"lag": 50, "cores_used": 3.9, "machine_busy": 1.0, "seconds": 0.4},
        {"seconds": 0.4, "collections": Collections(1, 0.2, 0.2), "waited": 4},
        {"lag": 50, "cores_used": 3.9, "operations": 0},
        {"lag": 50, "cores_used": 3.9, "machine_busy": 1.0, "engine": "virtual"},
        {"collections": Collections(9, 5, 1), "waited": 90, "engine": "virtual"},
        {"collections": Collections(500, 0.5, 0.001), "waited": 5},
    ],
    ids=[
        "busy, but on time",
        "a busy loop, but on time",
        "late for no reason that is known",
        "no GIL",
        "less late than anyone minds",
        "late by little of what operations take",
        "too short to tell",
        "pauses in a run too short to tell",
        "no operations",
        "virtual time",
        "pauses in virtual time",
        "some pauses, some waits",
    ],
)
def test_the_harness_is_not_blamed_without_cause(but: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    harness = detect(monkeypatch, **but)
    assert (harness["bottleneck"], harness["words"]) == (None, "")


def test_the_words_have_the_figures_they_rest_on(monkeypatch: pytest.MonkeyPatch) -> None:
    used = detect(monkeypatch, lag=50, cores_used=3.7)["words"]
    assert "3.7 of 4 processors" in used
    assert "50 ms late" in used
    assert "25%" in detect(monkeypatch, collections=Collections(9, 2.5, 0.4))["words"]
    assert "400 ms" in detect(monkeypatch, collections=Collections(9, 2.5, 0.4))["words"]
    assert "40%" in detect(monkeypatch, waited=40)["words"]
    assert "99%" in detect(monkeypatch, lag=50, machine_busy=0.99)["words"]


def test_the_figures_are_there_whether_or_not_there_was_a_bottleneck(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = detect(monkeypatch, waited=2)
    assert harness["lag"] == {"p50": 0.0001, "p99": 0.0001, "max": 0.0001}
    assert (
        harness["cpu"],
        harness["processors"],
        harness["machine_busy"],
        harness["gil"],
    ) == (0.3, 4, 0.4, True)
    assert harness["gc"] == {"collections": 5, "seconds": 0.05, "longest": 0.02}
    assert harness["waited_for_recorder"] == 2


def test_a_blocked_event_loop_is_named_if_a_threshold_of_time_fails(
    tmp_path: Path,
) -> None:
    async def blocks(operation: Operation) -> None:
        time.sleep(0.02)
        await asyncio.sleep(0)

    options: dict[str, Any] = {
        "agents": 10,
        "operations_per_agent": 5,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "engine": "asyncio",
        "report": "none",
        "output_dir": tmp_path,
    }
    with pytest.raises(ThresholdsNotMet) as caught:
        MultiAgentSimulator(target=blocks, thresholds=["response_time.p90 < 50ms"], **options).run()
    harness = caught.value.result.stats["harness"]
    assert harness["bottleneck"] == "event loop"
    assert (harness["lag"]["p99"] or 0) > 0.1
    assert f"the test machine was the bottleneck: {harness['words']}" in str(caught.value)


def test_a_run_in_virtual_time_says_nothing_of_its_harness(tmp_path: Path) -> None:
    result = MultiAgentSimulator(engine="virtual", report="none", output_dir=tmp_path).run()
    assert (result.stats["harness"]["bottleneck"], result.stats["harness"]["words"]) == (None, "")


def test_slow_checks_are_named_as_the_bottleneck(tmp_path: Path) -> None:
    async def awaits() -> None:
        await asyncio.sleep(0)

    result = MultiAgentSimulator(
        target=awaits,
        agents=2,
        operations_per_agent=15,
        min_delay=0,
        max_delay=0,
        missing_data_prob=0,
        failure_prob=0,
        engine="asyncio",
        checks=[lambda: time.sleep(0.06)],
        every=3,
        report="none",
        output_dir=tmp_path,
    ).run()
    harness = result.stats["harness"]
    assert result.passed
    assert harness["held_for_checks"] >= 10 * 0.06
    assert harness["bottleneck"] == "checks"
    assert "every=" in result.summary["harness"] == harness["words"]
