"""A page about a session tells of its tests: a test without a run is not missing, and then no page is green."""

from __future__ import annotations

import html
import json
import re
from typing import Any, NamedTuple

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

QUICK = "agents=2, operations_per_agent=3, min_delay=0, max_delay=0, missing_data_prob=0, failure_prob=0"
RUN = f"stress_simulator.run(lambda: None, {QUICK})"
PASSING = f"""
import os, pytest

def test_passes(stress_simulator):
    {RUN}
"""


class Pages(NamedTuple):
    """Content of the pages of a session: headlines, rows by test, and metrics by test."""

    headline: str
    index_rows: dict[str, str]
    step_summary: str
    step_summary_rows: dict[str, str]
    metrics: dict[str, float]
    benchmark: dict[str, str]
    terminal: str

    def assert_green(self) -> None:
        assert "✓" in self.headline
        assert "✅" in self.step_summary

    def assert_red(self) -> None:
        assert "✕" in self.headline
        assert "✅" not in self.step_summary.splitlines()[0]
        for page in (self.headline, self.step_summary):
            assert not re.search(r"[Aa]ll \d+ runs passed", page)


class Project:
    """A project whose sessions write every page."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))

    def session(self, tests: str, *options: str, in_process: bool = True) -> Pages:
        self.pytester.makepyfile(test_it=PASSING + tests)
        outputs = ["--stress-openmetrics=metrics.txt", "--stress-benchmark=benchmark.json", "--tb=no"]
        run = self.pytester.runpytest_inprocess if in_process else self.pytester.runpytest_subprocess
        self.result = run("--stress", "-p", "no:cacheprovider", *outputs, *options)
        return self.pages()

    def pages(self) -> Pages:
        path = self.pytester.path
        index = path / "stress_test_output" / "stress_test_index.html"
        text = index.read_text() if index.exists() else ""
        markdown = (path / "summary.md").read_text() if (path / "summary.md").exists() else ""
        metrics = (path / "metrics.txt").read_text()
        families: dict[str, Any] = {family.name: family for family in text_string_to_metric_families(metrics)}  # type: ignore[no-untyped-call]
        samples = families["stress_test_passed"].samples if "stress_test_passed" in families else []
        document = json.loads((path / "benchmark.json").read_text())
        headline = re.search(r'<h1 id="verdict">(.*?)</h1>', text)
        return Pages(
            html.unescape(re.sub("<[^>]*>", "", headline[1])) if headline else "",
            rows(text),
            markdown,
            rows(markdown),
            {name_of(sample.labels["test"]): sample.value for sample in samples},
            {name_of(test["fullname"]): test["outcome"] for test in document["tests"]},
            "\n".join(self.result.outlines),
        )


def name_of(test: str) -> str:
    return test.rpartition("::")[2]


def rows(markup: str) -> dict[str, str]:
    """Return the verdict of each row of a page's first table, by the name of its test."""
    table = re.search(r"<table.*?</table>", markup, re.S)
    parsed = {}
    for row in re.findall(r"<tr.*?</tr>", table[0] if table else "", re.S)[1:]:
        verdict, test, *_ = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        name = name_of(html.unescape(re.sub(r"<br>.*|<[^>]*>", "", test)))
        name += " (run)" * (name in parsed)
        assert name not in parsed, "two rows of one name"
        parsed[name] = html.unescape(re.sub("<[^>]*>|[-✓✕✅❌⚪]", "", verdict)).strip()
    return parsed


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(pytester, monkeypatch)


FAILS = {
    "a fixture fails": (
        f"""
@pytest.fixture
def database():
    raise ConnectionError("no database")

def test_fails(database, stress_simulator):
    {RUN}
""",
        "in setup: ConnectionError: no database",
    ),
    "a fixture fails after the run": (
        f"""
@pytest.fixture
def database():
    yield
    raise ConnectionError("cannot stop")

def test_fails(database, stress_simulator):
    {RUN}
""",
        "",
    ),
    "a setting is not allowed": (
        "def test_fails(stress_simulator): stress_simulator.run(lambda: None, agents=0)",
        "agents=0: must be",
    ),
    "the simulator is never run": ("def test_fails(stress_simulator): pass", "never ran the simulator"),
    "the test fails before its run": (
        f"def test_fails(stress_simulator):\n    assert 1 == 2\n    {RUN}",
        "assert 1 == 2",
    ),
    "a body cannot be the task": ("@pytest.mark.stress\nasync def test_fails(): pass", "async test function"),
    "a strict xfail passes": (
        f"@pytest.mark.xfail(strict=True)\ndef test_fails(stress_simulator): {RUN}",
        "",
    ),
    "a text of the failure is markup": (
        "def test_fails(stress_simulator): raise ValueError('<img src=x>\\x1b[31m')",
        "&lt;img src=x&gt;\\x1b[31m",
    ),
}


