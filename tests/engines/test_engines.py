"""The table of engines: each engine declares its capabilities, and one class and one row add an engine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pytest_nos_stress import MultiAgentSimulator, Scenario, SettingError, engines
from pytest_nos_stress.engines import EngineRow
from pytest_nos_stress.engines.base import (
    CAPABILITIES,
    CrashedAgent,
    DeadlockReport,
    Engine,
    EngineAgent,
    EngineOptions,
    OnOperationEnd,
    StuckAgent,
)
from pytest_nos_stress.engines.threads import ThreadsEngine

each_engine = pytest.mark.parametrize("name", engines.ENGINES)
SUBPROCESS_TIMEOUT = 60


class WallClock:
    """The machine's clock. The end of the run does not end its sleeps."""

    def __init__(self) -> None:
        self.now_ns: Callable[[], int] = time.perf_counter_ns
        self.wall_offset_ns = time.time_ns() - self.now_ns()
        self.started_ns = self.now_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SequentialEngine:
    """An engine that performs all operations of one agent, then those of the next, in the caller's thread."""

    uses_virtual_time: ClassVar[bool] = False
    runs_one_at_a_time: ClassVar[bool] = True
    repeats_schedules: ClassVar[bool] = True
    awaits_tasks: ClassVar[bool] = False
    supports_proxies: ClassVar[bool] = True

    def __init__(self, _options: EngineOptions | None = None) -> None:
        self.clock = WallClock()
        self.crashed: list[CrashedAgent] = []
        self.timed_out: list[StuckAgent] = []
        self.cancelled: list[StuckAgent] = []
        self.still_running: list[StuckAgent] = []
        self.deadlock: DeadlockReport | None = None
        self.completion_order: list[int] = []
        self.operations_overlapped: bool | None = False
        self._is_stopping = False

    def run(
        self,
        agents: Sequence[EngineAgent],
        watch: Callable[[], None],
        on_operation_end: OnOperationEnd | None = None,
        every: int = 1,
    ) -> None:
        for number, agent in enumerate(agents):
            with agent.session():
                for _ in self._pauses(agent):
                    watch()
                    self.completion_order.append(number)
                    if on_operation_end is not None and len(self.completion_order) % every == 0:
                        on_operation_end(agent)

    def _pauses(self, agent: EngineAgent) -> list[float | None]:
        return [] if self._is_stopping else list(agent.operations())

    def overdue(self, agents: Sequence[Any], timeout_ns: int) -> dict[Any, int]:
        return {}

    def stop(self) -> None:
        self._is_stopping = True


@pytest.fixture
def sequential(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new engine, made of one class and one row of the table."""
    monkeypatch.setitem(engines.ENGINES, "sequential", EngineRow(f"{__name__}:SequentialEngine", "one by one"))
    return "sequential"


@each_engine
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_every_engine_declares_every_capability(name: str, capability: str) -> None:
    declared = vars(engines.engine_class(name))
    assert isinstance(declared.get(capability), bool), f"engine {name!r} does not say whether it {capability}"


def test_the_list_of_capabilities_agrees_with_the_protocol() -> None:
    declared = [name for name, kind in Engine.__annotations__.items() if kind.startswith("ClassVar")]
    assert tuple(declared) == CAPABILITIES


@each_engine
def test_a_new_engine_has_nothing_to_report(name: str) -> None:
    engine = engines.create(name, EngineOptions(own_threads=False, operation_timeout=1.0))
    assert (engine.crashed, engine.timed_out, engine.cancelled, engine.still_running) == ([], [], [], [])
    assert engine.deadlock is None
    assert engine.completion_order == []


@each_engine
def test_every_engine_is_explained_in_the_help(name: str) -> None:
    assert engines.ENGINES[name].summary
    assert f"{name} ({engines.ENGINES[name].summary})" in engines.help_text()


def test_the_default_engine_is_one_of_the_table() -> None:
    assert engines.engine_class(engines.DEFAULT) is ThreadsEngine


def test_the_error_of_a_reserved_name_says_that_the_engine_does_not_exist_yet(tmp_path: Path) -> None:
    expected = "engine='explore': does not exist yet; allowed: 'threads', 'asyncio', 'virtual'"
    with pytest.raises(SettingError) as refused:
        engines.engine_class("explore")
    assert str(refused.value) == expected
    with pytest.raises(SettingError) as refused:
        MultiAgentSimulator(engine="explore", output_dir=tmp_path)
    assert str(refused.value) == expected


@each_engine
def test_loading_an_engine_imports_no_other_engine(name: str) -> None:
    modules = {row.location.partition(":")[0] for row in engines.ENGINES.values()}
    code = (
        "import sys\n"
        "from pytest_nos_stress import engines\n"
        f"assert not set(sys.modules) & {modules!r}\n"
        f"engines.engine_class({name!r})\n"
        f"print(*sorted(set(sys.modules) & {modules!r}))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SUBPROCESS_TIMEOUT, check=True
    ).stdout
    assert output.split() == [engines.ENGINES[name].location.partition(":")[0]]


def test_one_class_and_one_row_add_an_engine(sequential: str, tmp_path: Path) -> None:
    balance = [0]

    def buy() -> None:
        balance[0] += 1

    result = MultiAgentSimulator(
        ["A", "B"],
        ["buy"],
        operations_per_agent=5,
        missing_data_prob=0,
        failure_prob=0.2,
        min_delay=0,
        max_delay=0,
        target=buy,
        seed=1,
        engine=sequential,
        output_dir=tmp_path,
        checks=[lambda: balance[0] <= 10],
        every=1,
        thresholds=["errors == 0", "operations == 10"],
    ).run()
    assert result.passed
    assert (result.operations, result.failures) == (10, 10 - balance[0])
    assert [row["agent"] for row in result.records] == [0] * 5 + [1] * 5
    assert result.stats["scenario"]["engine"] == sequential
    assert result.stats["memory"] is not None, "real time passed, so the process was measured"


def test_the_error_of_an_async_task_names_the_new_engine_that_cannot_run_it(sequential: str) -> None:
    async def buy() -> None:
        """Does nothing."""

    with pytest.raises(SettingError) as refused:
        MultiAgentSimulator(target=buy, engine=sequential)
    assert str(refused.value) == (
        "target: task 'buy' is async def, which engine 'sequential' cannot run; "
        "must be a sync function, or run with engine='asyncio'"
    )


def test_messages_and_help_list_a_new_engine(sequential: str) -> None:
    assert engines.names_as_text() == "threads, asyncio, virtual or sequential"
    assert engines.help_text().endswith("or sequential (one by one)")
    assert Scenario(engine=sequential).engine == sequential
