from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress._internal.outcome import ERROR, FAILED, MISSING, SUCCESS
from pytest_nos_stress.reporting.html.chart_data import chart_data

MakeRun = Callable[..., Any]
AGENTS = ["MM", "Arb", "Retail_1", "Retail_2"]
TASKS = ["buy", "sell"]


def data_of(
    make_run: MakeRun, outcome: Any, *, latency: Any = 1e-3, agent: Any = None, **more: Any
) -> dict[str, Any]:
    """Return the findings on 6000 operations, one every 10 ms, by four agents in turn."""
    number = np.arange(6000)
    run = make_run(
        number % 4 if agent is None else agent,
        number // 4 % 2,
        np.broadcast_to(outcome, number.shape),
        (number + 1) / 100,
        np.broadcast_to(latency, number.shape),
        agents=AGENTS,
        tasks=TASKS,
        **more,
    )
    return chart_data(run)


def test_a_run_without_problems_has_no_findings(make_run: MakeRun) -> None:
    data = data_of(make_run, SUCCESS)
    assert data["findings"] == []
    assert data["marks"] == []


def test_a_burst_of_errors_at_the_end_has_its_time_agent_and_task(make_run: MakeRun) -> None:
    number = np.arange(6000)
    broken = (number >= 5400) & (number % 4 == 0) & (number // 4 % 2 == 0)
    data = data_of(make_run, np.where(broken, ERROR, SUCCESS))
    assert data["findings"] == [
        "Errors began at 54 s: all 75 came in the last 5.99 s, all of agent MM / task buy."
    ]
    assert data["marks"] == [{"at": pytest.approx(54.01), "text": "errors began", "chart": "outcomes"}]


def test_errors_before_a_burst_are_not_left_out_of_the_sentence(make_run: MakeRun) -> None:
    number = np.arange(6000)
    broken = ((number >= 5400) & (number % 4 == 0)) | (number % 1000 == 2)
    data = data_of(make_run, np.where(broken, ERROR, SUCCESS))
    assert data["findings"] == ["Most errors came together: 150 of 156 in the last 5.99 s, all of agent MM."]


def test_a_burst_in_the_middle_has_its_start_and_end(make_run: MakeRun) -> None:
    number = np.arange(6000)
    data = data_of(make_run, np.where((number >= 2000) & (number < 2100), ERROR, SUCCESS))
    (sentence,) = data["findings"]
    assert sentence == "Errors began at 20 s: all 100 came from 20 s to 21 s."


def test_errors_that_began_during_the_run_have_their_beginning(make_run: MakeRun) -> None:
    number = np.arange(6000)
    data = data_of(make_run, np.where((number >= 3000) & (number % 10 == 0), ERROR, SUCCESS))
    assert data["findings"] == ["Errors began at 30 s: 300 errors."]


def test_errors_all_through_a_run_have_no_beginning(make_run: MakeRun) -> None:
    data = data_of(make_run, np.where(np.arange(6000) % 3 == 0, ERROR, SUCCESS))
    assert data["findings"] == ["2,000 errors throughout the run."]
    assert data["marks"] == []


def test_errors_during_fault_windows_are_named_as_such(make_run: MakeRun) -> None:
    number = np.arange(6000)
    open_windows = ((number >= 1000) & (number < 2000)) | ((number >= 4000) & (number < 5000))
    data = data_of(
        make_run, np.where(open_windows & (number % 3 == 0), ERROR, SUCCESS), fault_spans=[(10, 20), (40, 50)]
    )
    assert data["findings"] == [
        "Errors began at 10 s: 666 errors, the last at 50 s, all while fault windows were open."
    ]


def test_a_single_error_is_in_the_singular(make_run: MakeRun) -> None:
    data = data_of(make_run, np.where(np.arange(6000) == 1001, ERROR, SUCCESS))
    assert data["findings"] == ["One error, at 10 s, of agent Arb / task buy."]


def test_failures_are_a_finding_only_in_a_burst(make_run: MakeRun) -> None:
    number = np.arange(6000)
    assert data_of(make_run, np.where(number % 10 == 0, FAILED, SUCCESS))["findings"] == []
    together = data_of(make_run, np.where((number > 3000) & (number < 3100), FAILED, SUCCESS))["findings"]
    assert together[0].startswith("Failures began at 30")


def test_an_agent_that_performs_nearly_everything_is_not_blamed(make_run: MakeRun) -> None:
    agent = np.where(np.arange(6000) % 20 == 0, 1, 0)
    data = data_of(make_run, np.where(np.arange(6000) >= 5400, ERROR, SUCCESS), agent=agent)
    assert "agent" not in data["findings"][0]


def test_a_long_name_is_shortened_in_a_sentence(make_run: MakeRun) -> None:
    number = np.arange(400)
    agents = ["a" * 300, "b", "c", "d"]
    outcome = np.where((number >= 300) & (number % 4 == 0), ERROR, SUCCESS)
    run = make_run(
        number % 4, number // 4 % 2, outcome, number / 10, np.full(400, 1e-3), agents=agents, tasks=TASKS
    )
    assert f"agent {'a' * 39}…." in chart_data(run)["findings"][0]


def test_a_run_without_successes_has_that_as_its_first_finding(make_run: MakeRun) -> None:
    outcome = np.where(np.arange(6000) % 3 == 0, MISSING, FAILED)
    assert (
        data_of(make_run, outcome)["findings"][0]
        == "No operation succeeded: 4,000 failed and 2,000 met missing data."
    )


def test_a_rise_of_latency_has_both_levels_and_its_time(make_run: MakeRun) -> None:
    draws = np.random.default_rng(1).lognormal(0, 0.2, 6000)
    latency = np.where(np.arange(6000) < 4200, 3e-3, 80e-3) * draws
    data = data_of(make_run, SUCCESS, latency=latency)
    (sentence,) = data["findings"]
    assert sentence.startswith("Latency rose: its p95 went from ")
    assert sentence.endswith(" at 42 s.")
    assert data["marks"] == [{"at": pytest.approx(42, abs=1.0), "text": "p95 rose", "chart": "latency"}]


@pytest.mark.parametrize("rises", [True, False])
def test_a_latency_changes_at_the_operation_that_was_first_different_or_last_slow(
    make_run: MakeRun, rises: bool
) -> None:
    is_slow = (np.arange(6000) >= 4321) == rises
    data = data_of(make_run, SUCCESS, latency=np.where(is_slow, 50e-3, 1e-3))
    levels = "1 ms to 50 ms" if rises else "50 ms to 1 ms"
    assert data["findings"] == [f"Latency {'rose' if rises else 'fell'}: its p95 went from {levels} at 43.2 s."]
    assert data["marks"][0]["at"] == pytest.approx(43.22 if rises else 43.21)


def test_a_short_peak_of_latency_is_a_peak(make_run: MakeRun) -> None:
    number = np.arange(6000)
    latency = np.where((number >= 3000) & (number < 3060), 50e-3, 2e-3)
    (sentence,) = data_of(make_run, SUCCESS, latency=latency)["findings"]
    assert sentence.startswith("Latency peaked at ")
    assert "and usually 2 ms" in sentence


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_neither_a_rise_nor_a_peak(make_run: MakeRun, seed: int) -> None:
    latency = np.random.default_rng(seed).lognormal(-6, 0.5, 6000)
    assert data_of(make_run, SUCCESS, latency=latency)["findings"] == []
