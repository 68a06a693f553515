"""How settings from several places become those of one run: which goes before which, and which exclude each other.

Guarantee: what is given in one place and cannot be meant together is a ``SettingError`` of one line there; what
only does not hold together once all places are merged is one too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from .options import BY_NAME, SettingError

OF_SCENARIO: Final = (
    "agents",
    "tasks",
    "missing_data_prob",
    "failure_prob",
    "operations_per_agent",
    "duration",
    "ramp",
    "warmup",
    "min_delay",
    "max_delay",
    "failure_mode",
    "missing_data",
    "faults",
    "fault_windows",
    "retries",
    "network",
    "market",
    "seed",
    "engine",
    "own_threads",
    "operation_timeout",
)
"""The settings in whose place a scenario stands."""

_ADDED_UP: Final = ("thresholds", "checks")


def merge(levels: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The levels' settings, a later level before an earlier one.

    Thresholds and checks add up. A level that gives a duration takes the place of a number of operations
    below it, and the other way round.
    """
    merged: dict[str, Any] = {"thresholds": ()}
    for level in levels:
        if level.get("duration") is not None:
            merged.pop("operations_per_agent", None)
        if "operations_per_agent" in level:
            merged.pop("duration", None)
        added = {
            name: (*merged.get(name, ()), *level.get(name, ()))
            for name in _ADDED_UP
            if name in merged or name in level
        }
        merged |= {**level, **added}
    return merged


def refuse_beside_scenario(names: Iterable[str]) -> None:
    """Raise ``SettingError`` for settings that a scenario given in the same place decides."""
    for name in names:
        raise SettingError(f"{name}: decided by the scenario given with it; give one or the other")


def check_level(values: Mapping[str, Any], label: Callable[[str], str] = str) -> None:
    """Raise ``SettingError`` where settings given in one place exclude each other."""
    if values.get("scenario") is not None:
        refuse_beside_scenario(label(name) for name in OF_SCENARIO if name in values)
    if values.get("duration") is not None and "operations_per_agent" in values:
        raise SettingError(
            f"{label('duration')}={values['duration']:g} and "
            f"{label('operations_per_agent')}={values['operations_per_agent']}: give one or the other"
        )


def check_together(values: Mapping[str, Any], label: Callable[[str], str] = str) -> None:
    """Raise ``SettingError`` where settings that hold alone do not hold together, from wherever they are."""
    shortest = values.get("min_delay", BY_NAME["min_delay"].default)
    longest = values.get("max_delay", BY_NAME["max_delay"].default)
    if shortest > longest:
        raise SettingError(
            f"{label('min_delay')}={shortest:g}: must not be above {label('max_delay')}={longest:g}"
        )
    if values.get("faults") is not None and values.get("failure_mode", "lost_request") != "lost_request":
        raise SettingError(
            f"{label('failure_mode')}={values['failure_mode']!r} and {label('faults')}: give one or the other"
        )
    if values.get("duration") is not None and values.get("engine") == "virtual" and longest < 1e-9:
        raise SettingError(
            f"{label('duration')}={values['duration']:g}: in virtual time only delays take time; must have "
            f"{label('max_delay')} above 0, or a number of operations"
        )
    _check_phases(values, label)


def _check_phases(values: Mapping[str, Any], label: Callable[[str], str]) -> None:
    ramp, warmup, duration = (values.get(name) or 0.0 for name in ("ramp", "warmup", "duration"))
    if not duration or ramp + warmup < duration:
        return
    given = " and ".join(f"{label(name)}={values[name]:g}" for name in ("ramp", "warmup") if values.get(name))
    raise SettingError(
        f"{given}: must end before {label('duration')}={duration:g} does, to leave something to judge"
    )
