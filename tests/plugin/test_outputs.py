"""The outputs of a session: they agree with each other, and an output that cannot be written fails the session."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pytest_nos_stress.results.format import format_seconds

QUICK = "agents=2, operations_per_agent=20, min_delay=0, max_delay=0"
VIRTUAL = "engine='virtual', agents=4, operations_per_agent=100"
PASSING = f"def test_it(stress_simulator): stress_simulator.run({{'buy': lambda: None}}, {QUICK})"
PROJECT = f"""
import pytest

CALM = dict(missing_data_prob=0, failure_prob=0)

@pytest.mark.stress({QUICK}, thresholds=["latency.p50 < 1h"])
def test_body():
    pass

def test_errors(stress_simulator):
    def buy(operation):
        if operation.index == 7:
            raise ValueError("no such order")
    stress_simulator.run({{"buy": buy}}, {QUICK}, **CALM)

def test_twice(stress_simulator):
    stress_simulator.run(lambda operation: operation.sleep(0.0123), {VIRTUAL})
    stress_simulator.run(lambda operation: operation.sleep(0.0456), {VIRTUAL})

@pytest.mark.stress({VIRTUAL}, thresholds=["failure_rate < 20%", "failure_rate < 50% over 1s"])
def test_degrades(stress_simulator):
    def buy(operation):
        operation.sleep(0.02)
        if operation.index >= 90:
            raise TimeoutError("late")
    stress_simulator.run({{"buy": buy}}, expected_errors=TimeoutError, **CALM)
