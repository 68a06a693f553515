"""Latencies of runs as a benchmark file that both github-action-benchmark and Bencher read.

The file has the JSON format of pytest-benchmark: ``tool: pytest`` in github-action-benchmark, ``--adapter
python_pytest`` in Bencher. The native formats of the two differ, so this is the only one that serves both.
github-action-benchmark reads ``fullname``, ``stats.ops``, ``stats.mean``, ``stats.stddev`` and ``stats.rounds`` of
each benchmark (``extractPytestResult``). Bencher reads ``fullname``, ``mean``, ``stddev``, ``median`` and ``iqr``
(``AdapterPythonPytest``), and rejects a file in which one of them is missing or null.

A benchmark holds one duration. So each percentile of a run is a separate benchmark with one round: the duration in
seconds, and its reciprocal as ``ops``, as pytest-benchmark defines it. The other figures of the run are in
``extra_info``, for people; the two tools ignore it.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pytest_nos_stress._internal.text import escape_controls, shorten
from pytest_nos_stress.reporting.summary import by_name
from pytest_nos_stress.results.aggregation import percent_of, samples_needed
from pytest_nos_stress.results.session_tests import NO_TESTS, SessionTests
from pytest_nos_stress.results.status import COMPLETED
from pytest_nos_stress.results.summary_types import Summary

from .names import distinct, run_name

FORMAT_VERSION: Final = "5.1.0"
"""Version of pytest-benchmark whose fields the file has."""
_PERCENTILES: Final = ("p50", "p95", "p99")
_LONGEST_NAME: Final = 1024
_EXTRA: Final = ("operations", "throughput", "failure_rate", "error_rate", "missing_data_rate", "verdict")


def render(runs: Sequence[Summary], session: SessionTests = NO_TESTS) -> str:
    """Render the benchmark file, with p50, p95 and p99 of each run's latency.

    It omits runs that were cut short (their figures cannot be compared), percentiles of fewer than 1/(1-p)
    operations, and latencies of zero, which occur in virtual time. github-action-benchmark rejects a file without
    benchmarks. ``tests`` has the outcome of every stress test, for people; the two tools ignore it.
    """
    measured = [(run, figure, seconds) for run in runs for figure, seconds in _figures(run)]
    names = distinct(f"{_shortened(run_name(run))} latency {figure}" for run, figure, _ in measured)
    document = {
        "machine_info": _machine(),
        "commit_info": {},
        "benchmarks": [
            _benchmark(name, seconds, run) for name, (run, _, seconds) in zip(names, measured, strict=True)
        ],
        "version": FORMAT_VERSION,
        "tests": [
            {"fullname": escape_controls(test["test"]), "outcome": test["outcome"], "reason": test["reason"]}
            for test in session.tests
        ],
        "stopped": session.stopped,
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _figures(run: Summary) -> Iterator[tuple[str, float]]:
    if run["status"] != COMPLETED:
        return
    for percentile in _PERCENTILES:
        seconds = by_name(run)["latency"].get(percentile)
        is_enough = run["operations"] >= samples_needed(percent_of(percentile))
        if seconds and math.isfinite(seconds) and is_enough:
            yield percentile, seconds


def _benchmark(fullname: str, seconds: float, run: Summary) -> dict[str, Any]:
    return {
        "group": None,
        "name": fullname.rpartition("::")[2],
        "fullname": fullname,
        "params": None,
        "param": None,
        "extra_info": {name: by_name(run)[name] for name in _EXTRA},
        "options": {},
        "stats": _measured_once(seconds),
    }


def _measured_once(seconds: float) -> dict[str, Any]:
    """Return the statistics that pytest-benchmark writes for a benchmark of one round."""
    same = ("min", "max", "mean", "median", "q1", "q3", "ld15iqr", "hd15iqr", "total")
    none = ("stddev", "iqr", "iqr_outliers", "stddev_outliers")
    return {
        **dict.fromkeys(same, seconds),
        **dict.fromkeys(none, 0),
        "outliers": "0;0",
        "ops": 1 / seconds,
        "rounds": 1,
        "iterations": 1,
        "data": [seconds],
    }


def _machine() -> dict[str, str]:
    """Describe platform and Python, which affect speed, without anything that identifies the machine."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "python_implementation": platform.python_implementation(),
        "python_version": platform.python_version(),
    }


def _shortened(name: str) -> str:
    """Shorten a name so that it fits Bencher's limit, which is in bytes, with the suffix that follows."""
    room = _LONGEST_NAME - len(" latency p99 (100000)")
    return shorten(name, room) if name.isascii() else shorten(name, room // 4)
