"""What a session that runs no stress test imports: neither NumPy nor Hypothesis nor the engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "hypothesis", "pytest_nos_stress.simulator", "pytest_nos_stress.engines", "asyncio")
CONFTEST = f"""
import atexit
import pathlib
import sys

def note():
    heavy = [name for name in sys.modules if name.startswith({HEAVY[:4]!r})]
    pathlib.Path("imported").write_text(" ".join(heavy))

atexit.register(note)
"""
PROJECT = """
import pytest

def test_ordinary():
    pass

@pytest.mark.stress(agents=8, failure_prob=0.05, thresholds=["failure_rate < 10%", "latency.p99 < 50ms"])
def test_body():
    pass

@pytest.mark.stress(agents=8)
def test_fixture(stress_simulator):
    stress_simulator.run()
"""


@pytest.mark.parametrize("options", [[], ["--collect-only"], ["-m", "not stress"], ["-n", "2"]], ids=" ".join)
def test_plain_pytest_imports_nothing_heavy_to_the_interpreters_exit(
    pytester: pytest.Pytester, options: list[str]
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(PROJECT)
    pytester.makeini(
        "[pytest]\nstress_agents = 5\nstress_thresholds = failure_rate < 10%\nstress_tasks = buy=3, sell=1\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", *options)
    assert result.ret == pytest.ExitCode.OK
    assert (pytester.path / "imported").read_text() == ""


def test_with_stress_the_same_check_would_see_the_engine(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_it(stress_simulator): stress_simulator.run(min_delay=0, max_delay=0)")
    pytester.runpytest_subprocess("--stress", "-p", "no:hypothesispytest").assert_outcomes(passed=1)
    imported = (pytester.path / "imported").read_text().split()
    assert {"numpy", "pytest_nos_stress.simulator"} <= set(imported)


@pytest.mark.parametrize("module", ["pytest_nos_stress", "pytest_nos_stress.plugin"])
def test_importing_the_package_or_the_plugin_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([one for one in {HEAVY!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
