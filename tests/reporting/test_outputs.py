"""The table of outputs: every row is complete, and a new output takes one row and its renderer."""

from __future__ import annotations

import json
from collections import Counter
from importlib import import_module
from importlib.metadata import metadata
from xml.etree import ElementTree

import pytest

from pytest_nos_stress.reporting import outputs
from pytest_nos_stress.reporting.outputs import OUTPUTS, Output

PACKAGE = "pytest_nos_stress.reporting"


def name_of(output: Output) -> str:
    return f"{output.group}-{output.name}"


@pytest.mark.parametrize("output", OUTPUTS, ids=name_of)
def test_a_row_has_every_part(output: Output) -> None:
    assert output.name.isidentifier()
    assert output.group in (outputs.ALWAYS, "report", "records")
    assert output.filename.rpartition(".")[0]
    assert output.key.isidentifier()
    assert "/" in output.media_type
    assert bool(output.modules) == bool(output.extra)
    assert not output.extra or output.extra in (metadata("pytest-nos-stress").get_all("Provides-Extra") or ())


@pytest.mark.parametrize("output", [output for output in OUTPUTS if output is not outputs.LOG], ids=name_of)
def test_what_is_written_after_the_run_has_a_renderer(output: Output) -> None:
    module, _, function = output.renderer.partition(":")
    assert callable(getattr(import_module(f"{PACKAGE}{module}"), function))


@pytest.mark.parametrize("part", ["filename", "key"])
def test_no_two_rows_share_a_file_or_a_key(part: str) -> None:
    assert set(Counter(getattr(output, part) for output in OUTPUTS).values()) == {1}


def test_no_two_rows_of_a_group_share_a_name() -> None:
    assert set(Counter(map(name_of, OUTPUTS)).values()) == {1}


THROW_AWAY = """
from pytest_nos_stress.reporting import outputs

def render(result):
    yield f"{result.operations} operations, ".encode()
    yield f"{result.summary['verdict']}".encode()

outputs.OUTPUTS += (
    outputs.Output(
        "words", "report", "stress_test_report.words", "text/x-words", "report_words", "throw_away:render"
    ),
)
"""
PROJECT = """
def test_it(stress_simulator):
    result = stress_simulator.run(lambda: None, agents=2, operations_per_agent=5, engine="virtual", seed=1)
    assert result.summary["files"]["report_words"].endswith("stress_test_report.words")
    assert (result.output_dir / "stress_test_report.words") in result.files
"""


def test_a_new_output_takes_one_row_and_its_renderer(pytester: pytest.Pytester) -> None:
    pytest.importorskip("allure", reason="allure-pytest is not installed")
    pytester.makepyfile(throw_away=THROW_AWAY, test_it=PROJECT)
    asked = ["--stress", "-p", "throw_away", "--stress-report=words"]
    result = pytester.runpytest_subprocess(*asked, "--junitxml=junit.xml", "--alluredir=allure")
    result.assert_outcomes(passed=1)
    (written,) = pytester.path.rglob("stress_test_report.words")
    assert written.read_text() == "10 operations, passed"
    assert not list(pytester.path.rglob("stress_test_report.html"))
    properties = {
        element.attrib["name"]: element.attrib["value"]
        for element in ElementTree.parse(pytester.path / "junit.xml").iter("property")
    }
    assert properties["stress_report_words"] == str(written)
    (test,) = (pytester.path / "allure").glob("*-result.json")
    attachments = json.loads(test.read_text())["attachments"]
    media_types = {attachment["name"]: attachment["type"] for attachment in attachments}
    assert media_types["stress_test_report.words"] == "text/x-words"


def test_a_new_output_is_named_in_help_and_in_messages(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(throw_away=THROW_AWAY)
    shown = pytester.runpytest_subprocess("-p", "throw_away", "--help")
    assert "(extra [pictures]) or words" in " ".join(shown.stdout.str().split())
    refused = pytester.runpytest_subprocess("-p", "throw_away", "--stress-report=words,pdf")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*must be html, svg, png, words, several of them, or none*"])
