"""With pytest-asyncio or anyio, agents run on the event loop of the user's fixtures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Imported first, since pytester unloads the modules that its runs import, and NumPy cannot be imported twice.
import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401

PREAMBLE = """
import asyncio, gc, pathlib, threading, time
import anyio
import pytest
import pytest_asyncio

STARTED = pathlib.Path("started")
CALM = dict(missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0)
QUICK = dict(tasks=["buy"], agents=4, operations_per_agent=20, **CALM)

class Service:
    # Like a connection pool, it can be used only on the loop on which it was made.
    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.lock = asyncio.Lock()
        self.done = 0
        self.is_open = True
    async def buy(self, operation):
        assert asyncio.get_running_loop() is self.loop
        assert self.is_open
        async with self.lock:
            done = self.done
            await asyncio.sleep(0)
            self.done = done + 1
    async def close(self):
        assert asyncio.get_running_loop() is self.loop
        self.is_open = False

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def write(pytester: pytest.Pytester, code: str, scope: str = "function", mode: str = "strict") -> None:
    pytester.makeini(
        f"[pytest]\nfilterwarnings = error\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = {scope}\n"
        f"asyncio_default_test_loop_scope = {scope}\n"
    )
    pytester.makepyfile(PREAMBLE + code)


def passes(pytester: pytest.Pytester, *options: str, **outcomes: int) -> None:
    result = pytester.runpytest("--stress", *options)
    result.assert_outcomes(**outcomes)
    assert "never awaited" not in result.stdout.str() + result.stderr.str()
    assert "was destroyed" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_run_async_and_run_use_the_loop_of_pytest_asyncios_fixtures(pytester: pytest.Pytester, scope: str) -> None:
    write(
        pytester,
        f"""
@pytest_asyncio.fixture(loop_scope="{scope}", scope="{scope}")
async def service():
    service = Service()
    yield service
    await service.close()

class Test:
    @pytest.mark.asyncio(loop_scope="{scope}")
    async def test_awaited(self, service, stress_simulator):
        before = service.done
        result = await stress_simulator.run_async(service, **QUICK)
        assert result.successes == service.done - before == 80
        assert len(asyncio.all_tasks()) <= 2
        again = await stress_simulator.run_async(service, **QUICK)
        assert again.successes == service.done - before - 80 == 80

    def test_sync(self, service, stress_simulator):
        before = service.done
        assert stress_simulator.run(service, **QUICK).successes == service.done - before == 80

    @pytest.mark.asyncio(loop_scope="{scope}")
    async def test_awaited_again(self, service, stress_simulator):
        assert (await stress_simulator.run_async(service, **QUICK)).successes == 80

def test_own_loop(stress_simulator):
    async def buy(operation):
        await operation.sleep(0.001)
    assert stress_simulator.run(buy, **QUICK).successes == 80
    gc.collect()
    assert [thread.name for thread in threading.enumerate() if "stress" in thread.name] == []
""",
        scope=scope,
    )
    passes(pytester, passed=4)


def test_run_async_and_run_use_the_loop_of_anyios_fixtures(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
@pytest.fixture
async def service(anyio_backend):
    service = Service()
    yield service
    await service.close()

@pytest.mark.anyio
async def test_awaited(service, stress_simulator):
    assert (await stress_simulator.run_async(service, **QUICK)).successes == service.done == 80

def test_sync(service, stress_simulator):
    assert stress_simulator.run(service, **QUICK).successes == service.done == 80
""",
    )
    passes(pytester, passed=2)


@pytest.mark.parametrize("scope", ["module", "session"])
def test_fixtures_of_anyio_with_a_wider_scope_keep_their_loop(pytester: pytest.Pytester, scope: str) -> None:
    write(
        pytester,
        f"""
@pytest.fixture(scope="{scope}")
def anyio_backend():
    return "asyncio"

@pytest.fixture(scope="{scope}")
async def service(anyio_backend):
    service = Service()
    yield service
    await service.close()

@pytest.mark.anyio
async def test_awaited(service, stress_simulator):
    assert (await stress_simulator.run_async(service, **QUICK)).successes == 80

def test_sync(service, stress_simulator):
    assert stress_simulator.run(service, **QUICK).successes == 80
    assert service.done == 160

@pytest.mark.anyio
async def test_awaited_again(service, stress_simulator):
    assert (await stress_simulator.run_async(service, **QUICK)).successes == 80
""",
    )
    passes(pytester, passed=3)


def test_auto_mode_needs_no_asyncio_marker(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
@pytest.fixture
async def service():
    return Service()

async def test_awaited(service, stress_simulator):
    assert (await stress_simulator.run_async(service, **QUICK)).successes == 80

@pytest.mark.stress(agents=3)
async def test_marked(service, stress_simulator):
    settings = {**QUICK}
    del settings["agents"]
    assert (await stress_simulator.run_async(service, **settings)).successes == 60
""",
        mode="auto",
    )
    passes(pytester, passed=2)


def test_async_tests_are_stress_tests_and_skipped_without_the_option(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
@pytest.mark.asyncio
async def test_awaited(stress_simulator):
    assert False
""",
    )
    pytester.runpytest().assert_outcomes(skipped=1)


def test_an_async_test_that_never_runs_the_simulator_fails(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
@pytest.mark.asyncio
async def test_forgets(stress_simulator):
    stress_simulator
""",
    )
    pytester.runpytest("--stress").assert_outcomes(failed=1)


