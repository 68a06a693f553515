"""Imports of a session: nothing heavy without ``--stress``, and only what it needs with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

PACKAGE = "pytest_nos_stress"
WITH_STRESS = (
    "engines.base",
    "plugin.session_outputs",
    "reporting.ci",
    "reporting.html",
    "reporting.writer",
    "reporting.progress",
    "reporting.summary",
    "reporting.terminal",
    "results.baselines",
    "run.process_monitor",
    "run.simulator",
)
"""Modules that a session imports with ``--stress`` only."""
ON_DEMAND = ("reporting.otel", "results.baselines.store")
"""Modules that a session imports with ``--stress`` if a setting needs them."""
EXTRAS = ("opentelemetry", "pandas", "polars", "py_mini_racer", "pyarrow", "resvg_py", "scipy")
HEAVY = ("numpy", "hypothesis", "psutil", *(f"{PACKAGE}.{name}" for name in (*WITH_STRESS, *ON_DEMAND)), *EXTRAS)
CONFTEST = f"""
import atexit
import pathlib
import sys

def note():
    heavy = [name for name in list(sys.modules) if name.startswith({HEAVY!r})]
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
def test_plain_pytest_imports_nothing_heavy_until_exit(pytester: pytest.Pytester, options: list[str]) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(PROJECT)
    pytester.makeini(
        "[pytest]\nstress_agents = 5\nstress_thresholds = failure_rate < 10%\nstress_tasks = buy=3, sell=1\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", *options)
    assert result.ret == pytest.ExitCode.OK
    assert (pytester.path / "imported").read_text() == ""


def imported(pytester: pytest.Pytester, *options: str) -> set[str]:
    """Return the heavy modules that a session with a stress test imports."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_it(stress_simulator): stress_simulator.run(lambda: None, engine='virtual')")
    result = pytester.runpytest_subprocess("--stress", "-p", "no:hypothesispytest", *options)
    assert "1 passed" in result.stdout.str() or "1 failed" in result.stdout.str()
    return set((pytester.path / "imported").read_text().split())


def test_with_stress_the_engine_is_imported_and_no_extra(pytester: pytest.Pytester) -> None:
    modules = imported(pytester)
    assert {"numpy", "psutil", *(f"{PACKAGE}.{name}" for name in WITH_STRESS)} <= modules
    unneeded = (*EXTRAS, *(f"{PACKAGE}.{name}" for name in ON_DEMAND))
    assert [name for name in modules if name.startswith(unneeded)] == []


def test_saving_a_baseline_imports_no_extra(pytester: pytest.Pytester) -> None:
    modules = imported(pytester, "--stress-save-baseline=main")
    assert f"{PACKAGE}.results.baselines.store" in modules
    assert [name for name in modules if name.startswith(EXTRAS)] == []


def test_extras_are_imported_if_a_setting_needs_them(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "scipy": "--stress-compare=main",
        "opentelemetry": "--stress-otel",
        "pyarrow": "--stress-records=parquet",
        "py_mini_racer": "--stress-report=png",
    }
    installed = {name: option for name, option in options.items() if importlib.util.find_spec(name)}
    if not installed:
        pytest.skip("no extra is installed")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    imported(pytester, "--stress-save-baseline=main")
    assert set(installed) <= imported(pytester, *installed.values())


@pytest.mark.parametrize("module", ["pytest_nos_stress", "pytest_nos_stress.plugin.hooks"])
def test_importing_the_package_or_the_plugin_imports_nothing_heavy(module: str) -> None:
    heavy = (*HEAVY, "asyncio")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout.strip() == "[]"


def test_settings_of_a_skipped_test_import_no_extras(
    pytester: pytest.Pytester,
) -> None:
    settings = {
        "pyarrow": "records='parquet'",
        "py_mini_racer": "report='svg'",
        "opentelemetry": "otel=True",
        "scipy": "compare='x'",
    }
    installed = [setting for name, setting in settings.items() if importlib.util.find_spec(name)]
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress({", ".join(installed)})
        def test_it():
            pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest")
    result.assert_outcomes(skipped=1)
    modules = set((pytester.path / "imported").read_text().split())
    assert modules <= {"opentelemetry"}, "a namespace: there is no code in it"
