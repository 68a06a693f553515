"""Phases: the parts of a run in time.

While agents start (``ramp``) and while the target warms up (``warmup``) figures are not those of a system at work,
so the gate judges what comes after, the ``steady`` phase. A run without the two is steady from its start. An
operation belongs to the phase in which it begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from .scenario import Scenario

RAMP: Final = "ramp"
WARMUP: Final = "warmup"
STEADY: Final = "steady"


class Phase(NamedTuple):
    """A part of a run; ``start`` and ``end`` are seconds since the run's start."""

    name: str
    start: float
    end: float


def phases_of(scenario: Scenario, elapsed: float) -> tuple[Phase, ...]:
    """The phases that a run of so many seconds came to, in order."""
    ramp_ends = float(scenario.ramp)
    warmup_ends = ramp_ends + float(scenario.warmup)
    planned = (
        Phase(RAMP, 0.0, ramp_ends),
        Phase(WARMUP, ramp_ends, warmup_ends),
        Phase(STEADY, warmup_ends, max(elapsed, warmup_ends)),
    )
    begun = [one for one in planned if one.end > one.start and (one.start < elapsed or not one.start)]
    return tuple(one._replace(end=min(one.end, elapsed)) for one in begun) or (Phase(STEADY, 0.0, elapsed),)
