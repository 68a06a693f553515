"""The jobs of docs/ci.md: each is valid for its CI, and its pytest lines write the files that it publishes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "ci.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
GITHUB, GITLAB, AZURE, JENKINS = "GitHub Actions", "GitLab CI", "Azure Pipelines", "Jenkins"
SCHEMAS = {GITHUB: "github-workflows", GITLAB: "gitlab-ci", AZURE: "azure-pipelines"}
ONLY_NEEDED_PLUGINS = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "xdist.plugin,xdist.looponfail,pytest_nos_stress.plugin.hooks",
}
PROJECT = """
import pytest

@pytest.mark.stress(engine="virtual", agents=2, min_delay=0.5, max_delay=1.5, missing_data_prob=0, failure_prob=0)
def test_orders(stress_simulator):
    stress_simulator.run(lambda operation: operation.sleep(0.002))
"""


def snippet(section: str, language: str = "yaml") -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[section], re.M | re.S)
    return str(code)


def pytest_lines(section: str) -> list[str]:
    """Return the lines that run pytest: for a change, for the night, and for a new baseline."""
    code = snippet(section, "groovy" if section == JENKINS else "yaml")
    return [f"pytest{line}" for line in re.findall(r"^.*?\bpytest( --stress .*)$", code, re.M)]


def run(line: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a CI's shell does, in a directory with one small stress test."""
    (directory / "test_orders.py").write_text(PROJECT)
    (directory / "pytest.ini").write_text("[pytest]\n")
    words = shlex.split(line)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_"))}
    completed = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=directory,
        env=inherited | ONLY_NEEDED_PLUGINS | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed


