"""Cost of the plugin for a pytest session that does not use it.

Time is measured in two ways, because the cost is small compared with the noise of starting a process. The first is
the import of the plugin inside a process that has just imported pytest. The second is the difference between
processes with and without the plugin, which take turns. Then a session runs a plain test and a stress test without
``--stress``. It reports the modules loaded at interpreter exit that the same session without the plugin does not
load.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Final

from . import measuring
from .measuring import Effort, Figure

PLUGIN: Final = "pytest_nos_stress.plugin.hooks"
_MUST_STAY_OUT: Final = ("numpy", "hypothesis", "pytest_nos_stress.run.simulator")
_BUDGET_MS: Final = 1.0

_TIMED_IMPORT: Final = f"""
import json, sys, time
import pytest
before = set(sys.modules)
started = time.perf_counter()
import {PLUGIN}
elapsed = time.perf_counter() - started
print(json.dumps({{"ms": elapsed * 1e3, "modules": sorted(set(sys.modules) - before)}}))
"""

_PLAIN_TEST: Final = """
def test_plain():
    assert True
"""

_STRESS_TEST: Final = """
def test_under_stress(stress_simulator):
    stress_simulator.run()
"""

_SESSION: Final = """
import atexit, json, sys
atexit.register(lambda: print("\\n" + json.dumps({"modules": sorted(sys.modules), "status": int(status)})))
import pytest
status = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]])
"""


def measure(effort: Effort) -> Iterator[Figure]:
    if find_spec(PLUGIN) is None:
        yield Figure("importing the plugin", f"not measured: no module {PLUGIN}")
        return
    yield from _import_time(effort.imports)
    yield _modules_of_a_session()


def _import_time(repetitions: int) -> Iterator[Figure]:
    inside: list[float] = []
    differences: list[float] = []
    modules: list[str] = []
    for _ in range(repetitions):
        with measuring.started(["-c", _TIMED_IMPORT]) as (process, _directory):
            timed = measuring.answer(process)
        inside.append(timed["ms"])
        modules = timed["modules"]
        without = _lifetime("import pytest")
        differences.append(_lifetime(f"import pytest; import {PLUGIN}") - without)
    median = statistics.median(inside)
    text = f"{measuring.median_and_range(inside, 2)} ms"
    yield measuring.at_most(f"import {PLUGIN} after pytest", median, text, _BUDGET_MS, "ms")
    low, middle, high = statistics.quantiles(differences, n=4)
    difference = f"{middle:.1f} ms (quartiles {low:.1f} and {high:.1f})"
    yield Figure("the same, as a difference of whole processes", difference)
    yield Figure("modules it loads beyond pytest's", f"{len(modules)}: {', '.join(modules)}")


def _lifetime(program: str) -> float:
    """Run a program in a process. Return the milliseconds from start to end."""
    started = time.perf_counter()
    with measuring.started(["-c", program]) as (process, _):
        if process.wait() != 0:
            raise RuntimeError(f"{program!r} failed")
        return (time.perf_counter() - started) * 1e3


def _modules_of_a_session() -> Figure:
    name = "heavy modules loaded at exit of pytest without --stress"
    with_plugin, without = _session(plugin=True), _session(plugin=False)
    loaded = sorted(set(_MUST_STAY_OUT) & (with_plugin - without))
    return Figure(name, ", ".join(loaded) or "none", f"none of {', '.join(_MUST_STAY_OUT)}", not loaded)


def _session(*, plugin: bool) -> set[str]:
    """Run a session with a plain test and, with the plugin, a stress test. Return the modules loaded at exit."""
    installed = any(plugin_entry.value == PLUGIN for plugin_entry in entry_points(group="pytest11"))
    if plugin:
        choice = [] if installed else ["-p", PLUGIN]
    else:
        choice = ["-p", "no:nos-stress"]
    files = {"test_session.py": _PLAIN_TEST + (_STRESS_TEST if plugin else "")}
    with measuring.started(["-c", _SESSION, *choice], files=files) as (process, _):
        result = measuring.answer(process)
    if result["status"] != 0:
        raise RuntimeError(f"the session ended with status {result['status']}")
    return set(result["modules"])
