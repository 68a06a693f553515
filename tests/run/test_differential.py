"""Counts that a run reports are those of its target, over random settings of all engines."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "differential.py"))
RUNS = 60
PARTS = 6

differences: Callable[[int], list[str]] = PROGRAM["differences"]


@pytest.mark.parametrize("part", range(PARTS))
def test_reported_counts_are_those_of_the_target(part: int) -> None:
    found = [line for number in range(part, RUNS, PARTS) for line in differences(number)]
    assert found == []
