"""Fingerprints: runs that differ are not compared, and the differences are described."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_nos_stress import Scenario
from pytest_nos_stress.results.baselines.fingerprint import Fingerprint, in_words


def words(saved: Fingerprint, here: Fingerprint) -> str:
    return in_words(saved.differences(here))


def changed(fingerprint: Fingerprint, part: str, **values: Any) -> Fingerprint:
    replaced: Any = {part: {**getattr(fingerprint, part), **values}}
    return fingerprint._replace(**replaced)


def test_runs_of_one_scenario_are_comparable_with_any_seed() -> None:
    assert words(Fingerprint.of(Scenario(seed=1)), Fingerprint.of(Scenario(seed=2))) == ""
    assert words(Fingerprint.of(Scenario()), Fingerprint.of(Scenario(operation_timeout=5))) == ""


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"operations_per_agent": 200}, "operations_per_agent 100, here 200"),
        ({"failure_prob": 0.5}, "failure_prob 0.1, here 0.5"),
        ({"duration": 5}, "duration none, here 5.0; operations_per_agent 100, here none"),
        ({"max_delay": 0.2, "min_delay": 0}, "max_delay 0.15, here 0.2; min_delay 0.05, here 0.0"),
        ({"tasks": ["buy"]}, 'tasks ["buy", "sell", "hedge", "rebalance"], here ["buy"]'),
    ],
    ids=str,
)
def test_another_scenario_is_described_by_the_fields_that_differ(
    settings: dict[str, Any], difference: str
) -> None:
    assert (
        words(Fingerprint.of(Scenario()), Fingerprint.of(Scenario(**settings)))
        == f"of another scenario: {difference}"
    )


def test_another_engine_is_reported() -> None:
    said = words(Fingerprint.of(Scenario()), Fingerprint.of(Scenario(engine="asyncio")))
    assert said == "of another engine: threads, here asyncio"


def test_another_machine_python_and_version_are_reported() -> None:
    here = Fingerprint.of(Scenario())
    there = changed(here, "machine", processor="Abacus 3", processors=1)
    assert words(there, here).startswith("of another machine: processor Abacus 3, here ")
    old = changed(here, "python", version="3.9", gil="maybe")
    assert words(old, here).startswith("of another Python: gil maybe, here ")
    assert "version 3.9, here 3." in words(old, here)
    assert words(here._replace(plugin="0.0"), here).startswith(
        "of another version of pytest-nos-stress: 0.0, here "
    )


def test_all_differing_parts_are_reported() -> None:
    here = Fingerprint.of(Scenario())
    there = changed(changed(here, "machine", system="Plan 9"), "scenario", max_delay=9)
    assert words(there, here).startswith(
        "of another scenario: max_delay 9, here 0.15; of another machine: system Plan 9"
    )


def test_in_virtual_time_the_machine_does_not_matter() -> None:
    assert Fingerprint.of(Scenario(engine="virtual")).machine is None
    machine = Fingerprint.of(Scenario()).machine
    assert machine is not None
    assert machine["processors"] >= 1


def test_a_long_list_of_differences_is_shortened() -> None:
    here = Fingerprint.of(Scenario())
    there = changed(here, "scenario", **{f"field_{number}": number for number in range(50)})
    assert words(there, here).endswith("; and 46 more")


def test_a_long_list_of_operations_is_stored_as_its_hash() -> None:
    rows = [("A", "buy", None, 0.001 * number) for number in range(2_000)]
    run, same, other = (Fingerprint.of(Scenario(operations=each)) for each in (rows, rows, rows[:-1]))
    assert len(json.dumps(run.as_json())) < 2_000
    assert words(run, same) == ""
    assert "operations sha256" in words(run, other)


def test_true_and_1_differ() -> None:
    here = Fingerprint.of(Scenario())
    assert words(changed(here, "python", gil=1), changed(here, "python", gil=True)) != ""


def test_text_from_a_file_reaches_no_terminal_unescaped() -> None:
    here = Fingerprint.of(Scenario())
    there = changed(here, "machine", **{"processor": "\x1b[31m" + "x" * 500, "\x1b]0;": "\n"})
    said = words(there, here)
    assert "\x1b" not in said
    assert "\n" not in said
    assert len(said) < 500


def test_a_fingerprint_survives_json() -> None:
    here = Fingerprint.of(Scenario(network="retail", engine="virtual"))
    assert words(Fingerprint.from_json(json.loads(json.dumps(here.as_json()))), here) == ""


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {},
        {"scenario": {}, "engine": "threads", "plugin": "0.1", "machine": None},
        {"scenario": [], "engine": "threads", "plugin": "0.1", "machine": None, "python": {}},
        {"scenario": {}, "engine": 1, "plugin": "0.1", "machine": None, "python": {}},
        {"scenario": {"a": nested(100)}, "engine": "threads", "plugin": "0.1", "machine": None, "python": {}},
    ],
    ids=lambda values: str(values)[:40],
)
def test_json_that_is_not_a_fingerprint_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="no fingerprint"):
        Fingerprint.from_json(values)
