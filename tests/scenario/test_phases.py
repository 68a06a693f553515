"""Thresholds do not judge the ramp and the warm-up, unless a threshold names these phases."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress import (
    MultiAgentSimulator,
    Operation,
    Scenario,
    SettingError,
    StressResult,
    ThresholdsNotMet,
)
from pytest_nos_stress.scenario.phases import Phase, phases_of
from pytest_nos_stress.scenario.schedule import AgentSchedule

SECONDS = st.integers(0, 40).map(lambda quarters: quarters / 4)


class FailsInTheFirstSecond:
    """A target that fails in its first second. An operation takes 0.1 s."""

    def __init__(self) -> None:
        self.started: float | None = None

    def __call__(self, operation: Operation) -> None:
        began = operation.now()
        if self.started is None:
            self.started = began
        operation.sleep(0.1)
        if began - self.started < 1 - 1e-6:
            raise ConnectionError("cold")


async def awaits(operation: Operation) -> None:
    await asyncio.sleep(0.02)


def sleeps(operation: Operation) -> None:
    operation.sleep(0.02)


def simulator(directory: Path, target: Any = None, **given: Any) -> MultiAgentSimulator:
    defaults: dict[str, Any] = {
        "agents": 4,
        "operations_per_agent": 30,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 5,
        "engine": "virtual",
        "report": "none",
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target or FailsInTheFirstSecond(), **{**defaults, **given})


def run(directory: Path, target: Any = None, **given: Any) -> StressResult:
    return simulator(directory, target, **{"gate": False, **given}).run()


def begun(result: StressResult) -> Any:
    """Return the start of each operation, in seconds since the run's start."""
    records = result.measured.records
    return (records.column("end") - records.column("latency").astype(np.int64) - result.measured.started_ns) / 1e9


@given(ramp=SECONDS, warmup=SECONDS, elapsed=SECONDS)
def test_phases_follow_each_other_from_the_start_to_the_end(ramp: float, warmup: float, elapsed: float) -> None:
    phases = phases_of(Scenario(ramp=ramp, warmup=warmup), elapsed)
    assert phases[0].start == 0
    assert phases[-1].end == elapsed
    assert [phase.end for phase in phases[:-1]] == [phase.start for phase in phases[1:]]
    planned = {"ramp": (0, ramp), "warmup": (ramp, ramp + warmup), "steady": (ramp + warmup, elapsed)}
    for name, start, end in phases:
        assert planned[name][0] == start < end or elapsed == 0
        assert end == min(planned[name][1], elapsed)
    assert [phase.name for phase in phases] == [
        name for name in planned if name in {phase.name for phase in phases}
    ]


def test_a_run_without_ramp_and_warmup_is_steady_from_its_start() -> None:
    assert phases_of(Scenario(), 7.5) == (Phase("steady", 0, 7.5),)
    assert phases_of(Scenario(), 0) == (Phase("steady", 0, 0),)


