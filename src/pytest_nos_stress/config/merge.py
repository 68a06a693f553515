"""Merge settings from all sources, and reject combinations that conflict.

A source is ``run(...)``, the command line, a marker or an ini file. ``label`` turns a setting's name into the
spelling that the source uses, such as ``--stress-ramp``, for messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.scenario.rules import Label, check_length, check_together
from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS, checked_defaults

_CUMULATIVE: Final = ("thresholds", "checks")


def merge(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the settings of all sources. A later source overrides an earlier one.

    Thresholds and checks of all sources apply together. A duration overrides a number of operations from an
    earlier source, and a number of operations overrides a duration.
    """
    merged: dict[str, Any] = {"thresholds": ()}
    for source in sources:
        if source.get("duration") is not None:
            merged.pop("operations_per_agent", None)
        if "operations_per_agent" in source:
            merged.pop("duration", None)
        cumulative = {
            name: (*merged.get(name, ()), *source.get(name, ()))
            for name in _CUMULATIVE
            if name in merged or name in source
        }
        merged |= {**source, **cumulative}
    return merged


def check_source(values: Mapping[str, Any], label: Label = str) -> None:
    """Raise ``SettingError`` if settings from one source conflict."""
    if values.get("scenario") is not None:
        refuse_beside_scenario(label(name) for name in SCENARIO_OPTIONS if name in values)
    check_length(values, label)


def check_merged(values: Mapping[str, Any], label: Label = str) -> None:
    """Raise ``SettingError`` if merged settings conflict with each other or with defaults."""
    check_together({**checked_defaults(), **values}, label)


def refuse_beside_scenario(names: Iterable[str]) -> None:
    """Raise ``SettingError`` for the first name, a setting that the scenario from the same source decides."""
    for name in names:
        raise SettingError(f"{name}: the scenario already decides it; give one or the other")
