"""Verdicts: what thresholds say of a run's evidence.

A threshold is ``held``, ``broken``, or has ``not enough data``; only ``held`` passes. One that comes from the
command line or an ini file and names an agent, task or phase that the run does not have is ``not applicable``.
Where a threshold is to hold ``over`` windows, each is judged alone, and the worst of them is what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from pytest_nos_stress.scenario.phases import STEADY

from .measurements import Counts, Measurements, Selection
from .metrics import COUNTS, DURATIONS, FAIRNESS, MEMORY, RATES, THROUGHPUT
from .run_metrics import RunMetrics
from .statistics_types import ThresholdStatistics
from .stats import aggregate, fairness
from .thresholds import Threshold, parse

HELD: Final = "held"
BROKEN: Final = "broken"
NOT_ENOUGH_DATA: Final = "not enough data"
NOT_APPLICABLE: Final = "not applicable"

_FEWEST_AGENTS: Final = 2
_FEWEST_FOR_A_SPREAD: Final = 2
_MOST_WINDOWS: Final = 100_000
_SHORTEST_TOLD: Final = 0.01
"""Of a window: a run by duration ends with a last operation or two, of which a rate says nothing."""


class Window(NamedTuple):
    """What was measured in one window of a threshold; ``start`` and ``end`` in seconds since the run's start."""

    start: float
    end: float
    measured: float | None
    verdict: str


class Verdict(NamedTuple):
    """What became of one threshold; ``measured`` is in the metric's base unit, None without data."""

    threshold: Threshold
    verdict: str
    measured: float | None
    samples: int
    note: str = ""
    windows: tuple[Window, ...] = ()
    warning: str = ""
    """What would have broken it, and was not judged."""

    @property
    def passes(self) -> bool:
        return self.verdict in (HELD, NOT_APPLICABLE)

    def as_dict(self) -> ThresholdStatistics:
        """As JSON types."""
        return {
            "threshold": self.threshold.text,
            "verdict": self.verdict,
            "measured": self.measured,
            "limit": self.threshold.limit,
            "samples": self.samples,
            "note": self.note,
            "windows": {
                "total": len(self.windows),
                "broken": [[one.start, one.end] for one in self.windows if one.verdict == BROKEN],
            },
        }

    def row(self) -> tuple[str, str, str]:
        """Wanted, measured and verdict, for people."""
        return self.threshold.text, self._measured(), self.verdict

    def _measured(self) -> str:
        if self.measured is None or self.verdict == NOT_ENOUGH_DATA:
            return self.note or "no samples"
        metric = self.threshold.metric
        shown = show(metric, self.measured)
        counted = metric in COUNTS or metric == MEMORY or not self.samples
        told = shown if counted else f"{shown} of {self.samples} operations"
        notes = "; ".join(filter(None, [self.note, self.warning]))
        return f"{told} ({notes})" if notes else told


def show(metric: str, value: float) -> str:
    """A measured value with the unit people read."""
    if metric in DURATIONS:
        return show_seconds(value)
    if metric == MEMORY:
        return show_bytes(value)
    if metric == THROUGHPUT:
        return f"{_four_digits(value)}/s"
    return f"{100 * value:.4g} %" if metric in RATES else f"{value:.4g}" if metric == FAIRNESS else f"{value:.0f}"


def show_seconds(value: float) -> str:
    """Seconds with the unit in which they are easy to read."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{_four_digits(value / size)} {unit}"
    return f"{value * 1e9:.4g} ns"


def show_bytes(value: float) -> str:
    """Bytes with the unit in which they are easy to read."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(value) >= size:
            return f"{_four_digits(value / size)} {unit}"
    return f"{value:g} B"


def _four_digits(value: float) -> str:
    """Four digits, or as many as the whole part has."""
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:.0f}"


def evaluate_thresholds(thresholds: Sequence[Threshold], evidence: RunMetrics) -> list[Verdict]:
    """The verdict on each threshold, in order, and on ``errors == 0`` for the errors that none of them judges."""
    verdicts = [evaluate_threshold(threshold, evidence) for threshold in thresholds]
    on_errors = [
        one
        for one in verdicts
        if one.threshold.metric in ("errors", "error_rate")
        and one.threshold.phase in (None, STEADY)
        and one.threshold.baseline is None
        and one.verdict != NOT_APPLICABLE
    ]
    if not on_errors:
        return [*verdicts, evaluate_threshold(parse("errors == 0"), evidence)]
    phase = evidence.phase(STEADY)
    if phase is None:
        return verdicts
    measured = evidence.of(phase)
    unseen = measured.errors_outside([_judged(one, measured) for one in on_errors])
    if not unseen:
        return verdicts
    rest = _compare(parse("errors == 0"), unseen, measured.counts().total)
    return [*verdicts, rest._replace(note="errors that no threshold judges")]


