"""Tracebacks and stacks in messages show the target's frames, and none of this package's."""

from __future__ import annotations

import asyncio
import queue
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress
from pytest_nos_stress import CheckFailed, MultiAgentSimulator, Operation
from pytest_nos_stress._internal import tracebacks
from pytest_nos_stress._internal.tracebacks import stack_of, stack_of_awaiting

PACKAGE = Path(str(pytest_nos_stress.__file__)).parent
HANG = 20.0


def run(directory: Path, target: Any, **settings: Any) -> MultiAgentSimulator:
    defaults = {
        "operations_per_agent": 2,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "min_delay": 0,
        "max_delay": 0,
    }
    simulator = MultiAgentSimulator(
        1, ["buy"], target=target, output_dir=directory, report="none", gate=False, **{**defaults, **settings}
    )
    simulator.run()
    return simulator


def sample(simulator: MultiAgentSimulator) -> str:
    """Return the traceback of the first type of error of a run."""
    assert simulator.result is not None
    return str(simulator.result.stats["error_types"][0]["traceback"])


def buys(operation: Operation) -> None:
    looks_up(operation.id)


def looks_up(order: str) -> None:
    raise LookupError(order)


async def buys_later() -> None:
    await asyncio.sleep(0)
    looks_up("later")


@pytest.mark.parametrize("engine", ["threads", "virtual"])
@pytest.mark.parametrize("settings", [{}, {"network": "retail"}, {"retries": 1}, {"faults": {"lost_reply": 1}}])
def test_an_error_shows_only_the_frames_of_the_target(
    tmp_path: Path, engine: str, settings: dict[str, Any]
) -> None:
    text = sample(run(tmp_path, buys, engine=engine, **settings))
    assert text.index("in buys") < text.index("in looks_up")
    assert text.count('File "') == 2
    assert str(PACKAGE) not in text


def test_an_error_of_an_async_task_shows_only_the_frames_of_the_target(tmp_path: Path) -> None:
    text = sample(run(tmp_path, buys_later))
    assert [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("  File")] == [
        "buys_later",
        "looks_up",
    ]


@pytest.mark.parametrize("part", ["market/exchange/embedded.py", "demo/test_embedded_exchange.py"])
def test_the_embedded_exchange_and_the_demo_are_targets(part: str) -> None:
    assert (PACKAGE / part).is_file()
    assert not tracebacks.is_internal(str(PACKAGE / part))


@pytest.mark.parametrize("part", ["run/agent.py", "results/check_verdict.py", "engines/virtual/engine.py"])
def test_other_modules_of_the_package_are_internal(part: str) -> None:
    assert (PACKAGE / part).is_file()
    assert tracebacks.is_internal(str(PACKAGE / part))


def test_a_package_whose_name_starts_with_this_packages_name_is_a_target() -> None:
    assert not tracebacks.is_internal(f"{PACKAGE}_of_a_user/module.py")


def test_a_failed_check_shows_its_own_frames(tmp_path: Path) -> None:
    def balances() -> None:
        looks_up("balance")

    with pytest.raises(CheckFailed) as caught:
        MultiAgentSimulator(1, ["buy"], 0, 0, 2, 0, 0, tmp_path, target=lambda: None, checks=[balances]).run()
    assert caught.value.__cause__ is not None
    frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
    assert [frame.name for frame in frames] == ["balances", "looks_up"]


def test_an_exception_that_no_target_raised_has_no_frames(tmp_path: Path) -> None:
    async def confirms() -> None:
        """Never awaited."""

    text = sample(run(tmp_path, lambda: confirms(), engine="threads"))
    assert text == (
        "TypeError: the task returned a coroutine, and nobody has awaited it; must await it in the task\n"
    )


def in_thread(function: Callable[[], object], is_there: Callable[[str], bool]) -> str:
    """Run the function in a thread. Return the target's part of its stack, once ``is_there`` accepts it."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    deadline = threading.Event()
    stack = ""
    for _ in range(int(HANG / 0.01)):
        stack = stack_of(thread.ident)
        if is_there(stack):
            break
        deadline.wait(0.01)
    return stack


def test_a_stack_ends_with_the_targets_last_frame() -> None:
    orders: queue.Queue[str] = queue.Queue()

    def waits() -> None:
        orders.get(timeout=HANG)

    stack = in_thread(waits, lambda text: "in waits" in text)
    orders.put("done")
    assert stack.count('File "') == 1
    assert "orders.get(timeout=HANG)" in stack


def test_the_stack_of_a_thread_that_has_ended_is_unknown() -> None:
    assert stack_of(None) == "unknown\n"


def test_the_stack_of_a_coroutine_includes_the_coroutine_it_awaits() -> None:
    async def inner() -> None:
        await asyncio.sleep(HANG)

    async def outer() -> None:
        await inner()

    async def look() -> str:
        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        stack = stack_of_awaiting(task.get_coro())
        task.cancel()
        return stack

    stack = asyncio.run(look())
    assert stack.index("in outer") < stack.index("in inner")
