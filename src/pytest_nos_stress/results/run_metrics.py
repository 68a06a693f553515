"""Measurements that thresholds evaluate: the operations of a run by phase, and samples of the process."""

from __future__ import annotations

import numpy as np

from pytest_nos_stress.scenario.phases import STEADY, Phase, phases_of
from pytest_nos_stress.scenario.scenario import Scenario

from .measurements import Measurements
from .resources import ResourceSamples


class RunMetrics:
    """Measurements of a run by phase, and samples of the process."""

    def __init__(self, measured: Measurements, scenario: Scenario, resources: ResourceSamples) -> None:
        self.measured = measured
        self.phases = phases_of(scenario, measured.elapsed)
        self.resources = resources
        self._parts: dict[str, Measurements] = {}
        if len(self.phases) == 1 and self.phases[0].name == STEADY:
            self._parts[STEADY] = measured

    def phase(self, name: str | None) -> Phase | None:
        """Return the phase of that name, by default the steady phase; None if the run ended before it."""
        return next((phase for phase in self.phases if phase.name == (name or STEADY)), None)

    def of(self, phase: Phase) -> Measurements:
        """Return the measurements of the operations that began in a phase."""
        if phase.name not in self._parts:
            self._parts[phase.name] = self.measured.begun_between(phase.start, phase.end)
        return self._parts[phase.name]

    def resources_in(self, part: Measurements) -> ResourceSamples:
        """Return the samples of the process during these measurements, and the last sample before them."""
        start, end = ((at - self.measured.started_ns) / 1e9 for at in (part.started_ns, part.ended_ns))
        seconds = self.resources.seconds
        first = max(0, int(np.searchsorted(seconds, start, side="right")) - 1)
        last = (
            seconds.size
            if part.ended_ns >= self.measured.ended_ns
            else int(np.searchsorted(seconds, end, "right"))
        )
        return ResourceSamples(*(column[first:last] for column in self.resources))
