"""The snippets of README and guides do what they say, and the reference is what the settings table makes."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUICKER = {"README.md-0": ["--stress-min-delay=0", "--stress-max-delay=10ms"]}
"""Options for what waits ten seconds with the default delays."""
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
    found = []
    for page in PAGES:
        for number, match in enumerate(re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)):
            found.append((f"{page.name}-{number}", match[1]))
    return found


def is_test(code: str) -> bool:
    return bool(re.search(r"^def test_", code, re.M))


@pytest.mark.parametrize(
    ("name", "code"), [pytest.param(name, code, id=name) for name, code in snippets("python") if is_test(code)]
)
def test_a_test_in_the_docs_passes_under_stress(pytester: pytest.Pytester, name: str, code: str) -> None:
    pytester.makeconftest(README_SERVICE)
    pytester.makepyfile(code)
    result = pytester.runpytest("--stress", "--stress-seed=1", *QUICKER.get(name, []))
    outcomes = result.parseoutcomes()
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert outcomes["passed"] >= 1
    assert "skipped" not in outcomes


def test_the_readmes_search_finds_what_the_readme_says(pytester: pytest.Pytester) -> None:
    readme = (ROOT / "README.md").read_text()
    code = next(code for name, code in snippets("python") if "test_no_overdraft" in code)
    sound = """            self.balance -= 60
            operation.sleep(0.02)  # the bank's answer
"""
    broken = """            operation.sleep(0.02)  # the bank's answer
            self.balance -= 60
"""
    assert sound in code
    pytester.makepyfile(code.replace(sound, broken))
    result = pytester.runpytest("--stress", "--hypothesis-seed=6")
    result.assert_outcomes(failed=1)
    promised = re.search(r"`(@example\(.*\))`\.", readme)
    assert promised
    assert promised[1] in result.stdout.str()


def test_the_scripts_in_the_docs_run(tmp_path: Path) -> None:
    """At the same time: most of them take seconds in which they wait."""
    processes = {}
    for name, code in snippets("python"):
        if not is_test(code):
            (tmp_path / name).mkdir()
            processes[name] = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", code],
                cwd=tmp_path / name,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
    try:
        outputs = {name: process.communicate(timeout=60) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    failed = {name: outputs[name][1] for name, process in processes.items() if process.returncode != 0}
    assert failed == {}
    assert processes
    assert [name for name, (shown, _) in outputs.items() if not shown] == []


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


def test_the_readme_command_runs_the_main_job_and_says_where_the_files_are(pytester: pytest.Pytester) -> None:
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


def test_the_reference_of_settings_is_what_the_table_makes() -> None:
    pages = _make_settings()
    readme = (ROOT / "README.md").read_text()
    assert pages.readme(readme) == readme
    assert pages.reference() == (ROOT / "docs" / "settings.md").read_text()


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for path, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            linked = page.parent / path if path else page
            assert linked.exists(), f"{page.name}: {path}"
            assert not heading or heading in headings(linked), f"{page.name}: {path}#{heading}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
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
