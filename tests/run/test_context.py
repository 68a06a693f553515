"""The world of a run: what is planned of faults, what a run does of it, and what its statistics say afterwards."""

from __future__ import annotations

from itertools import groupby
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
    eventually,
)
from pytest_nos_stress.faults import catalogue
from pytest_nos_stress.faults.mix import FAULTS
from pytest_nos_stress.scenario.schedule import AgentSchedule
from pytest_nos_stress.search.shrink import performed_scenario
from pytest_nos_stress.strategies import scenarios

MANY = 100_000
FAR = {"latency": 0.08, "p99": 0.4, "correlation": 0.5}
"""A network on which agents do not queue."""


def planned(agent: str = "Ann", first: int = 0, count: int = MANY, **settings: Any) -> list[str | None]:
    """The fault planned for each operation."""
    scenario = Scenario(**{"agents": [agent], "seed": 3, "missing_data_prob": 0, **settings})
    kinds = scenario.fault_mix
    codes = AgentSchedule(scenario, agent).block(first, count).operation_codes % np.uint16(kinds.count)
    return [kinds.variants[kind].fault for kind in codes.tolist()]


def run(target: Any, tmp_path: Path, **settings: Any) -> StressResult:
    defaults = {"agents": 4, "operations_per_agent": 100, "missing_data_prob": 0, "seed": 5, "engine": "virtual"}
    return MultiAgentSimulator(target={"buy": target}, output_dir=tmp_path, **{**defaults, **settings}).run()


def nothing(operation: Operation) -> None:
    """A target that sees what it is handed, and does nothing."""


# The plan.


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "faults", ["binance", {"reject": 1}, {"reject": 2, "lost_reply": 1}, {"unknown_state": 1}]
)
def test_failure_prob_is_the_share_of_calls_that_fail_whatever_the_faults(faults: Any, probability: float) -> None:
    faults_met = planned(failure_prob=probability, faults=faults)
    # Five standard deviations of 100,000 draws.
    assert sum(fault is not None for fault in faults_met) / MANY == pytest.approx(probability, abs=0.008)


@pytest.mark.parametrize("burst", [1, 2, 5, 20])
@pytest.mark.parametrize("probability", [0.1, 0.3, 0.6, 0.9])
def test_failure_prob_is_the_share_of_overload_however_long_its_bursts(burst: float, probability: float) -> None:
    faults_met = planned(failure_prob=probability, faults={"overload": {"burst": burst}})
    # Draws of a burst are worth one: five standard deviations of 100,000 / (2 * burst) draws.
    bound = 5 * (probability * (1 - probability) * 2 * max(burst, 10) / MANY) ** 0.5
    assert faults_met.count("overload") / MANY == pytest.approx(probability, abs=bound)


@pytest.mark.parametrize("faults", [{"overload": 1}, {"overload": 1, "reject": 1}, "binance"])
def test_a_failure_prob_of_1_is_always(faults: Any) -> None:
    assert None not in planned(failure_prob=1, faults=faults, count=5_000)


@pytest.mark.parametrize("weight", [1, 9])
def test_beside_other_faults_overload_takes_its_share_and_leaves_them_theirs(weight: float) -> None:
    faults_met = planned(failure_prob=0.5, faults={"overload": weight, "reject": 1})
    share = weight / (weight + 1)
    assert faults_met.count("overload") / MANY == pytest.approx(0.5 * share, abs=0.03)
    assert faults_met.count("reject") / MANY == pytest.approx(0.5 * (1 - share), abs=0.03)


@pytest.mark.parametrize("burst", [5, 50])
def test_a_short_run_has_its_share_of_overload_too(burst: float) -> None:
    agents = [f"Agent_{number}" for number in range(1000)]
    settings: dict[str, Any] = {"failure_prob": 0.2, "faults": {"overload": {"burst": burst}}, "count": 50}
    shares = [planned(agent, **settings).count("overload") / 50 for agent in agents]
    # Five standard deviations of 1,000 agents that each meet all or nothing.
    assert np.mean(shares) == pytest.approx(0.2, abs=5 * (0.2 * 0.8 / 1000) ** 0.5)


@pytest.mark.parametrize("burst", [2, 5, 20])
def test_overload_comes_in_bursts_of_that_mean_length(burst: float) -> None:
    faults_met = planned(failure_prob=0.1, faults={"overload": {"burst": burst}})
    lengths = [len(list(run)) for fault, run in groupby(faults_met) if fault == "overload"]
    assert np.mean(lengths) == pytest.approx(burst, rel=0.15)


@pytest.mark.parametrize("first", [1, 7, 64, 4095, 4096, 4100, 65_537])
def test_an_operation_can_be_planned_without_those_before_it(first: int) -> None:
    settings: dict[str, Any] = {
        "faults": "binance",
        "failure_prob": 0.5,
        "missing_data": {"stale": 1, "gap": 2},
        "missing_data_prob": 0.2,
    }
    everything = planned(**settings)
    assert planned(first=first, count=300, **settings) == everything[first : first + 300]