"""
RUNS = {
    ("test_body", 1): "passed",
    ("test_errors", 1): "failed",
    ("test_twice", 1): "passed",
    ("test_twice", 2): "passed",
    ("test_degrades", 1): "failed",
}

Run = tuple[str, int]


class Figures(NamedTuple):
    """The figures of a run that every output shows, as text."""

    verdict: str
    operations: str
    failures: str
    errors: str
    p50: str
    p99: str


class Session(NamedTuple):
    """A finished pytest session, and the directory of its files."""

    path: Path
    lines: list[str]
    status: int

    @property
    def runs(self) -> dict[Run, Path]:
        """Directory of each run."""
        parsed = {}
        for path in (self.path / "stress_test_output").rglob("simulation_statistics.json"):
            directory = path.parent
            again = re.fullmatch(r"run-(\d+)", directory.name)
            test = (directory.parent if again else directory).name.rpartition("--")[2]
            parsed[test, int(again[1]) if again else 1] = directory
        return parsed


def families_of(path: Path) -> dict[str, list[Any]]:
    """Return the samples of each metric family in an OpenMetrics file."""
    text = path.read_text(encoding="utf-8")
    return {family.name: family.samples for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]


def environment(**extra: str) -> dict[str, str]:
    """Return the environment for a separate pytest session, without the variables of this one."""
    ours = ("PYTEST", "COLUMNS", "CI", "BUILD", "GITHUB")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | extra


def run_pytest(path: Path, *options: str, **extra: str) -> Session:
    command = [sys.executable, "-m", "pytest", "--stress", "-p", "no:cacheprovider", "--color=no", *options]
    ended = subprocess.run(
        command,
        cwd=path,
        env=environment(PYTHONIOENCODING="utf-8", **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    return Session(path, ended.stdout.decode().splitlines(), ended.returncode)


@pytest.fixture(scope="module", params=[(), ("-n", "2")], ids=["one process", "xdist"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Session:
    path: Path = tmp_path_factory.mktemp("session")
    (path / "test_it.py").write_text(PROJECT)
    outputs = [
        "--junitxml=junit.xml",
        "--stress-openmetrics=ci/metrics.txt",
        "--stress-benchmark=ci/benchmark.json",
    ]
    summary = str(path / "summary.md")
    return run_pytest(path, "--stress-seed=5", *outputs, *request.param, GITHUB_STEP_SUMMARY=summary)


def as_run(name: str) -> Run:
    """Parse ``test_it.py::test_a run 2`` or ``test_it.py::test_a (run 2)``."""
    parsed = re.fullmatch(r"test_it\.py::(\w+)(?: \(?run (\d+)\)?)?", name)
    assert parsed, name
    return parsed[1], int(parsed[2] or 1)


def in_terminal(session: Session) -> dict[Run, Figures]:
    parsed: dict[Run, Figures] = {}
    for line in session.lines:
        cells = re.split(r" {2,}", line)
        if len(cells) == 8 and cells[0] in ("passed", "failed"):
            verdict, operations, outcomes, errors, p50, p99, _, name = cells
            test, run = as_run(name)
            run += (test, run) in parsed
            parsed[test, run] = Figures(verdict, operations, outcomes.split("/")[1], errors, p50, p99)
    return parsed


def junit_properties(session: Session) -> dict[Run, dict[str, str]]:
    parsed: dict[Run, dict[str, str]] = {}
    for case in ElementTree.parse(session.path / "junit.xml").iter("testcase"):
        for prop in case.iter("property"):
            again = re.fullmatch(r"stress_run_(\d+)_(.*)", prop.attrib["name"])
            run, name = (int(again[1]), again[2]) if again else (1, prop.attrib["name"].removeprefix("stress_"))
            parsed.setdefault((case.attrib["name"], run), {})[name] = prop.attrib["value"]
    return parsed


def in_junit(session: Session) -> dict[Run, Figures]:
    return {
        run: Figures(
            values["verdict"],
            values["operations"],
            values["failed"],
            values["errors"],
            *(format_seconds(float(values[f"latency_{percentile}"])) for percentile in ("p50", "p99")),
        )
        for run, values in junit_properties(session).items()
    }


def step_summary(session: Session) -> str:
    return (session.path / "summary.md").read_text()


def rows(markup: str) -> list[list[str]]:
    """Return the text of the cells in each row of HTML tables."""
    parsed = []
    for row in re.findall(r"<tr.*?</tr>", markup, re.S):
        cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        parsed.append([html.unescape(re.sub(r"<(?!br)[^>]+>", "", cell)).strip() for cell in cells])
    return parsed


def in_step_summary(session: Session) -> dict[Run, Figures]:
    table = [row for row in rows(step_summary(session)) if len(row) == 7 and row[0] != "verdict"]
    return {as_run(row[1]): Figures(row[0].split()[1], *row[2:]) for row in table}


def in_index(session: Session) -> dict[Run, Figures]:
    page = (session.path / "stress_test_output" / "stress_test_index.html").read_text()
    table = [row for row in rows(page) if row[0] != "Verdict"]
    return {as_run(row[1].partition("<br>")[0]): Figures(row[0].split()[1], *row[3:8]) for row in table}


def in_report(directory: Path) -> Figures:
    page = (directory / "stress_test_report.html").read_text()
    verdict = re.search(r'class="stamp">.*</span> (\w+)</span>', page)
    assert verdict
    figures = dict(re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)<small>", page))
    names = ("Operations", "Failed (incl. errors)", "Errors", "Latency p50", "p99")
    return Figures(verdict[1].lower(), *(figures[name] for name in names))


def metrics(session: Session) -> dict[tuple[str, Run, str], float]:
    """Return the value of each metric, for each run and statistic."""
    return {
        (
            sample.name,
            (as_run(sample.labels["test"])[0], int(sample.labels["run"])),
            sample.labels.get("statistic", ""),
        ): sample.value
        for samples in families_of(session.path / "ci" / "metrics.txt").values()
        for sample in samples
    }


pytestmark = pytest.mark.xdist_group("outputs")


def test_terminal_junit_step_summary_index_and_report_agree_to_the_digit(session: Session) -> None:
    expected = in_terminal(session)
    assert {run: figures.verdict for run, figures in expected.items()} == RUNS
    assert in_junit(session) == expected
    assert in_step_summary(session) == expected
    assert in_index(session) == expected
    assert {run: in_report(directory) for run, directory in session.runs.items()} == expected


def test_metrics_have_the_same_numbers_as_junit(session: Session) -> None:
    measured, described = metrics(session), junit_properties(session)
    for run, values in described.items():
        assert measured["stress_passed", run, ""] == (values["verdict"] == "passed")
        assert measured["stress_operations", run, ""] == int(values["operations"])
        assert measured["stress_failure_ratio", run, ""] == float(values["failure_rate"])
        assert measured["stress_throughput", run, ""] == float(values["throughput"])
        for name in ("p50", "p95", "p99", "max"):
            assert measured["stress_latency_seconds", run, name] == float(values[f"latency_{name}"])


def test_the_benchmark_has_the_same_percentiles_as_junit(session: Session) -> None:
    entries = json.loads((session.path / "ci" / "benchmark.json").read_text())["benchmarks"]
    means = {entry["fullname"]: entry["stats"]["mean"] for entry in entries}
    described = junit_properties(session)
    assert means["test_it.py::test_twice run 2 latency p99"] == float(described["test_twice", 2]["latency_p99"])
    assert means["test_it.py::test_degrades latency p50"] == float(described["test_degrades", 1]["latency_p50"])


def test_verdicts_of_thresholds_are_the_same_everywhere(session: Session) -> None:
    described = junit_properties(session)
    for run, directory in session.runs.items():
        texts = {text for name, text in described[run].items() if name.startswith("threshold_")}
        assert texts
        page = (directory / "stress_test_report.html").read_text()
        section = page[page.index('id="gate"') : page.index('id="repeat"')]
        table = [(row[0], row[1], row[2].split(maxsplit=1)[1]) for row in rows(section)[1:]]
        assert texts <= {f"{wanted} {verdict}: {measured}" for wanted, measured, verdict in table}
        for wanted, measured, verdict in table:
            assert [wanted, measured, verdict] in rows(step_summary(session))


def test_the_reason_for_a_failure_is_the_same_everywhere(session: Session) -> None:
    output = session.path / "stress_test_output"
    for run in (("test_degrades", 1), ("test_errors", 1)):
        reason = junit_properties(session)[run]["failure"]
        assert f"  why: {reason}" in session.lines
        assert f"<p><code>{html.escape(reason)}</code></p>" in step_summary(session)
        for page in (output / "stress_test_index.html", session.runs[run] / "stress_test_report.html"):
            assert html.escape(reason, quote=False) in page.read_text()
        stats = json.loads((session.runs[run] / "simulation_statistics.json").read_text())
        assert stats["reason"] == reason
        (command,) = [line for line in session.lines if line.startswith("::error") and run[0] in line]
        assert reason.replace("%", "%25") in command


def test_a_run_that_degrades_at_its_end_fails_where_the_average_would_pass(session: Session) -> None:
    described = junit_properties(session)["test_degrades", 1]
    texts = [text for name, text in described.items() if name.startswith("threshold_")]
    assert "failure_rate < 20% passed: 10% of 400 operations" in texts
    assert described["failure"].startswith("threshold failure_rate < 50% over 1s failed: ")
    assert re.search(r"\((at|.* worst) 1[012](\.\d+)?s-1[123](\.\d+)?s[;)]", described["failure"])
    page = (session.runs["test_degrades", 1] / "stress_test_report.html").read_text()
    assert re.search(
        r'<p class="finding">Failures began at 1[01](\.\d+)? s: all 40 came in the last 1\.\d+ s\.', page
    )


def test_the_index_links_every_report_failed_runs_first(session: Session) -> None:
    directory = session.path / "stress_test_output"
    links = re.findall(r'<a href="([^"]*)"', (directory / "stress_test_index.html").read_text())
    targets = [(directory / link).resolve() for link in links]
    assert [path for path in targets if not path.is_file()] == []
    assert {path.parent for path in targets} == set(session.runs.values())
    verdicts = [figures.verdict for figures in in_index(session).values()]
    assert verdicts == ["failed"] * 2 + ["passed"] * 3
    assert [figures.verdict for figures in in_terminal(session).values()] == verdicts


def test_the_report_of_a_failed_run_is_named_in_the_terminal(session: Session) -> None:
    named = [line.partition("report: ")[2] for line in session.lines if line.startswith("  report: ")]
    failed = [session.runs[run] / "stress_test_report.html" for run in RUNS if RUNS[run] == "failed"]
    assert sorted(session.path / name for name in named) == sorted(failed)


def test_a_session_that_fails_has_the_exit_status_of_failed_tests(session: Session) -> None:
    assert session.status == pytest.ExitCode.TESTS_FAILED


# Options.


def files_of(pytester: pytest.Pytester) -> list[str]:
    """Return the report and record files of the only run."""
    (stats,) = pytester.path.rglob("simulation_statistics.json")
    return sorted(path.name for path in stats.parent.glob("stress_test_re[!s]*"))


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ("none", []),
        ("html", ["stress_test_report.html"]),
        ("svg,png", ["stress_test_report.png", "stress_test_report.svg"]),
    ],
)
def test_the_requested_reports_are_written(pytester: pytest.Pytester, reports: str, expected: list[str]) -> None:
    if "svg" in reports:
        pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
        pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    pytester.makepyfile(PASSING)
    pytester.runpytest_inprocess("--stress", f"--stress-report={reports}").assert_outcomes(passed=1)
    assert files_of(pytester) == expected
    assert (pytester.path / "stress_test_output" / "stress_test_index.html").exists() == (reports == "html")
    (directory,) = (path for path in (pytester.path / "stress_test_output").iterdir() if path.is_dir())
    if reports == "svg,png":
        assert (directory / "stress_test_report.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert ElementTree.parse(directory / "stress_test_report.svg").getroot().tag.endswith("svg")


def test_records_have_a_row_for_every_operation_in_each_format(pytester: pytest.Pytester) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    pytester.makepyfile(PASSING)
    options = ["--stress-records=csv,jsonl,parquet", "--junitxml=junit.xml"]
    pytester.runpytest_inprocess("--stress", *options).assert_outcomes(passed=1)
    assert files_of(pytester) == [
        *(f"stress_test_records.{kind}" for kind in ("csv", "jsonl", "parquet")),
        "stress_test_report.html",
    ]
    (directory,) = (path for path in (pytester.path / "stress_test_output").iterdir() if path.is_dir())
    with (directory / "stress_test_records.csv").open(newline="") as file:
        as_csv = list(csv.DictReader(file))
    as_lines = [json.loads(line) for line in (directory / "stress_test_records.jsonl").read_text().splitlines()]
    as_parquet = parquet.read_table(directory / "stress_test_records.parquet").to_pylist()
    assert len(as_csv) == 40
    agents = [row["agent"] for row in as_csv]
    assert agents == [row["agent"] for row in as_lines] == [row["agent"] for row in as_parquet]
    assert [row["index"] for row in as_lines] == [row["index"] for row in as_parquet]
    assert str(directory / "stress_test_records.csv") in (pytester.path / "junit.xml").read_text()


INI = {
    "stress_report": "none",
    "stress_records": "csv, jsonl",
    "stress_save_baseline": "main",
    "stress_baseline_dir": "kept/here",
    "stress_ramp": "1ms",
    "stress_warmup": "2ms",
    "stress_openmetrics": "metrics.txt",
    "stress_benchmark": "benchmark.json",
    "stress_live": "off",
}
INI_FILES = {
    "pytest.ini": "[pytest]\n" + "".join(f"{key} = {value}\n" for key, value in INI.items()),
    "pytest.toml": "[pytest]\n"
    + "".join(f'{key} = "{value}"\n' for key, value in INI.items() if key not in ("stress_ramp", "stress_records"))
    + 'stress_ramp = 0.001\nstress_records = ["csv", "jsonl"]\n',
}


@pytest.mark.parametrize("file", INI_FILES)
def test_every_setting_of_results_has_an_ini_key(pytester: pytest.Pytester, file: str) -> None:
    (pytester.path / file).write_text(INI_FILES[file])
    target = "lambda operation: operation.sleep(0.01)"
    pytester.makepyfile(f"def test_it(stress_simulator): stress_simulator.run({target}, {VIRTUAL})")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert files_of(pytester) == ["stress_test_records.csv", "stress_test_records.jsonl"]
    (stats,) = pytester.path.rglob("simulation_statistics.json")
    described: dict[str, Any] = json.loads(stats.read_text())["scenario"]
    assert (described["ramp"], described["warmup"]) == (0.001, 0.002)
    assert [path.name for path in (pytester.path / "kept" / "here" / "main").iterdir()]
    assert (pytester.path / "metrics.txt").read_text().endswith("# EOF\n")
    assert json.loads((pytester.path / "benchmark.json").read_text())["benchmarks"]


@pytest.mark.parametrize("options", [["--stress-otel"], ["-o", "stress_otel=true"]], ids=["switch", "ini"])
def test_stress_otel_is_a_switch(
    pytester: pytest.Pytester, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    pytester.makepyfile(f"def test_it(stress_simulator): stress_simulator.run(lambda: None, {QUICK})")
    result = pytester.runpytest_subprocess("--stress", *options)
    result.assert_outcomes(passed=1)
    assert [line for line in result.outlines if line.startswith("  OpenTelemetry: ") and "127.0.0.1:1" in line]


# Files that cannot be written.


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["one process", "xdist"])
def test_session_files_that_cannot_be_written_are_reported_and_fail_the_session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    pytester.makepyfile(PASSING)
    (pytester.path / "a-file").touch()
    (pytester.path / "a-directory").mkdir()
    (pytester.path / "out" / "stress_test_index.html").mkdir(parents=True)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "a-directory"))
    unwritable = ["--stress-openmetrics=a-file/metrics.txt", "--stress-benchmark=a-directory"]
    run = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
    result = run("--stress", "--stress-output-dir=out", *unwritable, *workers)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = [line for line in result.outlines if "cannot be written" in line]
    settings = ["output_dir", "--stress-openmetrics", "--stress-benchmark", "GITHUB_STEP_SUMMARY"]
    assert [line.partition("=")[0] for line in lines] == settings
    paths = ["out/stress_test_index.html", "a-file/metrics.txt", "a-directory", "a-directory"]
    assert [path for path, line in zip(paths, lines, strict=True) if f"{path}'" not in line] == []
    assert (pytester.path / "a-file").read_text() == ""


@pytest.mark.parametrize(
    "unwritable",
    ["out/stress_test_index.html", "--stress-openmetrics", "--stress-benchmark", "GITHUB_STEP_SUMMARY"],
)
def test_a_single_session_file_that_cannot_be_written_fails_the_session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, unwritable: str
) -> None:
    pytester.makepyfile(PASSING)
    directory = pytester.path / "out" / "stress_test_index.html"
    directory.mkdir(parents=True)
    options = [] if unwritable == "out/stress_test_index.html" else ["--stress-output-dir=elsewhere"]
    if unwritable.startswith("--"):
        options.append(f"{unwritable}={directory}")
    if unwritable == "GITHUB_STEP_SUMMARY":
        monkeypatch.setenv(unwritable, str(directory))
    result = pytester.runpytest_inprocess("--stress", "--stress-output-dir=out", *options)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len([line for line in result.outlines if "cannot be written" in line]) == 1


def test_without_the_terminal_reporter_a_file_that_cannot_be_written_fails_the_session(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(PASSING)
    options = ["-p", "no:terminalreporter", f"--stress-benchmark={pytester.path}", "--stress-openmetrics=m.txt"]
    result = pytester.runpytest_subprocess("--stress", *options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (message,) = [line for line in result.errlines if "cannot be written" in line]
    assert message.startswith(f"--stress-benchmark='{pytester.path}': ")
    assert families_of(pytester.path / "m.txt")["stress_passed"]
    assert (pytester.path / "stress_test_output" / "stress_test_index.html").is_file()


@pytest.mark.parametrize("kind", ["html", "csv"])
def test_a_report_that_cannot_be_written_fails_the_run_with_a_message(
    pytester: pytest.Pytester, kind: str
) -> None:
    name = {"html": "stress_test_report.html", "csv": "stress_test_records.csv"}[kind]
    pytester.makepyfile(
        f"""
        def test_it(stress_simulator):
            def buy(operation):
                directory = stress_simulator.directory_of_last_run / {name!r}
                directory.mkdir(exist_ok=True)
            stress_simulator.run({{"buy": buy}}, {QUICK})
        """
    )
    result = pytester.runpytest_inprocess("--stress", "--stress-records=csv", "--junitxml=junit.xml")
    result.assert_outcomes(failed=1)
    lines = [line for line in result.outlines if f"{name} could not be written" in line]
    assert lines
    (stats,) = pytester.path.rglob("simulation_statistics.json")
    statistics = json.loads(stats.read_text())
    assert statistics["verdict"] == "failed"
    assert f"{name} could not be written" in statistics["reason"]
    (properties,) = junit_properties(Session(pytester.path, [], 0)).values()
    assert (properties["verdict"], properties["failure"]) == ("failed", statistics["reason"])


def test_a_directory_in_place_of_a_report_is_reported_before_the_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=PASSING)
    blocking = pytester.path / "stress_test_output" / "test_it.py--test_it" / "stress_test_report.html"
    blocking.mkdir(parents=True)
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    assert [line for line in result.outlines if line.startswith("E") and "cannot be written" in line]


# Tests with another outcome than their runs, and tests that are rerun.

OTHER_OUTCOMES = f"""
def test_own_assert(stress_simulator):
    result = stress_simulator.run({{'buy': lambda: None}}, {QUICK})
    assert result.operations == 7

