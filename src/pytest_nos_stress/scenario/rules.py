"""Rules for combinations of a scenario's fields, each of which is valid by itself.

``label`` turns a setting's name into the spelling that its source uses, such as ``--stress-ramp``, for messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_nos_stress import engines
from pytest_nos_stress.errors import SettingError

Label = Callable[[str], str]


def check_length(values: Mapping[str, Any], label: Label = str) -> None:
    """Raise ``SettingError`` if one source gives both a duration and a number of operations."""
    if values.get("duration") is None or "operations_per_agent" not in values:
        return
    raise SettingError(
        f"{label('duration')}={values['duration']:g} and "
        f"{label('operations_per_agent')}={values['operations_per_agent']}: give one or the other"
    )


def check_together(values: Mapping[str, Any], label: Label = str) -> None:
    """Raise ``SettingError`` if the checked values of all fields conflict."""
    _check_delays(values, label)
    if values["faults"] is not None and values["failure_mode"] != "lost_request":
        raise SettingError(
            f"{label('failure_mode')}={values['failure_mode']!r} and {label('faults')}: give one or the other"
        )
    if values["duration"] is not None:
        _check_duration(values, label)


def _check_delays(values: Mapping[str, Any], label: Label) -> None:
    shortest, longest = values["min_delay"], values["max_delay"]
    if shortest > longest:
        raise SettingError(
            f"{label('min_delay')}={shortest:g}: must not be above {label('max_delay')}={longest:g}"
        )


def _check_duration(values: Mapping[str, Any], label: Label) -> None:
    duration = values["duration"]
    if values["max_delay"] < 1e-9 and _uses_virtual_time(values["engine"]):
        raise SettingError(
            f"{label('duration')}={duration:g}: virtual time does not advance without think time; set "
            f"{label('max_delay')} above 0, or give a number of operations"
        )
    phases = {name: values[name] for name in ("ramp", "warmup") if values[name]}
    if sum(phases.values()) < duration:
        return
    named = " and ".join(f"{label(name)}={seconds:g}" for name, seconds in phases.items())
    raise SettingError(
        f"{named}: must end before {label('duration')}={duration:g}, or no steady phase is left to measure"
    )


def _uses_virtual_time(engine: str) -> bool:
    return engine in engines.ENGINES and engines.engine_class(engine).uses_virtual_time
