"""Searches for twelve planted bugs with Hypothesis. Each result is compared with the smallest known scenario.

    python benchmarks/planted_bugs.py                       12 bugs, 1,000 examples, three seeds
    python benchmarks/planted_bugs.py --only two-sells      one bug
    python benchmarks/planted_bugs.py --correct 10000       then the variants without bugs; takes minutes

A size is operations/agents/faults/delays. A search reaches the smallest known scenario if none of the four numbers
is larger. The goal is to reach it within 1,000 examples and 5 seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "src")]

from benchmarks import measuring  # noqa: E402
from benchmarks.planted import BUGS, Bug  # noqa: E402
from benchmarks.planted.searching import (  # noqa: E402
    EVERY_PHASE,
    WITHOUT_EXPLAIN,
    Search,
    fails,
    perform_fixed,
    search,
)

from pytest_nos_stress.strategies import scenarios  # noqa: E402

_SECONDS: Final = 5.0
_WANTED: Final = 11


def main() -> None:
    options = _parser().parse_args()
    bugs = [bug for bug in BUGS if bug.name in (options.only or bug.name)]
    phases = EVERY_PHASE if options.explain else WITHOUT_EXPLAIN
    print(measuring.machine())
    print(f"phases: {', '.join(phase.name for phase in phases)}; {options.examples} examples")
    _check_known(bugs)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        print(f"\nseed {seed}\n{_HEADING}")
        reached = 0
        for bug in bugs:
            result = search(bug, scenarios(**bug.bounds), seed, options.examples, phases)
            reached += _is_met(bug, result)
            print(_line(bug, result), flush=True)
            if options.show:
                print(f"    {result.scenario!r}")
        goal = _WANTED * len(bugs) // len(BUGS)
        print(f"reached the smallest in {_SECONDS:g} s: {reached} of {len(bugs)} (wanted: {goal})")
    if options.correct:
        _correct(bugs, options.correct, options.first_seed)


_HEADING: Final = (
    f"{'bug':<22}{'found after':>12}{'runs':>7}{'seconds':>9}{'ms/run':>8}{'size':>11}{'smallest':>11}  reached"
)


def _line(bug: Bug, result: Search) -> str:
    after = "not found" if result.found_after is None else str(result.found_after)
    reached = "yes" if result.reached(bug.smallest_size) else "NO"
    late = "" if result.seconds <= _SECONDS else ", late"
    per_run = result.seconds / max(1, result.runs) * 1e3
    size = "-" if result.size is None else str(result.size)
    return (
        f"{bug.name:<22}{after:>12}{result.runs:>7}{result.seconds:>9.2f}{per_run:>8.2f}{size:>11}"
        f"{bug.smallest_size!s:>11}  {reached}{late}"
    )


def _is_met(bug: Bug, result: Search) -> bool:
    return result.reached(bug.smallest_size) and result.seconds <= _SECONDS


def _check_known(bugs: Sequence[Bug]) -> None:
    """Exit with a message unless each smallest scenario fails with its bug, and passes without it."""
    with tempfile.TemporaryDirectory(prefix="nos-stress-planted-") as directory:
        for bug in bugs:
            if fails(bug.broken, bug.smallest_scenario, directory) is None:
                raise SystemExit(f"{bug.name}: its smallest scenario does not show the bug")
            if error := fails(bug.fixed, bug.smallest_scenario, directory):
                raise SystemExit(f"{bug.name}: the variant without the bug fails: {error}")


def _correct(bugs: Sequence[Bug], examples: int, seed: int) -> None:
    print(f"\nwithout the bugs, {examples} scenarios each")
    began, wrong = time.perf_counter(), 0
    for bug in bugs:
        done = perform_fixed(bug, scenarios(**bug.bounds), seed, examples)
        wrong += done.found_after is not None
        verdict = "all pass" if done.found_after is None else f"WRONGLY FAILS: {done.scenario!r}"
        print(f"{bug.name:<22}{done.runs:>7} runs{done.seconds:>9.1f} s  {verdict}", flush=True)
    print(f"wrong: {wrong} of {len(bugs)}, in {time.perf_counter() - began:.0f} s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1_000, help="maximum of examples for a search")
    parser.add_argument("--seeds", type=int, default=3, help="number of searches for each bug")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=[bug.name for bug in BUGS], metavar="NAME")
    parser.add_argument("--correct", type=int, default=0, help="scenarios for each variant without its bug")
    parser.add_argument("--explain", action="store_true", help="include Hypothesis' explain phase")
    parser.add_argument("--show", action="store_true", help="print the scenarios that were found")
    return parser


if __name__ == "__main__":
    main()