def evaluate_threshold(threshold: Threshold, evidence: RunMetrics) -> Verdict:
    """The verdict on one threshold."""
    problem = _not_there(threshold, evidence)
    if problem:
        verdict = NOT_APPLICABLE if threshold.session_wide else NOT_ENOUGH_DATA
        return Verdict(threshold, verdict, None, 0, problem)
    if threshold.baseline is not None:
        return _against_baseline(threshold, evidence)
    phase = evidence.phase(threshold.phase)
    if phase is None:
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, "the run ended before its steady phase")
    measured = evidence.of(phase)
    if threshold.faults is not None and not measured.counts(faults=threshold.faults).total:
        verdict = NOT_APPLICABLE if threshold.session_wide else NOT_ENOUGH_DATA
        return Verdict(threshold, verdict, None, 0, f"no operation was performed with faults {threshold.faults}")
    if threshold.over is not None:
        return _judge_windows(threshold, measured, evidence, phase.start)
    return _judge_part(threshold, measured, evidence)


def _not_there(threshold: Threshold, evidence: RunMetrics) -> str:
    """What the threshold names and the run does not have; empty if it has everything."""
    records = evidence.measured.records
    for what, name, names in (
        ("agent", threshold.agent, records.agents),
        ("task", threshold.task, records.tasks),
    ):
        if name is not None and name not in names:
            return f"the run has no {what} {name!r}"
    if threshold.phase not in (None, STEADY) and evidence.phase(threshold.phase) is None:
        return f"the run has no phase {threshold.phase!r}"
    return ""


def _against_baseline(threshold: Threshold, evidence: RunMetrics) -> Verdict:
    if evidence.comparison is None:
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, "the run goes on")
    verdict = evidence.comparison.judge(threshold)
    phase = evidence.phase(STEADY)
    if phase is None or verdict.measured is None:
        return verdict
    # A baseline keeps histograms; what is shown of this run is exact.
    return verdict._replace(
        measured=_judge_part(threshold._replace(limit=0.0), evidence.of(phase), evidence).measured
    )


def _judge_windows(threshold: Threshold, measured: Measurements, evidence: RunMetrics, start: float) -> Verdict:
    """The worst of the windows: a broken one, else one without enough data, else the nearest to the limit."""
    if threshold.metric != MEMORY and not _counts(threshold, measured).total:
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, "no operations")
    length = threshold.over or measured.elapsed
    if measured.elapsed > _MOST_WINDOWS * length:
        note = f"more than {_MOST_WINDOWS} windows: ask for longer ones"
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, note)
    verdicts, spans = [], []
    for one in measured.windows(length):
        verdicts.append(_judge_part(threshold, one, evidence, is_window=True))
        spans.append([start + (at - measured.started_ns) / 1e9 for at in (one.started_ns, one.ended_ns)])
    windows = tuple(
        Window(begin, end, one.measured, one.verdict) for (begin, end), one in zip(spans, verdicts, strict=True)
    )
    worst = max(range(len(verdicts)), key=lambda place: _badness(threshold, verdicts[place]))
    broken = sum(one.verdict == BROKEN for one in windows)
    of_all = f"in {broken} of {len(windows)} windows, " if broken > 1 else ""
    begin, end = spans[worst]
    note = f"{of_all}{'worst' if of_all else 'at'} {begin:.4g}s-{end:.4g}s"
    if verdicts[worst].note:
        note = f"{verdicts[worst].note}, {note}"
    warning = ""
    if start + measured.elapsed - spans[-1][1] >= _SHORTEST_TOLD * length:
        tail = measured.ended_after(spans[-1][1] - start)
        left_out = f"the last {tail.elapsed:.3g} s are in no window"
        verdict = _judge_part(threshold, tail, evidence, is_window=True)
        if verdict.verdict == BROKEN and verdict.measured is not None:
            warning = f"{left_out}, and there it is {show(threshold.metric, verdict.measured)}"
        else:
            note += f"; {left_out}"
    return verdicts[worst]._replace(note=note, windows=windows, warning=warning)


