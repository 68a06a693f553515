"""The data of all charts of a run, computed once, exactly, from its records.

The page filters by agent and by task, and percentiles do not add up. So the data has *levels*: all operations,
each task, each agent, each task of each agent. Each has exact figures for every selection, and a course over
time in as many steps as a fixed budget of cells allows, so that the page of a million operations of 512 agents
stays small. Where even that is too much, only the worst selections have a course, and the page says so.

An operation counts at its end. Durations are whole nanoseconds of four significant digits, which is what people
are shown, and of three where they are points of a line. Names are made safe for terminals here; what shows them
escapes them for its own markup.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.results import findings
from pytest_nos_stress.results.grouped_stats import (
    GroupedDurations,
    count_outcomes,
    percentile_grid,
    rounded,
    worst_first,
)
from pytest_nos_stress.results.judge import BROKEN, Verdict
from pytest_nos_stress.results.records import Column
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.run_operations import RunOperations, read_operations
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.scenario.phases import STEADY

MOST_AGENTS: Final = 512
"""Of more agents the page lists these many, the worst; totals have all of them."""
_MOST_STEPS: Final = 160
_FEWEST_STEPS: Final = 12
_OPERATIONS_A_STEP: Final = {"all": 20, "task": 20, "agent": 8, "pair": 8}
_CELLS: Final = 12_288
"""Steps of all selections of a level together."""
_MOST_SAMPLES_OF_VITALS: Final = 240
_MOST_BANDS: Final = 100
_DIGITS: Final = 4
_DIGITS_IN_CHARTS: Final = 3
_PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_POINTS_A_DECADE: Final = {"all": 40, "task": 24, "agent": 8, "pair": 4}


def chart_data(result: StressResult) -> dict[str, Any]:
    """The data of all charts as JSON types. Times are seconds since the run's start, durations nanoseconds."""
    run = read_operations(result.measured, result.fault_spans)
    agents, tasks = len(run.agents), len(run.tasks)
    listed = _listed_agents(run)
    agent = _places(listed, agents)[run.columns.agent]
    task = run.columns.task
    everything = np.zeros_like(task)
    levels = {
        "all": _level("all", run, everything, 1),
        "task": _level("task", run, task, tasks, has_course=tasks > 1),
        "agent": _level("agent", run, agent, listed.size),
        "pair": _level(
            "pair",
            run,
            np.where(agent < 0, -1, agent * tasks + task),
            listed.size * tasks,
            has_course=min(listed.size, tasks) > 1,
        ),
    }
    response_times = GroupedDurations(run.response_times, everything, 1)
    found = findings.find(run)
    return {
        "duration": run.nanoseconds / 1e9,
        "agents": [run.agents[place] for place in listed.tolist()],
        "agentsInAll": agents,
        "tasks": list(run.tasks),
        "levels": levels,
        "responseTimes": {
            "samples": response_times.counts.tolist(),
            "curve": _curve(response_times, np.zeros(1, np.int64), _POINTS_A_DECADE["all"]),
        },
        "findings": found.sentences,
        "marks": [mark._asdict() for mark in (*found.marks, *_aborted(result))],
        "thresholds": [_threshold(one) for one in result.verdicts],
        "bands": _bands(result),
        "vitals": _vitals(result, run.nanoseconds / 1e9),
    }


def _aborted(result: StressResult) -> list[findings.Mark]:
    aborted = result.stats["aborted"]
    return [] if aborted is None else [findings.Mark(float(aborted["at"]), "aborted")]


def _listed_agents(run: RunOperations) -> Column:
    """The agents that the page tells apart, in their order."""
    number = len(run.agents)
    if number <= MOST_AGENTS:
        return np.arange(number)
    counts = count_outcomes(run.columns.agent, run.columns.outcome, number)
    return np.sort(worst_first(counts)[:MOST_AGENTS])


def _places(listed: Column, number: int) -> Column:
    """For each of a number of things its place among the listed ones; -1 where it is not among them."""
    places = np.full(number, -1, np.int32)
    places[listed] = np.arange(listed.size, dtype=np.int32)
    return places


