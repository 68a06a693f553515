"""No exception of a target is lost, and none breaks a file or a line of the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult, ThresholdsNotMet

NASTY = [
    "two\nlines",
    "carriage\rreturn",
    "\x1b[31mred\x1b[0m",
    "nul\0byte",
    "bell\a and backspace\b",
    "next\x85line",
    "line\u2028and paragraph\u2029separators",
    "lone \udc80 surrogate",
    "right-to-left \u202e override",
    "form\x0cfeed\x0bvertical",
    '"quotes" and {braces} and %s and \\',
    "ünïcödé 株 🚀",
]


def run(directory: Path, target: Any = None, **options: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": ["Ann", "Bob"],
        "tasks": ["buy"],
        "operations_per_agent": 20,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 4,
        "gate": False,
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target or (lambda: None), **{**defaults, **options}).run()


def log_lines(result: StressResult) -> list[str]:
    """The lines of the log, as a program that splits at any line separator sees them."""
    return (result.output_dir / "stress_test_results.log").read_bytes().decode().splitlines()


def files_agree(result: StressResult) -> None:
    lines = log_lines(result)
    assert len(lines) == result.operations
    assert sum(" - INFO - " in line for line in lines) == result.successes
    snapshot = json.loads((result.output_dir / "agent_memory_snapshot.json").read_bytes())
    assert len(snapshot) == result.successes
    statistics = json.loads((result.output_dir / "simulation_statistics.json").read_bytes())
    assert statistics["total_operations"] == result.operations
    assert statistics["errors"] == result.errors


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class UnprintableByExit(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


class PrintsNoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


class OwnBase(BaseException):
    """No Exception."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        SystemExit(2),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(3),
        StopAsyncIteration(),
        RecursionError(),
        MemoryError(),
        OwnBase("own"),
        Unprintable(),
        UnprintableByExit(),
        PrintsNoText(),
        ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
        BaseExceptionGroup("several", [KeyboardInterrupt()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_is_raised_is_a_failed_operation_and_an_error_and_the_agents_go_on(
    error: BaseException, tmp_path: Path
) -> None:
    def fails(operation: Operation) -> None:
        if operation.index % 2:
            raise error

    result = run(tmp_path, fails)
    assert (result.operations, result.failures, result.errors) == (40, 20, 20)
    (sample,) = result.error_types
    assert sample["type"].endswith(type(error).__name__)
    assert sample["count"] == 20
    files_agree(result)


@pytest.mark.parametrize(
    "error", [Unprintable(), UnprintableByExit(), PrintsNoText()], ids=lambda e: type(e).__name__
)
def test_an_error_that_cannot_be_printed_breaks_the_gate_with_its_type(error: Exception, tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise error

    with pytest.raises(ThresholdsNotMet, match=type(error).__name__):
        run(tmp_path, fails, gate=True)


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_an_error_message_of_any_characters_is_one_line_of_the_log(text: str, tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise ValueError(text)

    result = run(tmp_path, fails)
    files_agree(result)
    assert all("ValueError: " in line for line in log_lines(result))
    text_of_log = "".join(log_lines(result))
    assert not any(ord(character) < 32 or 126 < ord(character) < 160 for character in text_of_log)


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_agents_and_tasks_of_any_name_are_one_line_of_the_log_and_themselves_in_json(
    text: str, tmp_path: Path
) -> None:
    result = run(tmp_path, agents=[text, "Bob"], tasks=[text, "sell"])
    files_agree(result)
    assert not any(ord(character) < 32 for line in log_lines(result) for character in line)
    snapshot = json.loads((tmp_path / "agent_memory_snapshot.json").read_bytes())
    assert {row["agent"] for row in snapshot} == {text, "Bob"}
    assert {row["task"] for row in snapshot} == {text, "sell"}
    statistics = json.loads((tmp_path / "simulation_statistics.json").read_bytes())
    assert set(statistics["agent_stats"]) == {text, "Bob"}
    assert set(statistics["tasks"]) == {text, "sell"}


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_the_message_of_a_broken_gate_has_no_control_characters(text: str, tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise ValueError(text)

    with pytest.raises(ThresholdsNotMet) as caught:
        run(tmp_path, fails, gate=True, agents=[text], tasks=[text])
    message = str(caught.value)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in message)
    message.encode()


def test_a_very_long_message_is_shortened_in_the_log(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise ValueError("x" * 1_000_000)

    result = run(tmp_path, fails)
    files_agree(result)
    assert max(map(len, log_lines(result))) < 1_000
    assert len((tmp_path / "simulation_statistics.json").read_bytes()) < 100_000


def test_error_types_have_count_message_agent_task_and_traceback(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        if operation.agent == "Bob" and operation.index < 5:
            raise LookupError(f"order {operation.index}")
        if operation.agent == "Ann" and operation.index < 3:
            raise PermissionError("not today")

    result = run(tmp_path, fails)
    first, second = result.error_types
    assert (first["type"], first["count"], first["agent"], first["task"]) == ("LookupError", 5, "Bob", "buy")
    assert first["message"].startswith("order ")
    assert "in fails" in first["traceback"]
    assert first["traceback"].rstrip().endswith(f"LookupError: {first['message']}")
    assert (second["type"], second["count"], second["agent"]) == ("PermissionError", 3, "Ann")
    assert result.errors == 8


def test_the_cause_of_an_error_is_in_its_traceback(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        try:
            raise ConnectionError("line cut")
        except ConnectionError as error:
            raise LookupError("no order") from error

    assert "ConnectionError: line cut" in run(tmp_path, fails).error_types[0]["traceback"]


def test_errors_of_a_users_own_type_are_named_with_their_module(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise OwnBase("own")

    assert run(tmp_path, fails).error_types[0]["type"] == f"{OwnBase.__module__}.OwnBase"


def test_expected_errors_are_failures_but_no_errors(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise ConnectionRefusedError("limit reached")

    result = run(tmp_path, fails, expected_errors=(KeyError, ConnectionError), gate=True)
    assert (result.failures, result.errors, result.error_types) == (40, 0, [])
    assert result.passed
    assert all("ConnectionRefusedError: limit reached" in line for line in log_lines(result))


def test_an_error_that_is_not_among_the_expected_is_one(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise ConnectionError if operation.index % 2 else ValueError

    result = run(tmp_path, fails, expected_errors=[ValueError])
    assert (result.failures, result.errors) == (40, 20)


def test_errors_are_counted_beside_injected_failures_not_with_them(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise ValueError

    result = run(tmp_path, fails, failure_prob=0.5, operations_per_agent=100)
    injected = result.failures - result.errors
    assert result.failures == 200
    assert 60 < injected < 140  # 100 expected; 40 are 5.6 standard deviations, and the seed is fixed