@pytest.mark.parametrize("case", FAILS)
def test_a_test_that_fails_outside_of_a_run_is_on_every_page(project: Project, case: str) -> None:
    tests, reason = FAILS[case]
    pages = project.session(tests)
    assert project.result.ret == pytest.ExitCode.TESTS_FAILED
    pages.assert_red()
    for table in (pages.index_rows, pages.step_summary_rows):
        assert table["test_passes"] == "passed"
        assert table["test_fails"].startswith("failed")
        assert len(table) == 2
    assert pages.metrics == {"test_passes": 1, "test_fails": 0}
    assert pages.benchmark == {"test_passes": "passed", "test_fails": "failed"}
    assert reason in pages.step_summary
    summary = pages.terminal.partition(" stress tests =")[2]
    assert re.search(r"^failed.* test_it\.py::test_fails$", summary, re.M)
    (error,) = [line for line in project.result.outlines if line.startswith("::error ")]
    assert re.search(r"test_fails,file=test_it\.py,line=\d+::.*Repeat it: pytest --stress --stress-seed=", error)


def test_the_index_is_written_if_the_only_test_failed_before_its_run(project: Project) -> None:
    pages = project.session("def test_fails(stress_simulator): assert False", "-k", "fails")
    assert pages.headline == "✕ 1 test failed outside of a run, no runs"
    assert pages.index_rows == {"test_fails": "failed"}
    assert pages.step_summary.startswith("## ❌ Stress tests: 1 test failed outside of a run, no runs\n")


def test_there_is_no_index_if_reports_are_turned_off(project: Project) -> None:
    pages = project.session("def test_fails(stress_simulator): assert False", "--stress-report=none")
    assert pages.headline == ""
    assert pages.step_summary_rows == {"test_passes": "passed", "test_fails": "failed"}


def test_a_session_without_problems_is_green(project: Project) -> None:
    pages = project.session("def test_ordinary(): assert False")
    pages.assert_green()
    assert pages.headline == "✓ All 1 runs passed"
    assert pages.index_rows == {"test_passes": "passed"}
    assert pages.metrics == {"test_passes": 1}


def test_skipped_tests_are_named_and_a_page_with_them_does_not_speak_of_all(project: Project) -> None:
    tests = """
@pytest.mark.skip(reason="market closed")
def test_marked(stress_simulator): pass

@pytest.fixture
def market():
    pytest.skip("no market")

def test_by_fixture(market, stress_simulator): pass

@pytest.mark.xfail(reason="known bug")
def test_known(stress_simulator): assert False
"""
    pages = project.session(tests)
    pages.assert_green()
    assert project.result.ret == pytest.ExitCode.OK
    assert pages.headline == "✓ 1 run passed, 3 tests were skipped"
    skipped = dict.fromkeys(("test_marked", "test_by_fixture", "test_known"), "skipped")
    assert pages.index_rows == pages.step_summary_rows == pages.benchmark == {"test_passes": "passed", **skipped}
    assert pages.metrics == {"test_passes": 1}
    assert "3 stress tests were skipped" in pages.terminal


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_a_file_of_stress_tests_that_is_skipped_as_a_whole_is_named(
    project: Project, options: tuple[str, ...]
) -> None:
    missing = "import pytest\npytest.importorskip('no_such_broker')\n"
    (project.pytester.path / "test_broker.py").write_text(f"{missing}def test_it(stress_simulator): {RUN}\n")
    (project.pytester.path / "test_ordinary.py").write_text(f"{missing}def test_it(): pass\n")
    pages = project.session("", *options)
    assert pages.headline == "✓ 1 run passed, 1 test was skipped"
    assert pages.index_rows == {"test_passes": "passed", "test_broker.py": "skipped"}


def test_a_failed_part_of_a_test_is_on_every_page(project: Project) -> None:
    pytest.importorskip("_pytest.subtests", reason="pytest has subtests from 9.0 on")
    tests = f"""
def test_fails(subtests, stress_simulator):
    with subtests.test("part"):
        assert False
    {RUN}
"""
    pages = project.session(tests)
    pages.assert_red()
    assert pages.metrics == {"test_passes": 1, "test_fails": 0}