@pytest.fixture(scope="module")
def phased(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    """Run four agents with a ramp of 0.4 s, a warm-up of 0.6 s, and operations of 0.1 s that fail until then."""
    thresholds = [
        "error_rate{phase=ramp} == 100%",
        "error_rate{phase=warmup} < 50%",
        "failures{phase=steady} == 0",
        "operations{phase=warmup} == 24",
        "latency.p90 < 1s",
    ]
    return run(tmp_path_factory.mktemp("run"), ramp=0.4, warmup="600ms", thresholds=thresholds)


def test_an_operation_belongs_to_the_phase_in_which_it_begins(phased: StressResult) -> None:
    assert phased.phases == (Phase("ramp", 0, 0.4), Phase("warmup", 0.4, 1), Phase("steady", 1, 3.3))
    began = begun(phased).round(6)
    totals = [phase["total_operations"] for phase in phased.stats["phases"]]
    assert totals == [np.count_nonzero((began >= start) & (began < end)) for _, start, end in phased.phases]
    assert sum(totals) == phased.operations == 120


def test_the_statistics_have_the_figures_of_each_phase(phased: StressResult) -> None:
    ramp, warmup, steady = phased.stats["phases"]
    assert [phase["name"] for phase in (ramp, warmup, steady)] == ["ramp", "warmup", "steady"]
    assert [phase["errors"] for phase in (ramp, warmup, steady)] == [10, 24, 0]
    assert (steady["start"], steady["end"]) == (1, 3.3)
    assert steady["throughput"] == pytest.approx(86 / 2.3)
    assert steady["latency"]["max"] == pytest.approx(0.1)
    assert phased.stats["errors"] == 34


def test_ramp_and_warmup_are_judged_only_by_thresholds_that_name_them(phased: StressResult) -> None:
    ramp, warmup, steady, operations, latency, implicit = phased.verdicts
    assert (ramp.verdict, ramp.samples) == ("passed", 10)
    assert (warmup.verdict, warmup.measured) == ("failed", 1)
    assert (steady.verdict, steady.samples) == ("passed", 86)
    assert operations.verdict == "passed"
    assert (latency.verdict, latency.samples) == ("passed", 86)
    assert (implicit.threshold.text, implicit.verdict, implicit.measured) == ("errors == 0", "passed", 0)


def test_errors_while_the_target_warms_up_do_not_fail_a_run(tmp_path: Path) -> None:
    assert simulator(tmp_path, warmup=1).run().errors > 0
    with pytest.raises(ThresholdsNotMet, match="threshold errors == 0 failed: 4"):
        simulator(tmp_path, warmup=0.9).run()


def test_a_message_names_the_phases_that_were_not_judged(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet) as caught:
        simulator(tmp_path, ramp=0.4, warmup=0.6, thresholds=["operations == 1"]).run()
    message = str(caught.value)
    assert "thresholds do not judge the ramp (until 0.4 s): 10 operations, 10 failed, 10 errors" in message
    assert "thresholds do not judge the warmup (until 1 s): 24 operations, 24 failed, 24 errors" in message


@pytest.mark.parametrize(
    "given",
    [
        {"warmup": 3},
        {"ramp": 100},
        {"ramp": 1, "warmup": 2.75},
        {"warmup": 5, "target": lambda: None},
    ],
    ids=["in its warm-up", "in its ramp", "after its ramp", "at once"],
)
@pytest.mark.parametrize("threshold", ["errors == 0", "operations < 9", "errors == 0 over 1s", "throughput > 0"])
def test_a_run_that_ends_before_its_steady_phase_does_not_pass(
    given: dict[str, Any], threshold: str, tmp_path: Path
) -> None:
    result = run(tmp_path, thresholds=[threshold], **given)
    assert not result.passed
    assert "steady" not in [phase.name for phase in result.phases]
    assert {verdict.verdict for verdict in result.verdicts} == {"no data"}


@pytest.mark.parametrize(
    "threshold", ["errors == 0", "errors == 0 over 1s", "throughput < 9 over 1s", "operations < 9 over 500ms"]
)
def test_a_steady_phase_in_which_no_operation_begins_does_not_pass(threshold: str, tmp_path: Path) -> None:
    def takes_long(operation: Operation) -> None:
        operation.sleep(2)

    result = run(tmp_path, takes_long, operations_per_agent=1, warmup=1, thresholds=[threshold])
    assert result.verdicts[0].verdict == "no data"
    assert not result.passed


def test_a_phase_that_the_run_does_not_have_is_no_data(tmp_path: Path) -> None:
    (verdict, _) = run(tmp_path, sleeps, thresholds=["errors{phase=warmup} == 0"]).verdicts
    assert (verdict.verdict, verdict.note) == ("no data", "the run has no phase 'warmup'")


@pytest.mark.parametrize(("engine", "target"), [("threads", sleeps), ("asyncio", awaits), ("virtual", sleeps)])
def test_agents_start_evenly_over_the_ramp_and_do_not_count_it_as_a_wait(
    engine: str, target: Any, tmp_path: Path
) -> None:
    result = run(tmp_path, target, engine=engine, ramp="400ms", operations_per_agent=30)
    records = result.measured.records
    lag = records.column("response_time").astype(np.int64) - records.column("latency")
    lags_at_the_start = []
    for number in range(4):
        own = np.flatnonzero(records.column("agent") == number)
        assert begun(result)[own].min() >= number * 0.1 - 1e-6
        lags_at_the_start.append(int(lag[own[0]]) / 1e9)
    assert min(lags_at_the_start[1:]) < 0.1
    assert [phase["name"] for phase in result.stats["phases"]] == ["ramp", "steady"]
    assert result.passed


def test_a_ramp_goes_with_a_duration(tmp_path: Path) -> None:
    given: dict[str, Any] = {"operations_per_agent": None, "duration": 2, "ramp": 0.4, "warmup": 0.5}
    del given["operations_per_agent"]
    result = MultiAgentSimulator(
        target=sleeps,
        agents=4,
        missing_data_prob=0,
        failure_prob=0,
        min_delay=0.01,
        max_delay=0.01,
        seed=1,
        engine="virtual",
        output_dir=tmp_path,
        **given,
    ).run()
    assert result.stats["duration"] == pytest.approx(2, abs=0.05)
    assert [phase.name for phase in result.phases] == ["ramp", "warmup", "steady"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ramp": 3, "warmup": 2}, "ramp=3 and warmup=2: must end before duration=5, or"),
        ({"ramp": 5}, "ramp=5: must end before duration=5, or"),
        ({"warmup": "1m"}, "warmup=60: must end before duration=5, or"),
    ],
)
def test_a_run_without_a_steady_phase_is_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    for make in (MultiAgentSimulator, Scenario):
        with pytest.raises(SettingError) as caught:
            make(duration=5, **given)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ramp", "warmup"])
