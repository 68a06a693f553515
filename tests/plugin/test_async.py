"""Async targets in tests without an async plugin: on the run's own loop, or on an idle loop of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PREAMBLE = """
import asyncio, pathlib, threading, time
import pytest

STARTED = pathlib.Path("started")
CALM = dict(missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0)

async def buy(operation):
    await asyncio.sleep(0)
"""


def project(directory: Path, code: str) -> Path:
    (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (directory / "test_async.py").write_text(PREAMBLE + code)
    return directory


def write(pytester: pytest.Pytester, code: str) -> None:
    project(pytester.path, code)


def run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    write(pytester, code)
    return pytester.runpytest("--stress", *options)


def test_an_async_target_runs_in_an_ordinary_test_without_a_warning(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
def test_it(stress_simulator):
    threads = set()
    async def sell(operation):
        threads.add(threading.current_thread())
        await asyncio.sleep(0)
    result = stress_simulator.run({"sell": sell}, agents=50, operations_per_agent=5, **CALM)
    assert result.successes == 250
    assert result.scenario.engine == "asyncio"
    assert threading.main_thread() not in threads, "the run made a loop in the main thread, where Ctrl-C meets it"
    assert threading.active_count() == 1

def test_again(stress_simulator):
    import gc
    assert stress_simulator.run(buy, tasks=["sell"], agents=2, operations_per_agent=5, **CALM).successes == 10
    gc.collect()
""",
    )
    pytester.runpytest_subprocess("--stress").assert_outcomes(passed=2)


def test_an_engine_from_the_command_line_that_cannot_await_is_refused_in_one_line(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
def test_it(stress_simulator):
    stress_simulator.run({"buy": buy}, agents=2, operations_per_agent=2, **CALM)
""",
        "--stress-engine=threads",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *task 'buy' is async def, which engine 'threads' cannot run*"])
    assert "plugin_fixture.py" not in result.stdout.str()


@pytest.mark.parametrize(("ending", "outcome"), [("skip", "skipped"), ("xfail", "xfailed"), ("fail", "failed")])
def test_skip_and_xfail_in_an_async_task_act_on_the_test(
    pytester: pytest.Pytester, ending: str, outcome: str
) -> None:
    result = run(
        pytester,
        f"""
def test_it(stress_simulator):
    async def sell(operation):
        await asyncio.sleep(0)
        if operation.index == 1:
            pytest.{ending}("the exchange is closed")
        await operation.sleep(0.01)
    stress_simulator.run({{"sell": sell}}, agents=3, operations_per_agent=3, **CALM)
""",
    )
    result.assert_outcomes(**{outcome: 1})
    assert "the exchange is closed" in result.stdout.str() or outcome != "failed"


def test_assertions_of_async_tasks_fail_the_test_with_their_line(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(stress_simulator):
    async def sell(operation):
        await asyncio.sleep(0)
        assert operation.index == 0, "position is negative"
    stress_simulator.run({"sell": sell}, agents=1, operations_per_agent=3, **CALM)
""",
    )
    result.assert_outcomes(failed=1)
    assert "position is negative" in result.stdout.str()
    assert "errors == 0" in result.stdout.str()


def test_run_inside_a_running_loop_is_refused_in_one_line(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(stress_simulator):
    async def main():
        stress_simulator.run({"buy": buy}, agents=2, operations_per_agent=2, **CALM)
    asyncio.run(main())
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *an event loop is already running in this test; *await stress_simulator.run_async(...)"]
    )