def test_a_session_whose_tests_were_all_skipped_is_not_green(project: Project) -> None:
    pages = project.session("@pytest.mark.skip\ndef test_skipped(stress_simulator): pass", "-k", "skipped")
    pages.assert_red()
    assert pages.headline == "✕ No runs, 1 test was skipped"
    assert pages.step_summary.startswith("## Stress tests: no runs, 1 test was skipped\n")


@pytest.mark.parametrize("options", [("-x",), ("--maxfail=1",)], ids=" ".join)
def test_tests_that_a_failure_kept_from_running_are_named(project: Project, options: tuple[str, ...]) -> None:
    tests = f"def test_fails(stress_simulator): assert False\ndef test_later(stress_simulator): {RUN}\n"
    pages = project.session(tests, *options)
    pages.assert_red()
    assert pages.headline == "✕ 1 test failed outside of a run, 1 test was not run, 1 run passed"
    assert pages.index_rows == {"test_passes": "passed", "test_fails": "failed", "test_later": "not run"}
    assert pages.metrics == {"test_passes": 1, "test_fails": 0, "test_later": 0}
    assert "1 stress test was not run" in pages.terminal
    assert "::error title=Stress tests::1 test was not run" in pages.terminal


ENDS = {
    "pytest.exit": ("pytest.exit('enough')", "enough", pytest.ExitCode.INTERRUPTED),
    "pytest.exit with a good status": ("pytest.exit('enough', returncode=0)", "enough", pytest.ExitCode.OK),
    "Ctrl-C": ("raise KeyboardInterrupt", "interrupted", pytest.ExitCode.INTERRUPTED),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_session_that_ends_early_is_not_green(project: Project, case: str) -> None:
    statement, reason, status = ENDS[case]
    tests = f"def test_stops(stress_simulator): {statement}\ndef test_later(stress_simulator): {RUN}\n"
    pages = project.session(tests, in_process=False)
    assert project.result.ret == status
    pages.assert_red()
    rows = {"test_passes": "passed", "test_stops": "not finished", "test_later": "not run"}
    assert pages.index_rows == pages.step_summary_rows == pages.benchmark == rows
    assert "the session was stopped" in pages.headline
    assert f"The session was stopped: <code>{reason}</code>" in pages.step_summary
    assert f"the session was stopped: {reason}" in pages.terminal


def test_an_internal_error_is_not_green(project: Project) -> None:
    project.pytester.makeconftest(
        "def pytest_runtest_logfinish(nodeid):\n    if 'stops' in nodeid: raise RuntimeError('plugin broke')\n"
    )
    pages = project.session(f"def test_stops(stress_simulator): {RUN}\n")
    assert project.result.ret == pytest.ExitCode.INTERNAL_ERROR
    pages.assert_red()
    assert "internal error: RuntimeError: plugin broke" in pages.step_summary


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_a_wrong_marker_is_named_although_its_test_is_not_collected(
    project: Project, options: tuple[str, ...]
) -> None:
    marked = "import pytest\n\n@pytest.mark.stress(agents=0)\ndef test_fails(): pass\n"
    (project.pytester.path / "test_marker.py").write_text(marked)
    pages = project.session("", "--continue-on-collection-errors", *options)
    pages.assert_red()
    assert pages.index_rows["test_passes"] == "passed"
    assert pages.index_rows["test_marker.py"] == "failed"
    assert "agents=0: must be" in pages.step_summary


def test_a_collection_error_that_ends_the_session_is_not_green(project: Project) -> None:
    (project.pytester.path / "test_broken.py").write_text("import no_such_module\n")
    pages = project.session("")
    pages.assert_red()
    assert pages.index_rows == {"test_broken.py": "failed", "test_passes": "not run"}


def test_files_that_share_a_node_id_and_cannot_be_collected_have_a_row_each(project: Project) -> None:
    for name in ("ci/pytest.ini", "tests/test_a.py", "tests/test_b.py"):
        path = project.pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("[pytest]\n" if name.endswith("ini") else f"raise ValueError('in {path.name}')\n")
    pages = project.session("", "-c", "ci/pytest.ini", "tests/test_a.py", "tests/test_b.py")
    pages.assert_red()
    assert pages.index_rows == {"tests/test_a.py": "failed", "tests/test_b.py": "failed"}
    assert "could not be collected: ValueError: in test_a.py" in pages.step_summary


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_a_test_whose_worker_dies_is_on_every_page(project: Project, phase: str) -> None:
    die = "os._exit(3)"
    tests = f"""
@pytest.fixture
def dying():
    {die if phase == "setup" else "pass"}
    yield
    {die if phase == "teardown" else "pass"}

def test_dies(dying, stress_simulator):
    {RUN}
    {die if phase == "call" else "pass"}
"""
    pages = project.session(tests, "-n", "1")
    assert project.result.ret == pytest.ExitCode.TESTS_FAILED
    pages.assert_red()
    assert pages.metrics == {"test_passes": 1, "test_dies": 0}
    run = {"test_dies (run)": "passed"} if phase == "teardown" else {}
    expected = {"test_passes": "passed", "test_dies": "failed", **run}
    assert pages.index_rows == pages.step_summary_rows == expected
    assert "crashed while running" in pages.step_summary


def test_an_ordinary_test_whose_worker_dies_is_no_stress_test(project: Project) -> None:
    pages = project.session("def test_z_ordinary(): os._exit(3)", "-n", "1")
    assert project.result.ret == pytest.ExitCode.TESTS_FAILED
    assert pages.index_rows == {"test_passes": "passed"}


def test_workers_that_are_stopped_leave_tests_that_were_not_run(project: Project) -> None:
    tests = "def test_fails(stress_simulator): assert False\n"
    tests += "".join(f"def test_later_{number}(stress_simulator): {RUN}\n" for number in range(8))
    pages = project.session(tests, "-n", "1", "-x")
    pages.assert_red()
    assert pages.index_rows["test_fails"] == "failed"
    assert "not run" in pages.index_rows.values()
    assert len(pages.index_rows) == 10
    assert "The session was stopped: <code>stopping after 1 failures</code>" in pages.step_summary


@pytest.mark.usefixtures("reruns")
@pytest.mark.parametrize("first", ["first", "last"])
def test_of_a_test_that_is_rerun_the_last_outcome_counts_and_has_one_row(project: Project, first: str) -> None:
    """One of its executions fails before its run."""
    tests = f"""
def test_again(stress_simulator, request):
    assert request.config.attempt != "{first}"
    {RUN}
"""
    pages = project.session(tests)
    outcome = "passed" if first == "first" else "failed"
    expected = {"test_passes": "passed", "test_again": outcome}
    assert pages.index_rows == pages.step_summary_rows == pages.benchmark == expected


def test_repetitions_and_given_have_one_row_for_each_test(project: Project) -> None:
    tests = f"""
from hypothesis import given, strategies as st

@given(number=st.integers(0, 3))
def test_given(stress_simulator, number):
    {RUN.replace(")", ", engine='virtual')")}

def test_fails(stress_simulator):
    {RUN.replace("lambda: None", "lambda: 1 / 0").replace(")", ", engine='virtual')")}

def test_fails_early(stress_simulator):
    assert False
"""
    pages = project.session(tests, "--stress-verify-determinism", "--stress-shrink")
    pages.assert_red()
    expected = {
        "test_passes": "passed",
        "test_given": "passed",
        "test_fails": "failed",
        "test_fails_early": "failed",
    }
    assert {name.partition(" ")[0]: verdict for name, verdict in pages.index_rows.items()} == expected
    assert pages.benchmark == expected


def test_tests_whose_fixtures_are_only_set_up_were_not_run(project: Project) -> None:
    pages = project.session("", "--setup-only")
    pages.assert_red()
    assert pages.index_rows == {"test_passes": "not run"}


def test_collecting_only_tells_of_no_tests(project: Project) -> None:
    project.session("")
    before = project.pages()
    pages = project.session("def test_other(stress_simulator): pass", "--collect-only")
    assert pages._replace(terminal="") == before._replace(terminal="")
    assert "were not run" not in pages.terminal


def test_a_session_that_is_killed_leaves_no_index_of_an_earlier_one(project: Project) -> None:
    project.session("").assert_green()
    project.pytester.makepyfile(test_it="import os\ndef test_dies(stress_simulator): os._exit(9)")
    assert project.pytester.runpytest_subprocess("--stress").ret == 9
    assert project.pages().headline == ""


def test_each_worker_has_rows_of_its_own_if_it_runs_all_tests(project: Project) -> None:
    tests = "def test_fails(stress_simulator): assert 'gw1' not in os.environ['PYTEST_XDIST_WORKER']\n"
    pages = project.session(tests, "-n", "2", "--dist=each")
    assert pages.metrics["test_fails [gw1]"] == 0
    assert pages.index_rows["test_fails [gw1]"] == "failed"
    assert pages.index_rows["test_passes [gw1]"] == "passed"
