"""Compares what runs report with what their targets counted themselves, over random settings.

    python benchmarks/differential.py                 600 runs
    python benchmarks/differential.py 5000            any number
    python benchmarks/differential.py 1 --first 4711  one of them again

The target of a run counts its own calls and exceptions, by operation where a task takes the operation. Records,
log, snapshot, CSV file and statistics must agree with these counts and with each other. The settings of a run are
a function of its number: engine, agents, tasks, faults, retries, fault windows, network, ramp, duration, checks.
The test suite makes the first 60 runs.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

_ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "src")]

from pytest_nos_stress import (  # noqa: E402
    MultiAgentSimulator,
    Operation,
    RunFailed,
    StressResult,
    cooperating_locks,
    eventually,
)

_TESTED_NOTHING: Final = ("the target was never called", "fault_windows=")
OUTCOMES: Final = ("success", "failed", "missing_data")
_FAULTS: Final[tuple[Any, ...]] = (
    None,
    "binance",
    {"reject": 1, "overload": {"weight": 2, "burst": 3}},
    {"rate_limit": {"limit": 7, "per": 60.0}, "lost_reply": 1, "lost_request": 1},
    {"maintenance": {"at": 0.0, "lasts": 0.004}, "reject": 1},
    {"late_execution": {"timeout": 0.0005, "delay": (0, 0.001)}, "duplicate_ack": 1},
    {"unknown_state": {"delay": (0, 0.001)}, "late_status": {"delay": (0, 0.001)}},
)
_MISSING_DATA: Final[tuple[Any, ...]] = (
    None,
    None,
    {"stale": 1, "undefined": 1},
    {"unavailable": 2, "crossed": 1},
)
_NETWORKS: Final[tuple[Any, ...]] = (
    None,
    None,
    {"latency": "200us", "jitter": "100us", "loss": "20%", "timeout": 0.001},
    {"latency": "100us", "timeout": 0.001, "partitions": [(0.001, 0.004)]},
)
_WINDOWS: Final[tuple[Any, ...]] = (None, None, [(0, 0.002), {"after": "open", "lasts": 5}])


class Called(NamedTuple):
    """A call as the target saw it. Agent and operation are empty if the task takes no operation."""

    agent: str
    operation: int
    task: str


class Target:
    """A target that counts its own calls and raises exceptions that depend on the operation alone."""

    def __init__(self, random: Random) -> None:
        self.calls: list[Called] = []
        self.errors: Counter[Called] = Counter()
        self.expected: set[Called] = set()
        self._lock = threading.Lock()
        self._seed = random.getrandbits(32)

    def trade(self, operation: Operation) -> None:
        called = Called(operation.agent, operation.index, operation.task)
        with self._lock:
            self.calls.append(called)
        if operation.index == 2:
            operation.announce("open")
        draw = Random(f"{self._seed} {called}").random()
        if draw < 0.05:
            self.errors[called] += 1
            raise LookupError(f"no order\n{operation.index}")
        if draw < 0.1:
            self.expected.add(called)
            raise TimeoutError("expected")
        if draw < 0.15 and operation.fault is not None:
            operation.market.quote("AAPL")

    def plain(self, task: str) -> Callable[[], None]:
        def call() -> None:
            with self._lock:
                self.calls.append(Called("", 0, task))

        return call

    async def trade_async(self, operation: Operation) -> None:
        await asyncio.sleep(0)
        self.trade(operation)

    def plain_async(self, task: str) -> Callable[[], Any]:
        plain = self.plain(task)

        async def call() -> None:
            plain()

        return call


def settings_of(number: int) -> dict[str, Any]:
    """Return the settings of a run by its number."""
    random = Random(f"settings {number}")
    faults = random.choice(_FAULTS)
    # A broker's unknown states take seconds, which pass at once in virtual time only.
    engine = "virtual" if faults == "binance" else random.choice(("threads", "asyncio", "virtual"))
    settings: dict[str, Any] = {
        "engine": engine,
        "agents": random.randint(1, 6),
        "seed": random.getrandbits(32),
        "missing_data_prob": random.choice((0, 0.2, 0.6)),
        "failure_prob": random.choice((0, 0.1, 0.5)),
        "min_delay": 0,
        "max_delay": random.choice((0, 0.001)),
        "retries": random.choice((0, 0, {"times": 2, "backoff": 0.0002})),
        "missing_data": random.choice(_MISSING_DATA),
        "network": random.choice(_NETWORKS),
        "fault_windows": random.choice(_WINDOWS),
        "own_threads": random.choice((True, False)),
        "every": random.choice((None, 1, 7)),
    }
    settings |= {"failure_mode": random.choice(("lost_reply", "mixed"))} if faults is None else {"faults": faults}
    if random.random() < 0.25:
        settings["duration"] = 0.03
        settings["max_delay"] = 0.001
    else:
        settings["operations_per_agent"] = random.randint(1, 40)
    if random.random() < 0.3:
        settings |= {"ramp": 0.002, "warmup": 0.002}
    return {name: value for name, value in settings.items() if value is not None}


def differences(number: int) -> list[str]:
    """Make the run of this number. Return a line for each difference between its counts."""
    random = Random(f"target {number}")
    settings = settings_of(number)
    target = Target(random)
    on_loop = settings["engine"] == "asyncio"
    tasks: dict[str, Any] = {"trade": target.trade_async if on_loop else target.trade}
    if random.random() < 0.7:
        tasks["plain"] = (target.plain_async if on_loop else target.plain)("plain")
    checks: list[Any] = [lambda: len(target.calls) >= 0]
    if random.random() < 0.3 and "duration" not in settings:
        checks.append(eventually("called", lambda: bool(target.calls), within=5))
    with tempfile.TemporaryDirectory(prefix="nos-stress-differential-") as directory, cooperating_locks():
        simulator = MultiAgentSimulator(
            target=tasks,
            output_dir=directory,
            checks=checks,
            expected_errors=(TimeoutError,),
            records="csv",
            report="none",
            gate=False,
            **settings,
        )
        try:
            result = simulator.run()
        except RunFailed as failure:
            if simulator.result is None or not str(failure).startswith(_TESTED_NOTHING):
                raise
            result = simulator.result  # the counts must agree all the same
        found = [*_against_target(result, target), *_between_files(result, Path(directory))]
    return [f"run {number} ({settings}): {line}" for line in found]


def _differ(what: str, reported: object, counted: object) -> Iterator[str]:
    if reported != counted:
        yield f"{what}: reported {reported!r}, counted {counted!r}"


def _against_target(result: StressResult, target: Target) -> Iterator[str]:
    """Compare the records with what the target counted."""
    records = result.records
    rows = {
        Called(records.agents[row["agent"]], int(row["index"]), records.tasks[row["task"]]): row for row in records
    }
    called = {operation for operation, row in rows.items() if row["called"]}
    counted = Counter(call.task for call in set(target.calls)) | Counter(
        call.task for call in target.calls if not call.agent
    )
    by_operation = {operation for operation in called if operation.task == "trade"}
    yield from _differ("operations called", by_operation, {call for call in target.calls if call.agent})
    repeated = sum(call.agent == "" for call in target.calls)
    plain = len(called) - len(by_operation)
    if not plain <= repeated <= plain * (1 if not _calls_twice(result) else 4):
        yield f"calls of the plain task: reported {plain}, counted {repeated}"
    yield from _differ("called", len(called), result.stats["calls"])
    yield from _differ("tasks called", set(counted), {operation.task for operation in called})
    is_error = {operation for operation, row in rows.items() if row["is_error"]}
    yield from _differ("errors", is_error, set(target.errors))
    for operation in target.expected - is_error:
        yield from _differ(f"outcome of {operation}", OUTCOMES[rows[operation]["outcome"]], "failed")
    for operation, row in rows.items():
        if not row["called"] and OUTCOMES[row["outcome"]] == "success":
            yield f"{operation} succeeded without a call"
    yield from _differ(
        "error_types", [kind["count"] for kind in result.error_types], [len(is_error)] * bool(is_error)
    )
    yield from _differ("expected", set(result.stats["expected_error_types"]) - {"TimeoutError"}, set())


def _calls_twice(result: StressResult) -> bool:
    """Return True if an operation can enter the target more than once: by a retry or a repeated execution."""
    return bool(result.stats["retries"]) or bool({"duplicate_ack", "late_execution"} & set(result.stats["faults"]))


def _between_files(result: StressResult, directory: Path) -> Iterator[str]:
    """Compare log, snapshot, CSV file and statistics with the records."""
    records, stats = result.records, json.loads((directory / "simulation_statistics.json").read_text())
    outcomes = Counter(OUTCOMES[outcome] for outcome in records["outcome"].tolist())
    yield from _differ("total", stats["total_operations"], len(records))
    for outcome, key in zip(OUTCOMES, _KEYS, strict=True):
        yield from _differ(key, stats[key], outcomes[outcome])
        yield from _differ(
            f"{key} of agents", sum(part[key] for part in stats["agent_stats"].values()), stats[key]
        )
        yield from _differ(f"{key} of tasks", sum(part[key] for part in stats["tasks"].values()), stats[key])
    yield from _differ("errors", stats["errors"], int(records["is_error"].sum()))
    yield from _differ("errors of tasks", sum(part["errors"] for part in stats["tasks"].values()), stats["errors"])
    yield from _differ("calls", stats["calls"], int(records["called"].sum()))
    if result.scenario.engine != "virtual":
        yield from _differ("latencies", stats["latency"]["count"], stats["calls"])
    log = Counter(_in_log(line) for line in (directory / "stress_test_results.log").read_text().splitlines())
    by_agent = Counter(
        (records.agents[row["agent"]], records.tasks[row["task"]], OUTCOMES[row["outcome"]]) for row in records
    )
    yield from _differ("log", log, by_agent)
    snapshot = json.loads((directory / "agent_memory_snapshot.json").read_text())
    in_snapshot = Counter((entry["agent"], entry["task"], "success") for entry in snapshot)
    yield from _differ(
        "snapshot", in_snapshot, Counter({key: by_agent[key] for key in by_agent if key[2] == "success"})
    )
    with (directory / "stress_test_records.csv").open(newline="") as file:
        rows = [
            (row["agent"], row["task"], int(row["index"]), row["outcome"], row["error"], row["called"])
            for row in csv.DictReader(file)
        ]
    in_records = [
        (
            records.agents[row["agent"]],
            records.tasks[row["task"]],
            int(row["index"]),
            OUTCOMES[row["outcome"]],
            str(bool(row["is_error"])).lower(),
            str(bool(row["called"])).lower(),
        )
        for row in records
    ]
    yield from _differ("CSV file", rows, in_records)


_KEYS: Final = ("successful_operations", "failed_operations", "missing_data_events")
_IN_LOG: Final = re.compile(
    r" - (?:INFO - (?P<success>\w+) successfully completed (?P<successful>\w+)"
    r"|ERROR - (?P<failed>\w+) failed to complete (?P<failing>\w+) task\."
    r"|WARNING - (?P<missing>\w+) encountered missing data during (?P<lacking>\w+) task\.)"
)


def _in_log(line: str) -> tuple[str, str, str]:
    """Return agent, task and outcome of a line of the log."""
    match = _IN_LOG.search(line)
    if match is None:
        return "", line, ""
    for agent, task, outcome in zip(match.groups()[::2], match.groups()[1::2], OUTCOMES, strict=True):
        if agent is not None:
            return agent, task, outcome
    raise AssertionError(line)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare what runs report with what their targets counted.")
    parser.add_argument("runs", nargs="?", type=int, default=600, help="number of runs (default: 600)")
    parser.add_argument("--first", type=int, default=0, help="number of the first run (default: 0)")
    options = parser.parse_args()
    began, found = time.perf_counter(), 0
    for number in range(options.first, options.first + options.runs):
        lines = differences(number)
        found += bool(lines)
        for line in lines:
            print(line, flush=True)
    print(f"{options.runs} runs in {time.perf_counter() - began:.1f} s, {found} with differences")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
