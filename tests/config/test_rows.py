"""Every row of the settings is complete: a name of its own, a type, a default, and what a flag needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from pytest_nos_stress import Scenario, SettingError
from pytest_nos_stress._internal.validation import OptionType
from pytest_nos_stress.config import Setting
from pytest_nos_stress.config.options import SESSION_SETTINGS, SETTINGS
from pytest_nos_stress.scenario.fields import FieldOption
from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS

NOT_SETTINGS = ("operations", "weights")
"""Fields of a scenario that only code gives."""
DEFAULT_OF_THE_TARGET = "tasks"
"""The setting whose default depends on the target."""


def missing_parts(rows: Iterable[Setting], options: Mapping[str, FieldOption]) -> list[str]:
    """Return the missing parts of rows and fields, one line for each."""
    rows = list(rows)
    names = [row.name for row in rows]
    missing = [f"{name}: in two rows" for name in sorted(set(names)) if names.count(name) > 1]
    missing += [f"{name}: a field without a row" for name in options if name not in names]
    for row in rows:
        missing += [f"{row.name}: {part}" for part in _missing_parts_of(row, options)]
    return missing


def _missing_parts_of(row: Setting, options: Mapping[str, FieldOption]) -> list[str]:
    missing = ["no help"] if len(row.help) < 15 else []
    if row.flag and bool(row.metavar) == row.is_switch:
        missing.append("a flag without a metavar that is not a switch, or a switch with one")
    if row.is_of_scenario and row.name not in options:
        return [*missing, "neither a field of the scenario nor a type"]
    try:
        default = options[row.name].default if row.is_of_scenario else row.default
        option_type = options[row.name].type if row.is_of_scenario else row.type
        if row.name != DEFAULT_OF_THE_TARGET and option_type.check(default, row.name) != default:
            missing.append("a default that its type changes")
    except AttributeError:
        missing.append("a type that there is not")
    except SettingError:
        missing.append("a default that its own type refuses")
    if row.is_switch and default is not False:
        missing.append("a switch that is not off by default")
    return missing


def test_every_row_is_complete() -> None:
    assert missing_parts([*SETTINGS, *SESSION_SETTINGS], SCENARIO_OPTIONS) == []


def test_every_field_of_a_scenario_is_a_setting_with_a_type() -> None:
    fields = {field.name for field in dataclasses.fields(Scenario) if field.init}
    assert fields - set(NOT_SETTINGS) == set(SCENARIO_OPTIONS)
    assert all(isinstance(option.type, OptionType) for option in SCENARIO_OPTIONS.values())


HELP = "says something about it"
GREETING = FieldOption(OptionType("a greeting", str), "hello")


@pytest.mark.parametrize(
    ("row", "options", "part"),
    [
        (
            Setting("greeting", HELP, "--greeting", metavar="TEXT"),
            {},
            "neither a field of the scenario nor a type",
        ),
        (Setting("greeting", HELP, "--greeting"), {"greeting": GREETING}, "a flag without a metavar"),
        (Setting("greeting", "", "--greeting", metavar="TEXT"), {"greeting": GREETING}, "no help"),
        (Setting("greeting", HELP, type="GREETING", default="hello"), {}, "a type that there is not"),
        (Setting("greeting", HELP, type="SWITCH", default="hello"), {}, "a default that its own type refuses"),
        (Setting("gate", HELP, type="SWITCH", default=True), {}, "in two rows"),
        (Setting("other", HELP, type="SWITCH", default=True), {"greeting": GREETING}, "a field without a row"),
        (
            Setting("greeting", HELP, "--greeting", is_switch=True, type="SWITCH", default=True),
            {},
            "a switch that is not off by default",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_that_lacks_a_part_is_found(row: Setting, options: dict[str, Any], part: str) -> None:
    missing = missing_parts([*SETTINGS, row], {**SCENARIO_OPTIONS, **options})
    assert [line for line in missing if part in line], missing
