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


def _indices(listed: Column, number: int, dtype: npt.DTypeLike) -> Column:
    """Return for each of a number of groups its index among the listed ones; -1 if it is not listed."""
    indices = np.full(number, -1, dtype)
    indices[listed] = np.arange(listed.size)
    return indices


class _Levels:
    """Makes the levels of a run. Equal steps of time are computed once for all levels that have as many."""

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
    """Return into how many equal steps of time a level divides the run."""
    wanted = min(max(wanted_in_all // max(groups, 1), _FEWEST_STEPS), _MOST_STEPS)
    return max(min(wanted, _CELLS // max(groups, 1)), _FEWEST_STEPS)


def _latency(durations: GroupedDurations, digits: int) -> dict[str, list[int]]:
    return {name: rounded(durations.percentile(share), digits) for name, share in _PERCENTILES.items()}


def _curve(durations: GroupedDurations, shown: Column, per_decade: int) -> dict[str, Any]:
    """The distribution on a percentile axis: quantiles of each group on the grid that its samples allow."""
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
        "percentile": _share(threshold),
        "limit": threshold.limit,
        "verdict": verdict.verdict,
        "failedWindows": [
            [window.start, window.end] for window in verdict.windows if window.verdict == verdicts.FAILED
        ],
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
