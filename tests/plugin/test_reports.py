"""The data of a run on pytest's reports: JUnit XML, report sections, the summary, pytest-html, Allure."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

OURS = [
    "agent_memory_snapshot.json",
    "scenario.json",
    "simulation_statistics.json",
    "stress_test_report.html",
    "stress_test_results.log",
]
QUICK = "agents=2, operations_per_agent=50, min_delay=0, max_delay=0"
NOT_CALLED = "missing_data_prob=0, failure_prob=1"
PROJECT = f"""
import pytest

@pytest.mark.stress({QUICK})
def test_body():
    pass

def test_broken(stress_simulator):
    def buy():
        raise ValueError("no <such> order & more")
    stress_simulator.run({{"buy": buy}}, {QUICK})

def test_twice(stress_simulator):
    stress_simulator.run(lambda: None, {QUICK})
    stress_simulator.run(lambda: None, {QUICK}, agents=3)

def test_ordinary():
    pass
""".replace(f"{QUICK}, agents=3", QUICK.replace("agents=2", "agents=3"))


def properties(report: Path) -> dict[str, dict[str, str]]:
    """Return the properties of each test case in a JUnit XML file."""
    cases = {}
    for case in ElementTree.parse(report).iter("testcase"):
        pairs = [(prop.attrib["name"], prop.attrib["value"]) for prop in case.iter("property")]
        assert len(dict(pairs)) == len(pairs), "duplicate property"
        cases[case.attrib["name"]] = dict(pairs)
    return cases


def assert_describes(described: dict[str, str], prefix: str) -> dict[str, Any]:
    """Compare a run's properties with its statistics file, which the properties name. Return the statistics."""
    path = Path(described[f"{prefix}_statistics"])
    stats: dict[str, Any] = json.loads(path.read_text())
    assert sorted(file.name for file in path.parent.iterdir() if file.is_file()) == OURS
    for name in ("log", "snapshot"):
        assert Path(described[f"{prefix}_{name}"]).parent == path.parent
        assert Path(described[f"{prefix}_{name}"]).is_file()
    figures = {
        "seed": stats["seed"],
        "operations": stats["total_operations"],
        "successful": stats["successful_operations"],
        "failed": stats["failed_operations"],
        "missing_data": stats["missing_data_events"],
        "errors": stats["errors"],
        "success_rate": stats["success_rate"],
        "failure_rate": stats["failure_rate"],
        "error_rate": stats["error_rate"],
        "missing_data_rate": stats["missing_data_rate"],
        "throughput": stats["throughput"],
        "latency_p50": stats["latency"]["p50"],
        "latency_p95": stats["latency"]["p95"],
        "latency_p99": stats["latency"]["p99"],
        "latency_max": stats["latency"]["max"],
        "response_time_p99": stats["response_time"]["p99"],
        "verdict": stats["verdict"],
    }
    measured = {name: str(value) for name, value in figures.items() if value is not None}
    assert {name: described.get(f"{prefix}_{name}") for name in figures if name in measured} == measured
    assert [name for name in figures if name not in measured and f"{prefix}_{name}" in described] == []
    return stats


@pytest.mark.parametrize("options", [[], ["-n", "2"], ["-o", "junit_family=xunit1"]], ids=["", "xdist", "xunit1"])
def test_junit_xml_has_the_figures_and_files_of_every_run(pytester: pytest.Pytester, options: list[str]) -> None:
    pytester.makepyfile(PROJECT)
    run = pytester.runpytest_subprocess if "-n" in options else pytester.runpytest_inprocess
    run("--stress", "--junitxml=report.xml", *options).assert_outcomes(passed=3, failed=1)
    cases = properties(pytester.path / "report.xml")
    assert assert_describes(cases["test_body"], "stress")["verdict"] == "passed"
    statistics = assert_describes(cases["test_broken"], "stress")
    assert statistics["verdict"] == "failed"
    assert statistics["errors"] > 0
    assert assert_describes(cases["test_twice"], "stress")["total_operations"] == 100
    second = {name: text for name, text in cases["test_twice"].items() if name.startswith("stress_run_2_")}
    assert assert_describes(second, "stress_run_2")["total_operations"] == 150
    assert cases["test_ordinary"] == {}