@pytest.mark.parametrize("section", SCHEMAS)
def test_a_job_is_valid_for_its_ci(tmp_path: Path, section: str) -> None:
    job = tmp_path / "job.yml"
    # Azure's schema wants every scalar as text.
    job.write_text(
        json.dumps(yaml.load(snippet(section), yaml.BaseLoader)) if section == AZURE else snippet(section)
    )
    checker = [sys.executable, "-m", "check_jsonschema", "--regex-variant=nonunicode"]
    schema = f"--builtin-schema=vendor.{SCHEMAS[section]}"
    completed = subprocess.run([*checker, schema, job], capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_github_publishes_the_files_of_a_failed_run_too() -> None:
    steps = yaml.safe_load(snippet(GITHUB))["jobs"]["stress"]["steps"]
    assert any("pip install" in step.get("run", "") for step in steps)
    upload = steps[-1]
    assert upload["uses"].startswith("actions/upload-artifact@")
    assert upload["if"] == "always()"
    assert upload["with"]["include-hidden-files"], "needed for .stress-baselines"
    published = upload["with"]["path"].split()
    assert published == ["stress.xml", "stress_test_output/", ".stress-baselines/"]


def test_gitlab_publishes_the_files_of_a_failed_run_too() -> None:
    jobs = yaml.safe_load(snippet(GITLAB))
    artifacts = jobs[".stress"]["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["paths"] == ["stress_test_output/", ".stress-baselines/"]
    assert artifacts["reports"] == {"junit": "stress.xml", "metrics": "metrics.txt"}
    for name in ("stress", "stress-nightly", "stress-baseline"):
        assert jobs[name]["extends"] == ".stress"
        assert jobs[name]["rules"]
        assert len(jobs[name]["script"]) == 1


def test_azure_publishes_the_files_of_a_failed_run_too() -> None:
    (job,) = yaml.safe_load(snippet(AZURE))["jobs"]
    after = [step for step in job["steps"] if step.get("condition") == "succeededOrFailed()"]
    assert after[0]["inputs"]["testResultsFiles"] == "stress.xml"
    assert after[1]["publish"] == "stress_test_output"


def test_jenkins_publishes_the_files_of_a_failed_run_too() -> None:
    pipeline = blocks(snippet(JENKINS, "groovy"))["pipeline"]
    assert {*pipeline} == {"agent any", "options", "triggers", "stages", "post"}
    assert {*pipeline["post"]} == {"always"}
    (junit, archive, html) = pipeline["post"]["always"]
    assert junit.startswith("junit testResults: 'stress.xml'")
    assert archive.startswith("archiveArtifacts artifacts: 'stress_test_output/**, .stress-baselines/**'")
    assert "reportDir: 'stress_test_output', reportFiles: 'stress_test_index.html'" in html


def test_every_stage_of_jenkins_has_steps_and_every_stage_after_the_first_a_condition() -> None:
    stages = blocks(snippet(JENKINS, "groovy"))["pipeline"]["stages"]
    assert [*stages] == [f"stage('{name}')" for name in ("Install", "Gate", "Nightly", "Baseline")]
    for number, stage in enumerate(stages.values()):
        assert {*stage} == ({"when", "steps"} if number else {"steps"})


def test_all_cis_run_the_same_pytest_lines() -> None:
    gate, nightly, baseline = pytest_lines(GITHUB)
    assert "--stress-threshold" in gate
    assert "--stress-compare main" in nightly
    assert "--stress-save-baseline main" in baseline
    assert pytest_lines(AZURE) == pytest_lines(JENKINS) == [gate, nightly, baseline]
    assert pytest_lines(GITLAB) == [
        gate.replace("stress.xml", "stress.xml --stress-openmetrics=metrics.txt"),
        nightly,
        baseline,
    ]


@pytest.mark.parametrize("section", [GITHUB, GITLAB])
def test_the_line_for_a_change_writes_the_published_files(tmp_path: Path, section: str) -> None:
    summary = tmp_path / "summary.md"
    completed = run(pytest_lines(section)[0], tmp_path, GITHUB_STEP_SUMMARY=str(summary), GITHUB_ACTIONS="true")
    assert ElementTree.parse(tmp_path / "stress.xml").find(".//testcase[@name='test_orders']") is not None
    assert len(list((tmp_path / "stress_test_output").rglob("stress_test_report.html"))) == 1
    assert (tmp_path / "stress_test_output" / "stress_test_index.html").is_file()
    assert "1 run passed" in summary.read_text()
    assert "::error" not in completed.stdout
    metrics = tmp_path / "metrics.txt"
    assert metrics.is_file() is (section == GITLAB)
    if metrics.is_file():
        assert 'stress_operations{test="test_orders.py::test_orders",run="1"} 200\n' in metrics.read_text()


def test_the_nightly_line_compares_with_the_baseline_of_the_baseline_line(tmp_path: Path) -> None:
    _, nightly, baseline = pytest_lines(GITHUB)
    run(baseline, tmp_path)
    baselines = list((tmp_path / ".stress-baselines").rglob("*.json"))
    assert len(baselines) == 1
    run(nightly, tmp_path)
    benchmarks = json.loads((tmp_path / "stress_test_output" / "benchmark.json").read_text())["benchmarks"]
    names = [benchmark["fullname"] for benchmark in benchmarks]
    assert names == [f"test_orders.py::test_orders latency {figure}" for figure in ("p50", "p95", "p99")]
    assert list((tmp_path / ".stress-baselines").rglob("*.json")) == baselines


def test_the_charts_step_reads_the_file_that_the_nightly_line_writes() -> None:
    (step,) = yaml.safe_load(snippet("Figures over months"))
    assert step["with"]["tool"] == "pytest"
    nightly = pytest_lines(GITHUB)[1]
    assert f"--stress-benchmark={step['with']['output-file-path']}" in nightly
    command = shlex.split(snippet("Figures over months", "sh"))
    assert command[command.index("--file") + 1] == step["with"]["output-file-path"]
    assert command[command.index("--adapter") + 1] == "python_pytest"


_GROOVY = re.compile(r"'''.*?'''|'[^'\n]*'|\"[^\"\n]*\"|[{};\n]|[^'\"{};\n]+", re.S)


def blocks(code: str) -> Any:
    """Parse a declarative pipeline into nested dicts. A key is the text before a brace, or a line's text."""
    tokens = iter(_GROOVY.findall(code))
    tree = _block(tokens, depth=0)
    assert next(tokens, None) is None, "unexpected closing brace"
    return tree


def _block(tokens: Iterator[str], depth: int) -> Any:
    tree: dict[str, Any] = {}
    text = ""
    for token in tokens:
        if token == "{":
            tree[text.strip()] = _block(tokens, depth + 1)
            text = ""
        elif token in "};\n":
            if text.strip():
                tree[text.strip()] = None
            text = ""
            if token == "}":
                assert depth, "unexpected closing brace"
                break
        else:
            text += token
    else:
        assert depth == 0, "missing closing brace"
    return tree
