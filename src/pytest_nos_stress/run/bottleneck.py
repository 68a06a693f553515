"""Bottleneck detection: find out if the process that drives the agents limited a run, and not the target.

Agents and, in most tests, the target share one process: its processors, its interpreter (one GIL), its garbage
collector, and its event loop. If one of these is exhausted, latencies contain the wait for it, and the run says
more about the harness than about the target. ``detect_bottleneck`` returns a message, or an empty one if it cannot
know: in virtual time code takes no time, and a run of a fraction of a second is too short.

The lag is exact and needs no probe: it is the time from when an operation was due to when it began.
"""

from __future__ import annotations

from typing import Final

from pytest_nos_stress._internal.cpu import has_gil, processors
from pytest_nos_stress.engines.base import Engine
from pytest_nos_stress.results.aggregation import summarise_durations
from pytest_nos_stress.results.measurements import Measurements
from pytest_nos_stress.results.statistics_types import HarnessStatistics, LagFigures

from .process_monitor import ProcessMonitor

PROCESSOR: Final = "processor"
INTERPRETER: Final = "interpreter"
GARBAGE_COLLECTION: Final = "garbage collection"
EVENT_LOOP: Final = "event loop"
RECORDER: Final = "recorder"
CHECKS: Final = "checks"

_SHORTEST_RUN: Final = 0.5
_BUSY: Final = 0.85
_MACHINE_BUSY: Final = 0.95
_LATE: Final = 0.01
_SHARE_OF_LATENCY: Final = 0.1
_MOST_COLLECTING: Final = 0.1
_MOST_WAITING: Final = 0.1


def detect_bottleneck(
    monitor: ProcessMonitor,
    measured: Measurements,
    *,
    engine: type[Engine],
    waited_ns: int,
    checked_ns: int,
    agents: int,
) -> HarnessStatistics:
    """Return the figures of the harness, and its bottleneck if it has one. Times are in seconds.

    ``waited_ns`` is the time that agents waited for the recorder, summed over the agents. ``checked_ns`` is the
    time for which all agents were paused for checks. In virtual time the lag is the only figure, because the same
    scenario must always give the same statistics.
    """
    lag = summarise_durations(measured.lags)
    lags: LagFigures = {"p50": lag["p50"], "p99": lag["p99"], "max": lag["max"]}
    if engine.uses_virtual_time:
        return {"bottleneck": None, "words": "", "lag": lags}
    collections = monitor.collections
    figures: HarnessStatistics = {
        "bottleneck": None,
        "words": "",
        "lag": lags,
        "cpu": monitor.cores_used,
        "processors": processors(),
        "machine_busy": monitor.machine_busy,
        "gil": has_gil(),
        "gc": {
            "collections": collections.collections,
            "seconds": collections.seconds,
            "longest": collections.longest,
        },
        "waited_for_recorder": waited_ns / 1e9,
        "held_for_checks": checked_ns / 1e9,
    }
    part, message = None, ""
    if monitor.real_seconds >= _SHORTEST_RUN and measured.records.total:
        share = waited_ns / 1e9 / (agents * monitor.real_seconds)
        part, message = _bottleneck(figures, monitor, measured, engine, share)
    return {**figures, "bottleneck": part, "words": message}


def _bottleneck(
    figures: HarnessStatistics,
    monitor: ProcessMonitor,
    measured: Measurements,
    engine: type[Engine],
    waited: float,
) -> tuple[str | None, str]:
    late = figures["lag"]["p99"] or 0.0
    lateness = f"operations began up to {_formatted(late)} late (p99)"
    collections = monitor.collections
    if collections.seconds >= _MOST_COLLECTING * monitor.real_seconds:
        return GARBAGE_COLLECTION, (
            f"garbage collection took {collections.seconds / monitor.real_seconds:.0%} of the run "
            f"({collections.collections} collections, the longest {_formatted(collections.longest)}): latencies "
            "contain these pauses"
        )
    if figures["held_for_checks"] >= _MOST_WAITING * monitor.real_seconds:
        share = figures["held_for_checks"] / monitor.real_seconds
        return CHECKS, (
            f"the agents were paused for checks {share:.0%} of the time, and response times include these pauses. "
            "Run the checks less often (every=...)"
        )
    if _is_noticeably_late(late, measured):
        part, message = _exhausted_resource(figures, monitor, engine)
        if part is not None:
            return (
                part,
                f"{message}, and {lateness}. Response times include that delay; latencies may include it too. "
                f"{_REMEDIES[part]}",
            )
    if waited >= _MOST_WAITING:
        return RECORDER, (
            f"the agents waited {waited:.0%} of the time for the recorder, so throughput is limited by recording. "
            "Use fewer agents, or a longer think time"
        )
    return None, ""


_REMEDIES: Final = {
    PROCESSOR: "Use fewer agents, more processors, or a machine where nothing else runs",
    INTERPRETER: "Use fewer agents, or put the target into a process of its own",
    EVENT_LOOP: "Look for calls that block the event loop, or use fewer agents",
}


def _exhausted_resource(
    figures: HarnessStatistics, monitor: ProcessMonitor, engine: type[Engine]
) -> tuple[str | None, str]:
    """Return the resource that operations waited for, and the evidence; None if no resource was exhausted."""
    processors, used = figures["processors"], monitor.cores_used or 0.0
    if used >= _BUSY * processors:
        return PROCESSOR, f"this process used {used:.1f} of {processors} processors"
    if engine.awaits_tasks:
        return EVENT_LOOP, "the event loop was busy or blocked"
    if figures["gil"] and used >= _BUSY:
        return INTERPRETER, f"the interpreter was busy ({used:.2f} of the 1 processor that one GIL can use)"
    machine_busy = monitor.machine_busy or 0.0
    if machine_busy >= _MACHINE_BUSY:
        return PROCESSOR, f"the machine was {machine_busy:.0%} busy, with this process and others"
    return None, ""


def _is_noticeably_late(late: float, measured: Measurements) -> bool:
    """Return True if operations began late enough to distort their latencies."""
    latency = summarise_durations(measured.durations("latency"))["p99"]
    return late >= _LATE and late >= _SHARE_OF_LATENCY * (latency or 0.0)


def _formatted(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