def test_without_gate(stress_simulator):
    result = stress_simulator.run({{'buy': lambda: None}}, {QUICK}, thresholds=["operations > 1000"], gate=False)
    assert not result.passed

def test_plain(stress_simulator):
    stress_simulator.run({{'buy': lambda: None}}, {QUICK})
"""


def test_ci_shows_the_outcome_of_the_test_with_each_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    pytester.makepyfile(test_it=OTHER_OUTCOMES)
    result = pytester.runpytest_inprocess("--stress", "--stress-report=none")
    result.assert_outcomes(passed=2, failed=1)
    (command,) = [line for line in result.outlines if line.startswith("::error ")]
    assert "title=Stress test failed (the test's own assertion)%3A test_it.py%3A%3Atest_own_assert" in command
    assert "the test's own assertion failed (all thresholds and checks passed)" in command
    text = (pytester.path / "summary.md").read_text()
    verdicts = {row[1]: row[0].split(maxsplit=1) for row in rows(text) if len(row) == 7 and row[0] != "verdict"}
    assert verdicts == {
        "test_it.py::test_own_assert": ["❌", "failed (the test's own assertion)"],
        "test_it.py::test_without_gate": ["✅", "failed (gate=False)"],
        "test_it.py::test_plain": ["✅", "passed"],
    }
    assert "1 of 3" in text.splitlines()[0]
    lines = [line.strip() for line in result.outlines if line.startswith("  the test's ")]
    assert lines == ["the test's own assertion failed (all thresholds and checks passed)"]
    assert [line for line in result.outlines if line.startswith("failed (gate=False) ")]


OUTSIDE_OF_RUNS = f"""
import pytest

