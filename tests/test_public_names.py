"""The public names, and the modules that importing the package imports."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress

SOURCE = str(Path(str(pytest_nos_stress.__file__)).parents[1])
PROMISED = ["MultiAgentSimulator", "run_stress_test", "Scenario", "Operation", "StressResult"]


def python(code: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [*PROMISED, "MissingDataError", "ThresholdsNotMet", "RunFailed", "SettingError"])
def test_every_promised_name_exists_and_is_listed(name: str) -> None:
    assert getattr(pytest_nos_stress, name).__name__ == name
    assert name in pytest_nos_stress.__all__
    assert name in dir(pytest_nos_stress)


def test_every_listed_name_exists() -> None:
    assert all(hasattr(pytest_nos_stress, name) for name in pytest_nos_stress.__all__)


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pytest_nos_stress' has no attribute 'Simulator'"):
        _ = pytest_nos_stress.Simulator


def test_a_star_import_gives_the_public_names(tmp_path: Path) -> None:
    printed = python("from pytest_nos_stress import *\nprint(Scenario, run_stress_test.__name__)", tmp_path)
    assert printed == "<class 'pytest_nos_stress.scenario.scenario.Scenario'> run_stress_test\n"


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
before = set(sys.modules)
import pytest_nos_stress
new = {name for name in set(sys.modules) - before}
print(sorted(name for name in new if name.split(".")[0] in ("numpy", "hypothesis", "pytest", "xdist")))
print(sorted(name for name in new if name.startswith("pytest_nos_stress")))
"""
    assert python(code, tmp_path) == "[]\n['pytest_nos_stress', 'pytest_nos_stress._internal']\n"


def test_the_settings_can_be_read_without_anything_heavy(tmp_path: Path) -> None:
    code = """
import sys
import pytest_nos_stress.config.options
print("numpy" in sys.modules, "pytest_nos_stress.run.simulator" in sys.modules)
"""
    assert python(code, tmp_path) == "False False\n"


def test_the_library_works_without_pytest(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["pytest"] = sys.modules["_pytest"] = sys.modules["hypothesis"] = None
from pytest_nos_stress import run_stress_test
print(run_stress_test(["Ann"], operations_per_agent=5, min_delay=0, max_delay=0)["total_operations"])
"""
    assert python(code, tmp_path) == "5\n"


def test_the_library_prints_nothing_and_touches_no_logger(tmp_path: Path) -> None:
    code = """
import logging
from pytest_nos_stress import run_stress_test
run_stress_test(["Ann"], operations_per_agent=5, min_delay=0, max_delay=0)
assert logging.getLogger().handlers == []
"""
    assert python(code, tmp_path) == ""


@pytest.mark.parametrize("name", PROMISED)
def test_public_objects_can_be_pickled_by_name(name: str) -> None:
    value: Any = getattr(pytest_nos_stress, name)
    assert pickle.loads(pickle.dumps(value)) is value


def test_the_package_has_a_version() -> None:
    assert len(pytest_nos_stress.__version__.split(".")) == 3
