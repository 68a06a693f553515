"""Data of all charts of a run, computed once from its records, with exact figures.

The page filters by agent and by task, and percentiles of parts cannot be added up. So the data has four *levels*:
all operations, each task, each agent, and each task of each agent. A level has exact figures for every selection,
and its *course*: figures in equal steps of time. The number of steps follows from a fixed budget of cells, so the
page of a million operations of 512 agents stays small. If the budget is too small for all selections, only the
worst have a course, and the page states that.

An operation counts at its end. Durations are whole nanoseconds, rounded to four significant digits (the digits
that people see), or to three for points of a line. Control characters in names are escaped here. The page escapes
names for HTML.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pytest_nos_stress._internal.outcome import CELLS
from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.results import findings, verdicts
from pytest_nos_stress.results.grouped_stats import (
    GroupedDurations,
    count_outcomes,
    narrowest_type,
    percentile_grid,
    rounded,
    worst_first,
)
from pytest_nos_stress.results.judge import Verdict
from pytest_nos_stress.results.records import Column
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.run_operations import RunOperations, read_operations
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.scenario.phases import STEADY

MOST_AGENTS: Final = 512
"""Largest number of agents that the page lists, the worst first. Totals include all agents."""
_MOST_STEPS: Final = 160
_FEWEST_STEPS: Final = 12
_OPERATIONS_A_STEP: Final = {"all": 20, "task": 20, "agent": 8, "pair": 8}
_CELLS: Final = 12_288
"""Budget of a level: number of selections times number of steps."""
_MOST_SAMPLES_OF_VITALS: Final = 240
_MOST_BANDS: Final = 100
_DIGITS: Final = 4
_DIGITS_IN_CHARTS: Final = 3
_PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_POINTS_A_DECADE: Final = {"all": 40, "task": 24, "agent": 8, "pair": 4}


def chart_data(result: StressResult) -> dict[str, Any]:
    """Return the data of all charts as JSON types: times in seconds since the run's start, durations in ns."""
    run = read_operations(result.measured, result.fault_spans)
    agents, tasks = len(run.agents), len(run.tasks)
    listed = _listed_agents(run)
    pairs = listed.size * tasks
    agent = _indices(listed, agents, narrowest_type(pairs)).take(run.columns.agent)
    task = run.columns.task.astype(agent.dtype)
    pair = agent * agent.dtype.type(tasks) + task
    pair[agent < 0] = -1
    levels = _Levels(run)
    by_level = {
        "all": levels.level("all", np.zeros_like(task), 1),
        "task": levels.level("task", task, tasks, has_course=tasks > 1),
        "agent": levels.level("agent", agent, listed.size),
        "pair": levels.level("pair", pair, pairs, has_course=min(listed.size, tasks) > 1),
    }
    response_times = GroupedDurations.of_one_group(run.response_times)
    run_findings = findings.find(run)
    return {
        "duration": run.nanoseconds / 1e9,
        "agents": [run.agents[number] for number in listed.tolist()],
        "agentsInAll": agents,
        "tasks": list(run.tasks),
        "levels": by_level,
        "responseTimes": {
            "samples": response_times.counts.tolist(),
            "curve": _curve(response_times, np.zeros(1, np.int64), _POINTS_A_DECADE["all"]),
        },
        "findings": run_findings.sentences,
        "marks": [mark._asdict() for mark in (*run_findings.marks, *_aborted(result))],
        "thresholds": [_threshold(verdict) for verdict in result.verdicts],
        "bands": _bands(result),
        "vitals": _vitals(result, run.nanoseconds / 1e9),
    }


def _aborted(result: StressResult) -> list[findings.Mark]:
    aborted = result.stats["aborted"]
    return [] if aborted is None else [findings.Mark(float(aborted["at"]), "aborted")]


def _listed_agents(run: RunOperations) -> Column:
    """Return the indices of the agents that the page lists, in their order."""
    number = len(run.agents)
    if number <= MOST_AGENTS:
        return np.arange(number)
    counts = count_outcomes(run.columns.agent, run.columns.outcome, number)
    return np.sort(worst_first(counts)[:MOST_AGENTS])


def _indices(listed: Column, number: int, dtype: npt.DTypeLike) -> Column:
    """Return for each of ``number`` groups its index among the listed groups; -1 if it is not listed."""
    indices = np.full(number, -1, dtype)
    indices[listed] = np.arange(listed.size)
    return indices


