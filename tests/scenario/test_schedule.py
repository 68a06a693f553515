"""The plan of an operation depends on the seed, the agent, the index and the scenario, and on nothing else."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_nos_stress
from pytest_nos_stress import Scenario
from pytest_nos_stress.scenario.schedule import AgentSchedule, PlanBlock

KINDS = Scenario().fault_mix.count
OFF = Scenario().fault_mix.faults_disabled
CALL, MISSING_DATA, LOST_REQUEST, LOST_REPLY = (
    Scenario().fault_mix.number_of[fault] for fault in (None, "missing_data", "lost_request", "lost_reply")
)
MANY = 100_000
# Five standard deviations of a share of 100,000 draws: 5 * sqrt(0.25 / 100,000).
BOUND = 0.008
# The plan of Ann under seed 7, noted when version 0.1.0 was made: a task's number, and what goes wrong.
PLAN = "0 2 3 2 2lost 1 2 0lost 1missing 3 2lost 3 3 0 3missing 0 2 1 0 1 2missing 1 0missing 3missing"
PAUSES = [0.094654539, 0.112353099, 0.077517354, 0.120610973]


def plan(agent: str = "Ann", first: int = 0, count: int = 300, **settings: Any) -> PlanBlock:
    return AgentSchedule(Scenario(**{"agents": ["Ann", "Bob"], "seed": 7, **settings}), agent).block(first, count)


def shares(block: PlanBlock) -> dict[int, float]:
    """Return the share of each variant that occurs, by its number."""
    counted = (np.bincount(block.operation_codes % KINDS, minlength=KINDS) / block.operation_codes.size).tolist()
    return {kind: share for kind, share in enumerate(counted) if share}


def same(block: PlanBlock, other: PlanBlock) -> bool:
    assert block.think_times is not None
    assert other.think_times is not None
    return np.array_equal(block.operation_codes, other.operation_codes) and np.array_equal(
        block.think_times, other.think_times
    )


@settings(deadline=None)
@given(
    seed=st.integers(),
    agent=st.text(min_size=1).filter(str.strip),
    first=st.integers(0, 2_000),
    count=st.integers(1, 600),
)
def test_an_operations_plan_does_not_depend_on_those_planned_before_it(
    seed: int, agent: str, first: int, count: int
) -> None:
    planner = AgentSchedule(Scenario(agents=[agent], seed=seed), agent)
    whole, part = planner.block(0, first + count), planner.block(first, count)
    assert whole.think_times is not None
    assert part.think_times is not None
    assert np.array_equal(whole.operation_codes[first:], part.operation_codes)
    assert np.array_equal(whole.think_times[first:], part.think_times)


@settings(deadline=None)
@given(seed=st.integers(), others=st.lists(st.text(min_size=1).filter(str.strip), unique=True, max_size=5))
def test_other_agents_change_nothing(seed: int, others: list[str]) -> None:
    alone = AgentSchedule(Scenario(agents=["Ann"], seed=seed), "Ann").block(0, 200)
    crowd = [name for name in others if name != "Ann"]
    among = AgentSchedule(Scenario(agents=[*crowd, "Ann"], seed=seed), "Ann").block(0, 200)
    assert same(alone, among)


@pytest.mark.parametrize("operations", [1, 479, 480, 481, 5_000])
def test_the_blocks_of_a_run_are_the_plan_from_the_first_operation_to_the_last(operations: int) -> None:
    planner = AgentSchedule(Scenario(agents=["Ann"], operations_per_agent=operations), "Ann")
    blocks = list(planner.blocks())
    assert [block.first for block in blocks] == np.cumsum([0, *(b.operation_codes.size for b in blocks)]).tolist()[
        :-1
    ]
    codes = np.concatenate([block.operation_codes for block in blocks])
    assert np.array_equal(codes, planner.block(0, operations).operation_codes)


def test_a_run_by_duration_has_the_same_plan_without_end() -> None:
    by_number = AgentSchedule(Scenario(agents=["Ann"], operations_per_agent=2_000), "Ann").block(0, 2_000)
    blocks = AgentSchedule(Scenario(agents=["Ann"], duration=1), "Ann").blocks()
    codes = np.concatenate([next(blocks).operation_codes for _ in range(3)])[:2_000]
    assert np.array_equal(codes, by_number.operation_codes)


def test_seeds_and_agents_have_plans_of_their_own() -> None:
    plans = [plan(agent, seed=seed) for agent in ("Ann", "Bob") for seed in (0, 1, -1)]
    assert len({block.operation_codes.tobytes() for block in plans}) == 6


def test_the_hash_seed_of_python_does_not_matter() -> None:
    code = """
