"""Findings: sentences, computed from the records, that state what failed, when, and for which agent or task.

A sentence is written only if the counted operations prove it: errors that came together, began late, or belong to
one agent or task; a latency that rose, fell or peaked. A percentile of a time step counts only if the step has as
many samples as a threshold on that percentile needs.

A rise or fall is one change point, fitted by least absolute deviations: the split of the run in two for which the
logarithms deviate least from the medians of both parts. Its time is that of the first operation beyond half-way
between both levels, because the start of the time step would lie before the cause.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress._internal.outcome import CELLS, ERROR, FAILED, MISSING, SUCCESS

from .format import format_seconds
from .grouped_stats import GroupedDurations
from .records import Column
from .run_operations import RunOperations

_TOGETHER: Final = 0.85
"""Share of errors that makes a burst, if they came within ``_SHORT`` of the run."""
_SHORT: Final = 0.25
"""Longest burst, as a share of the run."""
_NEAR: Final = 5.0
"""Multiple of a burst's mean gap: an error as near as that still belongs to the burst."""
_LATE: Final = 0.05
"""Share of the run after which errors began late, or before whose end they lasted to the end."""
_MOST: Final = 0.8
"""Share of the run over which errors must spread to last "throughout the run"."""
_FEWEST: Final = 5
"""Fewest errors of a burst."""
_NEARLY_ALL: Final = 0.9
"""Share of the errors that an agent or task must have to be named."""
_USUAL_SHARE: Final = 0.6
"""Share of all operations above which an agent or task is not named: it has most errors without causing them."""
_MOST_STEPS: Final = 60
_MANY_STEPS: Final = 24
_FEWEST_STEPS: Final = 6
_SPARE: Final = 3
"""Multiple of the needed samples that a step has on average, since a slow system performs fewer operations."""
_RISE: Final = 2.0
"""Smallest ratio of two levels of latency."""
_PEAK: Final = 5.0
"""Smallest ratio of a peak and the median latency."""
_EXPLAINED: Final = 0.8
"""Largest deviation from two levels, as a share of the deviation from one level."""
_LONGEST_NAME: Final = 40


class Mark(NamedTuple):
    """Time to mark in a chart (``outcomes`` or ``latency``), in seconds since the run's start."""

    at: float
    text: str
    chart: str = "outcomes"


class Findings(NamedTuple):
    """Sentences for people, the most important first, and the times that they mention."""

    sentences: list[str]
    marks: list[Mark]


class _Finding(NamedTuple):
    sentence: str
    mark: Mark | None


def find(run: RunOperations) -> Findings:
    """Return the findings of a run; none if it has no operations."""
    if not run.columns.at.size:
        return Findings([], [])
    candidates = (_in_background(run), _without_success(run), _unsuccessful(run), _latency(run))
    findings = [finding for finding in candidates if finding is not None]
    return Findings(
        [finding.sentence for finding in findings],
        [finding.mark for finding in findings if finding.mark is not None],
    )


def _without_success(run: RunOperations) -> _Finding | None:
    counts = np.bincount(run.columns.outcome, minlength=CELLS).tolist()
    if counts[SUCCESS]:
        return None
    verbs = ((ERROR, "ended in an error"), (FAILED, "failed"), (MISSING, "met missing data"))
    outcomes = " and ".join(f"{counts[cell]:,} {verb}" for cell, verb in verbs if counts[cell])
    return _Finding(f"No operation succeeded: {outcomes}.", None)


def _in_background(run: RunOperations) -> _Finding | None:
    """Describe the errors if no operation raised any of them. Otherwise those of operations are described."""
    if not run.background_errors or np.any(run.columns.outcome == ERROR):
        return None
    count, first = len(run.background_errors), min(run.background_errors) / 1e9
    at, them = ("at", "it") if count == 1 else ("the first at", "them")
    sentence = (
        f"{_number(count, 'error')} came from the background, {at} {_text(first)}: no operation raised {them}."
    )
    return _Finding(sentence, Mark(first, "background errors"))


def _unsuccessful(run: RunOperations) -> _Finding | None:
    """Describe the errors. Without errors, describe a burst of failures; spread failures are as planned."""
    errors = np.flatnonzero(run.columns.outcome == ERROR)
    if errors.size:
        return _errors(run, errors)
    failures = np.flatnonzero(run.columns.outcome == FAILED.value)
    return _burst(run, failures, "failure")


