"""Numbers of variants, which plans, agents and statistics share."""

from __future__ import annotations

import pytest

from pytest_nos_stress import Scenario
from pytest_nos_stress._internal.outcome import FAILED, MISSING, SUCCESS
from pytest_nos_stress.faults.mix import FAULTS


def test_every_fault_can_be_listed_and_is_found_under_its_name() -> None:
    scenario = Scenario(operations=[("Ann", "buy", fault) for fault in FAULTS])
    mix = scenario.fault_mix
    assert [mix.variants[mix.number_of[fault]].fault for fault in FAULTS] == list(FAULTS)


def test_the_first_variant_is_an_ordinary_call_and_the_last_one_has_faults_disabled() -> None:
    for scenario in (Scenario(), Scenario(faults="binance", missing_data={"stale": 1, "gap": 1})):
        mix = scenario.fault_mix
        assert mix.variants[0].fault is None
        assert not mix.variants[0].switched_off
        disabled = [number for number, variant in enumerate(mix.variants) if variant.switched_off]
        assert disabled == [mix.faults_disabled]


@pytest.mark.parametrize(
    ("fault", "outcome", "calls"),
    [
        ("missing_data", MISSING, {True}),
        ("stale", MISSING, {True}),
        ("lost_request", FAILED, {False}),
        ("lost_reply", FAILED, {True}),
        ("late_execution", FAILED, {True}),
        ("unknown_state", FAILED, {True}),
        ("unknown_state_lost", FAILED, {False}),
        ("overload", FAILED, {False}),
        ("reject", FAILED, {False}),
        ("clock", FAILED, {False}),
        ("lost_fill", FAILED, {True}),
        ("reject_but_filled", FAILED, {True}),
        ("late_status", SUCCESS, {True}),
        ("duplicate_ack", SUCCESS, {True}),
    ],
)
def test_a_fault_has_an_outcome_and_calls_the_target_or_not(fault: str, outcome: int, calls: set[bool]) -> None:
    mix = Scenario(operations=[("Ann", "buy", fault)]).fault_mix
    variants = [variant for variant in mix.variants if variant.fault == fault]
    assert {variant.outcome for variant in variants} == {outcome}
    assert {variant.enters_target(takes_operation=True) for variant in variants} == calls


def test_the_variants_of_one_scenario_have_the_set_probabilities() -> None:
    mix = Scenario(missing_data={"stale": 1, "gap": 1}, faults="binance", failure_prob=0.3).fault_mix
    assert sum(fault.probability for fault in mix.data_faults) == pytest.approx(0.2)
    assert sum(fault.probability for fault in mix.call_faults) == pytest.approx(0.3)


def test_half_of_unknown_states_are_executed_or_the_set_share() -> None:
    for share, parameters in ((0.5, {}), (0.9, {"executed": 0.9}), (0.0, {"executed": 0})):
        mix = Scenario(faults={"unknown_state": parameters}, failure_prob=1).fault_mix
        executed = [fault.probability for fault in mix.call_faults if fault.enters_target(takes_operation=True)]
        assert sum(executed) == pytest.approx(share)


def test_equal_scenarios_have_equal_variants_whatever_the_order_of_their_mappings() -> None:
    first = Scenario(missing_data={"stale": 1, "gap": 1}, faults={"reject": 1, "clock": 1})
    second = Scenario(missing_data={"gap": 1, "stale": 1}, faults={"clock": 1, "reject": 1})
    assert first == second
    assert first.fault_mix.variants == second.fault_mix.variants