def _judged(verdict: Verdict, measured: Measurements) -> Selection:
    """Which operations a verdict has judged: with windows that do not reach the end, those before that."""
    threshold, before_ns = verdict.threshold, None
    if verdict.windows:
        lasted = verdict.windows[-1].end - verdict.windows[0].start
        end = measured.started_ns + round(lasted * 1e9)
        before_ns = end if end < measured.ended_ns else None
    return Selection(threshold.agent, threshold.task, threshold.faults, before_ns)


def _counts(threshold: Threshold, measured: Measurements) -> Counts:
    return measured.counts(threshold.agent, threshold.task, threshold.faults)


def _badness(threshold: Threshold, verdict: Verdict) -> tuple[int, float]:
    rank = (HELD, NOT_ENOUGH_DATA, BROKEN).index(verdict.verdict)
    if verdict.measured is None:
        return rank, -math.inf
    return rank, verdict.measured if threshold.wants_less else -verdict.measured


def _judge_part(
    threshold: Threshold, measured: Measurements, evidence: RunMetrics, *, is_window: bool = False
) -> Verdict:
    """The verdict on the operations of a phase, or of one window of it."""
    if threshold.metric in DURATIONS:
        return _judge_duration(threshold, measured)
    if threshold.metric == MEMORY:
        value, samples = evidence.memory(threshold.aggregation or "", measured)
        if value is None:
            return Verdict(threshold, NOT_ENOUGH_DATA, None, samples, f"memory was looked at {samples} times")
        return _compare(threshold, value, samples)
    counts = _counts(threshold, measured)
    is_defined = is_window and (threshold.metric in COUNTS or threshold.metric == THROUGHPUT)
    if not counts.total and not is_defined:
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, "no operations")
    if threshold.metric == THROUGHPUT and not measured.elapsed:
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, "the run took no time")
    if threshold.metric == FAIRNESS:
        if len(measured.records.agents) < _FEWEST_AGENTS:
            return Verdict(threshold, NOT_ENOUGH_DATA, None, counts.total, "there is one agent only")
        index = fairness(measured.successes_by_agent(threshold.task, threshold.faults))
        if index is None:
            return Verdict(threshold, NOT_ENOUGH_DATA, None, counts.total, "no successes")
        return _compare(threshold, index, counts.total)
    return _compare(threshold, _value(threshold.metric, counts, measured.elapsed), counts.total)


def _judge_duration(threshold: Threshold, measured: Measurements) -> Verdict:
    samples = measured.durations(threshold.metric, threshold.agent, threshold.task, threshold.faults)
    if not samples.size:
        note = "no samples: in virtual time only what is modelled takes time" if measured.is_modelled else ""
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, note)
    value = aggregate(samples, threshold.aggregation or "")
    needed = _FEWEST_FOR_A_SPREAD if threshold.aggregation == "stddev" else samples_needed(threshold.percentile)
    if samples.size < needed:
        note = f"{samples.size} samples, {threshold.aggregation} needs {needed}"
        return Verdict(threshold, NOT_ENOUGH_DATA, value, samples.size, note)
    return _compare(threshold, value, samples.size)


def samples_needed(percentile: float | None) -> int:
    """1/(1-p): with fewer samples a percentile is the maximum under another name."""
    if percentile is None:
        return 1
    above = (100 - percentile) / 100
    return math.ceil(round(1 / above, 6))


def _compare(threshold: Threshold, value: float, samples: int) -> Verdict:
    return Verdict(threshold, HELD if threshold.holds(value) else BROKEN, value, samples)


def _value(metric: str, counts: Counts, elapsed: float) -> float:
    if metric == THROUGHPUT:
        return counts.total / elapsed
    of_metric = {
        "operations": counts.total,
        "success": counts.successes,
        "failure": counts.failures,
        "error": counts.errors,
        "missing_data": counts.missing_data,
        "successes": counts.successes,
        "failures": counts.failures,
        "errors": counts.errors,
    }
    if metric.endswith("_rate"):
        return of_metric[metric.removesuffix("_rate")] / counts.total
    return of_metric[metric]
