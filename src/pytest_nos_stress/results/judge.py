"""Evaluation of thresholds: each threshold on a run's metrics becomes a verdict.

A verdict is ``passed``, ``failed``, ``no data`` or ``not applicable``; ``no data`` fails the run. A threshold from
the command line or the ini file is ``not applicable`` if it names an agent, task or phase that the run does not
have. A threshold ``over`` windows is evaluated in each window, and its verdict is that of the worst window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from pytest_nos_stress._internal.outcome import ERROR
from pytest_nos_stress._internal.text import counted
from pytest_nos_stress.scenario.phases import STEADY

from .measurements import Counts, Measurements
from .metrics import Question
from .run_metrics import RunMetrics
from .selection import Selection
from .statistics_types import ThresholdStatistics
from .threshold_parser import parse_threshold
from .thresholds import Threshold
from .units import COUNT
from .verdicts import FAILED, NO_DATA, NOT_APPLICABLE, PASSED

_MOST_WINDOWS: Final = 100_000


class Window(NamedTuple):
    """Measured value and verdict of one window; ``start`` and ``end`` are in seconds since the run's start."""

    start: float
    end: float
    measured: float | None
    verdict: str


class Verdict(NamedTuple):
    """Verdict on one threshold; ``measured`` is in the metric's base unit, None without data."""

    threshold: Threshold
    verdict: str
    measured: float | None
    samples: int
    note: str = ""
    windows: tuple[Window, ...] = ()

    @property
    def passes(self) -> bool:
        """True if the verdict does not fail the run."""
        return self.verdict in (PASSED, NOT_APPLICABLE)

    @property
    def is_final(self) -> bool:
        """True if further operations could not have passed the threshold: it failed, and not for lack of them."""
        threshold, measured = self.threshold, self.measured
        if self.verdict != FAILED or measured is None or threshold.metric == "fairness":
            return False
        if threshold.definition.unit is not COUNT:
            return True
        is_exceeded = threshold.limit is not None and measured > threshold.limit
        return threshold.operator in ("<", "<=") or (threshold.operator == "==" and is_exceeded)

    def as_dict(self) -> ThresholdStatistics:
        """Return the verdict as JSON types."""
        return {
            "threshold": self.threshold.text,
            "verdict": self.verdict,
            "measured": self.measured,
            "limit": self.threshold.limit,
            "samples": self.samples,
            "note": self.note,
            "windows": {
                "total": len(self.windows),
                "failed": [[window.start, window.end] for window in self.windows if window.verdict == FAILED],
            },
        }

    def row(self) -> tuple[str, str, str]:
        """Return threshold, measured value and verdict as texts for people."""
        return self.threshold.text, self._measured(), self.verdict

    def _measured(self) -> str:
        if self.measured is None or self.verdict == NO_DATA:
            return self.note or "no samples"
        metric = self.threshold.definition
        text = metric.text(self.measured)
        if metric.unit is not COUNT and metric.is_of_operations and self.samples:
            text = f"{text} of {counted(self.samples, 'operation')}"
        return f"{text} ({self.note})" if self.note else text


class BaselineComparison(Protocol):
    """Comparison of a run with a baseline. It evaluates thresholds that are relative to the baseline."""

    def judge(self, threshold: Threshold) -> Verdict: ...


def evaluate_thresholds(
    thresholds: Sequence[Threshold], run_metrics: RunMetrics, comparison: BaselineComparison | None = None
) -> list[Verdict]:
    """Evaluate each threshold in order, then ``errors == 0`` for the errors that no threshold covers."""
    verdicts = [evaluate_threshold(threshold, run_metrics, comparison) for threshold in thresholds]
    on_errors = [verdict for verdict in verdicts if _judges_errors(verdict)]
    if not on_errors:
        return [*verdicts, evaluate_threshold(parse_threshold("errors == 0"), run_metrics)]
    phase = run_metrics.phase(STEADY)
    if phase is None:
        return verdicts
    measured = run_metrics.of(phase)
    unseen = measured.errors_outside([_selection(verdict.threshold) for verdict in on_errors])
    if not unseen:
        return verdicts
    rest = _compare(parse_threshold("errors == 0"), unseen, measured.counts().total)
    return [*verdicts, rest._replace(note="errors that no other threshold covers")]


def _judges_errors(verdict: Verdict) -> bool:
    threshold = verdict.threshold
    is_judged = threshold.baseline is None and verdict.verdict != NOT_APPLICABLE
    return threshold.definition.cell == ERROR and threshold.phase in (None, STEADY) and is_judged