def test_run_async_works_under_asyncio_run(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
def test_it(stress_simulator):
    async def main():
        result = await stress_simulator.run_async({"buy": buy}, agents=2, operations_per_agent=5, **CALM)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result
    assert asyncio.run(main()).successes == 10

def test_its_failure_message_is_that_of_run(stress_simulator):
    async def fails(operation):
        raise LookupError("no order")
    with pytest.raises(AssertionError, match="(?s)no order.*repeat this run with"):
        asyncio.run(stress_simulator.run_async({"buy": fails}, agents=1, operations_per_agent=1, **CALM))
    with pytest.raises(ValueError, match="agnets"):
        asyncio.run(stress_simulator.run_async({"buy": buy}, agnets=1))
""",
    ).assert_outcomes(passed=2)


def test_hypothesis_gives_examples_to_async_targets(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
from hypothesis import given, settings, strategies as st

@settings(max_examples=10, deadline=None)
@given(agents=st.integers(1, 5))
def test_it(stress_simulator, agents):
    result = stress_simulator.run({"buy": buy}, agents=agents, operations_per_agent=3, **CALM)
    assert result.successes == agents * 3
""",
    ).assert_outcomes(passed=1)


def test_async_targets_run_in_workers_of_xdist(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
@pytest.mark.parametrize("number", range(4))
def test_it(stress_simulator, number):
    assert stress_simulator.run({"buy": buy}, agents=3, operations_per_agent=3, **CALM).successes == 9
""",
        "-n2",
    ).assert_outcomes(passed=4)


def test_a_coroutine_body_is_refused_in_one_line(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.stress
async def test_it():
    pass
""",
    )
    assert "passed" not in result.parseoutcomes()
    assert "async" in result.stdout.str() or "coroutine" in result.stdout.str()
    assert "INTERNALERROR" not in result.stdout.str()


@pytest.mark.usefixtures("short_grace")
def test_a_hung_async_target_fails_the_test_and_the_next_one_runs(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(stress_simulator):
    async def waits(operation):
        await asyncio.Event().wait()
    stress_simulator.run({"buy": waits}, agents=2, operations_per_agent=2, operation_timeout=0.3, **CALM)

def test_next(stress_simulator):
    assert stress_simulator.run({"buy": buy}, agents=2, operations_per_agent=2, **CALM).successes == 4
""",
    )
    result.assert_outcomes(failed=1, passed=1)
    assert "hung" in result.stdout.str()


# Ctrl-C.


WAITING = {
    "awaits forever": "await asyncio.Event().wait()",
    "sleeps": "await operation.sleep(3600)",
    "blocks the loop": "time.sleep(3600)",
    "uses the processor": "for _ in iter(int, 1): sum(range(100_000)), await asyncio.sleep(0)",
}
TASK = """
async def waits(operation):
    if operation.index == 3:
        STARTED.touch()
        {waiting}

SETTINGS = dict(agents=["Ann", "Bob"], operations_per_agent=1000, operation_timeout="1h", **CALM)

@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()
"""


OWN_LOOP = "def test_it(stress_simulator):\n    stress_simulator.run({'buy': waits}, **SETTINGS)\n"
LOOP_OF_A_FIXTURE = "def test_it(loop, stress_simulator):\n    stress_simulator.run({'buy': waits}, **SETTINGS)\n"
AWAITED = (
    "def test_it(stress_simulator):\n    asyncio.run(stress_simulator.run_async({'buy': waits}, **SETTINGS))\n"
)


@pytest.mark.parametrize(
    ("test", "ways"),
    [
        (OWN_LOOP, ["awaits forever", "blocks the loop"]),
        (LOOP_OF_A_FIXTURE, ["uses the processor", "sleeps", "blocks the loop"]),
        (AWAITED, ["awaits forever"]),
    ],
    ids=["the run's own loop", "the loop of a fixture", "awaited by asyncio.run"],
)
def test_ctrl_c_ends_a_run_of_async_tasks(
    pytester: pytest.Pytester, interrupt: Callable[..., list[Any]], test: str, ways: list[str]
) -> None:
    projects = [
        project(pytester.mkdir(way.replace(" ", "-")), TASK.format(waiting=WAITING[way]) + test) for way in ways
    ]
    for ended in interrupt(*projects):
        assert ended.stats["successful_operations"] >= 3
        assert "never awaited" not in ended.output
        assert "was destroyed" not in ended.output
