"""Is it us or them: whether the process that drives the agents was itself the bottleneck of a run.

Agents and, in most tests, the target share one process: its processors, its interpreter (one GIL), its garbage
collector, in asyncio its event loop. Where one of these is used up, latencies contain the wait for it, and the run
says more about the harness than about the target. ``assess`` says so in words, and never where it cannot know: in
virtual time code takes no time, and a run of a fraction of a second is too short to tell.

The lag is exact and needs no probe: every operation knows when it was due and when it began.
"""

from __future__ import annotations

from typing import Any, Final

from pytest_nos_stress._internal.cpu import has_gil, processors
from pytest_nos_stress.engines.base import Engine
from pytest_nos_stress.results.aggregation import summarise_durations
from pytest_nos_stress.results.measurements import Measurements

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
    vitals: ProcessMonitor,
    measured: Measurements,
    *,
    engine: type[Engine],
    waited_ns: int,
    checked_ns: int,
    agents: int,
) -> dict[str, Any]:
    """What the harness was doing, and which part of it, if any, was the bottleneck: builtin types, times in
    seconds.

    ``waited_ns`` is how long the agents have waited for the recorder, added up, ``checked_ns`` how long all were
    held for checks. In virtual time
    there is the lag alone, since the same run always has the same statistics.
    """
    lag = summarise_durations(measured.lags)
    lags = {name: lag[name] for name in ("p50", "p99", "max")}
    if engine.uses_virtual_time:
        return {"bottleneck": None, "words": "", "lag": lags}
    collections = vitals.collections
    figures = {
        "lag": lags,
        "cpu": vitals.cores_used,
        "processors": processors(),
        "machine_busy": vitals.machine_busy,
        "gil": has_gil(),
        "gc": collections._asdict(),
        "waited_for_recorder": waited_ns / 1e9,
        "held_for_checks": checked_ns / 1e9,
    }
    part, words = None, ""
    if vitals.real_seconds >= _SHORTEST_RUN and measured.records.total:
        share = waited_ns / 1e9 / (agents * vitals.real_seconds)
        part, words = _bottleneck(figures, vitals, measured, engine, share)
    return {"bottleneck": part, "words": words, **figures}


def _bottleneck(
    figures: dict[str, Any], vitals: ProcessMonitor, measured: Measurements, engine: type[Engine], waited: float
) -> tuple[str | None, str]:
    late = figures["lag"]["p99"] or 0.0
    lateness = f"operations began up to {_show(late)} late (p99)"
    collections = vitals.collections
    if collections.seconds >= _MOST_COLLECTING * vitals.real_seconds:
        return GARBAGE_COLLECTION, (
            f"garbage collection took {collections.seconds / vitals.real_seconds:.0%} of the run "
            f"({collections.collections} collections, the longest {_show(collections.longest)}): latencies "
            "contain these pauses"
        )
    if figures["held_for_checks"] >= _MOST_WAITING * vitals.real_seconds:
        return CHECKS, (
            f"the agents were held for checks {figures['held_for_checks'] / vitals.real_seconds:.0%} of the time: "
            "response times contain that. Look at them less often (every=...)"
        )
    if _matters(late, measured):
        part, words = _used_up(figures, vitals, engine)
        if part is not None:
            return (
                part,
                f"{words}, and {lateness}: response times contain that wait, latencies may. {_REMEDIES[part]}",
            )
    if waited >= _MOST_WAITING:
        return RECORDER, (
            f"the agents waited {waited:.0%} of the time for the recorder: they perform operations faster than "
            "those can be recorded, and throughput is the recorder's"
        )
    return None, ""


_REMEDIES: Final = {
    PROCESSOR: "Use fewer agents, more processors, or a machine where nothing else runs",
    INTERPRETER: "Use fewer agents, or put the target into a process of its own",
    EVENT_LOOP: "Look for calls that block, or use fewer agents",
}


def _used_up(figures: dict[str, Any], vitals: ProcessMonitor, engine: type[Engine]) -> tuple[str | None, str]:
    """What operations that began late waited for, and how that was seen."""
    processors, used = figures["processors"], vitals.cores_used
    if used >= _BUSY * processors:
        return PROCESSOR, f"this process used {used:.1f} of {processors} processors"
    if engine.awaits_tasks:
        return EVENT_LOOP, "the event loop was busy or blocked"
    if figures["gil"] and used >= _BUSY:
        return INTERPRETER, f"the interpreter was busy ({used:.2f} of the 1 processor that one GIL can use)"
    if vitals.machine_busy >= _MACHINE_BUSY:
        return PROCESSOR, f"the machine was {vitals.machine_busy:.0%} busy, with this process and others"
    return None, ""


def _matters(late: float, measured: Measurements) -> bool:
    """Whether operations began so late that it counts beside what they took."""
    latency = summarise_durations(measured.durations("latency"))["p99"]
    return late >= _LATE and late >= _SHARE_OF_LATENCY * (latency or 0.0)


def _show(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
