"""A value is read once when it is given, and a run's scenario is made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Scenario


class Counted:
    """A value that counts how often it is converted."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.conversions = 0

    def converted(self) -> Any:
        self.conversions += 1
        return self.value


class Number(Counted):
    def __float__(self) -> float:
        return float(self.converted())


class Whole(Counted):
    def __index__(self) -> int:
        return int(self.converted())


class Names(Counted):
    def __iter__(self) -> Iterator[Any]:
        return iter(self.converted())


class Directory(Counted):
    def __fspath__(self) -> str:
        return str(self.converted())


def nothing() -> None:
    """A target that does nothing."""


def test_a_value_is_read_once_however_often_the_simulator_runs(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "agents": Names(["Ann", "Bob"]),
        "tasks": Names(["buy"]),
        "missing_data_prob": Number(0.5),
        "failure_prob": Number(0.25),
        "operations_per_agent": Whole(3),
        "min_delay": Number(0),
        "max_delay": Number(0.001),
        "output_dir": Directory(tmp_path / "out"),
        "seed": Whole(7),
        "operation_timeout": Number(9),
        "thresholds": Names(["operations == 6"]),
        "checks": Names([lambda: True]),
        "baseline_dir": Directory(tmp_path / "baselines"),
    }
    simulator = MultiAgentSimulator(target=nothing, **values)
    scenarios = [simulator.run().scenario for _ in range(2)]
    assert {name: value.conversions for name, value in values.items()} == dict.fromkeys(values, 1)
    assert (
        scenarios
        == [
            Scenario(
                agents=["Ann", "Bob"],
                tasks=["buy"],
                missing_data_prob=0.5,
                failure_prob=0.25,
                operations_per_agent=3,
                min_delay=0,
                max_delay=0.001,
                seed=7,
                operation_timeout=9,
            )
        ]
        * 2
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Scenario]:
    """The scenarios that are made from now on."""
    scenarios: list[Scenario] = []
    complete, with_seed = Scenario._complete, Scenario.with_seed

    def complete_and_note(scenario: Scenario, *values: Any) -> None:
        complete(scenario, *values)
        scenarios.append(scenario)

    def copy_and_note(scenario: Scenario, seed: int) -> Scenario:
        scenarios.append(with_seed(scenario, seed))
        return scenarios[-1]

    # Not __new__: a class from which it is deleted again refuses arguments.
    monkeypatch.setattr(Scenario, "_complete", complete_and_note)
    monkeypatch.setattr(Scenario, "with_seed", copy_and_note)
    return scenarios


def run_of(tmp_path: Path, **settings: Any) -> MultiAgentSimulator:
    return MultiAgentSimulator(
        2, operations_per_agent=1, min_delay=0, max_delay=0, output_dir=tmp_path, **settings
    )


def test_a_run_makes_its_scenario_once(tmp_path: Path, made: list[Scenario]) -> None:
    result = run_of(tmp_path, seed=1).run()
    assert [scenario is result.scenario for scenario in made] == [True]


def test_each_run_without_a_seed_has_a_scenario_with_a_seed_of_its_own(
    tmp_path: Path, made: list[Scenario]
) -> None:
    simulator = run_of(tmp_path)
    results = [simulator.run() for _ in range(3)]
    assert len(made) == 3
    assert len({result.seed for result in results}) == 3
    assert [result.scenario for result in results] == made


def test_a_scenario_that_is_given_is_the_one_of_every_run(tmp_path: Path, made: list[Scenario]) -> None:
    scenario = Scenario(agents=2, operations_per_agent=1, min_delay=0, max_delay=0, seed=3)
    simulator = MultiAgentSimulator(target=nothing, scenario=scenario, output_dir=tmp_path)
    assert simulator.run().scenario is scenario
    assert simulator.run().scenario is scenario
    assert made == [scenario]