def evaluate_threshold(
    threshold: Threshold,
    run_metrics: RunMetrics,
    comparison: BaselineComparison | None = None,
    *,
    in_progress: bool = False,
) -> Verdict:
    """Evaluate one threshold. ``comparison`` is None while the run is in progress."""
    problem = _missing_name(threshold, run_metrics)
    if problem:
        verdict = NOT_APPLICABLE if threshold.session_wide else NO_DATA
        return Verdict(threshold, verdict, None, 0, problem)
    if threshold.baseline is not None:
        return _against_baseline(threshold, run_metrics, comparison)
    phase = run_metrics.phase(threshold.phase)
    if phase is None:
        return Verdict(threshold, NO_DATA, None, 0, "the run ended before its steady phase")
    measured = run_metrics.of(phase)
    if threshold.faults is not None and not measured.counts(faults=threshold.faults).total:
        verdict = NOT_APPLICABLE if threshold.session_wide else NO_DATA
        return Verdict(threshold, verdict, None, 0, f"no operation was performed with faults {threshold.faults}")
    if threshold.over is not None:
        return _judge_windows(threshold, measured, run_metrics, phase.start, in_progress=in_progress)
    return _judge_part(threshold, measured, run_metrics)


def _missing_name(threshold: Threshold, run_metrics: RunMetrics) -> str:
    """Describe an agent, task or phase that the threshold names and the run lacks; return "" if it has all."""
    records = run_metrics.measured.records
    for tag, name, names in (
        ("agent", threshold.agent, records.agents),
        ("task", threshold.task, records.tasks),
    ):
        if name is not None and name not in names:
            return f"the run has no {tag} {name!r}"
    if threshold.phase not in (None, STEADY) and run_metrics.phase(threshold.phase) is None:
        return f"the run has no phase {threshold.phase!r}"
    return ""


def _against_baseline(
    threshold: Threshold, run_metrics: RunMetrics, comparison: BaselineComparison | None
) -> Verdict:
    if comparison is None:
        return Verdict(threshold, NO_DATA, None, 0, "the run is in progress")
    verdict = comparison.judge(threshold)
    phase = run_metrics.phase(STEADY)
    if phase is None or verdict.measured is None:
        return verdict
    # The comparison works with histograms; for this run the report shows the exact value.
    return verdict._replace(
        measured=_judge_part(threshold._replace(limit=0.0), run_metrics.of(phase), run_metrics).measured
    )


def _judge_windows(
    threshold: Threshold, measured: Measurements, run_metrics: RunMetrics, start: float, *, in_progress: bool
) -> Verdict:
    """Return the verdict on the worst window: failed, else without data, else nearest to the limit."""
    if threshold.definition.is_of_operations and not _counts(threshold, measured).total:
        return Verdict(threshold, NO_DATA, None, 0, "no operations")
    length = threshold.over or measured.elapsed
    if measured.elapsed > _MOST_WINDOWS * length:
        note = f"more than {_MOST_WINDOWS} windows: make the windows longer"
        return Verdict(threshold, NO_DATA, None, 0, note)
    verdicts, spans = [], []
    for part in measured.windows(length, in_progress=in_progress):
        verdicts.append(_judge_part(threshold, part, run_metrics, is_window=True))
        spans.append([start + (at - measured.started_ns) / 1e9 for at in (part.started_ns, part.ended_ns)])
    windows = tuple(
        Window(begin, end, verdict.measured, verdict.verdict)
        for (begin, end), verdict in zip(spans, verdicts, strict=True)
    )
    worst = max(range(len(verdicts)), key=lambda index: _badness(threshold, verdicts[index]))
    note = _note_on_windows(verdicts[worst].note, windows, windows[worst])
    return verdicts[worst]._replace(note=note, windows=windows)


def _note_on_windows(note: str, windows: Sequence[Window], worst: Window) -> str:
    """Return the note on the worst window, with its time, and the number of failed windows if several failed."""
    failed = sum(window.verdict == FAILED for window in windows)
    where = f"in {failed} of {len(windows)} windows, worst" if failed > 1 else "at"
    return ", ".join(filter(None, [note, f"{where} {worst.start:.4g}s-{worst.end:.4g}s"]))


def _selection(threshold: Threshold) -> Selection:
    return Selection(threshold.agent, threshold.task, threshold.faults)


def _counts(threshold: Threshold, measured: Measurements) -> Counts:
    return measured.counts(threshold.agent, threshold.task, threshold.faults)


def _badness(threshold: Threshold, verdict: Verdict) -> tuple[int, float]:
    rank = (PASSED, NO_DATA, FAILED).index(verdict.verdict)
    if verdict.measured is None:
        return rank, -math.inf
    return rank, verdict.measured if threshold.wants_less else -verdict.measured


def _judge_part(
    threshold: Threshold, part: Measurements, run_metrics: RunMetrics, *, is_window: bool = False
) -> Verdict:
    """Evaluate a threshold on the operations of a phase, or of one window of it."""
    reading = threshold.definition.read(
        Question(
            part,
            _selection(threshold),
            threshold.aggregation or "",
            partial(run_metrics.resources_in, part),
        )
    )
    if reading.value is None or reading.note:
        return Verdict(threshold, NO_DATA, *reading)
    if not reading.samples and not is_window:
        return Verdict(threshold, NO_DATA, None, 0, "no operations")
    return _compare(threshold, reading.value, reading.samples)


def _compare(threshold: Threshold, value: float, samples: int) -> Verdict:
    return Verdict(threshold, PASSED if threshold.holds(value) else FAILED, value, samples)