class _Levels:
    """Makes the levels of a run. Levels with equally many steps of time share the step of each operation."""

    def __init__(self, run: RunOperations) -> None:
        self._run = run
        self._steps: dict[int, Column] = {}

    def level(self, name: str, group: Column, groups: int, *, has_course: bool = True) -> dict[str, Any]:
        """Return the figures of every group, and the course over time and percentiles of the groups that fit."""
        counts = count_outcomes(group, self._run.columns.outcome, groups)
        durations = GroupedDurations.by_group(self._run.latencies, group, groups)
        steps = _number_of_steps(int(counts.sum()) // _OPERATIONS_A_STEP[name], groups)
        in_order = worst_first(counts, [durations.percentile(1.0)])
        shown = np.sort(in_order[: _CELLS // steps if has_course else 0])
        shows_all = shown.size == groups
        index = group if shows_all else _indices(shown, groups, group.dtype).take(group)
        return {
            "counts": counts.tolist(),
            "samples": durations.counts.tolist(),
            "latency": _latency(durations, _DIGITS),
            "mean": rounded(durations.mean(), _DIGITS),
            "shown": None if shows_all else shown.tolist(),
            "course": self._course(index, shown.size, steps),
            "curve": _curve(durations, shown, _POINTS_A_DECADE[name]),
        }

    def _course(self, group: Column, groups: int, steps: int) -> dict[str, Any]:
        """Return counts and percentiles of each group in each step of time, a row for each group."""
        if not groups:
            nothing: dict[str, list[int]] = {name: [] for name in _PERCENTILES}
            return {"steps": steps, "counts": [[] for _ in range(CELLS)], "samples": [], "latency": nothing}
        cells = groups * steps
        cell = group.astype(narrowest_type(cells))
        cell *= cell.dtype.type(steps)
        cell += self._step_of_operations(steps)
        cell[group < 0] = -1
        durations = GroupedDurations.by_group(self._run.latencies, cell, cells)
        return {
            "steps": steps,
            "counts": count_outcomes(cell, self._run.columns.outcome, cells).tolist(),
            "samples": durations.counts.tolist(),
            "latency": _latency(durations, _DIGITS_IN_CHARTS),
        }

    def _step_of_operations(self, steps: int) -> Column:
        if steps not in self._steps:
            self._steps[steps] = self._run.step_of_operations(steps)
        return self._steps[steps]


def _number_of_steps(wanted_in_all: int, groups: int) -> int:
    """Return the number of equal steps of time of a level."""
    wanted = min(max(wanted_in_all // max(groups, 1), _FEWEST_STEPS), _MOST_STEPS)
    return max(min(wanted, _CELLS // max(groups, 1)), _FEWEST_STEPS)


def _latency(durations: GroupedDurations, digits: int) -> dict[str, list[int]]:
    return {name: rounded(durations.percentile(share), digits) for name, share in _PERCENTILES.items()}


def _curve(durations: GroupedDurations, shown: Column, per_decade: int) -> dict[str, Any]:
    """Return the distribution on a percentile axis: quantiles of each group, on a grid that its samples allow."""
    samples = durations.counts[shown].tolist()
    grid_of = {number: percentile_grid(number, per_decade) for number in set(samples)}
    grids = [grid_of[number] for number in samples]
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
        "percentile": _quantile(threshold),
        "limit": threshold.limit,
        "verdict": verdict.verdict,
        "failedWindows": _failed_spans(verdict),
    }


def _failed_spans(verdict: Verdict) -> list[list[float]]:
    """Return start and end of each failed window. Windows that overlap are one span, shaded once."""
    spans: list[list[float]] = []
    for window in verdict.windows:
        if window.verdict != verdicts.FAILED:
            continue
        if spans and window.start < spans[-1][1]:
            spans[-1][1] = window.end
        else:
            spans.append([window.start, window.end])
    return spans


def _quantile(threshold: Threshold) -> float | None:
    """Return the quantile (0 to 1) that a threshold on a duration limits; None if it limits none."""
    of_aggregation = {"min": 0.0, "med": 0.5, "max": 1.0}.get(threshold.aggregation or "")
    return of_aggregation if threshold.percentile is None else threshold.percentile / 100


def _bands(result: StressResult) -> list[dict[str, Any]]:
    """Return the parts of the run that charts mark: ramp, warm-up and fault windows."""
    phases = [(phase.name, phase.start, phase.end) for phase in result.phases if phase.name != STEADY]
    faults = [("faults", start, end) for start, end in _joined(result.fault_spans)]
    return [{"kind": kind, "start": start, "end": end} for kind, start, end in (*phases, *faults)]


def _joined(spans: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Return the spans in order, at most ``_MOST_BANDS``: those with the smallest gaps are joined."""
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
    """Return samples of the process, thinned out: highest memory and lag, and mean processor use.

    The list of a figure that was not measured is empty.
    """
    vitals = result.vitals
    seconds = np.asarray(vitals.seconds, np.float64)
    if not seconds.size:
        return {"seconds": [], "memory": [], "lag": [], "cpu": []}
    stretch = -(-seconds.size // _MOST_SAMPLES_OF_VITALS)
    starts = np.arange(0, seconds.size, stretch)
    sizes = np.diff(np.append(starts, seconds.size))
    memory, cpu = np.asarray(vitals.memory, np.int64), np.asarray(vitals.cpu, np.float64)
    return {
        "seconds": np.minimum(np.round(seconds[starts], 6), duration).tolist(),
        "memory": np.maximum.reduceat(memory, starts).tolist() if memory.size else [],
        "lag": np.round(np.maximum.reduceat(np.asarray(vitals.lag, np.float64), starts), 7).tolist(),
        "cpu": np.round(np.add.reduceat(cpu, starts) / sizes, 3).tolist() if cpu.size else [],
    }
