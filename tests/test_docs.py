"""README and guides: snippets run, links resolve, and the generated reference is up to date."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHORT_DELAYS = {"README.md-0": ["--stress-min-delay=0", "--stress-max-delay=10ms"]}
"""Options by snippet, for a snippet that takes ten seconds with the default delays."""
README_SERVICE = """
import pytest
@pytest.fixture
def order_service():
    class OrderService:
        def buy(self): pass
        def sell(self): pass
        def audit(self): return []
    return OrderService()
"""


def snippets(language: str) -> list[tuple[str, str]]:
    """Return name and code of every snippet in a language."""
    named = []
    for page in PAGES:
        for number, match in enumerate(re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)):
            named.append((f"{page.name}-{number}", match[1]))
    return named


def is_test(code: str) -> bool:
    return bool(re.search(r"^def test_", code, re.M))


@pytest.mark.parametrize(
    ("name", "code"), [pytest.param(name, code, id=name) for name, code in snippets("python") if is_test(code)]
)
def test_a_test_in_the_docs_passes_under_stress(pytester: pytest.Pytester, name: str, code: str) -> None:
    pytester.makeconftest(README_SERVICE)
    pytester.makepyfile(code)
    result = pytester.runpytest("--stress", "--stress-seed=1", *SHORT_DELAYS.get(name, []))
    outcomes = result.parseoutcomes()
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert outcomes["passed"] >= 1
    assert "skipped" not in outcomes


def test_the_search_in_the_readme_finds_the_example_that_the_readme_quotes(pytester: pytest.Pytester) -> None:
    readme = (ROOT / "README.md").read_text()
    code = next(code for name, code in snippets("python") if "test_no_overdraft" in code)
    correct = """            self.balance -= 60
            operation.sleep(0.02)  # the bank's answer
"""
    broken = """            operation.sleep(0.02)  # the bank's answer
            self.balance -= 60
"""
    assert correct in code
    pytester.makepyfile(code.replace(correct, broken))
    result = pytester.runpytest("--stress", "--hypothesis-seed=6")
    result.assert_outcomes(failed=1)
    quoted = re.search(r"`(@example\(.*\))`\.", readme)
    assert quoted
    assert quoted[1] in result.stdout.str()


RUN_ALL: Final = """
import json, os, pathlib, sys
import pytest_nos_stress.market
from pytest_nos_stress import MultiAgentSimulator

processes = {}
for name in sys.argv[1:]:
    processes[name] = os.fork()
    if not processes[name]:
        os.chdir(name)
        for file, output in ((1, "output"), (2, "errors")):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), file)
        exec(compile(pathlib.Path("script.py").read_text(), "script.py", "exec"), {"__name__": "__main__"})
        break
else:
    statuses = {name: os.waitpid(process, 0)[1] for name, process in processes.items()}
    pathlib.Path("statuses.json").write_text(json.dumps(statuses))
"""
"""A program that runs ``script.py`` in each given directory, in forked processes that share the imports."""


def test_the_scripts_in_the_docs_run(tmp_path: Path) -> None:
    """Run all scripts at the same time, since most of them spend seconds waiting."""
    scripts = {name: code for name, code in snippets("python") if not is_test(code)}
    for name, code in scripts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "script.py").write_text(code)
    # Python warns about a fork if OpenBLAS has started threads.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", RUN_ALL, *scripts]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as process:
        try:
            assert process.wait(120) == 0
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    statuses = json.loads((tmp_path / "statuses.json").read_text())
    assert {name: (tmp_path / name / "errors").read_text() for name, status in statuses.items() if status} == {}
    assert statuses.keys() == scripts.keys() != set()
    assert [name for name in scripts if not (tmp_path / name / "output").read_text()] == []


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in snippets("(?:ini|toml)")])
def test_a_configuration_in_the_docs_is_accepted(pytester: pytest.Pytester, code: str) -> None:
    is_toml = "[tool.pytest]" in code
    pytester.path.joinpath("pyproject.toml" if is_toml else "pytest.ini").write_text(code)
    pytester.makepyfile(
        "def test_trades(stress_simulator):"
        "    stress_simulator.run(operations_per_agent=150, max_delay=0, min_delay=0)"
    )
    result = pytester.runpytest("--stress")
    if is_toml and int(pytest.__version__.split(".")[0]) < 9:
        return
    result.assert_outcomes(passed=1)


def test_the_first_command_in_the_readme_passes_and_prints_the_path_of_the_files(
    pytester: pytest.Pytester,
) -> None:
    command = re.search(r"\.venv/bin/(pytest --stress --pyargs .*)$", (ROOT / "README.md").read_text(), re.M)
    assert command is not None
    result = pytester.runpytest(*shlex.split(command[1])[1:])
    result.assert_outcomes(passed=1)
    (files,) = re.findall(r"^  files: (.*)$", result.stdout.str(), re.M)
    assert sorted(os.listdir(pytester.path / files)) == [
        "agent_memory_snapshot.json",
        "scenario.json",
        "simulation_statistics.json",
        "stress_test_report.html",
        "stress_test_results.log",
    ]


def test_the_reference_of_settings_is_up_to_date() -> None:
    pages = _make_settings()
    readme = (ROOT / "README.md").read_text()
    assert pages.readme(readme) == readme
    assert pages.reference() == (ROOT / "docs" / "settings.md").read_text()


def test_links_between_pages_resolve() -> None:
    for page in PAGES:
        for path, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            linked = page.parent / path if path else page
            assert linked.exists(), f"{page.name}: {path}"
            assert not heading or heading in headings(linked), f"{page.name}: {path}#{heading}"


def headings(page: Path) -> set[str]:
    """Return the anchors that GitHub makes for a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.M)
    }


def _make_settings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_settings", ROOT / "docs" / "make_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
