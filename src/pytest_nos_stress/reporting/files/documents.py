"""JSON documents of a run: its scenario and its statistics."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_nos_stress.results.result import StressResult


def scenario(result: StressResult) -> Iterator[bytes]:
    """Render the scenario of a run, from which the run can be repeated."""
    yield result.scenario.to_json().encode()


def statistics(result: StressResult) -> Iterator[bytes]:
    """Render the statistics of a run."""
    yield json.dumps(result.stats, indent=2, ensure_ascii=True, allow_nan=False).encode()
    yield b"\n"