def test_junit_xml_has_the_failures_table(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    pytester.runpytest_inprocess("--stress", "--junitxml=report.xml")
    failures = list(ElementTree.parse(pytester.path / "report.xml").iter("failure"))
    assert len(failures) == 1
    assert "errors == 0" in str(failures[0].attrib["message"])
    assert "no <such> order & more" in str(failures[0].text)


def test_a_run_without_a_called_operation_is_described_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"def test_it(stress_simulator): stress_simulator.run(None, {QUICK}, {NOT_CALLED})")
    result = pytester.runpytest_inprocess("--stress", "--junitxml=report.xml")
    result.assert_outcomes(passed=1)
    (case,) = properties(pytester.path / "report.xml").values()
    assert assert_describes(case, "stress")["latency"]["count"] == 0


def test_other_plugins_find_properties_and_sections_on_the_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    record = pytester.inline_run("--stress")
    called = [report for report in record.getreports("pytest_runtest_logreport") if report.when == "call"]
    reports = {report.nodeid.split("::")[1]: report for report in called}
    assert dict(reports["test_body"].user_properties)["stress_operations"] == 100
    titles = [title for title, _ in reports["test_twice"].sections]
    assert len([title for title in titles if "stress" in title]) == 2
    assert reports["test_ordinary"].user_properties == []
    assert reports["test_ordinary"].sections == []


