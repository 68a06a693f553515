"""Measurements for docs/performance.md. Each figure is printed beside its budget.

    python benchmarks/run.py                      everything, three to four minutes
    python benchmarks/run.py --quick              under a minute, to see that it works; do not quote its figures
    python benchmarks/run.py throughput log       some sections

A missed budget does not change the exit code: machines are noisy, so a person must judge the figures. To compare
with Locust, name a Python that has it: ``--locust-python /path/to/venv/bin/python``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "src")]

from benchmarks import (  # noqa: E402
    async_agents,
    import_cost,
    log_lag,
    measuring,
    memory,
    statistics_time,
    throughput,
    virtual_time,
    world,
)
from benchmarks.measuring import Effort, Figure  # noqa: E402

_SECTIONS: Mapping[str, Callable[[Effort], Iterator[Figure]]] = {
    "import": import_cost.measure,
    "throughput": throughput.measure,
    "log": log_lag.measure,
    "memory": memory.measure,
    "statistics": statistics_time.measure,
    "virtual": virtual_time.measure,
    "world": world.measure,
    "asyncio": async_agents.measure,
}
_VERDICTS = {True: "met", False: "MISSED", None: ""}


def main() -> None:
    options = _parser().parse_args()
    effort = _effort(quick=options.quick, locust_python=options.locust_python)
    print(measuring.machine())
    missed = 0
    for name in options.sections or _SECTIONS:
        print(f"\n{name}: {_first_line_of_module(_SECTIONS[name])}", flush=True)
        for figure in _SECTIONS[name](effort):
            print(_line(figure), flush=True)
            missed += figure.met is False
    print(f"\nbudgets missed: {missed}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sections", nargs="*", metavar="section", choices=[*_SECTIONS, []], help=", ".join(_SECTIONS)
    )
    parser.add_argument("--quick", action="store_true", help="check that the benchmarks work")
    parser.add_argument("--locust-python", default=sys.executable, help="a Python that has locust")
    return parser


def _effort(*, quick: bool, locust_python: str) -> Effort:
    if quick:
        return Effort(1, 5, 100_000, 4_096, 1.0, locust_python)
    return Effort(5, 31, 1_000_000, 40_960, 6.0, locust_python)


def _first_line_of_module(function: Callable[..., object]) -> str:
    return (sys.modules[function.__module__].__doc__ or "").splitlines()[0]


def _line(figure: Figure) -> str:
    return f"  {figure.name:<66} {figure.measured:<44} {figure.budget:<18} {_VERDICTS[figure.met]}".rstrip()


if __name__ == "__main__":
    main()