@pytest.fixture
def book():
    yield
    raise OSError("an order is left")

def test_teardown(stress_simulator, book):
    stress_simulator.run({{'buy': lambda: None}}, {QUICK})

@pytest.mark.xfail(strict=True)
def test_unexpected(stress_simulator):
    stress_simulator.run({{'buy': lambda: None}}, {QUICK})

def test_both(stress_simulator, book):
    stress_simulator.run({{'buy': lambda: None}}, {QUICK})
    assert False
"""


@pytest.mark.parametrize("xdist", [(), ("-n", "1")])
def test_the_verdict_says_what_failed_a_test_whose_runs_passed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, xdist: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    pytester.makepyfile(test_it=OUTSIDE_OF_RUNS)
    result = pytester.runpytest_inprocess("--stress", "--stress-report=none", *xdist)
    verdicts = {row[1]: row[0] for row in rows((pytester.path / "summary.md").read_text()) if len(row) == 7}
    assert verdicts["test_it.py::test_teardown"] == "❌ failed (in teardown)"
    assert verdicts["test_it.py::test_unexpected"] == "❌ failed (the test was expected to fail)"
    assert verdicts["test_it.py::test_both"] == "❌ failed (the test's own assertion)"
    assert {line.strip() for line in result.outlines if "(all thresholds and checks passed)" in line[:80]} == {
        "the test failed in teardown (all thresholds and checks passed)",
        "the test passed, and was expected to fail (all thresholds and checks passed)",
        "the test's own assertion failed (all thresholds and checks passed)",
    }


FAILURES_AFTER_A_RUN = {
    "a later run failed": f"""
        def test_it(stress_simulator):
            stress_simulator.run({{'buy': lambda: None}}, {QUICK})
            stress_simulator.run({{'buy': lambda: None}}, {QUICK}, thresholds=["operations > 1000"])
    """,
    "a fixture runs after it": f"""
        import pytest

        @pytest.fixture
        def after(stress_simulator):
            yield
            stress_simulator.run({{'buy': lambda: None}}, {QUICK})

        def test_it(stress_simulator, after):
            stress_simulator.run({{'buy': lambda: None}}, {QUICK})
            assert False
    """,
    "a fixture fails after it": f"""
        import pytest

        @pytest.fixture
        def after():
            yield
            assert False

        def test_it(stress_simulator, after):
            stress_simulator.run({{'buy': lambda: None}}, {QUICK})
    """,
}


@pytest.mark.parametrize(
    ("case", "failed"),
    [
        ("a later run failed", "run 2"),
        ("a fixture runs after it", "test_it"),
        ("a fixture fails after it", "test_it"),
    ],
)
def test_ci_shows_an_error_only_for_a_run_that_failed_or_whose_test_failed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, case: str, failed: str
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    pytester.makepyfile(test_it=FAILURES_AFTER_A_RUN[case])
    result = pytester.runpytest_inprocess("--stress", "--stress-report=none")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (command,) = [line for line in result.outlines if line.startswith("::error ")]
    assert failed in command.partition(",file=")[0]
    heading = (pytester.path / "summary.md").read_text().splitlines()[0]
    assert "❌" in heading


FLAKY = f"""
def test_it(stress_simulator, request):
    is_first = request.config.attempt == "first"
    for _ in range(3 if is_first else 2):
        stress_simulator.run({{'buy': lambda: None}}, {QUICK}, seed=1 if is_first else 2)
    assert not is_first