def test_a_failure_prints_the_runs_section(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_inprocess("--stress", "--stress-seed=31")
    start = next(at for at, line in enumerate(result.outlines) if "__ test_broken __" in line)
    output = "\n".join(result.outlines[start:])
    for figure in ("operations: 100", "seed: 31", "verdict: failed", "files: stress_test_output"):
        assert re.search(rf"^{figure}", output, re.M)


@pytest.mark.parametrize("options", [[], ["-q"], ["-v"], ["-n", "2"]], ids=" ".join)
def test_the_summary_shows_a_row_for_every_run(pytester: pytest.Pytester, options: list[str]) -> None:
    pytester.makepyfile(test_it=PROJECT)
    run = pytester.runpytest_subprocess if "-n" in options else pytester.runpytest_inprocess
    result = run("--stress", "--stress-seed=31", *options)
    result.assert_outcomes(passed=3, failed=1)
    start = next(at for at, line in enumerate(result.outlines) if re.match(r"=+ stress tests =+$", line))
    output = result.outlines[start + 1 :]
    rows = [line.split() for line in output if "::" in line and re.search(r"\d+/\d+/\d+", line)]
    assert sorted(next(word for word in row if "::" in word).split("::")[1] for row in rows) == [
        "test_body",
        "test_broken",
        "test_twice",
        "test_twice",
    ]
    assert all("31" in row for row in rows)
    verdicts = {next(word for word in row if "::" in word): {"passed", "failed"} & set(row) for row in rows}
    assert verdicts["test_it.py::test_broken"] == {"failed"}
    assert verdicts["test_it.py::test_body"] == {"passed"}
    listed = [line.split("files:")[1].strip() for line in output if "files:" in line]
    assert len(listed) == 4
    assert [path for path in listed if not (pytester.path / path / "simulation_statistics.json").is_file()] == []
    for row, path in zip(rows, listed, strict=True):
        stats = json.loads((pytester.path / path / "simulation_statistics.json").read_text())
        keys = ("successful_operations", "failed_operations", "missing_data_events")
        assert "/".join(str(stats[key]) for key in keys) in row


@pytest.mark.parametrize("self_contained", [[], ["--self-contained-html"]], ids=["assets", "self-contained"])
@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_pytest_html_links_the_files_of_passed_and_failed_tests(
    pytester: pytest.Pytester, self_contained: list[str], workers: list[str]
) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_subprocess("--stress", "--html=report.html", *self_contained, *workers)
    result.assert_outcomes(passed=3, failed=1)
    assert "INTERNALERROR" not in result.stdout.str()
    report = html.unescape(html.unescape((pytester.path / "report.html").read_text()))
    files = [path for path in pytester.path.rglob("*") if path.name in OURS]
    assert len(files) == 20
    assert [path for path in files if path.as_uri() not in report] == []


def test_allure_has_the_files_of_passed_and_failed_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_subprocess("--stress", "--alluredir=allure", "-n", "2")
    result.assert_outcomes(passed=3, failed=1)
    attached = {}
    for file in (pytester.path / "allure").glob("*-result.json"):
        case = json.loads(file.read_text())
        attached[case["name"]] = case.get("attachments", [])
    for test, count in {"test_body": 1, "test_broken": 1, "test_twice": 2, "test_ordinary": 0}.items():
        ours = sorted(file["name"] for file in attached[test] if file["name"] in OURS)
        assert ours == sorted(OURS * count), test
    (copy,) = [file["source"] for file in attached["test_body"] if file["name"] == "simulation_statistics.json"]
    stats = json.loads((pytester.path / "allure" / copy).read_text())
    assert list(stats["tasks"]) == ["test_body"]


def test_files_that_allure_cannot_copy_are_a_note(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import shutil

        def test_it(stress_simulator, monkeypatch):
            def refuse(*arguments, **options):
                raise FileNotFoundError(2, "no such file")

            monkeypatch.setattr(shutil, "copyfile", refuse)
            settings = dict(agents=1, operations_per_agent=1, missing_data_prob=0, failure_prob=0)
            assert stress_simulator.run(lambda: None, **settings).passed
        """
    )
    result = pytester.runpytest_subprocess("--stress", "--alluredir=allure")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*Allure: files were not attached (FileNotFoundError: *no such file*"])


def test_reports_do_not_need_the_plugins_that_show_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    options = ["-p", "no:html", "-p", "no:metadata", "-p", "no:allure_pytest", "-p", "no:junitxml"]
    pytester.runpytest_subprocess("--stress", *options).assert_outcomes(passed=3, failed=1)


def test_a_run_in_a_fixture_appears_on_the_tests_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.fixture
        def stressed(stress_simulator):
            return stress_simulator.run(lambda: None, {QUICK})

        def test_it(stressed):
            assert stressed.operations == 100

        @pytest.fixture
        def broken(stress_simulator):
            return stress_simulator.run(lambda: None, {QUICK}, thresholds=["operations > 1000"])

        def test_setup(broken):
            pass
        """
    )
    result = pytester.runpytest_inprocess("--stress", "--junitxml=report.xml")
    result.assert_outcomes(passed=1, errors=1)
    cases = properties(pytester.path / "report.xml")
    assert assert_describes(cases["test_it"], "stress")["verdict"] == "passed"
    assert assert_describes(cases["test_setup"], "stress")["verdict"] == "failed"
    rows = [line for line in result.outlines if re.search(r"\d+/\d+/\d+", line) and "::" in line]
    assert len(rows) == 2


def test_a_run_that_fails_during_teardown_is_in_the_summary(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.fixture
        def stressed_at_the_end(stress_simulator):
            yield
            stress_simulator.run(lambda: None, {QUICK}, thresholds=["operations > 1000"])

        def test_it(stressed_at_the_end, stress_simulator):
            stress_simulator.run(lambda: None, {QUICK})
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(passed=1, errors=1)
    rows = [line.split()[0] for line in result.outlines if re.search(r"\d+/\d+/\d+", line) and "::" in line]
    assert rows == ["failed", "passed"]
    index = (pytester.path / "stress_test_output" / "stress_test_index.html").read_text()
    assert "1 of 2 runs failed" in index
