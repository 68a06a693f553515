"""Settings of several sources are merged into those of one run, and conflicts are refused."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_nos_stress import Scenario, SettingError
from pytest_nos_stress.config.merge import check_merged, check_source, merge, refuse_beside_scenario
from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS


def test_a_later_source_overrides_an_earlier_one() -> None:
    levels: list[dict[str, Any]] = [{"agents": 2, "seed": 1}, {"seed": 2, "ramp": 1.0}, {"ramp": 3.0}]
    assert merge(levels) == {"agents": 2, "seed": 2, "ramp": 3.0, "thresholds": ()}


def test_thresholds_and_checks_accumulate_in_the_order_of_the_sources() -> None:
    levels: list[dict[str, Any]] = [
        {"thresholds": ("a",), "checks": (1,)},
        {},
        {"thresholds": ("b", "c"), "checks": (2,)},
    ]
    assert merge(levels) == {"thresholds": ("a", "b", "c"), "checks": (1, 2)}


@pytest.mark.parametrize(
    ("levels", "merged"),
    [
        ([{"operations_per_agent": 5}, {"duration": 2.0}], {"duration": 2.0}),
        ([{"duration": 2.0}, {"operations_per_agent": 5}], {"operations_per_agent": 5}),
        ([{"operations_per_agent": 5}, {"duration": None}], {"operations_per_agent": 5, "duration": None}),
        (
            [{"duration": 2.0}, {"operations_per_agent": 5}, {"duration": 3.0}],
            {"duration": 3.0},
        ),
    ],
)
def test_a_duration_and_a_number_of_operations_override_each_other(
    levels: list[dict[str, Any]], merged: dict[str, Any]
) -> None:
    assert merge(levels) == {**merged, "thresholds": ()}


def test_merging_does_not_change_the_sources() -> None:
    levels: list[dict[str, Any]] = [{"operations_per_agent": 5, "thresholds": ("a",)}, {"duration": 1.0}]
    merge(levels)
    assert levels == [{"operations_per_agent": 5, "thresholds": ("a",)}, {"duration": 1.0}]


@pytest.mark.parametrize("name", SCENARIO_OPTIONS)
def test_a_scenario_and_a_setting_that_it_decides_conflict(name: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}: the scenario already decides it"):
        check_source({"scenario": Scenario(), name: 1})
    check_source({"scenario": None, name: 1})
    with pytest.raises(SettingError, match=r"^--stress-ramp: the scenario"):
        refuse_beside_scenario(["--stress-ramp"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"ramp": 3.0, "duration": 3.0},
            "ramp=3: must end before duration=3, or no steady phase is left to measure",
        ),
        (
            {"warmup": 4.0, "duration": 3.0},
            "warmup=4: must end before duration=3, or no steady phase is left to measure",
        ),
        (
            {"ramp": 1.0, "warmup": 2.5, "duration": 3.0},
            "ramp=1 and warmup=2.5: must end before duration=3, or no steady phase is left to measure",
        ),
    ],
)
def test_ramp_and_warmup_must_end_before_the_duration(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_merged(values)
    assert str(caught.value) == message
    with pytest.raises(SettingError, match="--stress-duration=3, or"):
        check_merged(values, lambda name: f"--stress-{name}")


@pytest.mark.parametrize(
    "values",
    [
        {"ramp": 1.0, "warmup": 1.5, "duration": 3.0},
        {"ramp": 100.0, "warmup": 100.0},
        {"ramp": 100.0, "duration": None},
        {"ramp": 0.0, "warmup": 0.0, "duration": 0.5},
    ],
)
def test_other_ramps_and_warmups_are_fine(values: dict[str, Any]) -> None:
    check_merged(values)