"""


@pytest.mark.usefixtures("reruns")
def test_if_a_test_is_rerun_only_its_last_runs_count(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=FLAKY)
    result = pytester.runpytest_inprocess("--stress", "--stress-report=none", "--stress-openmetrics=metrics.txt")
    assert result.ret == pytest.ExitCode.OK
    summary_rows = [
        re.split(r" {2,}", line) for line in result.outlines if line.startswith(("passed  ", "failed  "))
    ]
    assert [(cells[0], cells[-2], cells[-1].split()[0]) for cells in summary_rows] == [
        ("passed", "2", "test_it.py::test_it")
    ] * 2
    assert [line for line in result.outlines if "own assertion failed" in line] == []
    passed = families_of(pytester.path / "metrics.txt")["stress_passed"]
    assert [(sample.labels["run"], sample.value) for sample in passed] == [("1", 1), ("2", 1)]


# Sessions without runs, and outputs without readers.


def test_live_lines_to_a_closed_standard_output_are_ignored(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PASSING)
    options = ["--stress", "--stress-live=plain", "-s", "-p", "no:terminalreporter", "--stress-report=none"]
    code = f"import os, pytest, sys; os.close(1); sys.exit(pytest.main({options!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=pytester.path, env=environment(), timeout=60, check=False
    )
    assert done.returncode == pytest.ExitCode.OK
    (stats,) = pytester.path.rglob("simulation_statistics.json")
    assert json.loads(stats.read_text())["verdict"] == "passed"


def test_a_session_without_a_run_leaves_no_index(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_inprocess("--stress", "--stress-openmetrics=metrics.txt")
    assert result.ret == pytest.ExitCode.OK
    assert not (pytester.path / "stress_test_output").exists()
    assert (pytester.path / "metrics.txt").read_text() == "# EOF\n"


def test_collecting_only_leaves_the_files_of_an_earlier_session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(PASSING)
    (pytester.path / "metrics.txt").write_text("earlier")
    (pytester.path / "benchmark.json").write_text("earlier")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    options = ["--stress-openmetrics=metrics.txt", "--stress-benchmark=benchmark.json"]
    result = pytester.runpytest_inprocess("--stress", "--collect-only", *options)
    assert result.ret == pytest.ExitCode.OK
    assert (pytester.path / "metrics.txt").read_text() == "earlier"
    assert (pytester.path / "benchmark.json").read_text() == "earlier"
    assert not (pytester.path / "summary.md").exists()


@pytest.mark.parametrize("later", [["--stress-report=none"], ["-k", "no_such_test"]], ids=["no report", "no test"])
def test_the_index_of_an_earlier_session_is_removed(pytester: pytest.Pytester, later: list[str]) -> None:
    pytester.makepyfile(PASSING)
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert (pytester.path / "stress_test_output" / "stress_test_index.html").exists()
    result = pytester.runpytest_inprocess("--stress", "--stress-threshold=operations > 1000", *later)
    assert result.ret != pytest.ExitCode.OK
    assert not (pytester.path / "stress_test_output" / "stress_test_index.html").exists()


def test_annotations_are_for_github_only(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(PASSING)
    failing = ["--stress", "--stress-threshold=operations > 1000", "--stress-report=none"]
    assert "::error" not in pytester.runpytest_inprocess(*failing).stdout.str()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    annotated = pytester.runpytest_inprocess(*failing).outlines
    (command,) = [line for line in annotated if line.startswith("::error ")]
    assert "operations > 1000 failed" in command
    assert re.search(r"file=test_\w+\.py,line=1", command)


def test_annotations_name_files_from_the_top_of_the_repository(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path))
    (pytester.path / "service").mkdir()
    (pytester.path / "service" / "pytest.ini").write_text("[pytest]\n")
    (pytester.path / "service" / "test_it.py").write_text(PASSING)
    monkeypatch.chdir(pytester.path / "service")
    result = pytester.runpytest_inprocess("--stress", "--stress-threshold=operations > 1000")
    (command,) = [line for line in result.outlines if line.startswith("::error ")]
    assert "file=service/test_it.py," in command


def test_the_index_links_reports_of_an_output_directory_elsewhere(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    pytester.makepyfile(PASSING)
    pytester.runpytest_inprocess("--stress", f"--stress-output-dir={elsewhere}").assert_outcomes(passed=1)
    (link,) = re.findall(r'<a href="([^"]*)"', (elsewhere / "stress_test_index.html").read_text())
    assert (elsewhere / unquote(link)).is_file()


def test_the_command_that_repeats_a_run_writes_no_baseline_and_can_be_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PASSING)
    options = ["--stress-otel", "--stress-save-baseline=main", "--stress-threshold=operations > 1000"]
    result = pytester.runpytest_subprocess("--stress", *options)
    (command,) = {line.strip(" E") for line in result.outlines if line.strip(" E").startswith("pytest --stress ")}
    assert "--stress-save-baseline" not in command
    assert "--stress-otel=" not in command


def test_a_session_file_that_the_user_names_can_be_a_pipe_or_a_link(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PASSING)
    (pytester.path / "real.txt").write_text("earlier")
    (pytester.path / "link.txt").symlink_to("real.txt")
    os.mkfifo(pytester.path / "pipe")
    reader = os.open(pytester.path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        pytester.runpytest_inprocess("--stress", "--stress-openmetrics=link.txt", "--stress-benchmark=pipe")
        assert json.loads(os.read(reader, 1 << 20))["version"]
    finally:
        os.close(reader)
    assert (pytester.path / "pipe").is_fifo()
    assert (pytester.path / "link.txt").is_symlink()
    assert (pytester.path / "real.txt").read_text().endswith("# EOF\n")


@pytest.mark.parametrize("capture", ["fd", "no"])
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_a_session_file_can_be_standard_output_and_nothing_else_there_is_lost(
    tmp_path: Path, name: str, capture: str
) -> None:
    (tmp_path / "test_it.py").write_text(PASSING)
    (tmp_path / "link").symlink_to("/dev/stdout")
    with open(tmp_path / "output.txt", "wb") as output:
        options = ["-p", "no:cacheprovider", f"--capture={capture}", f"--stress-openmetrics={name}"]
        subprocess.run(
            [sys.executable, "-m", "pytest", "--stress", *options],
            cwd=tmp_path,
            env=environment(),
            stdout=output,
            timeout=120,
            check=True,
        )
    lines = (tmp_path / "output.txt").read_text().splitlines()
    assert 'stress_passed{test="test_it.py::test_it",run="1"} 1' in lines
    assert "# EOF" in lines
    assert "test session starts" in lines[0]
    assert "1 passed" in lines[-1]


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_in_the_place_of_the_index_is_replaced_and_not_followed(
    pytester: pytest.Pytester, link: Any
) -> None:
    pytester.makepyfile(PASSING)
    mine = pytester.path / "mine.html"
    mine.write_text("mine")
    index = pytester.path / "stress_test_output" / "stress_test_index.html"
    index.parent.mkdir()
    link(mine, index)
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert mine.read_text() == "mine"
    assert not index.is_symlink()
    assert "1 run" in index.read_text()


def test_a_link_in_the_place_of_an_index_that_is_removed_goes_and_its_target_stays(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(PASSING)
    (pytester.path / "mine.html").write_text("mine")
    index = pytester.path / "stress_test_output" / "stress_test_index.html"
    index.parent.mkdir()
    index.symlink_to(pytester.path / "mine.html")
    pytester.runpytest_inprocess("--stress", "--stress-report=none").assert_outcomes(passed=1)
    assert (pytester.path / "mine.html").read_text() == "mine"
    assert not os.path.lexists(index)


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_in_the_place_of_a_baseline_is_replaced_and_not_followed(
    pytester: pytest.Pytester, link: Any
) -> None:
    pytester.makepyfile(test_it=PASSING)
    directory = pytester.path / ".stress-baselines"
    (directory / "main").mkdir(parents=True)
    mine, baseline = directory / "mine.json", directory / "main" / "test_it.py--test_it.json"
    mine.write_text("mine")
    link(mine, baseline)
    pytester.runpytest_inprocess("--stress", "--stress-save-baseline=main").assert_outcomes(passed=1)
    assert mine.read_text() == "mine"
    assert json.loads(baseline.read_text())["entries"]
    assert not baseline.is_symlink()


INTERRUPTED = """
import pathlib

