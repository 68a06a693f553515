"""Evidence: what a run is judged by.

Everything that a threshold may ask of a run: its operations, all of them or those of one phase, the process'
memory, and what an earlier run measured. Thresholds on the steady phase are the rule; the rest must be asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_nos_stress.scenario.phases import STEADY, Phase, phases_of
from pytest_nos_stress.scenario.scenario import Scenario

from .measurements import Measurements
from .resources import ResourceSamples

if TYPE_CHECKING:
    from pytest_nos_stress.results.baselines.gate import Comparison


class RunMetrics:
    """The measurements of a run, by phase, and what else there is to judge it by."""

    def __init__(
        self,
        measured: Measurements,
        scenario: Scenario,
        resources: ResourceSamples,
        comparison: Comparison | None = None,
    ) -> None:
        self.measured = measured
        self.phases = phases_of(scenario, measured.elapsed)
        self.comparison = comparison
        self.resources = resources
        self._parts: dict[str, Measurements] = {}
        if len(self.phases) == 1 and self.phases[0].name == STEADY:
            self._parts[STEADY] = measured

    def phase(self, name: str | None) -> Phase | None:
        """The phase of that name, the steady one by default; None where the run did not come to it."""
        return next((one for one in self.phases if one.name == (name or STEADY)), None)

    def of(self, phase: Phase) -> Measurements:
        """The measurements of the operations that began in a phase."""
        if phase.name not in self._parts:
            self._parts[phase.name] = self.measured.begun_between(phase.start, phase.end)
        return self._parts[phase.name]

    def memory(self, aggregation: str, part: Measurements) -> tuple[float | None, int]:
        """Bytes of ``growth`` or ``peak`` in the time of these measurements, and of how many samples."""
        start, end = ((one - self.measured.started_ns) / 1e9 for one in (part.started_ns, part.ended_ns))
        seconds, memory, *_ = self.resources
        first = max(0, int(np.searchsorted(seconds, start, side="right")) - 1)
        past = int(np.searchsorted(seconds, end, side="right"))
        if part.ended_ns >= self.measured.ended_ns:
            past = seconds.size
        samples = memory[first:past]
        if samples.size < 2:
            return None, int(samples.size)
        value = samples.max() if aggregation == "peak" else samples[-1] - samples[0]
        return float(value), int(samples.size)
