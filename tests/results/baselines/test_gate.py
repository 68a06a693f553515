"""Comparison of a run with a baseline by the library, and the reasons for no comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, StressResult, ThresholdsNotMet

pytest.importorskip("scipy.stats", reason="scipy is not installed")


def perform(path: Path, pause: float = 0.02, **changes: Any) -> StressResult:
    values: dict[str, Any] = {
        "agents": 4,
        "operations_per_agent": 100,
        "engine": "virtual",
        "report": "none",
        "output_dir": path / "out",
        "baseline_dir": path / "kept",
        "target": lambda operation: operation.sleep(pause * operation.random.uniform(0.9, 1.1)),
    }
    return MultiAgentSimulator(**(values | changes)).run()


def relative(result: StressResult) -> dict[str, str]:
    """Return the verdict on each threshold that is relative to the baseline."""
    verdicts = [verdict for verdict in result.verdicts if verdict.threshold.baseline is not None]
    return {verdict.threshold.text: verdict.verdict for verdict in verdicts}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with a run saved as the baseline ``main``."""
    path: Path = tmp_path_factory.mktemp("saved")
    perform(path, seed=1, save_baseline="main")
    return path


def test_the_same_code_passes_with_every_seed(saved: Path) -> None:
    for seed in range(2, 7):
        result = perform(saved, seed=seed, compare="main")
        assert relative(result)
        assert set(relative(result).values()) == {"passed"}


def test_slower_code_fails_the_default_thresholds_and_the_exception_has_the_result(saved: Path) -> None:
    with pytest.raises(ThresholdsNotMet, match=r"baseline main: 1[89]") as failed:
        perform(saved, 0.03, seed=1, compare="main")
    assert "failed" in relative(failed.value.result).values()


def test_faster_code_passes(saved: Path) -> None:
    assert set(relative(perform(saved, 0.01, seed=1, compare="main")).values()) == {"passed"}


def test_without_a_baseline_there_are_no_default_thresholds(saved: Path) -> None:
    assert relative(perform(saved, 0.03, seed=1)) == {}


def test_a_relative_threshold_of_the_user_replaces_the_default_ones(saved: Path) -> None:
    result = perform(saved, 0.03, seed=1, compare="main", thresholds=["latency.p50 <= 2x baseline"])
    assert relative(result) == {"latency.p50 <= 2x baseline": "passed"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compare": "other"}, "this test has no baseline 'other'"),
        ({"compare": "main", "label": "another"}, "this test has no baseline 'main'"),
        ({"compare": "main", "agents": 3}, "of another scenario: agents"),
        ({"compare": "main", "engine": "threads", "min_delay": 0, "max_delay": 0}, "of another"),
    ],
)
def test_a_run_that_cannot_be_compared_does_not_pass_and_states_the_reason(
    saved: Path, changes: dict[str, Any], words: str
) -> None:
    result = perform(saved, 0.001, seed=1, gate=False, **changes)
    assert set(relative(result).values()) == {"no data"}
    assert not result.passed
    assert words in result.stats["reason"]


def test_only_the_steady_phase_is_saved_and_compared(tmp_path: Path) -> None:
    def target(pause: float) -> Any:
        return lambda operation: operation.sleep(pause if operation.index < 20 else 0.02)

    perform(tmp_path, seed=1, save_baseline="main", warmup=8, target=target(0.02))
    slow_start = perform(tmp_path, seed=1, compare="main", warmup=8, target=target(0.2))
    assert set(relative(slow_start).values()) == {"passed"}


def test_a_run_that_did_not_pass_is_not_saved(tmp_path: Path) -> None:
    result = perform(tmp_path, seed=1, gate=False, save_baseline="main", thresholds=["operations > 1000"])
    assert not (tmp_path / "kept").exists()
    assert result.summary["notes"] == ["baseline 'main' is not saved: the run did not pass"]


def test_a_label_with_separators_stays_in_the_directory(tmp_path: Path) -> None:
    for label in ("../../escaped", "/escaped", "a\nb\x1b[31m\ud800", ".."):
        perform(tmp_path, seed=1, operations_per_agent=5, save_baseline="main", label=label)
    files = [path for path in tmp_path.parent.rglob("*.json") if "out" not in path.parts]
    inside = [path for path in files if path.parent == tmp_path / "kept" / "main"]
    assert len(inside) == 4
    assert not list(tmp_path.parent.glob("escaped*"))
