"""Aborting: ends a run early whose thresholds say that it is hopeless.

Thresholds with ``abort`` are judged while the run goes on, by the same rules as after it. A look is not taken
before the threshold's grace time, and the next one is so much later that looking takes a hundredth of the time
at most. In virtual time looks depend on the run's clock alone, so that a run that is aborted is aborted at the
same operation each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from pytest_nos_stress.results.judge import BROKEN, Verdict, evaluate_threshold
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.scenario.phases import STEADY, WARMUP
from pytest_nos_stress.scenario.scenario import Scenario

_SHORTEST_INTERVAL: Final = 0.25
_SHARE_OF_TIME: Final = 0.05
_COST: Final = 50


class Aborted(NamedTuple):
    """Why and when a run was ended: the verdict on the threshold then, and seconds since the run's start."""

    verdict: Verdict
    at: float

    def as_dict(self) -> dict[str, Any]:
        return {"threshold": self.verdict.threshold.text, "at": self.at}


class AbortMonitor:
    """Looks at the thresholds that may end a run. ``evidence`` gives what there is to judge so far."""

    def __init__(
        self, thresholds: Sequence[Threshold], scenario: Scenario, evidence: Callable[[], RunMetrics]
    ) -> None:
        self.aborted: Aborted | None = None
        begins = {None: scenario.ramp + scenario.warmup, STEADY: scenario.ramp + scenario.warmup}
        begins |= {WARMUP: scenario.ramp}
        self._waiting = [
            (begins.get(one.phase, 0.0) + one.abort_after, one)
            for one in thresholds
            if one.abort_after is not None
        ]
        self._evidence = evidence
        self._next = min((after for after, _ in self._waiting), default=float("inf"))

    @property
    def watches(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._waiting)

    def is_due(self, elapsed: float) -> bool:
        """Whether a look is to be taken, so many seconds after the run's start."""
        return elapsed >= self._next and self.aborted is None

    def look(self, elapsed: float, *, in_real_time: bool) -> bool:
        """Judge what there is so far; whether the run is to be ended."""
        began = time.thread_time()
        evidence = self._evidence()
        for after, threshold in self._waiting:
            verdict = evaluate_threshold(threshold, evidence) if elapsed >= after else None
            if verdict is not None and verdict.verdict == BROKEN:
                self.aborted = Aborted(verdict, elapsed)
                return True
        cost = _COST * (time.thread_time() - began) if in_real_time else _SHARE_OF_TIME * elapsed
        self._next = elapsed + max(_SHORTEST_INTERVAL, cost)
        return False
