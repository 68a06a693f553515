"""Aborting: end a run early when a threshold with ``abort`` fails.

Such thresholds are evaluated while the run continues, by the same rules as after it. A threshold is not evaluated
before its grace time, and evaluations take a fiftieth of the time at most. In virtual time the moment of an
evaluation depends on the run's clock alone, so that a scenario is always aborted at the same operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pytest_nos_stress._internal.instrument import thread_time
from pytest_nos_stress.results.judge import Verdict, evaluate_threshold
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.statistics_types import AbortStatistics
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.results.verdicts import FAILED
from pytest_nos_stress.scenario.phases import STEADY, WARMUP
from pytest_nos_stress.scenario.scenario import Scenario

_SHORTEST_INTERVAL: Final = 0.25
_SHARE_OF_TIME: Final = 0.05
_COST: Final = 50


class Aborted(NamedTuple):
    """Verdict on the threshold that aborted a run, and the moment in seconds since the run's start."""

    verdict: Verdict
    at: float

    def as_dict(self) -> AbortStatistics:
        return {"threshold": self.verdict.threshold.text, "at": self.at}


class AbortMonitor:
    """Evaluates the thresholds that may abort a run. ``run_metrics`` returns the metrics so far."""

    def __init__(
        self, thresholds: Sequence[Threshold], scenario: Scenario, run_metrics: Callable[[], RunMetrics]
    ) -> None:
        self.aborted: Aborted | None = None
        begins = {None: scenario.ramp + scenario.warmup, STEADY: scenario.ramp + scenario.warmup}
        begins |= {WARMUP: scenario.ramp}
        self._pending = [
            (begins.get(threshold.phase, 0.0) + threshold.abort_after, threshold)
            for threshold in thresholds
            if threshold.abort_after is not None
        ]
        self._metrics_so_far = run_metrics
        self._next_evaluation = min((after for after, _ in self._pending), default=float("inf"))

    @property
    def watches(self) -> bool:
        """True if any threshold may abort the run."""
        return bool(self._pending)

    def is_due(self, elapsed: float) -> bool:
        """Return True if an evaluation is due ``elapsed`` seconds after the run's start."""
        return elapsed >= self._next_evaluation and self.aborted is None

    def evaluate(self, elapsed: float, *, in_real_time: bool) -> bool:
        """Evaluate the thresholds now. Return True if the run must end."""
        began = thread_time()
        run_metrics = self._metrics_so_far()
        for after, threshold in self._pending:
            if elapsed < after:
                continue
            verdict = evaluate_threshold(threshold, run_metrics, in_progress=True)
            if verdict.verdict == FAILED:
                self.aborted = Aborted(verdict, elapsed)
                return True
        cost = _COST * (thread_time() - began) if in_real_time else _SHARE_OF_TIME * elapsed
        self._next_evaluation = elapsed + max(_SHORTEST_INTERVAL, cost)
        return False