def _errors(run: RunOperations, rows: Column) -> _Finding:
    burst = _burst(run, rows, "error")
    if burst is not None:
        return burst
    first, last = _first_and_last(run, rows)
    whose = _whose(run, rows) + _during_faults(run, rows)
    count = _number(rows.size, "error")
    if rows.size == 1:
        names = " / ".join(name for _, name in _owners(run, rows))
        return _Finding(f"One error, at {_text(first)}{f', of {names}' if names else ''}.", Mark(first, "error"))
    before = np.count_nonzero(run.columns.at < run.columns.at[rows].min())
    if first > _LATE * _duration(run) and before > _LATE * run.columns.at.size:
        lasting = "" if last > 0.95 * _duration(run) else f", the last at {_text(last)}"
        return _Finding(f"Errors began at {_text(first)}: {count}{lasting}{whose}.", Mark(first, "errors began"))
    lasting = "throughout the run" if last - first > _MOST * _duration(run) else _between(first, last)
    return _Finding(f"{count} {lasting}{whose}.", None)


def _burst(run: RunOperations, rows: Column, noun: str) -> _Finding | None:
    """Describe errors or failures that came mostly in a short time; return None if they did not."""
    if rows.size < _FEWEST:
        return None
    rows = rows[np.argsort(run.columns.at[rows])]
    at, duration = run.columns.at[rows] / 1e9, _duration(run)
    first, end_row = _closest(at)
    if at[end_row - 1] - at[first] > _SHORT * duration:
        return None
    start, end = float(at[first]), float(at[end_row - 1])
    inside = rows[first:end_row]
    when = _between(start, end)
    if end_row == rows.size and end > (1 - _LATE) * duration:
        when = f"in the last {_text(duration - start)}"
    share = f"all {rows.size:,}" if inside.size == rows.size else f"{inside.size:,} of {rows.size:,}"
    whose = _whose(run, inside) + _during_faults(run, inside)
    if first:
        return _Finding(f"Most {noun}s came together: {share} {when}{whose}.", Mark(start, f"most {noun}s"))
    return _Finding(
        f"{noun.capitalize()}s began at {_text(start)}: {share} came {when}{whose}.", Mark(start, f"{noun}s began")
    )


def _closest(at: Column) -> tuple[int, int]:
    """Return first and stop index of the densest ``_TOGETHER`` of the times, with neighbours as near."""
    together = math.ceil(_TOGETHER * at.size)
    lengths = at[together - 1 :] - at[: at.size - together + 1]
    first = int(lengths.argmin())
    end = first + together
    near = _NEAR * (at[end - 1] - at[first]) / together
    while first and at[first] - at[first - 1] <= near:
        first -= 1
    while end < at.size and at[end] - at[end - 1] <= near:
        end += 1
    return first, end


def _first_and_last(run: RunOperations, rows: Column) -> tuple[float, float]:
    at = run.columns.at[rows]
    return float(at.min()) / 1e9, float(at.max()) / 1e9


def _whose(run: RunOperations, rows: Column) -> str:
    """Name the agent and the task of (nearly) all of these operations; return "" if that is not informative."""
    owners = _owners(run, rows)
    if not owners:
        return ""
    shares = {share for share, _ in owners}
    if len(shares) == 1:
        return f", {owners[0][0]} of {' / '.join(name for _, name in owners)}"
    return "".join(f", {share} of {name}" for share, name in owners)


def _during_faults(run: RunOperations, rows: Column) -> str:
    """State that (nearly) all of these operations ended while fault windows were open, if that is informative."""
    if not run.fault_spans:
        return ""
    faulty = _inside(run.columns.at / 1e9, run.fault_spans)
    inside = int(np.count_nonzero(faulty[rows]))
    if inside < _NEARLY_ALL * rows.size or np.count_nonzero(faulty) > _USUAL_SHARE * faulty.size:
        return ""
    return f", {'all' if inside == rows.size else f'{inside:,}'} while fault windows were open"


def _inside(at: Column, spans: Sequence[tuple[float, float]]) -> Column:
    """Return True for each time that lies in one of the spans."""
    starts, ends = np.array(sorted(spans)).T
    before = np.searchsorted(starts, at, side="right")
    latest_end = np.append(-np.inf, np.maximum.accumulate(ends))
    inside: Column = at <= latest_end[before]
    return inside


