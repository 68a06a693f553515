"""Merge settings from all sources, and reject combinations that conflict.

A source is one place that gives settings: ``run(...)``, the command line, a marker, an ini file. ``label`` returns
how a message names a setting of that source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.scenario.rules import Label, check_length, check_together
from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS, checked_defaults

_ADDED_UP: Final = ("thresholds", "checks")


def merge(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the settings of sources; a later source overrides an earlier one.

    Thresholds and checks add up. A duration overrides a number of operations from an earlier source, and the
    other way round.
    """
    merged: dict[str, Any] = {"thresholds": ()}
    for source in sources:
        if source.get("duration") is not None:
            merged.pop("operations_per_agent", None)
        if "operations_per_agent" in source:
            merged.pop("duration", None)
        added = {
            name: (*merged.get(name, ()), *source.get(name, ()))
            for name in _ADDED_UP
            if name in merged or name in source
        }
        merged |= {**source, **added}
    return merged


def check_source(values: Mapping[str, Any], label: Label = str) -> None:
    """Raise ``SettingError`` if settings from one source exclude each other."""
    if values.get("scenario") is not None:
        refuse_beside_scenario(label(name) for name in SCENARIO_OPTIONS if name in values)
    check_length(values, label)


def check_merged(values: Mapping[str, Any], label: Label = str) -> None:
    """Raise ``SettingError`` if merged settings, with the defaults of the others, do not hold together."""
    check_together({**checked_defaults(), **values}, label)


def refuse_beside_scenario(names: Iterable[str]) -> None:
    """Raise ``SettingError`` for settings that the scenario from the same source decides."""
    for name in names:
        raise SettingError(f"{name}: decided by the scenario given with it; give one or the other")