def _level(
    name: str, run: RunOperations, group: Column, groups: int, *, has_course: bool = True
) -> dict[str, Any]:
    """Figures of every group, and the course over time and the curve of percentiles of those that fit."""
    counts = count_outcomes(group, run.columns.outcome, groups)
    durations = GroupedDurations(run.latencies, group, groups)
    longest = durations.percentile(1.0)
    steps = _steps(int(counts.sum()) // _OPERATIONS_A_STEP[name], groups)
    shown = np.sort(worst_first(counts, [longest])[: _CELLS // steps]) if has_course else np.empty(0, np.int64)
    return {
        "counts": counts.tolist(),
        "samples": durations.counts.tolist(),
        "latency": _latency(durations, _DIGITS),
        "mean": rounded(durations.mean(), _DIGITS),
        "shown": None if shown.size == groups else shown.tolist(),
        "course": _course(run, _places(shown, groups)[group] if groups else group, shown.size, steps),
        "curve": _curve(durations, shown, _POINTS_A_DECADE[name]),
    }


def _steps(wanted_in_all: int, groups: int) -> int:
    """Into how many equal steps of time a level divides the run."""
    wanted = min(max(wanted_in_all // max(groups, 1), _FEWEST_STEPS), _MOST_STEPS)
    return max(min(wanted, _CELLS // max(groups, 1)), _FEWEST_STEPS)


def _course(run: RunOperations, group: Column, groups: int, steps: int) -> dict[str, Any]:
    """Counts and percentiles of each group in each step of time, a row for each group."""
    step = np.clip(run.columns.at * steps // run.nanoseconds, 0, steps - 1).astype(np.int32)
    cell = np.where(group < 0, -1, group * steps + step)
    durations = GroupedDurations(run.latencies, cell, groups * steps)
    return {
        "steps": steps,
        "counts": count_outcomes(cell, run.columns.outcome, groups * steps).tolist(),
        "samples": durations.counts.tolist(),
        "latency": _latency(durations, _DIGITS_IN_CHARTS),
    }


def _latency(durations: GroupedDurations, digits: int) -> dict[str, list[int]]:
    return {name: rounded(durations.percentile(share), digits) for name, share in _PERCENTILES.items()}


def _curve(durations: GroupedDurations, shown: Column, per_decade: int) -> dict[str, Any]:
    """The distribution on a percentile axis: quantiles of each group on the grid that its samples allow."""
    grids = [percentile_grid(samples, per_decade) for samples in durations.counts[shown].tolist()]
    sizes = [grid.size for grid in grids]
    shares = np.concatenate(grids) if grids else np.empty(0)
    values = durations.quantiles(np.repeat(shown, sizes), shares)
    return {"perDecade": per_decade, "sizes": sizes, "values": rounded(values, _DIGITS)}


def _threshold(verdict: Verdict) -> dict[str, Any]:
    threshold = verdict.threshold
    return {
        "text": escape_controls(threshold.text),
        "metric": threshold.metric,
        "aggregation": threshold.aggregation,
        "agent": None if threshold.agent is None else escape_controls(threshold.agent),
        "task": None if threshold.task is None else escape_controls(threshold.task),
        "percentile": _share(threshold),
        "limit": threshold.limit,
        "verdict": verdict.verdict,
        "brokenWindows": [[one.start, one.end] for one in verdict.windows if one.verdict == BROKEN],
    }


def _share(threshold: Threshold) -> float | None:
    """The share of the samples that a threshold on a duration speaks of."""
    of_aggregation = {"min": 0.0, "med": 0.5, "max": 1.0}.get(threshold.aggregation or "")
    return of_aggregation if threshold.percentile is None else threshold.percentile / 100


def _bands(result: StressResult) -> list[dict[str, Any]]:
    """Parts of the run that charts mark: ramp, warm-up, and where fault windows were open."""
    phases = [(one.name, one.start, one.end) for one in result.phases if one.name != STEADY]
    faults = [("faults", start, end) for start, end in _joined(result.fault_spans)]
    return [{"kind": kind, "start": start, "end": end} for kind, start, end in (*phases, *faults)]


def _joined(spans: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Spans in order; of more than anyone can tell apart, those with the smallest gaps between them are joined."""
    ordered = sorted(spans)
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(ordered)]
    widest = set(sorted(range(len(gaps)), key=gaps.__getitem__, reverse=True)[: _MOST_BANDS - 1])
    joined: list[tuple[float, float]] = []
    for number, (start, end) in enumerate(ordered):
        if joined and number - 1 not in widest:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _vitals(result: StressResult, duration: float) -> dict[str, list[float]]:
    """Samples of the process, thinned out: of each stretch the highest memory and lag, and the mean use."""
    vitals = result.vitals
    seconds = np.asarray(vitals.seconds, np.float64)
    if not seconds.size:
        return {"seconds": [], "memory": [], "lag": [], "cpu": []}
    stretch = -(-seconds.size // _MOST_SAMPLES_OF_VITALS)
    starts = np.arange(0, seconds.size, stretch)
    sizes = np.diff(np.append(starts, seconds.size))
    return {
        "seconds": np.minimum(np.round(seconds[starts], 6), duration).tolist(),
        "memory": np.maximum.reduceat(np.asarray(vitals.memory, np.int64), starts).tolist(),
        "lag": np.round(np.maximum.reduceat(np.asarray(vitals.lag, np.float64), starts), 7).tolist(),
        "cpu": np.round(np.add.reduceat(np.asarray(vitals.cpu, np.float64), starts) / sizes, 3).tolist(),
    }