import hashlib
from pytest_nos_stress import Scenario
from pytest_nos_stress.scenario.schedule import AgentSchedule
block = AgentSchedule(Scenario(seed=5), "StockAgent_A").block(0, 500)
print(hashlib.sha256(block.operation_codes.tobytes() + block.think_times.tobytes()).hexdigest())
"""
    source = str(Path(str(pytest_nos_stress.__file__)).parents[1])
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": source, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("0", "1", "12345")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_a_seed_noted_today_repeats_the_same_plan_after_an_update() -> None:
    """If this test fails, seeds that users have noted no longer repeat their failures: a breaking change."""
    block = plan(count=24)
    words = {CALL: "", MISSING_DATA: "missing", LOST_REQUEST: "lost"}
    assert " ".join(f"{code // KINDS}{words[code % KINDS]}" for code in block.operation_codes.tolist()) == PLAN
    assert block.think_times is not None
    assert [round(float(pause), 9) for pause in block.think_times[:4]] == PAUSES


def test_the_default_rates_are_a_fifth_missing_and_a_tenth_of_the_rest_failed() -> None:
    expected = {CALL: 0.72, MISSING_DATA: 0.20, LOST_REQUEST: 0.08}
    assert shares(plan(count=MANY)) == pytest.approx(expected, abs=BOUND)


def test_a_probability_of_0_is_never_and_of_1_always() -> None:
    assert shares(plan(count=MANY, missing_data_prob=0, failure_prob=0)) == {CALL: 1}
    assert shares(plan(count=MANY, missing_data_prob=1, failure_prob=1)) == {MISSING_DATA: 1}
    assert shares(plan(count=MANY, missing_data_prob=0, failure_prob=1)) == {LOST_REQUEST: 1}


@pytest.mark.parametrize(
    ("mode", "requests", "replies"), [("lost_request", 0.5, 0.0), ("lost_reply", 0.0, 0.5), ("mixed", 0.25, 0.25)]
)
def test_the_failure_mode_says_what_is_lost(mode: str, requests: float, replies: float) -> None:
    measured = shares(plan(count=MANY, missing_data_prob=0, failure_prob=0.5, failure_mode=mode))
    lost = {kind: share for kind, share in ((LOST_REQUEST, requests), (LOST_REPLY, replies)) if share}
    assert measured == pytest.approx({CALL: 0.5, **lost}, abs=BOUND)


def test_another_failure_mode_fails_the_same_operations() -> None:
    failed = [
        np.isin(plan(failure_mode=mode).operation_codes % KINDS, [LOST_REQUEST, LOST_REPLY]).tolist()
        for mode in ("lost_request", "lost_reply", "mixed")
    ]
    assert failed[0] == failed[1] == failed[2]
    assert any(failed[0])


def test_faults_change_neither_tasks_nor_think_times() -> None:
    calm, rough = plan(missing_data_prob=0, failure_prob=0), plan(missing_data_prob=0.5, failure_prob=0.5)
    assert (calm.operation_codes // KINDS).tolist() == (rough.operation_codes // KINDS).tolist()
    assert calm.think_times is not None
    assert rough.think_times is not None
    assert np.array_equal(calm.think_times, rough.think_times)


def test_tasks_come_as_often_as_their_weights_say() -> None:
    tasks = plan(count=MANY, tasks={"buy": 3, "sell": 1, "hedge": 4}).operation_codes // KINDS
    measured = (np.bincount(tasks, minlength=3) / MANY).tolist()
    assert measured == pytest.approx([3 / 8, 1 / 8, 4 / 8], abs=BOUND)


def test_tasks_without_weights_come_equally_often() -> None:
    tasks = plan(count=MANY, tasks=["a", "b", "c", "d", "e"]).operation_codes // KINDS
    assert (np.bincount(tasks, minlength=5) / MANY).tolist() == pytest.approx([0.2] * 5, abs=BOUND)


@pytest.mark.parametrize("weight", [1e-300, 1e300, 1.7e308])
def test_only_the_ratio_of_weights_matters_however_large_they_are(weight: float) -> None:
    assert same(plan(tasks={"a": weight, "b": weight}), plan(tasks={"a": 1, "b": 1}))


def test_think_times_are_spread_evenly_between_the_delays() -> None:
    pauses = plan(count=MANY, min_delay=0.05, max_delay=0.15).think_times
    assert pauses is not None
    assert pauses.min() >= 0.05
    assert pauses.max() <= 0.15
    below = [float((pauses < 0.05 + 0.01 * tenth).mean()) for tenth in range(1, 10)]
    assert below == pytest.approx([tenth / 10 for tenth in range(1, 10)], abs=BOUND)


def test_equal_delays_are_that_delay() -> None:
    pauses = plan(min_delay=0.25, max_delay=0.25).think_times
    assert pauses is not None
    assert set(pauses.tolist()) == {0.25}


# An explicit list, ranks, and what comes after the plan.

LISTED = [
    ("Ann", "buy", None, 0.5),
    ("Bob", "sell", "missing_data"),
    ("Ann", "sell", "lost_request"),
    ("Ann", "buy", "lost_reply", 2),
    ("Bob", "buy"),
]


def listed(agent: str, **settings: Any) -> AgentSchedule:
    return AgentSchedule(Scenario(operations=LISTED, **{"seed": 7, **settings}), agent)


def test_the_plan_of_a_list_has_the_rows_of_each_agent() -> None:
    (ann,) = listed("Ann").blocks()
    assert ann.operation_codes.tolist() == [CALL, KINDS + LOST_REQUEST, LOST_REPLY]
    assert ann.think_times is not None
    assert ann.think_times.tolist() == [0.5, 0, 2]
    (bob,) = listed("Bob").blocks()
    assert bob.operation_codes.tolist() == [KINDS + MISSING_DATA, CALL]
    assert bob.think_times is None


def test_settings_of_drawn_operations_do_not_change_a_list() -> None:
    for agent in ("Ann", "Bob"):
        (block,) = listed(agent).blocks()
        (other,) = listed(agent, seed=8, missing_data_prob=1, failure_prob=1, min_delay=5, max_delay=9).blocks()
        assert block.operation_codes.tolist() == other.operation_codes.tolist()
        assert (block.think_times is None) == (other.think_times is None)


def test_an_agent_that_is_in_no_row_has_no_plan() -> None:
    planner = AgentSchedule(Scenario(agents=["Ann", "Bob", "Cy"], operations=LISTED), "Cy")
    assert list(planner.blocks()) == []


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_block_of_a_list_has_its_rows(first: int) -> None:
    part = listed("Ann").block(first, 1)
    (whole,) = listed("Ann").blocks()
    assert (part.first, part.operation_codes.tolist()) == (
        first,
        whole.operation_codes.tolist()[first : first + 1],
    )


def test_the_ranks_of_a_list_are_positions_in_the_list() -> None:
    assert list(itertools.islice(listed("Ann").tie_breakers(), 3)) == [0, 2, 3]
    assert list(itertools.islice(listed("Bob").tie_breakers(), 2)) == [1, 4]


def test_drawn_ranks_grow_belong_to_agent_and_seed_and_change_no_plan() -> None:
    def ranks(agent: str, seed: int) -> list[int]:
        return list(
            itertools.islice(AgentSchedule(Scenario(agents=["Ann", "Bob"], seed=seed), agent).tie_breakers(), 50)
        )

    assert ranks("Ann", 1) == ranks("Ann", 1)
    assert len({tuple(ranks(agent, seed)) for agent in ("Ann", "Bob") for seed in (1, 2)}) == 4
    assert ranks("Ann", 1)[-1] > ranks("Ann", 1)[0]
    assert max(ranks("Ann", 1)) < 1 << 62


def test_a_plan_without_faults_has_the_tasks_and_think_times_of_the_plan_and_no_fault() -> None:
    planner = AgentSchedule(
        Scenario(agents=["Ann"], seed=7, missing_data_prob=0.5, failure_prob=0.5, failure_mode="mixed"), "Ann"
    )
    blocks = list(itertools.islice(planner.blocks_without_faults(30), 4))
    codes = np.concatenate([block.operation_codes for block in blocks])
    assert blocks[0].first == 30
    assert set((codes % KINDS).tolist()) == {OFF}
    planned = planner.block(30, codes.size)
    assert (codes // KINDS).tolist() == (planned.operation_codes // KINDS).tolist()
    pauses = [pause for block in blocks if block.think_times is not None for pause in block.think_times.tolist()]
    assert planned.think_times is not None
    assert pauses == planned.think_times.tolist()


def test_after_a_list_there_is_a_plan_without_faults_too() -> None:
    block = next(listed("Ann", missing_data_prob=1).blocks_without_faults(3))
    assert block.first == 3
    assert set((block.operation_codes % KINDS).tolist()) == {OFF}
    assert set((block.operation_codes // KINDS).tolist()) == {0, 1}
