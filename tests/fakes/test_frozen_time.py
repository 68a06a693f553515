"""Under freezegun and time-machine, runs measure real time, and the target sees the frozen time."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime

import pytest

PREAMBLE = """
import asyncio, datetime, json, threading, time
import freezegun
import pytest
import time_machine

SECONDS = 0.05
really_now, really_sleep = time.time(), time.sleep
CALM = dict(
    agents=2, operations_per_agent=2, missing_data_prob=0, failure_prob=0, min_delay=0.001, max_delay=0.001,
    report="none",
)
FREEZES = {
    "freezegun": lambda: freezegun.freeze_time("2012-01-14"),
    "real_asyncio": lambda: freezegun.freeze_time("2012-01-14", real_asyncio=True),
    "ticking": lambda: freezegun.freeze_time("2012-01-14", tick=True),
    "jumping": lambda: freezegun.freeze_time("2012-01-14", auto_tick_seconds=3600),
    "time_machine": lambda: time_machine.travel(datetime.datetime(2012, 1, 14), tick=False),
    "time_machine ticking": lambda: time_machine.travel(datetime.datetime(2012, 1, 14)),
}

def is_frozen():
    assert datetime.datetime.now().year == 2012
    assert time.strftime("%Y") == "2012"
    assert time.localtime().tm_year == 2012
    assert time.gmtime(time.time()).tm_year == 2012
    assert time.time_ns() < 1_400_000_000 * 10**9

def blocks():
    is_frozen()
    really_sleep(SECONDS)

async def waits():
    is_frozen()
    await asyncio.sleep(SECONDS)

async def blocks_the_loop():
    is_frozen()
    really_sleep(SECONDS)

def sleeps(operation):
    is_frozen()
    operation.sleep(SECONDS)

def require_real_time(result, begin=really_now):
    assert result.errors == 0, result.stats["error_types"]
    assert result.operations == 4
    assert result.latency.min >= SECONDS
    (verdict,) = [verdict for verdict in result.verdicts if verdict.threshold.metric == "latency"]
    assert verdict.verdict == "failed"
    now = begin + 600
    for name in ("start_time", "end_time"):
        assert begin - 1 < datetime.datetime.fromisoformat(result.stats[name]).timestamp() < now
    for line in (result.output_dir / "stress_test_results.log").read_text().splitlines():
        assert begin - 2 < datetime.datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S").timestamp() < now

def run(simulator, task, **settings):
    settings = CALM | {"gate": False, "thresholds": ["latency.p50 < 1ms"]} | settings
    return simulator.run(target={"buy": task}, **settings)

async def run_async(simulator, task, **settings):
    settings = CALM | {"gate": False, "thresholds": ["latency.p50 < 1ms"]} | settings
    return await simulator.run_async(target={"buy": task}, **settings)
"""


def passes(pytester: pytest.Pytester, code: str, *options: str, **outcomes: int) -> pytest.RunResult:
    pytester.makepyfile(PREAMBLE + code)
    result = pytester.runpytest_subprocess("--stress", "-p", "no:cacheprovider", *options, timeout=120)
    result.assert_outcomes(**outcomes)
    return result


def test_latencies_and_times_are_real_and_the_target_is_frozen(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.mark.parametrize("task", [blocks, waits, sleeps])
@pytest.mark.parametrize("freeze", FREEZES)
def test_it(stress_simulator, freeze, task):
    with FREEZES[freeze]():
        result = run(stress_simulator, task)
    require_real_time(result)
""",
        passed=18,
    )


def test_the_first_test_may_be_frozen_by_a_fixture_a_decorator_or_a_marker(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.fixture(scope="module", autouse=True)
def frozen():
    with freezegun.freeze_time("2012-01-14"):
        yield

def test_fixture(stress_simulator):
    result = run(stress_simulator, waits)
    is_frozen()
    with freezegun.freeze_time(datetime.datetime.fromtimestamp(really_now)):
        require_real_time(result)

@freezegun.freeze_time("2012-01-14")
def test_decorator(stress_simulator):
    require_real_time(run(stress_simulator, blocks))

@pytest.mark.stress(**CALM, thresholds=["latency.min >= 50ms"])
def test_body():
    blocks()
""",
        passed=3,
    )


def test_a_gate_fails_under_frozen_time(pytester: pytest.Pytester) -> None:
    result = passes(
        pytester,
        """
@freezegun.freeze_time("2012-01-14", real_asyncio=True)
def test_gate(stress_simulator):
    run(stress_simulator, blocks, gate=True)
""",
        failed=1,
    )
    result.stdout.fnmatch_lines(["*latency.p50 < 1ms*5*ms*"])


def test_an_operation_that_hangs_is_noticed(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
from pytest_nos_stress import RunFailed
FREEZE = FREEZES["freezegun"]
released = threading.Event()

async def hangs_on_the_loop():
    await asyncio.Event().wait()

async def sleeps_forever():
    await asyncio.sleep(3600)

@pytest.mark.parametrize("engine", ["threads", "virtual"])
def test_threads(stress_simulator, engine):
    with FREEZE(), pytest.raises(RunFailed, match="operation_timeout"):
        run(stress_simulator, lambda: really_sleep(1.5), engine=engine, operation_timeout=0.2)

@pytest.mark.parametrize("task", [hangs_on_the_loop, sleeps_forever])
def test_loop(stress_simulator, task):
    with FREEZE(), pytest.raises(RunFailed, match="operation_timeout"):
        run(stress_simulator, task, operation_timeout=0.2)

def test_loop_of_the_user(stress_simulator):
    with FREEZE(), pytest.raises(RunFailed, match="operation_timeout"):
        asyncio.run(run_async(stress_simulator, sleeps_forever, operation_timeout=0.2))
""",
        passed=5,
    )


def test_a_run_on_a_frozen_loop_of_the_user_ends(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.mark.parametrize("freeze", FREEZES)
def test_it(stress_simulator, freeze):
    with FREEZES[freeze]():
        result = asyncio.run(run_async(stress_simulator, blocks_the_loop))
    require_real_time(result)
""",
        passed=6,
    )


def test_virtual_time_is_the_same_whether_time_is_frozen_or_not(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_it(stress_simulator):
    def log():
        def task(operation):
            operation.sleep(SECONDS)
        result = run(stress_simulator, task, engine="virtual", seed=1)
        return (result.output_dir / "stress_test_results.log").read_text(), result.latency.min
    logs = {log()}
    for freeze in FREEZES.values():
        with freeze():
            logs.add(log())
    ((_, latency),) = logs
    assert latency == SECONDS
""",
        passed=1,
    )


@pytest.mark.parametrize(
    "freeze", ['freezegun.freeze_time("2012-01-14")', 'time_machine.travel("2012-01-14 00:00", tick=False)']
)
def test_a_script_may_import_the_package_while_time_is_frozen(freeze: str, pytester: pytest.Pytester) -> None:
    code = f"""
import time, freezegun, time_machine
really_sleep = time.sleep
with {freeze}:
    from pytest_nos_stress import run_stress_test
    stats = run_stress_test(
        1, target={{"buy": lambda: really_sleep(0.05)}}, operations_per_agent=1, min_delay=0, max_delay=0,
        missing_data_prob=0, failure_prob=0, report="none",
    )
print(stats["latency"]["min"] >= 0.05, stats["start_time"])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    measured, start = process.stdout.split()
    assert measured == "True"
    assert abs(datetime.fromisoformat(start).timestamp() - time.time()) < 120
