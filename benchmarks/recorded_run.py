"""A program that measures the memory of one run, and the time that its statistics and report take.

``python -m benchmarks.recorded_run 4 250000`` runs 4 agents with 250,000 operations each. It prints as JSON the
bytes of the records' columns, the process's peak memory, the seconds for statistics, snapshot and HTML report, and
the report's bytes. With ``traced`` as a third argument it counts Python's allocations instead, which slows the run
down.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import tracemalloc
from pathlib import Path

from benchmarks import targets

from pytest_nos_stress import MultiAgentSimulator, StressResult
from pytest_nos_stress.reporting.files import snapshot
from pytest_nos_stress.reporting.html import page
from pytest_nos_stress.results.measurements import Measurements
from pytest_nos_stress.results.stats import compute

_REPETITIONS = 5


def run(agents: int, operations: int) -> StressResult:
    return MultiAgentSimulator(
        agents=agents,
        operations_per_agent=operations,
        min_delay=0,
        max_delay=0,
        output_dir="run",
        target=targets.NoOp(),
    ).run()


def highest_memory() -> int | None:
    """Return the peak of this process's resident memory in bytes; None if the system does not report it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(
        int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM")
    )


def traced_run(agents: int, operations: int) -> dict[str, object]:
    run(agents, 1)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    result = run(agents, operations)
    gc.collect()
    retained, peak = (bytes_ - before for bytes_ in tracemalloc.get_traced_memory())
    return {"operations": result.operations, "retained": retained, "peak": peak}


def plain_run(agents: int, operations: int) -> dict[str, object]:
    result = run(agents, operations)
    peak = highest_memory()
    records = result.operation_columns
    columns = sum(part.nbytes for column in records._columns.values() for part in column.chunks())
    statistics, snapshots, reports, size = [], [], [], 0
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        compute(Measurements(records, result.measured.started_ns), 0)
        computed = time.perf_counter()
        for _part in snapshot.snapshot_rows(records, 0):
            pass
        written = time.perf_counter()
        size = sum(map(len, page.render(result, result.summary)))
        statistics.append(computed - started)
        snapshots.append(written - computed)
        reports.append(time.perf_counter() - written)
    return {
        "operations": result.operations,
        "columns": columns,
        "peak": peak,
        "statistics": statistics,
        "snapshot": snapshots,
        "report": reports,
        "report_bytes": size,
    }


if __name__ == "__main__":
    measure = traced_run if sys.argv[3:] == ["traced"] else plain_run
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