CALM = dict(agents=2, min_delay=0.01, max_delay=0.01, missing_data_prob=0, failure_prob=0)

def test_before(stress_simulator):
    stress_simulator.run(lambda: None, operations_per_agent=5, **CALM)

def test_it(stress_simulator):
    def buy(operation):
        if operation.index >= 5:
            pathlib.Path("started").touch()
    stress_simulator.run({"buy": buy}, duration=60, **CALM)
"""


def test_after_ctrl_c_the_sessions_files_have_the_runs_so_far(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=INTERRUPTED)
    outputs = ["--stress-openmetrics=metrics.txt", "--stress-benchmark=benchmark.json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--stress", "-p", "no:cacheprovider", *outputs],
        cwd=pytester.path,
        env=environment(GITHUB_STEP_SUMMARY=str(pytester.path / "summary.md")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 40
        while not (pytester.path / "started").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline, "the run never started"
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        written = process.communicate(timeout=40)[0].decode()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, written
    assert re.search(r"^interrupted +\d+ +.*test_it\.py::test_it$", written, re.M)
    for name in ("summary.md", "stress_test_output/stress_test_index.html"):
        table = rows((pytester.path / name).read_text())
        verdicts = [row[0].split()[1] for row in table if len(row) >= 7 and row[0].lower() != "verdict"]
        assert verdicts == ["interrupted", "passed"], name
    passed = families_of(pytester.path / "metrics.txt")["stress_passed"]
    assert {sample.labels["test"]: sample.value for sample in passed} == {
        "test_it.py::test_before": 1,
        "test_it.py::test_it": 0,
    }
    assert json.loads((pytester.path / "benchmark.json").read_text())["version"]


# Hostile names.

NAMES = {
    "path": "../../../escaped",
    "absolute": "/escaped",
    "html": "<img src=x onerror=alert(1)>",
    "table": "a|b",
    "lines": "one\n::error::forged\n# two",
    "terminal": "\x1b[31mred\x1b]0;title\x07",
    "surrogate": "\udcff",
    "command": "::error::forged",
    "quotes": "\"'\\",
    "label": "# {}\u2028",
}
HOSTILE = f"""
import pytest

