"""Error rates of the comparison with a baseline: false alarms over unchanged code, and missed slowdowns of 30%.

    python benchmarks/baselines.py                  synthetic runs, then real runs: seven to ten minutes
    python benchmarks/baselines.py --synthetic      synthetic runs only, under a minute
    python benchmarks/baselines.py --runs 20        fewer runs of each kind

Real runs have four threads for about a second. One target waits about 2 ms, another uses the processor for 1 ms.
Five runs are saved as the baseline. Then runs of the same code and runs of code that takes 1.3 times as long take
turns. Each has its own seed, and the default thresholds of ``--stress-compare`` evaluate it. An alarm is a run
that fails at least one of them. The goal is at most 2 alarms in 100 runs of the same code, and at least 95 in 100
runs of the slower code.

Synthetic runs are a control with known noise: log-normal latencies whose logarithm drifts within a run (AR(1)) and
differs from run to run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "src")]

import numpy as np  # noqa: E402
from benchmarks import measuring  # noqa: E402

from pytest_nos_stress import MultiAgentSimulator, Operation  # noqa: E402
from pytest_nos_stress.results.baselines import store  # noqa: E402
from pytest_nos_stress.results.baselines.comparison import compare, default_expressions  # noqa: E402
from pytest_nos_stress.results.baselines.fingerprint import Fingerprint  # noqa: E402
from pytest_nos_stress.results.baselines.sketch import RunSketch  # noqa: E402
from pytest_nos_stress.results.threshold_parser import parse_threshold  # noqa: E402
from pytest_nos_stress.results.thresholds import Threshold  # noqa: E402

_SLOWDOWN: Final = 1.3
_AGENTS: Final = 4
_KEPT: Final = 5
_MOST_ALARMS: Final = 0.02
_LEAST_SEEN: Final = 0.95
_CALIBRATION_ROUNDS: Final = 200_000
_THRESHOLDS: Final = [parse_threshold(text) for text in default_expressions()]

Target = Callable[[Operation], object]


class Case(NamedTuple):
    """A kind of run: its name, and the function that makes a run for a slowdown and a seed."""

    name: str
    run: Callable[[float, int], RunSketch]


def main() -> None:
    options = _parser().parse_args()
    print(measuring.machine())
    print(*(f"  {threshold.text}" for threshold in _THRESHOLDS), sep="\n")
    for case in _synthetic():
        _measure(case, options.runs)
    if options.synthetic:
        return
    with tempfile.TemporaryDirectory(prefix="nos-stress-baselines-") as directory:
        for case in _real(Path(directory)):
            _measure(case, options.runs)
    print(measuring.machine())


def _measure(case: Case, runs: int) -> None:
    began = time.perf_counter()
    baseline = [case.run(1.0, seed) for seed in range(_KEPT)]
    broken: dict[tuple[float, int], list[list[str]]] = {}
    for number in range(runs):
        for slowdown in (1.0, _SLOWDOWN):
            profile = case.run(slowdown, 1_000 + 2 * number + (slowdown > 1))
            for size in (1, _KEPT):
                broken.setdefault((slowdown, size), []).append(_broken(profile, baseline[-size:]))
    print(f"\n{case.name} ({time.perf_counter() - began:.0f} s)", flush=True)
    for (slowdown, size), of_runs in broken.items():
        print(_line(slowdown, size, of_runs), flush=True)


def _broken(profile: RunSketch, baseline: Sequence[RunSketch]) -> list[str]:
    return [threshold.text for threshold in _THRESHOLDS if not _holds(threshold, profile, baseline)]


def _holds(threshold: Threshold, profile: RunSketch, baseline: Sequence[RunSketch]) -> bool:
    interval = compare(profile, baseline, threshold.metric, threshold.aggregation, threshold.task)
    if not interval.enough or threshold.baseline is None:
        raise SystemExit(f"{threshold.text}: {interval.note}")
    return not interval.fails(threshold.operator, *threshold.baseline)


def _line(slowdown: float, size: int, broken: Sequence[list[str]]) -> str:
    alarms = sum(map(bool, broken))
    share = alarms / len(broken)
    is_met = share <= _MOST_ALARMS if slowdown == 1 else share >= _LEAST_SEEN
    case = "the same code: alarms" if slowdown == 1 else "30% slower: detected "
    by = Counter(text.split(" ")[0] for texts in broken for text in texts)
    named = ", ".join(f"{name} {count}" for name, count in by.most_common())
    against = f"baseline of {size} run{'s' if size > 1 else ''}"
    return f"  {against:<19} {case} {alarms:>3} of {len(broken)}  {'met' if is_met else 'MISSED':<7} {named}"


def _synthetic() -> list[Case]:
    return [
        Case("synthetic: independent noise, 1% from run to run", _synthetic_run(0.0, 0.01)),
        Case("synthetic: drifting noise (AR(1), 0.95), 2% from run to run", _synthetic_run(0.95, 0.02)),
    ]


def _synthetic_run(memory: float, from_run_to_run: float) -> Callable[[float, int], RunSketch]:
    def run(slowdown: float, seed: int) -> RunSketch:
        return synthetic_profile(slowdown, seed, memory=memory, from_run_to_run=from_run_to_run)

    return run


def synthetic_profile(slowdown: float, seed: int, *, memory: float, from_run_to_run: float) -> RunSketch:
    """Return a run of 1,600 operations by four agents, with a median latency of 2 ms.

    The logarithm of the latency has a standard deviation of 0.3. A part with a standard deviation of 0.1 drifts.
    """
    random = np.random.default_rng(seed)
    size = 1_600
    steps = random.normal(0, 0.1 * np.sqrt(1 - memory**2), size)
    wander = np.empty(size)
    level = random.normal(0, 0.1)
    for index, step in enumerate(steps.tolist()):
        level = memory * level + step
        wander[index] = level
    level = random.normal(0, from_run_to_run)
    latency = 2e6 * slowdown * np.exp(level + wander + random.normal(0, 0.28, size))
    end = np.cumsum(latency / _AGENTS).astype(np.int64)
    return RunSketch.of(
        end_ns=end,
        task=random.integers(0, 2, size),
        outcome=(random.random(size) < 0.1).astype(np.int64),
        is_error=np.zeros(size, np.bool_),
        called=np.ones(size, np.bool_),
        latency_ns=latency.astype(np.int64),
        response_ns=latency.astype(np.int64),
        tasks=["buy", "sell"],
        started_ns=0,
    )


def _real(directory: Path) -> list[Case]:
    rounds = _rounds_per_millisecond()

    def waiting(slowdown: float) -> Target:
        return lambda operation: time.sleep(2e-3 * slowdown * operation.random.lognormvariate(0, 0.3))

    def burning(slowdown: float) -> Target:
        count = round(rounds * slowdown)
        return lambda _: _count_to(count)

    return [
        Case("waits 2 ms", _real_run(directory / "waits", waiting, 400)),
        Case("uses the processor for 1 ms", _real_run(directory / "uses", burning, 200)),
    ]


def _real_run(
    directory: Path, target: Callable[[float], Target], operations: int
) -> Callable[[float, int], RunSketch]:
    """Return a function that makes a run as users do, saves it as a baseline and reads it back."""

    def run(slowdown: float, seed: int) -> RunSketch:
        simulator = MultiAgentSimulator(
            agents=_AGENTS,
            operations_per_agent=operations,
            min_delay=0,
            max_delay=0,
            target=target(slowdown),
            seed=seed,
            output_dir=directory / "output",
            gate=False,
        )
        result = simulator.run()
        rows = result.records
        profile = _profile_of_rows(rows, result.scenario.task_names)
        identity = Fingerprint.of(result.scenario)
        store.save(directory, "bench", "run", identity, profile, seed)
        return store.load(directory, "bench", "run", identity).runs[-1]

    return run


def _profile_of_rows(rows: Any, tasks: Sequence[str]) -> RunSketch:
    end, response = rows["end"].astype(np.int64), rows["response_time"].astype(np.int64)
    return RunSketch.of(
        end_ns=end,
        task=rows["task"],
        outcome=rows["outcome"],
        is_error=rows["is_error"],
        called=rows["called"],
        latency_ns=rows["latency"].astype(np.int64),
        response_ns=response,
        tasks=tasks,
        started_ns=int((end - response).min()),
    )


def _rounds_per_millisecond() -> float:
    """Return the rounds that ``_count_to`` does in a millisecond, from the fastest of 50 calls.

    Call it once, so that every run does the same work.
    """
    times = []
    for _ in range(50):
        began = time.perf_counter()
        _count_to(_CALIBRATION_ROUNDS)
        times.append(time.perf_counter() - began)
    return _CALIBRATION_ROUNDS / min(times) / 1e3


def _count_to(rounds: int) -> None:
    for _ in range(rounds):
        pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="runs of the same code, and of the slower code")
    parser.add_argument("--synthetic", action="store_true", help="synthetic runs only")
    return parser


if __name__ == "__main__":
    main()