def _owners(run: RunOperations, rows: Column) -> list[tuple[str, str]]:
    """Return share and name of the agent and the task of nearly all operations, if that is informative."""
    owners = (
        _owner("agent", run.agents, run.columns.agent, rows),
        _owner("task", run.tasks, run.columns.task, rows),
    )
    return [owner for owner in owners if owner is not None]


def _owner(noun: str, names: tuple[str, ...], column: Column, rows: Column) -> tuple[str, str] | None:
    counts = np.bincount(column[rows], minlength=len(names))
    most = int(counts.argmax())
    usual = np.count_nonzero(column == most) / column.size
    if counts[most] < _NEARLY_ALL * rows.size or usual > _USUAL_SHARE:
        return None
    share = "all" if counts[most] == rows.size else f"{counts[most]:,}"
    name = names[most]
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return share, f"{noun} {short}"


def _latency(run: RunOperations) -> _Finding | None:
    """Describe how latency changed over time; return None without a clear change."""
    samples = run.latencies.rows.size
    for name, share, needed, fewest_steps in (("p99", 0.99, 100, _MANY_STEPS), ("p95", 0.95, 20, _FEWEST_STEPS)):
        steps = min(samples // (_SPARE * needed), _MOST_STEPS)
        if steps >= fewest_steps:
            return _latency_over_time(run, name, share, needed, steps)
    return None


def _latency_over_time(run: RunOperations, name: str, share: float, needed: int, steps: int) -> _Finding | None:
    step = run.step_of_operations(steps)
    durations = GroupedDurations.by_group(run.latencies, step, steps)
    enough = np.flatnonzero(durations.counts >= needed)
    values = durations.percentile(share)[enough] / 1e9
    if enough.size < _FEWEST_STEPS or values.min() <= 0:
        return None
    split = _change(np.log(values))
    if split is not None:
        before, after = _median(values[:split]), _median(values[split:])
        if max(before, after) >= _RISE * min(before, after):
            verb = "rose" if after > before else "fell"
            at = _moment(run, step, enough, split, (before, after))
            sentence = f"Latency {verb}: its {name} went from {_text(before)} to {_text(after)} at {_text(at)}."
            return _Finding(sentence, Mark(at, f"{name} {verb}", "latency"))
    peak, usual = int(values.argmax()), _median(values)
    if values[peak] < _PEAK * usual:
        return None
    at = _moment(run, step, enough, peak, (usual, float(values[peak])))
    sentence = (
        f"Latency peaked at {_text(at)}: {name} was {_text(float(values[peak]))}, and usually {_text(usual)}."
    )
    return _Finding(sentence, Mark(at, f"{name} peaked", "latency"))


def _moment(run: RunOperations, step: Column, enough: Column, index: int, medians: tuple[float, float]) -> float:
    """Return when latency changed: at the first operation beyond half-way or, before a fall, at the last."""
    before, after = medians
    rises = after > before
    beyond = run.latencies.rows[run.latencies.duration > (before + after) / 2 * 1e9]
    inside = run.columns.at[beyond[step[beyond] == enough[index if rises else index - 1]]]
    if not inside.size:
        inside = run.columns.at[step == enough[index]]
        rises = True
    return float(inside.min() if rises else inside.max()) / 1e9


def _change(values: Column) -> int | None:
    """Return the best split of a sequence in two levels; None if two levels fit little better than one."""
    splits = range(2, values.size - 1)
    costs = [_spread(values[:split]) + _spread(values[split:]) for split in splits]
    best = int(np.argmin(costs))
    return splits[best] if costs[best] < _EXPLAINED * _spread(values) else None


def _spread(values: Column) -> float:
    return float(np.abs(values - _median(values)).sum())


def _duration(run: RunOperations) -> float:
    return run.nanoseconds / 1e9


def _text(seconds: float) -> str:
    """Return a duration with three digits, which are enough in a sentence."""
    return format_seconds(float(f"{seconds:.3g}"))


def _between(start: float, end: float) -> str:
    return f"from {_text(start)} to {_text(end)}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _median(values: Column) -> float:
    """Return the median. ``numpy.median`` would import masked arrays."""
    ordered = np.sort(values)
    return float(ordered[(ordered.size - 1) // 2] + ordered[ordered.size // 2]) / 2