def test_the_kinds_of_missing_data_leave_which_operations_have_it_as_it_was() -> None:
    settings: dict[str, Any] = {"missing_data_prob": 0.3, "failure_prob": 0.2, "count": 2000}
    usual = planned(**settings)
    mixed = planned(missing_data={"stale": 1, "gap": 1}, **settings)
    assert [fault == "missing_data" for fault in usual] == [fault in ("stale", "gap") for fault in mixed]
    assert [fault == "lost_request" for fault in usual] == [fault == "lost_request" for fault in mixed]


def test_equal_scenarios_have_equal_plans() -> None:
    first = Scenario(missing_data={"stale": 1, "gap": 1}, agents=["Ann"], seed=1)
    second = Scenario(missing_data={"gap": 1, "stale": 1}, agents=["Ann"], seed=1)
    faults = [
        planned(count=200, missing_data_prob=0.5, missing_data=each.missing_data) for each in (first, second)
    ]
    assert first == second
    assert faults[0] == faults[1]


@pytest.mark.parametrize("faults", [None, "binance", dict.fromkeys(catalogue.call_faults(), 1)])
def test_thousands_of_tasks_are_all_performed_or_refused(faults: Any) -> None:
    """A plan is a small number of task and fault together: it must hold the largest."""
    data = dict.fromkeys(catalogue.data_faults(), 1)
    tasks = [f"task-{number}" for number in range(10_000)]
    try:
        scenario = Scenario(tasks=tasks, faults=faults, missing_data=data, agents=["Ann"])
        block = AgentSchedule(scenario, "Ann").block(0, MANY)
    except SettingError:
        return
    assert (block.operation_codes // scenario.fault_mix.count).max() > 9_900


# The run.


def test_no_planned_fault_is_an_error(tmp_path: Path) -> None:
    faults = dict.fromkeys(catalogue.call_faults(), 1)
    data = dict.fromkeys(catalogue.data_faults(), 1)
    result = run(
        nothing,
        tmp_path,
        faults=faults,
        failure_prob=0.5,
        missing_data=data,
        missing_data_prob=0.3,
        operations_per_agent=500,
    )
    assert result.errors == 0
    assert result.stats["error_types"] == []
    expected = {*faults, *data, "missing_data"} - {"unavailable"}
    assert set(result.stats["faults"]) == expected


def test_statistics_of_faults_agree_with_the_records(tmp_path: Path) -> None:
    result = run(
        nothing,
        tmp_path,
        faults="alpaca",
        failure_prob=0.4,
        missing_data="stale",
        missing_data_prob=0.2,
        fault_windows=(2, 6),
    )
    kinds = result.scenario.fault_mix
    counted: dict[str, int] = {}
    for number in result.records["kind"].tolist():
        fault = kinds.variants[number].reported_as
        if fault is not None:
            counted[fault] = counted.get(fault, 0) + 1
    drawn = {name: count for name, count in result.stats["faults"].items() if name != "rate_limit"}
    assert counted == drawn


def test_each_operations_kind_is_what_its_task_was_told(tmp_path: Path) -> None:
    planned_faults: dict[tuple[str, int], str | None] = {}

    def buy(operation: Operation) -> None:
        planned_faults[operation.agent, operation.index] = operation.fault

    result = run(
        buy, tmp_path, faults="ib", failure_prob=0.4, fault_windows=[(1, 3), (6, 8)], missing_data_prob=0.2
    )
    mix, agents = result.scenario.fault_mix, result.scenario.agent_names
    for row in result.records:
        key = agents[row["agent"]], int(row["index"])
        if key in planned_faults:
            assert planned_faults[key] == mix.variants[row["kind"]].fault


# Thresholds on faults.


def after_faults_only(operation: Operation) -> None:
    """A target that breaks in second 3 of the run and stays broken until second 6."""
    second = operation.now() % 60
    if 3 <= second < 6:
        raise ConnectionResetError("down")


def test_thresholds_tell_operations_with_faults_on_from_those_with_faults_off(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"fault_windows": (3, 6), "failure_prob": 0.5, "gate": False}
    result = run(
        after_faults_only,
        tmp_path,
        **settings,
        thresholds=[
            "errors{faults=off} == 0",
            "failure_rate{faults=off} == 0",
            "errors{faults=on} > 0",
            "failure_rate{faults=on} == 100%",
            "operations{faults=on} > 50",
            "operations{faults=off} > 50",
            "errors{task=buy, faults=off} == 0",
            "latency{faults=off}.max < 1s",
            "missing_data{faults=off} == 0",
        ],
    )
    verdicts = {verdict.threshold.text: verdict.verdict for verdict in result.verdicts}
    latency = verdicts.pop("latency{faults=off}.max < 1s")
    assert latency == "no data"  # no operation takes time
    assert set(verdicts.values()) == {"passed"}
    on = int((result.records["kind"] != result.scenario.fault_mix.faults_disabled).sum())
    measured = {verdict.threshold.text: verdict.measured for verdict in result.verdicts}
    assert measured["operations{faults=on} > 50"] == on
    assert measured["operations{faults=off} > 50"] == 400 - on


def test_a_target_that_does_not_recover_is_found(tmp_path: Path) -> None:
    def buy(operation: Operation) -> None:
        if operation.now() % 60 >= 3:
            raise ConnectionResetError("down")

    with pytest.raises(ThresholdsNotMet, match=r"errors\{faults=off\} == 0 +\d+ +failed"):
        run(buy, tmp_path, fault_windows=(3, 6), thresholds=["errors{faults=off} == 0", "errors{faults=on} < 999"])


def test_errors_with_faults_on_are_still_judged_where_only_the_others_were_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        ThresholdsNotMet, match=r"errors == 0 +\d+ \(errors that no other threshold covers\) +failed"
    ):
        run(after_faults_only, tmp_path, fault_windows=(3, 6), thresholds=["errors{faults=off} == 0"])


