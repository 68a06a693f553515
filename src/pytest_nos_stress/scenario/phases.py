"""Phases: the parts of a run in time.

While agents start (``ramp``) and while the target warms up (``warmup``), figures are not typical of the system.
Thresholds therefore judge the phase after them, ``steady``. A run without ramp and warm-up is steady from its
start. An operation belongs to the phase in which it begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from .scenario import Scenario

RAMP: Final = "ramp"
WARMUP: Final = "warmup"
STEADY: Final = "steady"


class Phase(NamedTuple):
    """A part of a run. ``start`` and ``end`` are seconds since the run's start."""

    name: str
    start: float
    end: float


def phases_of(scenario: Scenario, elapsed: float) -> tuple[Phase, ...]:
    """Return the phases that a run of ``elapsed`` seconds has reached, in order."""
    ramp_ends = float(scenario.ramp)
    warmup_ends = ramp_ends + float(scenario.warmup)
    planned = (
        Phase(RAMP, 0.0, ramp_ends),
        Phase(WARMUP, ramp_ends, warmup_ends),
        Phase(STEADY, warmup_ends, max(elapsed, warmup_ends)),
    )
    begun = [phase for phase in planned if phase.end > phase.start and (phase.start < elapsed or not phase.start)]
    reached = tuple(phase._replace(end=min(phase.end, elapsed)) for phase in begun)
    return reached or (Phase(STEADY, 0.0, elapsed),)
