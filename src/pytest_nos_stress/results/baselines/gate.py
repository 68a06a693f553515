"""Baseline of a run: compare the run with earlier runs, and save it for later runs.

Guarantees: runs that differ in scenario, machine or version are not compared, and a run that did not pass is not
saved. In both cases the report states the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_nos_stress._internal.text import safe_name
from pytest_nos_stress.results.judge import Verdict
from pytest_nos_stress.results.measurements import Measurements
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.threshold_parser import parse_threshold
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.results.verdicts import FAILED, NO_DATA, NOT_APPLICABLE, PASSED
from pytest_nos_stress.scenario.phases import STEADY
from pytest_nos_stress.scenario.scenario import Scenario

if TYPE_CHECKING:
    from .comparison import Interval
    from .sketch import RunSketch
    from .store import Baseline


class Comparison:
    """Comparison of a run with a baseline; if there is none, ``refusal`` is the reason.

    ``becomes_baseline`` is True if the run is saved as the baseline and is therefore not compared.
    """

    def __init__(
        self,
        new: RunSketch | None,
        baseline: Baseline | None,
        refusal: str = "",
        *,
        becomes_baseline: bool = False,
    ) -> None:
        self._new = new
        self._baseline = baseline
        self._refusal = refusal
        self._becomes_baseline = becomes_baseline

    def judge(self, threshold: Threshold) -> Verdict:
        """Evaluate a threshold relative to the baseline. It fails only if the difference exceeds noise."""
        from .comparison import compare

        if self._new is None or self._baseline is None or threshold.baseline is None:
            verdict = NOT_APPLICABLE if self._becomes_baseline else NO_DATA
            return Verdict(threshold, verdict, None, 0, self._refusal)
        interval = compare(
            self._new,
            self._baseline.runs,
            threshold.metric,
            threshold.aggregation,
            threshold.task,
            modelled_time=self._baseline.modelled_time,
        )
        if interval.absent and threshold.session_wide:
            return Verdict(threshold, NOT_APPLICABLE, None, 0, interval.note)
        if not interval.enough:
            return Verdict(threshold, NO_DATA, interval.value, self._new.operations, interval.note)
        has_failed = interval.fails(threshold.operator, *threshold.baseline)
        verdict = FAILED if has_failed else PASSED
        return Verdict(threshold, verdict, interval.value, self._new.operations, self._note(threshold, interval))

    def _note(self, threshold: Threshold, interval: Interval) -> str:
        if interval.baseline_value is None or self._baseline is None:
            return interval.note
        before = f"baseline {self._baseline.name}: {threshold.definition.text(interval.baseline_value)}"
        if interval.low is None or interval.high is None:
            return before
        return f"{before}, between {interval.low:.3g}x and {interval.high:.3g}x of it"


_NO_BASELINE: Final = "no baseline to compare with; set --stress-compare NAME"


class BaselineGate:
    """Baseline that a run is compared with, and baseline that the run is saved in."""

    def __init__(self, directory: Path, *, save: str | None, compare: str | None, label: str) -> None:
        self._directory = directory
        self._save = save
        self._compare = compare
        self._label = safe_name(label)

    def thresholds(self, thresholds: Sequence[Threshold]) -> list[Threshold]:
        """Return the default thresholds if the run is compared and no threshold is relative to a baseline."""
        if self._compare is None or any(threshold.baseline is not None for threshold in thresholds):
            return []
        from .comparison import default_expressions

        return [parse_threshold(text, session_wide=True) for text in default_expressions()]

    def comparison(self, run_metrics: RunMetrics, scenario: Scenario) -> Comparison:
        """Return the comparison of the run with its baseline."""
        if self._compare is None and self._save is not None:
            return Comparison(None, None, "this run becomes the baseline", becomes_baseline=True)
        if self._compare is None:
            return Comparison(None, None, _NO_BASELINE)
        from .fingerprint import Fingerprint
        from .store import BaselineUnusable, load

        new = _sketch_of(run_metrics)
        try:
            baseline = load(self._directory, self._compare, self._label, Fingerprint.of(scenario))
        except BaselineUnusable as reason:
            return Comparison(new, None, str(reason))
        return Comparison(new, baseline)

    def save(self, run_metrics: RunMetrics, scenario: Scenario, *, passed: bool) -> list[str]:
        """Save the run as a baseline if that is requested and the run passed. Return notes for the report.

        Raise ``SettingError`` if the file cannot be written.
        """
        if self._save is None:
            return []
        if not passed:
            return [f"baseline {self._save!r} is not saved: the run did not pass"]
        from .fingerprint import Fingerprint
        from .store import save

        save(
            self._directory,
            self._save,
            self._label,
            Fingerprint.of(scenario),
            _sketch_of(run_metrics),
            scenario.seed,
        )
        return [f"baseline {self._save!r} is saved"]


def _sketch_of(run_metrics: RunMetrics) -> RunSketch:
    """Return the sketch of the run's steady phase."""
    from .sketch import RunSketch

    phase = run_metrics.phase(STEADY)
    measured: Measurements = run_metrics.measured if phase is None else run_metrics.of(phase)
    rows = measured.records
    return RunSketch.of(
        end_ns=rows.column("end"),
        task=rows.task(),
        outcome=rows.column("outcome"),
        is_error=rows.column("is_error"),
        called=rows.column("called"),
        latency_ns=rows.column("latency"),
        response_ns=rows.column("response_time"),
        tasks=rows.tasks,
        started_ns=measured.started_ns,
        ended_ns=measured.ended_ns,
    )