NAMES = {NAMES!a}

def perform(stress_simulator, name, **more):
    def fail():
        raise ValueError(name)
    stress_simulator.run({{name: fail}}, tasks=[name], agents=[name, "Bob"], operations_per_agent=3, seed=1,
        min_delay=0, max_delay=0, missing_data_prob=0, failure_prob=0, records=["csv"], **more)

@pytest.mark.parametrize("name", NAMES.values(), ids=IDS)
def test_it(stress_simulator, name):
    perform(stress_simulator, name)
"""


@pytest.fixture(scope="module", params=[(), ("-n", "2")], ids=["raw ids", "xdist"])
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Run a session in which agents, tasks and errors have hostile names.

    Without xdist, the tests have hostile ids too. xdist itself cannot send such ids.
    """
    path: Path = tmp_path_factory.mktemp("a") / "b" / "c" / "d"
    path.mkdir(parents=True)
    ids = "list(NAMES)" if request.param else "NAMES.values()"
    (path / "test_it.py").write_text(HOSTILE.replace("IDS", ids))
    raw = "disable_test_id_escaping_and_forfeit_all_rights_to_community_support"
    (path / "pytest.ini").write_text(f"[pytest]\n{raw} = true\n")
    outputs = ["--junitxml=junit.xml", "--stress-openmetrics=metrics.txt", "--stress-benchmark=benchmark.json"]
    quiet = ["-q", "-rN", "--tb=no", *outputs, *request.param]
    return run_pytest(path, *quiet, GITHUB_STEP_SUMMARY=str(path / "summary.md"))