def test_a_threshold_on_faults_off_has_no_data_where_faults_are_on_all_the_time(tmp_path: Path) -> None:
    result = run(lambda: None, tmp_path, thresholds=["failure_rate{faults=off} == 0"], gate=False)
    assert [verdict.verdict for verdict in result.verdicts if verdict.threshold.faults] == ["no data"]
    assert not result.passed


def test_the_phase_of_recovery_counts_as_faults_off(tmp_path: Path) -> None:
    pending: set[str] = set()

    def buy(operation: Operation) -> None:
        if operation.fault is None:
            pending.clear()
        else:
            pending.add(operation.id)

    result = run(
        buy,
        tmp_path,
        faults={"lost_reply": 1},
        failure_prob=1,
        checks=[eventually("all is confirmed", lambda: not pending)],
        thresholds=[
            "failure_rate{faults=off} == 0",
            "failure_rate{faults=on} == 100%",
            "operations{faults=off} >= 1",
        ],
    )
    recovered = result.stats["recovery_operations"] or 0
    assert recovered >= 1
    assert result.operations == 400 + recovered
    assert (result.records["kind"] == result.scenario.fault_mix.faults_disabled).sum() == recovered


def test_recovery_is_without_faults_even_where_a_window_is_open(tmp_path: Path) -> None:
    calls: list[str | None] = []

    def buy(operation: Operation) -> None:
        calls.append(operation.fault)

    result = run(
        buy,
        tmp_path,
        faults={"lost_reply": 1},
        failure_prob=1,
        fault_windows=(0, None),
        retries=1,
        checks=[eventually("twenty more", lambda: calls.count(None) >= 20)],
    )
    assert (result.stats["recovery_operations"] or 0) >= 20
    assert result.failures == 400


def test_a_partition_is_a_planned_fault_that_windows_and_recovery_switch_off(tmp_path: Path) -> None:
    result = run(
        lambda: None,
        tmp_path,
        network={"partitions": [(0, 1000)]},
        fault_windows=(2, 4),
        failure_prob=0,
        thresholds=["failure_rate{faults=off} == 0"],
        gate=False,
    )
    assert [verdict.verdict for verdict in result.verdicts if verdict.threshold.faults] == ["passed"]


def test_lost_messages_are_planned_faults_that_windows_switch_off(tmp_path: Path) -> None:
    result = run(
        lambda: None,
        tmp_path,
        network={"loss": 0.5},
        fault_windows=(2, 4),
        failure_prob=0,
        retries=1,
        thresholds=["failure_rate{faults=off} == 0", "failure_rate{faults=on} > 5%"],
    )
    assert result.failures > 0


@pytest.mark.parametrize("others", [1, 39])
def test_other_agents_change_nothing_of_an_agents_network_while_a_system_recovers(
    tmp_path: Path, others: int
) -> None:
    def latencies(agents: int) -> list[int]:
        result = run(
            nothing,
            tmp_path,
            agents=agents,
            operations_per_agent=3,
            network=FAR,
            failure_prob=0,
            checks=[eventually("in half a minute", lambda: False, within="30s")],
            gate=False,
        )
        latency: list[int] = result.records["latency"][result.records["agent"] == 0].tolist()
        return latency[:10]

    def latencies_by_duration(agents: int) -> list[int]:
        simulator = MultiAgentSimulator(
            target={"buy": nothing},
            agents=agents,
            duration=1,
            network=FAR,
            failure_prob=0,
            seed=5,
            engine="virtual",
            checks=[eventually("in half a minute", lambda: False, within="30s")],
            gate=False,
            output_dir=tmp_path,
        )
        result = simulator.run()
        latency: list[int] = result.records["latency"][result.records["agent"] == 0].tolist()
        return latency[:15]

    assert latencies(1) == latencies(1 + others)
    assert latencies_by_duration(1) == latencies_by_duration(1 + others)


