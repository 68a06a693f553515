"""The seed document's examples run unchanged, with its names, defaults, files and keys."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress
from stress_test.multi_agent_simulator import MultiAgentSimulator, run_stress_test

SOURCE = str(Path(str(pytest_nos_stress.__file__)).parents[1])

BASIC = """
from stress_test.multi_agent_simulator import run_stress_test

# Run with default parameters
stats = run_stress_test()
"""

CUSTOMISED = """
from stress_test.multi_agent_simulator import run_stress_test

# Customize the stress test
stats = run_stress_test(
    agents=["CustomAgent_1", "CustomAgent_2", "CustomAgent_3"],
    tasks=["buy", "sell", "analyze"],
    missing_data_prob=0.3,  # 30% chance of missing data
    failure_prob=0.15,      # 15% chance of failure
    operations_per_agent=200,  # Each agent performs 200 operations
    min_delay=0.01,         # Minimum 10ms delay
    max_delay=0.05,         # Maximum 50ms delay
    output_dir="custom_stress_test"
)
"""

BY_CLASS = """
from stress_test.multi_agent_simulator import MultiAgentSimulator

# Create a simulator instance
simulator = MultiAgentSimulator(
    agents=["Agent_A", "Agent_B"],
    tasks=["buy", "sell"],
    missing_data_prob=0.2,
    failure_prob=0.1
)

# Run the simulation
stats = simulator.run_simulation()

# Access the results
print(f"Total operations: {stats['total_operations']}")
print(f"Successful operations: {stats['successful_operations']}")
print(f"Failed operations: {stats['failed_operations']}")
"""

PARAMETERS = [
    ("agents", None),
    ("tasks", None),
    ("missing_data_prob", 0.2),
    ("failure_prob", 0.1),
    ("operations_per_agent", 100),
    ("min_delay", 0.05),
    ("max_delay", 0.15),
    ("output_dir", "stress_test_output"),
]
COUNTS = ["total_operations", "successful_operations", "failed_operations", "missing_data_events"]


def check_files(directory: Path, agents: list[str], tasks: set[str], operations: int) -> dict[str, Any]:
    """Check that the three files of a run agree. Return the statistics."""
    stats: dict[str, Any] = json.loads((directory / "simulation_statistics.json").read_text())
    snapshot = json.loads((directory / "agent_memory_snapshot.json").read_text())
    lines = (directory / "stress_test_results.log").read_text().splitlines()
    assert stats["total_operations"] == operations == len(lines)
    assert stats["total_operations"] == sum(stats[name] for name in COUNTS[1:])
    assert len(snapshot) == stats["successful_operations"]
    assert set(snapshot[0]) == {"agent", "task", "timestamp"}
    assert {row["task"] for row in snapshot} == tasks
    assert list(stats["agent_stats"]) == agents
    for agent_stats in stats["agent_stats"].values():
        assert list(agent_stats)[:4] == COUNTS
        assert agent_stats["total_operations"] == operations // len(agents)
    assert {"start_time", "end_time"} <= set(stats)
    assert stats["errors"] == 0
    return stats


def test_the_three_examples_run_unchanged(tmp_path: Path) -> None:
    """They run at the same time, because the document's delays make them take 10, 6 and 10 seconds."""
    processes = {}
    for name, code in {"basic": BASIC, "customised": CUSTOMISED, "by class": BY_CLASS}.items():
        (tmp_path / name).mkdir()
        processes[name] = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path / name,
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    outputs = {name: process.communicate(timeout=120) for name, process in processes.items()}
    for name, process in processes.items():
        assert process.returncode == 0, outputs[name][1]

    assert outputs["basic"] == outputs["customised"] == ("", "")
    agents = ["StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D"]
    tasks = {"buy", "sell", "hedge", "rebalance"}
    check_files(tmp_path / "basic" / "stress_test_output", agents, tasks, 400)

    agents = ["CustomAgent_1", "CustomAgent_2", "CustomAgent_3"]
    check_files(tmp_path / "customised" / "custom_stress_test", agents, {"buy", "sell", "analyze"}, 600)

    stats = check_files(tmp_path / "by class" / "stress_test_output", ["Agent_A", "Agent_B"], {"buy", "sell"}, 200)
    assert outputs["by class"] == (
        f"Total operations: 200\nSuccessful operations: {stats['successful_operations']}\n"
        f"Failed operations: {stats['failed_operations']}\n",
        "",
    )


@pytest.mark.parametrize("function", [run_stress_test, MultiAgentSimulator], ids=["function", "class"])
def test_parameters_have_the_positions_and_defaults_of_the_seed_document(function: Any) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    positional = [parameter for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert [(parameter.name, parameter.default) for parameter in positional] == PARAMETERS
    assert {parameter.kind for parameter in parameters[len(positional) :]} <= {
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }
    assert {"target", "seed", "engine"} <= {parameter.name for parameter in parameters}


def test_the_function_and_its_help_have_its_own_name() -> None:
    assert run_stress_test.__name__ == "run_stress_test"
    assert "statistics" in str(run_stress_test.__doc__)
    assert not inspect.isclass(run_stress_test)


def test_the_default_tasks_and_agents_are_those_of_the_seed_document(tmp_path: Path) -> None:
    stats = run_stress_test(operations_per_agent=50, min_delay=0, max_delay=0, output_dir=str(tmp_path), seed=1)
    assert list(stats["agent_stats"]) == ["StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D"]
    assert list(stats["tasks"]) == ["buy", "sell", "hedge", "rebalance"]


def test_the_seed_documents_module_has_the_same_objects() -> None:
    assert MultiAgentSimulator is pytest_nos_stress.MultiAgentSimulator
    assert run_stress_test is pytest_nos_stress.run_stress_test
