"""Steps of a call: a thread and a coroutine follow the same steps."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from pytest_nos_stress import Scenario, faults
from pytest_nos_stress.faults.call_steps import follow, run_steps, run_steps_async


@pytest.mark.parametrize("fault", ["duplicate_ack", "late_status", "reject_but_filled", "reject"])
def test_a_coroutine_meets_the_same_effect_as_a_thread(fault: str) -> None:
    mix = Scenario(faults={fault: 1}, failure_prob=1, missing_data_prob=0).fault_mix
    effect = next(variant for variant in mix.variants if variant.fault == fault).effect(lambda: Random(1))
    waits: dict[str, list[float]] = {"thread": [], "coroutine": []}
    calls: Counter[str] = Counter()

    def answer() -> int:
        calls["thread"] += 1
        return 7

    async def answer_awaited() -> int:
        calls["coroutine"] += 1
        return 7

    async def rest(seconds: float) -> None:
        waits["coroutine"].append(seconds)

    ends = [
        end_of(lambda: run_steps(follow(effect), answer, waits["thread"].append)),
        end_of(lambda: asyncio.run(run_steps_async(follow(effect), answer_awaited, rest))),
    ]
    assert ends[0] == ends[1]
    assert waits["thread"] == waits["coroutine"]
    assert calls["thread"] == calls["coroutine"]


def end_of(call: Callable[[], Any]) -> Any:
    """Return the answer of a call, or the fault that it raises."""
    try:
        return call()
    except faults.InjectedFault as error:
        return error