def test_an_async_test_as_the_task_is_refused_with_a_message(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
@pytest.mark.stress
@pytest.mark.asyncio
async def test_body():
    pass
""",
    )
    result = pytester.runpytest("--stress")
    assert "passed" not in result.parseoutcomes()
    assert "INTERNALERROR" not in result.stdout.str()
    assert "async" in result.stdout.str() or "coroutine" in result.stdout.str()


def test_run_in_an_async_test_is_refused_in_one_line_and_run_async_works(
    pytester: pytest.Pytester,
) -> None:
    write(
        pytester,
        """
@pytest.mark.asyncio
async def test_it(stress_simulator):
    service = Service()
    with pytest.raises(ValueError, match=r"^[^\\n]*await stress_simulator\\.run_async[^\\n]*$"):
        stress_simulator.run(service, **QUICK)
    assert (await stress_simulator.run_async(service, **QUICK)).successes == 80
""",
    )
    passes(pytester, passed=1)


@pytest.mark.parametrize("end", ["thresholds", "error", "skip", "xfail", "hung"])
def test_the_end_of_an_awaited_run_decides_the_outcome_of_the_test(pytester: pytest.Pytester, end: str) -> None:
    write(
        pytester,
        f"""
END = "{end}"

@pytest.mark.asyncio
async def test_it(stress_simulator):
    async def buy(operation):
        await asyncio.sleep(0)
        if operation.index < 2:
            return
        if END == "error":
            raise LookupError("no order")
        if END == "skip":
            pytest.skip("closed")
        if END == "xfail":
            pytest.xfail("closed")
        if END == "hung":
            await asyncio.Event().wait()
    await stress_simulator.run_async(buy, **QUICK, operation_timeout=0.3, thresholds=["operations > 1000"])

@pytest.mark.asyncio
async def test_next(stress_simulator):
    assert (await stress_simulator.run_async(Service(), **QUICK)).successes == 80
""",
    )
    result = pytester.runpytest("--stress")
    outcome = {"skip": "skipped", "xfail": "xfailed"}.get(end, "failed")
    result.assert_outcomes(**{outcome: 1, "passed": 1})
    message = {"thresholds": "operations > 1000", "error": "no order", "hung": "hung"}.get(end, "")
    assert message in result.stdout.str()
    assert "was never retrieved" not in result.stdout.str() + result.stderr.str()


def test_a_cancel_scope_of_anyio_ends_a_run_without_blocking_the_loop(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
@pytest.mark.anyio
async def test_it(stress_simulator):
    async def buy(operation):
        await operation.sleep(0.01)
    longest = 0.0
    async def watch():
        nonlocal longest
        while True:
            before = time.monotonic()
            await anyio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        with anyio.move_on_after(0.4) as scope:
            await stress_simulator.run_async(buy, tasks=["buy"], agents=3, operations_per_agent=1000, **CALM)
        await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    assert scope.cancelled_caught
    assert stress_simulator.results[0].stats["status"] == "interrupted"
    assert longest < 1
""",
    )
    passes(pytester, passed=1)


def test_async_agents_meet_the_faults_of_a_flaky_async_client(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
class Broker:
    def __init__(self):
        self.orders = []
    async def submit(self, order):
        await asyncio.sleep(0)
        self.orders.append(order)

@pytest_asyncio.fixture
async def broker():
    return Broker()

@pytest.mark.asyncio
async def test_it(broker, stress_simulator):
    client = stress_simulator.flaky(broker)
    async def buy(operation):
        await client.submit(operation.id)
    result = await stress_simulator.run_async(buy, **QUICK | dict(failure_prob=0.3), seed=1)
    assert len(broker.orders) == result.successes < 80
    assert result.errors == 0
""",
    )
    passes(pytester, passed=1)


def test_async_tests_run_under_xdist(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(4))
async def test_it(number, stress_simulator):
    assert (await stress_simulator.run_async(Service(), **QUICK)).successes == 80
""",
    )
    passes(pytester, "-n2", passed=4)


def test_the_snippet_in_the_guide_passes(pytester: pytest.Pytester) -> None:
    page = Path(__file__).parents[2] / "docs" / "async.md"
    (snippet,) = re.findall(r"^```py\n(.*?)^```$", page.read_text(), re.M | re.S)
    write(pytester, snippet)
    passes(pytester, passed=1)


WAITING = {
    "awaits forever": "await asyncio.Event().wait()",
    "uses the processor": "for _ in iter(int, 1): sum(range(100_000)), await asyncio.sleep(0)",
}


@pytest.mark.parametrize(
    ("wait", "plugin"),
    [
        ("awaits forever", "asyncio"),
        ("uses the processor", "asyncio"),
        ("uses the processor", "anyio"),
        ("awaits forever", "sync"),
    ],
)
def test_ctrl_c_ends_a_run_keeps_its_files_and_ends_the_session(
    pytester: pytest.Pytester, interrupt: Callable[..., list[Any]], wait: str, plugin: str
) -> None:
    test = {
        "asyncio": "@pytest.mark.asyncio\nasync def test_it(service, stress_simulator):\n    await ",
        "anyio": "@pytest.mark.anyio\nasync def test_it(anyio_service, stress_simulator):\n    await ",
        "sync": "def test_it(service, stress_simulator):\n    ",
    }[plugin]
    write(
        pytester,
        f"""
@pytest_asyncio.fixture
async def service():
    yield Service()

@pytest.fixture
async def anyio_service(anyio_backend):
    yield Service()

async def waits(operation):
    if operation.index == 3:
        STARTED.touch()
        {WAITING[wait]}

{test}stress_simulator.run{"" if plugin == "sync" else "_async"}(
        {{"buy": waits}}, agents=["Ann", "Bob"], operations_per_agent=1000, operation_timeout="1h", **CALM)
""",
    )
    (ended,) = interrupt(pytester.path)
    assert ended.stats["successful_operations"] >= 3
    assert "never awaited" not in ended.output
    assert "was destroyed" not in ended.output
