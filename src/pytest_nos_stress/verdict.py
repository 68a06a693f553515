"""Verdicts: what thresholds say of a run's measurements.

A threshold is ``held``, ``broken``, or has ``not enough data``; only ``held`` passes. One that comes from the
command line or an ini file and names an agent or task that the run does not have is ``not applicable``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from .statistics import Counts, Measurements, aggregate
from .thresholds import COUNTS, DURATIONS, Threshold, parse

HELD: Final = "held"
BROKEN: Final = "broken"
NOT_ENOUGH_DATA: Final = "not enough data"
NOT_APPLICABLE: Final = "not applicable"


class Verdict(NamedTuple):
    """What became of one threshold; ``measured`` is in the metric's base unit, None without data."""

    threshold: Threshold
    verdict: str
    measured: float | None
    samples: int
    note: str = ""

    @property
    def passes(self) -> bool:
        return self.verdict in (HELD, NOT_APPLICABLE)

    def as_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold.text,
            "verdict": self.verdict,
            "measured": self.measured,
            "limit": self.threshold.limit,
            "samples": self.samples,
        }

    def row(self) -> tuple[str, str, str]:
        """Wanted, measured and verdict, for people."""
        return self.threshold.text, self._measured(), self.verdict

    def _measured(self) -> str:
        if self.note:
            return self.note
        if self.measured is None:
            return "no samples"
        shown = show(self.threshold.metric, self.measured)
        return shown if self.threshold.metric in COUNTS else f"{shown} of {self.samples} operations"


def show(metric: str, value: float) -> str:
    """A measured value with the unit people read."""
    if metric in DURATIONS:
        return show_seconds(value)
    if metric == "throughput":
        return f"{value:.4g}/s"
    return f"{value:g}" if metric in COUNTS else f"{100 * value:.4g} %"


def show_seconds(value: float) -> str:
    """Seconds with the unit in which they are easy to read."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value * 1e9:.4g} ns"


def judge(thresholds: Sequence[Threshold], measured: Measurements) -> list[Verdict]:
    """The verdict on each threshold, in order, and on ``errors == 0`` for the errors that none of them judges."""
    verdicts = [_judge(threshold, measured) for threshold in thresholds]
    applicable = [
        one.threshold
        for one in verdicts
        if one.threshold.metric in ("errors", "error_rate") and one.verdict != NOT_APPLICABLE
    ]
    if not applicable:
        return [*verdicts, _judge(parse("errors == 0"), measured)]
    unseen = measured.errors_outside([(one.agent, one.task, one.faults) for one in applicable])
    if not unseen:
        return verdicts
    return [*verdicts, _compare(parse("errors == 0"), unseen, measured.counts().total)]


def _judge(threshold: Threshold, measured: Measurements) -> Verdict:
    records = measured.records
    for what, name, names in (
        ("agent", threshold.agent, records.agents),
        ("task", threshold.task, records.tasks),
    ):
        if name is not None and name not in names:
            verdict = NOT_APPLICABLE if threshold.session_wide else NOT_ENOUGH_DATA
            return Verdict(threshold, verdict, None, 0, f"the run has no {what} {name!r}")
    if threshold.faults is not None and not measured.counts(faults=threshold.faults).total:
        verdict = NOT_APPLICABLE if threshold.session_wide else NOT_ENOUGH_DATA
        return Verdict(threshold, verdict, None, 0, f"no operation was performed with faults {threshold.faults}")
    if threshold.metric in DURATIONS:
        return _judge_duration(threshold, measured)
    counts = measured.counts(threshold.agent, threshold.task, threshold.faults)
    if not counts.total:
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, "no operations")
    if threshold.metric == "throughput" and not measured.elapsed:
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0, "the run took no time")
    value = _value(threshold.metric, counts, measured.elapsed)
    return _compare(threshold, value, counts.total)


def _judge_duration(threshold: Threshold, measured: Measurements) -> Verdict:
    samples = measured.durations(threshold.metric, threshold.agent, threshold.task, threshold.faults)
    if not samples.size:
        return Verdict(threshold, NOT_ENOUGH_DATA, None, 0)
    value = aggregate(samples, threshold.aggregation or "")
    needed = _samples_needed(threshold)
    if samples.size < needed:
        note = f"{samples.size} samples, {threshold.aggregation} needs {needed}"
        return Verdict(threshold, NOT_ENOUGH_DATA, value, samples.size, note)
    return _compare(threshold, value, samples.size)


def _samples_needed(threshold: Threshold) -> int:
    """1/(1-p): with fewer samples a percentile is the maximum under another name."""
    if threshold.percentile is None:
        return 1
    above = (100 - threshold.percentile) / 100
    return math.ceil(round(1 / above, 6))


def _compare(threshold: Threshold, value: float, samples: int) -> Verdict:
    return Verdict(threshold, HELD if threshold.holds(value) else BROKEN, value, samples)


def _value(metric: str, counts: Counts, elapsed: float) -> float:
    if metric == "throughput":
        return counts.total / elapsed
    of_metric = {
        "operations": counts.total,
        "success": counts.successful,
        "failure": counts.failed,
        "error": counts.errors,
        "missing_data": counts.missing_data,
        "successes": counts.successful,
        "failures": counts.failed,
        "errors": counts.errors,
    }
    if metric.endswith("_rate"):
        return of_metric[metric.removesuffix("_rate")] / counts.total
    return of_metric[metric]
