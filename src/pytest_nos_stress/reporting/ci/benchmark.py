"""The runs' latencies as a benchmark file that github-action-benchmark and Bencher both read.

It is the JSON that pytest-benchmark writes: ``tool: pytest`` in github-action-benchmark, ``--adapter
python_pytest`` in Bencher. Their own formats differ (an array there, an object here), so this is the one that
serves both. Of each benchmark the one reads ``fullname``, ``stats.ops``, ``stats.mean``, ``stats.stddev`` and
``stats.rounds`` (``extractPytestResult``), the other ``fullname`` and ``mean``, ``stddev``, ``median`` and ``iqr``
(``AdapterPythonPytest``), and refuses a file in which one of them is missing or null.

A benchmark has room for one duration. So each percentile of a run is a benchmark of its own, measured once: in
seconds, and its reciprocal as ``ops``, as pytest-benchmark defines it. The rest of a run's figures are beside it
in ``extra_info``, which people may read and the two do not.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pytest_nos_stress._internal.text import shorten
from pytest_nos_stress.reporting.summary import by_name
from pytest_nos_stress.results.aggregation import percent_of, samples_needed
from pytest_nos_stress.results.status import COMPLETED
from pytest_nos_stress.results.summary_types import Summary

from .names import distinct, run_name

FORMAT_VERSION: Final = "5.1.0"
"""The version of pytest-benchmark whose fields the file has."""
_PERCENTILES: Final = ("p50", "p95", "p99")
_LONGEST_NAME: Final = 1024
_EXTRA: Final = ("operations", "throughput", "failure_rate", "error_rate", "missing_data_rate", "verdict")


def render(runs: Sequence[Summary]) -> str:
    """The benchmark file's text, with p50, p95 and p99 of each run's latency.

    Left out are runs that were cut short, whose figures compare with no other's, percentiles of fewer than 1/(1-p)
    operations, and latencies of zero, which modelled time may have. A file without any benchmark is one that
    github-action-benchmark refuses.
    """
    measured = [(run, figure, seconds) for run in runs for figure, seconds in _figures(run)]
    names = distinct(f"{_room_for_more(run_name(run))} latency {figure}" for run, figure, _ in measured)
    document = {
        "machine_info": _machine(),
        "commit_info": {},
        "benchmarks": [
            _benchmark(name, seconds, run) for name, (run, _, seconds) in zip(names, measured, strict=True)
        ],
        "version": FORMAT_VERSION,
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
    """What pytest-benchmark says of a benchmark of one round."""
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
    """What decides how fast Python is, and nothing that names the machine."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "python_implementation": platform.python_implementation(),
        "python_version": platform.python_version(),
    }


def _room_for_more(name: str) -> str:
    """The name short enough for Bencher, which counts bytes, with what is to follow it."""
    room = _LONGEST_NAME - len(" latency p99 (100000)")
    return shorten(name, room) if name.isascii() else shorten(name, room // 4)
