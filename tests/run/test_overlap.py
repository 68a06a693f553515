"""A run in which no two operations overlapped could not show a race, and its statistics and summary state it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, StressResult, cooperating_locks
from pytest_nos_stress.reporting.summary import no_overlap_note


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    """Do what ``pytest --stress`` does for a session."""
    with cooperating_locks():
        yield


def run(directory: Path, target: Any, **settings: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": 2,
        "operations_per_agent": 4,
        "tasks": ["buy"],
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "report": "none",
    }
    return MultiAgentSimulator(target=target, output_dir=directory, **{**defaults, **settings}).run()


def is_noted(result: StressResult) -> bool:
    return any("no two operations overlapped" in note for note in result.summary["notes"])


def does_nothing() -> None:
    pass


def sleeps(seconds: float) -> Callable[[Operation], None]:
    def buy(operation: Operation) -> None:
        operation.sleep(seconds)

    return buy


def meets() -> Callable[[], None]:
    """Return a task in which two agents wait for each other; that takes no virtual time."""
    barrier = threading.Barrier(2)
    return lambda: (barrier.wait(), None)[1]


ways = pytest.mark.parametrize("own_threads", [True, False], ids=["own threads", "shared threads"])


@ways
@pytest.mark.parametrize(
    ("target", "settings", "overlapped"),
    [
        (does_nothing, {}, False),
        (sleeps(0.1), {}, True),
        (sleeps(0), {}, True),
        (meets(), {}, True),
        (sleeps(0.001), {"min_delay": 1, "max_delay": 100}, False),
        (sleeps(0.1), {"agents": 1}, False),
        (None, {}, False),
    ],
    ids=["at once", "sleeps", "yields", "wait for each other", "far apart", "one agent", "exchange"],
)
def test_operations_overlap_in_virtual_time_if_one_waits_inside_another(
    target: Any, settings: dict[str, Any], overlapped: bool, own_threads: bool, tmp_path: Path
) -> None:
    result = run(tmp_path, target, engine="virtual", own_threads=own_threads, seed=4, **settings)
    assert result.stats["operations_overlapped"] is overlapped
    assert is_noted(result) == (not overlapped and len(result.scenario.agent_names) > 1)


def test_agents_that_perform_nothing_do_not_race(tmp_path: Path) -> None:
    scenario = Scenario(agents=3, tasks=["buy"], operations=[("Agent_1", "buy")] * 3, engine="virtual")
    result = MultiAgentSimulator(target=does_nothing, scenario=scenario, output_dir=tmp_path, report="none").run()
    assert result.stats["operations_overlapped"] is False
    assert not is_noted(result)


def test_threads_overlap_if_their_calls_do(tmp_path: Path) -> None:
    both = threading.Barrier(2)
    result = run(tmp_path, lambda: (both.wait(30), None)[1])
    assert result.stats["operations_overlapped"] is True
    assert not is_noted(result)


@pytest.mark.parametrize("overlaps", [True, False])
def test_coroutines_overlap_if_one_awaits_inside_another(overlaps: bool, tmp_path: Path) -> None:
    async def buy() -> None:
        if overlaps:
            await asyncio.sleep(0.001)

    result = run(tmp_path, buy, engine="asyncio")
    assert result.stats["operations_overlapped"] is overlaps
    assert is_noted(result) is not overlaps


@pytest.mark.parametrize(
    ("engine", "why"),
    [("threads", "threads rarely switch"), ("asyncio", "on an event loop"), ("virtual", "in virtual time")],
)
def test_the_note_names_when_agents_switch(engine: str, why: str, tmp_path: Path) -> None:
    stats = run(tmp_path, does_nothing, engine="virtual").stats
    of_engine: Any = SimpleNamespace(stats=stats, scenario=SimpleNamespace(engine=engine))
    assert f"could not show a race: {why}" in no_overlap_note(of_engine)