# Scenarios.


@pytest.mark.parametrize(
    ("settings", "because"),
    [
        ({"faults": {"late_execution": {"timeout": 7, "delay": 1}}}, "parameters of faults"),
        ({"missing_data": {"stale": {"age": 1000}}, "missing_data_prob": 0.5}, "parameters of missing data"),
        ({"network": {"latency": 0.2}}, "the network"),
        ({"market": "crash"}, "the market"),
        ({"retries": 2}, "retries"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_run_performed_as_a_list_keeps_the_world_it_was_performed_in(
    tmp_path: Path, settings: dict[str, Any], because: str
) -> None:
    """The first step of ``--stress-shrink``: the same operations must meet the same faults again."""
    result = run(nothing, tmp_path, failure_prob=0.5, **settings)
    again = performed_scenario(result)
    name = next(iter(settings))
    assert getattr(again, name) == getattr(result.scenario, name), because
    assert again.planned is not None
    assert len(again.planned) == 400


def test_a_list_repeats_which_unknown_states_were_executed(tmp_path: Path) -> None:
    first: list[str] = []
    result = run(
        lambda operation: first.append(operation.id),
        tmp_path,
        faults={"unknown_state": 1},
        failure_prob=0.5,
        max_delay=1,
    )
    second: list[str] = []
    MultiAgentSimulator(
        target={"buy": lambda operation: second.append(operation.id)},
        scenario=performed_scenario(result),
        output_dir=tmp_path,
    ).run()
    assert sorted(first) == sorted(second)


WEIGHTS = st.one_of(st.integers(1, 9), st.floats(0.1, 9))
DATA = st.dictionaries(st.sampled_from(list(catalogue.data_faults())), WEIGHTS, min_size=1)
CALLS = st.one_of(
    st.sampled_from(list(catalogue.PROFILES)),
    st.dictionaries(st.sampled_from(list(catalogue.call_faults())), WEIGHTS, min_size=1),
    st.builds(
        lambda name, rest: {**rest, "profile": name},
        st.sampled_from(list(catalogue.PROFILES)),
        st.dictionaries(st.sampled_from(list(catalogue.stateful_faults())), st.booleans()),
    ),
)
SECONDS = st.floats(0, 1000)
WINDOWS = st.lists(
    st.one_of(
        st.tuples(SECONDS, st.none()),
        st.tuples(SECONDS, st.floats(1001, 1e6)),
        st.fixed_dictionaries(
            {"after": st.text(min_size=1)}, optional={"from": SECONDS, "lasts": st.floats(0.001, 1000)}
        ),
    ),
    min_size=1,
    max_size=4,
)
RETRIES = st.one_of(
    st.integers(0, 9), st.fixed_dictionaries({}, optional={"times": st.integers(0, 9), "backoff": SECONDS})
)
NETWORKS = st.sampled_from(["retail", "colo", {"latency": 0.1, "loss": 0.01}, {"partitions": [(1, 2)]}])


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(DATA, CALLS, WINDOWS, RETRIES, NETWORKS)
def test_any_world_comes_back_from_its_repr_and_from_json(
    data: Any, calls: Any, windows: Any, retries: Any, network: Any
) -> None:
    scenario = Scenario(missing_data=data, faults=calls, fault_windows=windows, retries=retries, network=network)
    for again in (eval(repr(scenario), {"Scenario": Scenario}), Scenario.from_json(scenario.to_json())):
        assert again == scenario
        assert hash(again) == hash(scenario)
        assert again.fault_mix.variants == scenario.fault_mix.variants


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(scenarios(["buy"], agents=(1, 3), operations=(1, 20), faults=FAULTS))
def test_scenarios_of_hypothesis_may_have_every_fault(tmp_path_factory: Any, scenario: Scenario) -> None:
    planned_faults: list[str | None] = []
    result = MultiAgentSimulator(
        target={"buy": lambda operation: planned_faults.append(operation.fault)},
        scenario=scenario,
        output_dir=tmp_path_factory.getbasetemp() / "drawn",
    ).run()
    listed = [row.fault for row in scenario.planned or ()]
    assert set(planned_faults) <= set(listed)
    assert result.errors == 0
    # Who looks from outside cannot tell an unknown state that was executed from one that was not.
    shown = ["unknown_state" if fault == "unknown_state_lost" else fault for fault in listed]
    assert result.stats["faults"] == {fault: shown.count(fault) for fault in shown if fault is not None}