@pytest.mark.parametrize("value", [-1, "soon", float("nan"), float("inf"), True, None])
def test_a_bad_ramp_or_warmup_is_one_line_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"^{name}=") as caught:
        MultiAgentSimulator(**{name: value})
    assert "\n" not in str(caught.value)


def test_a_ramp_changes_nothing_of_what_is_planned(tmp_path: Path) -> None:
    plans = []
    for place, ramp in enumerate((0, 2)):
        given: dict[str, Any] = {
            "failure_prob": 0.3,
            "missing_data_prob": 0.2,
            "max_delay": 0.1,
            "tasks": ["a", "b"],
        }
        records = run(tmp_path / str(place), sleeps, ramp=ramp, **given).records
        order = np.lexsort((records["index"], records["agent"]))
        plans.append(records[["agent", "index", "task", "kind", "outcome"]][order].tolist())
    assert plans[0] == plans[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 50), st.integers(0, 100), st.booleans())
def test_a_ramp_delays_only_the_first_operation_of_an_agent(agents: int, ramp: int, pauses: bool) -> None:
    delays: dict[str, Any] = {"min_delay": 0.0, "max_delay": 0.5 if pauses else 0.0}
    without_ramp = Scenario(agents=agents, operations_per_agent=200, **delays)
    with_ramp = Scenario(agents=agents, operations_per_agent=200, ramp=ramp, **delays)
    for number, agent in enumerate(with_ramp.agent_names):
        plain, ramped = (next(AgentSchedule(scenario, agent).blocks()) for scenario in (without_ramp, with_ramp))
        assert np.array_equal(plain.operation_codes, ramped.operation_codes)
        expected = np.zeros(200) if plain.think_times is None else plain.think_times.copy()
        expected[0] += ramp * number / agents
        assert np.allclose(expected, np.zeros(200) if ramped.think_times is None else ramped.think_times)


def test_a_list_of_operations_starts_as_its_delays_say(tmp_path: Path) -> None:
    rows = [("Ann", "buy", None, 0.5), ("Bob", "buy"), ("Ann", "buy"), ("Bob", "buy", None, 2.0)]
    scenario = Scenario(operations=rows, ramp=1, warmup=0.25, engine="virtual")
    result = MultiAgentSimulator(target=sleeps, scenario=scenario, output_dir=tmp_path, gate=False).run()
    assert begun(result).round(6).tolist() == [0, 0.5, 0.52, 2.02]
    assert [phase["total_operations"] for phase in result.stats["phases"]] == [3, 0, 1]


def test_a_scenario_with_ramp_and_warmup_is_made_again_from_its_text() -> None:
    given: dict[str, Any] = {"ramp": "1.5s", "warmup": "250ms"}
    scenario = Scenario(agents=3, seed=4, **given)
    assert (scenario.ramp, scenario.warmup) == (1.5, 0.25)
    assert repr(scenario) == "Scenario(agents=3, operations_per_agent=100, ramp=1.5, warmup=0.25, seed=4)"
    assert eval(repr(scenario)) == scenario
    assert Scenario.from_json(scenario.to_json()) == scenario
    assert Scenario(**scenario.to_dict()) == scenario
    assert scenario != Scenario(agents=3, seed=4)


def test_a_scenario_written_before_there_were_phases_has_none() -> None:
    scenario = Scenario.from_json('{"version": 1, "agents": 2, "seed": 3}')
    assert (scenario.ramp, scenario.warmup) == (0, 0)
    assert scenario == Scenario(agents=2, seed=3)
