"""Runs made of seeded random columns, as columns and as sketches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress.results.baselines.sketch import RunSketch

Columns = dict[str, Any]


def make_columns(
    seed: int = 0,
    *,
    size: int = 1_600,
    slowdown: float = 1.0,
    memory: float = 0.0,
    from_run_to_run: float = 0.0,
    failing: float = 0.1,
    erring: float = 0.0,
) -> Columns:
    """Make successive operations of 2 ms; the logarithm deviates by 0.3, of which 0.1 drifts (AR(1))."""
    random = np.random.default_rng(seed)
    wander = np.zeros(size)
    level = 0.0
    for index, step in enumerate(random.normal(0, 0.1 * (1 - memory**2) ** 0.5, size).tolist()):
        wander[index] = level = memory * level + step
    of_run = random.normal(0, from_run_to_run)
    latency = (2e6 * slowdown * np.exp(of_run + wander + random.normal(0, 0.28, size))).astype(np.int64)
    is_error = random.random(size) < erring
    failed = is_error | (random.random(size) < failing)
    return {
        "end_ns": 5_000 + np.cumsum(latency),
        "task": random.integers(0, 2, size).astype(np.uint16),
        "outcome": failed.astype(np.uint8),
        "is_error": is_error,
        "called": np.ones(size, np.bool_),
        "latency_ns": latency.astype(np.uint32),
        "response_ns": latency + 1_000,
        "tasks": ["buy", "sell"],
        "started_ns": 5_000,
    }


@pytest.fixture(scope="session")
def columns() -> Callable[..., Columns]:
    return make_columns


@pytest.fixture(scope="session")
def make_sketch() -> Callable[..., RunSketch]:
    def make(seed: int = 0, **changes: Any) -> RunSketch:
        return RunSketch.of(**make_columns(seed, **changes))

    return make
