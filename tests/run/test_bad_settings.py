"""Every bad setting is a ValueError of one line that names the setting, the value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, SettingError, run_stress_test

called: list[Operation] = []


@pytest.fixture(autouse=True)
def _nothing_called_yet() -> None:
    called.clear()


BAD: list[tuple[dict[str, Any], list[str]]] = [
    # The settings, and what the message must have: setting, value, what is allowed.
    ({"missing_data_prob": 1.5}, ["missing_data_prob", "1.5", "0 to 1"]),
    ({"missing_data_prob": -0.1}, ["missing_data_prob", "-0.1", "0 to 1"]),
    ({"missing_data_prob": "20%"}, ["missing_data_prob", "'20%'", "0 to 1"]),
    ({"missing_data_prob": None}, ["missing_data_prob", "None", "0 to 1"]),
    ({"missing_data_prob": True}, ["missing_data_prob", "True", "0 to 1"]),
    ({"failure_prob": math.nan}, ["failure_prob", "nan", "0 to 1"]),
    ({"failure_prob": math.inf}, ["failure_prob", "inf", "0 to 1"]),
    ({"failure_prob": 20}, ["failure_prob", "20", "0 to 1"]),
    ({"failure_prob": [0.1]}, ["failure_prob", "[0.1]", "0 to 1"]),
    ({"agents": []}, ["agents", "[]", "no agents", "a list of unique names"]),
    ({"agents": 0}, ["agents", "0", "a count from 1"]),
    ({"agents": -4}, ["agents", "-4", "a count from 1"]),
    ({"agents": 2.5}, ["agents", "2.5", "a count"]),
    ({"agents": True}, ["agents", "True", "a count"]),
    ({"agents": 10**9}, ["agents", "1000000000", "a count"]),
    ({"agents": "Ann"}, ["agents", "'Ann'", "a list of names"]),
    ({"agents": ["Ann", "Bob", "Ann"]}, ["agents", "'Ann'", "duplicate", "unique"]),
    ({"agents": ["Ann", ""]}, ["agents", "''", "empty", "names"]),
    ({"agents": ["Ann", "\n"]}, ["agents", "'\\n'", "empty", "names"]),
    ({"agents": ["Ann", 3]}, ["agents", "3", "names"]),
    ({"agents": [None]}, ["agents", "None", "names"]),
    ({"tasks": []}, ["tasks", "[]", "no tasks", "names"]),
    ({"tasks": "buy"}, ["tasks", "'buy'", "a list of names"]),
    ({"tasks": ["buy", "buy"]}, ["tasks", "'buy'", "duplicate", "unique"]),
    ({"tasks": [3]}, ["tasks", "3", "names"]),
    ({"tasks": 4}, ["tasks", "4", "names"]),
    ({"tasks": {}}, ["tasks", "{}", "no tasks", "names"]),
    ({"tasks": {"buy": 0}}, ["tasks", "'buy'", "0", "above 0"]),
    ({"tasks": {"buy": -1}}, ["tasks", "'buy'", "-1", "above 0"]),
    ({"tasks": {"buy": math.nan}}, ["tasks", "'buy'", "nan", "above 0"]),
    ({"tasks": {"buy": "often"}}, ["tasks", "'buy'", "'often'", "above 0"]),
    ({"operations_per_agent": 0}, ["operations_per_agent", "0", "from 1 up"]),
    ({"operations_per_agent": -1}, ["operations_per_agent", "-1", "from 1 up"]),
    ({"operations_per_agent": 2.5}, ["operations_per_agent", "2.5", "whole number"]),
    ({"operations_per_agent": "many"}, ["operations_per_agent", "'many'", "whole number"]),
    ({"operations_per_agent": None}, ["operations_per_agent", "None", "whole number"]),
    ({"min_delay": 0.5, "max_delay": 0.1}, ["min_delay=0.5", "max_delay=0.1", "not be above"]),
    ({"min_delay": 0.5}, ["min_delay=0.5", "max_delay=0.15", "not be above"]),
    ({"max_delay": 0.01}, ["min_delay=0.05", "max_delay=0.01", "not be above"]),
    ({"min_delay": -1}, ["min_delay", "-1", "seconds from 0 up"]),
    ({"max_delay": "soon"}, ["max_delay", "'soon'", "seconds from 0 up"]),
    ({"max_delay": math.inf}, ["max_delay", "inf", "seconds from 0 up"]),
    ({"max_delay": None}, ["max_delay", "None", "seconds from 0 up"]),
    ({"duration": 0}, ["duration", "0", "above 0"]),
    ({"duration": -5}, ["duration", "-5", "above 0"]),
    ({"duration": "5 parsecs"}, ["duration", "'5 parsecs'", "above 0"]),
    ({"duration": 5, "operations_per_agent": 7}, ["duration=5", "operations_per_agent=7", "one or the other"]),
    ({"operation_timeout": 0}, ["operation_timeout", "0", "above 0"]),
    ({"operation_timeout": None}, ["operation_timeout", "None", "above 0"]),
    ({"failure_mode": "explode"}, ["failure_mode", "'explode'", "lost_request or lost_reply or mixed"]),
    ({"failure_mode": None}, ["failure_mode", "None", "lost_request"]),
    ({"seed": "lucky"}, ["seed", "'lucky'", "whole number"]),
    ({"seed": 1.5}, ["seed", "1.5", "whole number"]),
    ({"seed": True}, ["seed", "True", "whole number"]),
    ({"engine": "gpu"}, ["engine", "'gpu'", "threads"]),
    ({"engine": "explore"}, ["engine", "'explore'", "does not exist yet", "'threads', 'asyncio', 'virtual'"]),
    ({"engine": None}, ["engine", "None", "threads"]),
    ({"output_dir": ""}, ["output_dir", "''", "path of a directory"]),
    ({"output_dir": None}, ["output_dir", "None", "path of a directory"]),
    ({"output_dir": 5}, ["output_dir", "5", "path of a directory"]),
    ({"output_dir": b"out"}, ["output_dir", "b'out'", "path of a directory"]),
    ({"output_dir": "a\0b"}, ["output_dir", "path of a directory"]),
    ({"thresholds": "errors == 0"}, ["thresholds", "'errors == 0'", "a list of expressions"]),
    ({"thresholds": [5]}, ["thresholds", "[5]", "a list of expressions"]),
    ({"thresholds": {"errors": 0}}, ["thresholds", "{'errors': 0}", "a list of expressions"]),
    ({"expected_errors": "KeyError"}, ["expected_errors", "'KeyError'", "exception types"]),
    ({"expected_errors": [int]}, ["expected_errors", "int", "exception types"]),
    ({"expected_errors": KeyError()}, ["expected_errors", "KeyError()", "exception types"]),
    ({"per_agent": "session"}, ["per_agent", "'session'", "a function"]),
    ({"gate": "no"}, ["gate", "'no'", "True or False"]),
    ({"gate": 1}, ["gate", "1", "True or False"]),
    ({"agent": 3}, ["agent", "no such setting", "'agents'"]),
    ({"failure_rate": 0.1}, ["failure_rate", "no such setting", "'failure"]),
    ({"colour": "red"}, ["colour", "no such setting", "allowed: agents, tasks"]),
    ({"target": {"buy": print}, "tasks": ["sell"]}, ["tasks", "'sell'", "it has buy"]),
    ({"target": {}}, ["tasks", "no tasks"]),
]


@pytest.mark.parametrize(
    ("settings", "words"), BAD, ids=lambda value: str(value)[:60] if isinstance(value, dict) else ""
)
@pytest.mark.parametrize("function", [MultiAgentSimulator, run_stress_test], ids=["class", "function"])
def test_a_bad_setting_is_one_line_with_its_name_its_value_and_what_is_allowed(
    function: Callable[..., Any], settings: dict[str, Any], words: list[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        function(**{"target": called.append, **settings})
    message = str(caught.value)
    assert isinstance(caught.value, SettingError)
    assert len(message.splitlines()) == 1
    assert all(word in message for word in words), message
    assert called == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [row for row in BAD if "target" not in row[0] and set(row[0]) <= set(Scenario.__dataclass_fields__)],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_a_scenario_refuses_the_same(settings: dict[str, Any], words: list[str]) -> None:
    if settings in ({"engine": "explore"}, {"operations_per_agent": None}):
        assert Scenario(**settings)  # A plan for an engine to come; as many operations as by default.
        return
    with pytest.raises(SettingError) as caught:
        Scenario(**settings)
    assert len(str(caught.value).splitlines()) == 1
    assert all(word in str(caught.value) for word in words)


def test_an_unknown_keyword_is_what_python_calls_it_too() -> None:
    with pytest.raises(TypeError, match="no such setting"):
        run_stress_test(colour="red")


def test_too_many_positional_arguments_are_a_type_error() -> None:
    with pytest.raises(TypeError):
        MultiAgentSimulator(1, ["buy"], 0, 0, 1, 0, 0, "out", print)  # type: ignore[call-arg]


@pytest.mark.parametrize("expression", ["errors", "speed < 3", "latency < 3ms", "failure_rate < 150%"])
def test_a_bad_threshold_shows_a_caret_under_its_mistake(expression: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        run_stress_test(
            target=called.append, thresholds=["errors == 0", expression], output_dir=str(tmp_path / "out")
        )
    reason, text, caret = str(caught.value).split("\n")
    assert reason.startswith("thresholds: ")
    assert text == f"  {expression}"
    assert caret.strip() == "^"
    assert called == []
    assert not (tmp_path / "out").exists()


class ShownOnLines:
    def __repr__(self) -> str:
        return "several\nlines"


class NotShown:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "name", ["tasks", "failure_prob", "max_delay", "seed", "thresholds", "per_agent", "output_dir"]
)
@pytest.mark.parametrize(
    "value", [ShownOnLines(), NotShown(), object(), ["\x1b[31m\n", 5]], ids=lambda v: type(v).__name__
)
def test_whatever_the_value_looks_like_the_message_is_one_line(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"^{name}=") as caught:
        MultiAgentSimulator(target=called.append, **{"output_dir": tmp_path, name: value})
    assert len(str(caught.value).splitlines()) == 1
    assert "\x1b" not in str(caught.value)


def test_a_very_long_value_is_shortened() -> None:
    with pytest.raises(SettingError) as caught:
        MultiAgentSimulator(agents=["Ann", *map(str, range(10_000)), "Ann"])
    assert len(str(caught.value)) < 500


def test_a_bad_setting_is_found_when_the_simulator_is_made_not_when_it_runs() -> None:
    with pytest.raises(SettingError, match=r"cannot perform 'xyzzy'; it has .*rebalance"):
        MultiAgentSimulator(tasks=["xyzzy"])
