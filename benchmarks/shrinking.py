"""A comparison of ways to draw a scenario with Hypothesis: the planted bugs found, and the sizes after shrinking.

    python benchmarks/shrinking.py                       12 bugs, four ways, three seeds; about five minutes
    python benchmarks/shrinking.py --only two-sells      one bug
    python benchmarks/shrinking.py --ways rows,builds    two of the ways

The ways:

rows     as in ``pytest_nos_stress.strategies.scenarios``: rows of (agent, task, fault), separate rows of delays
delays   rows of (agent, task, fault, delay): each operation has a delay after the agent's previous one
builds   a list of ``st.builds(PlannedOperation, ...)`` with ``sampled_from``, the obvious first version
seed     agents, operations per agent, probabilities of faults, and a seed that decides the operations

For each bug and way it prints three figures: the number of searches that reached the smallest known scenario, the
size (operations/agents/faults/delays) of the largest final scenario, and the median of runs after the first
failure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from hypothesis import strategies as st

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "src")]

from benchmarks.planted import BUGS, Bug  # noqa: E402
from benchmarks.planted.searching import Search, search  # noqa: E402

from pytest_nos_stress import PlannedOperation, Scenario  # noqa: E402
from pytest_nos_stress.search.strategies import DELAYS, SEED_FAULTS, scenarios  # noqa: E402

_Strategy = st.SearchStrategy[Scenario]
_SEEDS: Final = st.integers(0, 0xFFFF)
_FAULTS: Final = (None, *SEED_FAULTS)


def _rows(bug: Bug) -> _Strategy:
    return scenarios(**bug.bounds)


def _delays(bug: Bug) -> _Strategy:
    # Each column has a separate range of numbers, since Hypothesis shrinks equal numbers together.
    columns = [_names(bug), bug.tasks, _FAULTS, DELAYS]
    starts = [number << 20 for number in range(1, 5)]
    row = st.tuples(
        *[st.integers(start, start + len(column) - 1) for start, column in zip(starts, columns, strict=True)]
    )

    def scenario(drawn: list[tuple[int, ...]], seed: int) -> Scenario:
        rows = [[number - start for number, start in zip(numbers, starts, strict=True)] for numbers in drawn]
        return _explicit(
            bug,
            [
                PlannedOperation(_names(bug)[agent], bug.tasks[task], _FAULTS[fault], DELAYS[delay])
                for agent, task, fault, delay in rows
            ],
            seed,
        )

    least, most = bug.operations
    return st.builds(scenario, st.lists(row, min_size=least, max_size=most), _SEEDS)


def _builds(bug: Bug) -> _Strategy:
    operation = st.builds(
        PlannedOperation,
        st.sampled_from(_names(bug)),
        st.sampled_from(bug.tasks),
        st.sampled_from(_FAULTS),
        st.sampled_from(DELAYS),
    )
    least, most = bug.operations
    operations = st.lists(operation, min_size=least, max_size=most)
    return st.builds(lambda drawn, seed: _explicit(bug, drawn, seed), operations, _SEEDS)


def _seed(bug: Bug) -> _Strategy:
    probabilities = st.sampled_from([0.0, 0.1, 0.3, 0.6])
    longest = st.sampled_from(DELAYS)
    return st.builds(
        lambda longest, **others: Scenario(min_delay=0, max_delay=longest, **others),
        longest=longest,
        agents=st.integers(*bug.agents),
        tasks=st.just(bug.tasks),
        operations_per_agent=st.integers(1, max(1, bug.operations[1] // bug.agents[1])),
        missing_data_prob=probabilities,
        failure_prob=probabilities,
        failure_mode=st.sampled_from(["lost_request", "lost_reply", "mixed"]),
        seed=_SEEDS,
        engine=st.just("virtual"),
    )


def _names(bug: Bug) -> list[str]:
    return [f"Agent_{number}" for number in range(1, bug.agents[1] + 1)]


def _explicit(bug: Bug, operations: Sequence[PlannedOperation], seed: int) -> Scenario:
    return Scenario(tasks=bug.tasks, operations=operations, seed=seed, engine="virtual")


_WAYS: Final[Mapping[str, Callable[[Bug], _Strategy]]] = {
    "rows": _rows,
    "delays": _delays,
    "builds": _builds,
    "seed": _seed,
}


def main() -> None:
    options = _parser().parse_args()
    bugs = [bug for bug in BUGS if bug.name in (options.only or bug.name)]
    ways = [way for way in _WAYS if way in options.ways.split(",")]
    print(
        f"{options.examples} examples, {options.seeds} seeds; "
        "reached, largest size, median of runs after the first failure"
    )
    print(f"{'bug':<22}{'smallest':<11}{''.join(f'{way:<26}' for way in ways)}".rstrip())
    searches: dict[str, list[tuple[Bug, Search]]] = {way: [] for way in ways}
    for bug in bugs:
        line = f"{bug.name:<22}{bug.smallest_size!s:<11}"
        for way in ways:
            results = [search(bug, _WAYS[way](bug), seed, options.examples) for seed in range(options.seeds)]
            searches[way] += [(bug, result) for result in results]
            line += f"{_cell(bug, results):<26}"
        print(line.rstrip(), flush=True)
    print()
    for way in ways:
        print(f"{way:<8}{_summary(searches[way])}")


def _cell(bug: Bug, searches: Sequence[Search]) -> str:
    reached = sum(result.reached(bug.smallest_size) for result in searches)
    sizes = [result.size for result in searches if result.size is not None]
    if not sizes:
        return f"0/{len(searches)}  not found"
    return f"{reached}/{len(searches)}  {max(sizes)!s:<12}{_median(_after_finding(searches)):>4.0f}"


def _summary(searches: Sequence[tuple[Bug, Search]]) -> str:
    successful = [result for _, result in searches if result.found_after is not None]
    reached = sum(result.reached(bug.smallest_size) for bug, result in searches)
    seconds = [result.seconds for _, result in searches]
    first = [result.found_after for result in successful if result.found_after is not None]
    return (
        f"found {len(successful)} of {len(searches)}, reached the smallest {reached}; "
        f"found after {_median(first):.0f} runs (mean {statistics.fmean(first or [0]):.0f}), "
        f"then {_median(_after_finding(successful)):.0f} runs; "
        f"{_median(seconds):.2f} s a search, at most {max(seconds):.2f} s"
    )


def _after_finding(searches: Iterable[Search]) -> list[int]:
    return [result.runs - result.found_after for result in searches if result.found_after is not None]


def _median(values: Sequence[float]) -> float:
    return statistics.median(values or [0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1_000, help="maximum of examples for a search")
    parser.add_argument("--seeds", type=int, default=3, help="number of searches for each bug and way")
    parser.add_argument("--only", action="append", choices=[bug.name for bug in BUGS], metavar="NAME")
    parser.add_argument("--ways", default=",".join(_WAYS), help="some of: " + ", ".join(_WAYS))
    return parser


if __name__ == "__main__":
    main()
