"""Measurements of a run by phase: its operations, and the memory of the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult
from pytest_nos_stress.results.judge import Verdict, evaluate_threshold
from pytest_nos_stress.results.resources import ResourceSamples
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.threshold_parser import parse_threshold

SAMPLES = [(0.0, 100), (0.9, 150), (2.0, 120), (2.95, 180), (4.0, 400), (5.05, 300), (6.2, 310)]
"""Samples of memory in a run of six seconds: seconds since its start, and bytes."""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    """Run for 6 s of virtual time, with 1 s of ramp and 1 s of warm-up."""

    def takes_a_tenth(operation: Operation) -> None:
        operation.sleep(0.1)

    return MultiAgentSimulator(
        agents=1,
        operations_per_agent=60,
        min_delay=0,
        max_delay=0,
        missing_data_prob=0,
        failure_prob=0,
        ramp=1,
        warmup=1,
        engine="virtual",
        target=takes_a_tenth,
        report="none",
        output_dir=tmp_path_factory.mktemp("run"),
    ).run()


def run_metrics(result: StressResult, samples: list[tuple[float, int]] = SAMPLES) -> RunMetrics:
    seconds, memory = (np.array([sample[at] for sample in samples]) for at in range(2))
    return RunMetrics(result.measured, result.scenario, ResourceSamples(seconds, memory.astype(np.int64)))


def judged(result: StressResult, expression: str, samples: list[tuple[float, int]] = SAMPLES) -> Verdict:
    return evaluate_threshold(parse_threshold(expression), run_metrics(result, samples))


@pytest.mark.parametrize(
    ("expression", "measured", "samples"),
    [
        ("memory{phase=steady}.growth < 1B", 310 - 120, 5),
        ("memory.growth < 1B", 310 - 120, 5),
        ("memory.peak < 1B", 400, 5),
        ("memory{phase=ramp}.growth < 1B", 50, 2),
        ("memory{phase=ramp}.peak < 1B", 150, 2),
        ("memory{phase=warmup}.growth < 1B", -30, 2),
        ("memory{phase=warmup}.peak < 1B", 150, 2),
    ],
)
def test_memory_of_a_phase_starts_with_the_last_sample_before_it(
    result: StressResult, expression: str, measured: int, samples: int
) -> None:
    verdict = judged(result, expression)
    assert (verdict.measured, verdict.samples) == (measured, samples)


def test_memory_grows_window_by_window(result: StressResult) -> None:
    verdict = judged(result, "memory.growth < 250B over 2s")
    windows = [(window.start, window.end, window.measured) for window in verdict.windows]
    assert windows == [(2, 4, 280), (4, 6, -90)]
    assert (verdict.verdict, verdict.measured) == ("failed", 280)
    assert judged(result, "memory.growth < 281B over 2s").verdict == "passed"
    assert judged(result, "memory.peak <= 400B over 2s").verdict == "passed"


def test_a_time_without_two_memory_samples_is_no_data(result: StressResult) -> None:
    verdict = judged(result, "memory.growth < 1GiB over 500ms")
    assert verdict.verdict == "no data"
    assert "only 1 memory sample" in verdict.note
    for samples in ([], SAMPLES[:1]):
        assert judged(result, "memory.peak < 1GiB", samples).verdict == "no data"


def test_a_phase_is_selected_by_name_and_the_steady_phase_by_default(result: StressResult) -> None:
    of_run = run_metrics(result)
    assert of_run.phase(None) == of_run.phase("steady") == result.phases[2]
    assert of_run.phase("ramp") == result.phases[0]
    assert of_run.phase("warmup") == result.phases[1]
    assert sum(of_run.of(phase).counts().total for phase in of_run.phases) == 60


def test_a_run_without_phases_has_no_ramp_and_is_steady(tmp_path: Path) -> None:
    plain = MultiAgentSimulator(
        operations_per_agent=5, engine="virtual", target=lambda: None, report="none", output_dir=tmp_path
    ).run()
    of_run = run_metrics(plain)
    assert (of_run.phase("ramp"), of_run.phase("warmup")) == (None, None)
    (steady,) = of_run.phases
    assert of_run.of(steady).counts() == plain.measured.counts()