def test_hostile_names_do_not_break_the_session_and_each_run_has_its_row(hostile: Session) -> None:
    text = "\n".join(hostile.lines)
    assert hostile.status == pytest.ExitCode.TESTS_FAILED, text
    assert f"{len(NAMES)} failed" in text
    assert "INTERNALERROR" not in text
    summary_rows = [line for line in hostile.lines if re.match(r"failed +6 +0/6/0 +6 ", line)]
    assert len(summary_rows) == len(NAMES)


def test_hostile_names_create_no_file_outside_the_output_directory(hostile: Session) -> None:
    top = hostile.path.parents[2]
    written = {path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    ours = {path for path in written if (hostile.path / "stress_test_output") in path.parents}
    names = ["test_it.py", "pytest.ini", "junit.xml", "metrics.txt", "benchmark.json", "summary.md"]
    assert written - ours == {hostile.path / name for name in names}
    assert len({path.parent for path in ours if path.name == "stress_test_records.csv"}) == len(NAMES)
    assert not Path("/escaped").exists()


def test_hostile_names_reach_the_terminal_escaped(hostile: Session) -> None:
    assert [line for line in hostile.lines if not line.isprintable()] == []
    commands = [line for line in hostile.lines if line.startswith("::")]
    failed = [line for line in commands if line.startswith("::error title=Stress test failed%3A test_it.py")]
    busy = [
        line for line in commands if line.startswith("::warning title=Test machine was the bottleneck%3A test_it")
    ]
    assert len(failed) == len(NAMES)
    assert sorted(failed + busy) == sorted(commands)


def test_hostile_names_are_inert_in_html(hostile: Session) -> None:
    pages = list((hostile.path / "stress_test_output").rglob("*.html"))
    assert len(pages) == len(NAMES) + 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<img" not in text
        assert "\x1b" not in text
    index = hostile.path / "stress_test_output" / "stress_test_index.html"
    links = re.findall(r'<a href="([^"]*)"', index.read_text())
    assert len(links) == len(NAMES)
    assert [link for link in links if not (index.parent / unquote(html.unescape(link))).is_file()] == []


def test_hostile_names_are_inert_in_the_step_summary(hostile: Session) -> None:
    text = (hostile.path / "summary.md").read_text(encoding="utf-8")
    assert "<img" not in re.sub(r"^```sh\n.*\n```$", "", text, flags=re.M)
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line.startswith(("::", "# "))] == []


def test_hostile_names_leave_metrics_benchmark_and_junit_readable(hostile: Session) -> None:
    families = families_of(hostile.path / "metrics.txt")
    assert [sample.value for sample in families["stress_errors"]] == [6] * len(NAMES)
    assert len({sample.labels["test"] for sample in families["stress_errors"]}) == len(NAMES)
    assert json.loads((hostile.path / "benchmark.json").read_text())["version"]
    cases = list(ElementTree.parse(hostile.path / "junit.xml").iter("testcase"))
    properties = [{prop.attrib["name"]: prop.attrib["value"] for prop in case.iter("property")} for case in cases]
    assert [values["stress_errors"] for values in properties] == ["6"] * len(NAMES)
