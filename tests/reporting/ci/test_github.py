"""GitHub: the step summary and the annotations, in which names stay text."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pytest_nos_stress.reporting.ci import github
from pytest_nos_stress.reporting.summary import formatted
from pytest_nos_stress.results.summary_types import Summary

Make = Callable[..., Summary]
MARKUP = {"h3", "h4", "p", "code", "table", "tr", "th", "td", "details", "summary"}


class Page(HTMLParser):
    """The HTML of a summary as a browser reads it: its tags, the texts in <code>, and the rest of the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.codes: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert attrs == []
        self.tags.add(tag)
        self.open.append(tag)
        if tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "code":
            self.codes[-1] += data
        else:
            self.text += data


def blocks(summary: str) -> tuple[list[str], list[str], list[str]]:
    """Return a summary's blocks as CommonMark separates them: HTML, code, Markdown."""
    html: list[str] = []
    code: list[str] = []
    markdown: list[str] = []
    for block in re.split(r"\n{2,}", summary.strip("\n")):
        kind = html if block.startswith("<") else code if block.startswith("```") else markdown
        kind.append(block)
    return html, code, markdown


def fenced(block: str) -> str:
    """Return the content of a code block, which only its fence ends."""
    first, *content, last = block.split("\n")
    assert first == f"{last}sh"
    assert not any(line.lstrip().startswith(last) for line in content)
    (line,) = content
    return line


def command(line: str) -> tuple[str, dict[str, str], str]:
    """Parse a workflow command as the runner does: name, properties and message."""
    assert line.startswith("::")
    assert "\n" not in line
    assert "\r" not in line
    head, message = line[2:].split("::", 1)
    name, _, rest = head.partition(" ")
    properties = dict(one.split("=", 1) for one in rest.strip().split(",") if one)
    return name, {key: _unescape(value, ":,") for key, value in properties.items()}, _unescape(message)


def _unescape(text: str, more: str = "") -> str:
    for character in f"\r\n{more}%":
        text = text.replace(f"%{ord(character):02X}", character)
    return text


def test_the_headline_states_that_all_passed(summary: Make) -> None:
    text = github.step_summary([summary(), summary(run=2)])
    assert text.startswith("## ✅ Stress tests: 2 runs passed\n")
    assert "did not pass" not in text


def test_the_headline_states_how_many_did_not_pass(summary: Make, failed: Make) -> None:
    text = github.step_summary([summary(), failed(), summary(run=2)])
    assert text.startswith("## ❌ Stress tests: 1 of 3 runs did not pass\n")


def test_a_session_without_runs_has_not_passed() -> None:
    assert github.step_summary([]) == "## Stress tests: no runs\n"


def test_the_table_has_each_run_with_the_figures_that_people_see_elsewhere(summary: Make, failed: Make) -> None:
    passed, broken = summary(test="tests/a.py::test_a"), failed(test="tests/b.py::test_b", failures=61)
    html = blocks(github.step_summary([passed, broken]))[0]
    for run, verdict in ((passed, "✅ passed"), (broken, "❌ failed")):
        figures = formatted(run)
        named = ("operations", "failures", "errors", "latency p50", "latency p99")
        cells = [verdict, f"<code>{run['test']}</code>", *(figures[name] for name in named)]
        assert "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" in html[0]


def test_a_failed_run_has_its_reason_verdicts_errors_and_command(failed: Make) -> None:
    run = failed(harness="the event loop was busy 97% of the time")
    html, code, markdown = blocks(github.step_summary([run]))
    page = Page("\n".join(html))
    assert {"threshold errors == 0 failed: 3", "errors == 0"} <= {*page.codes}
    assert {"latency.p99 < 1s", "4 ms of 400 operations"} <= {*page.codes}
    assert {"books balance", "off by 3"} <= {*page.codes}
    assert {"ValueError", "no such order", "Agent_1", "buy", run["directory"]} <= {*page.codes}
    assert "the event loop was busy 97% of the time" in page.text
    assert [fenced(block) for block in code] == [run["repeat"]]
    assert "Repeat it:" in markdown
    assert "<details>" not in "".join(html)


def test_passed_runs_are_folded_below_the_failed_ones(summary: Make, failed: Make) -> None:
    text = github.step_summary([summary(test="good"), failed(test="bad")])
    folded = text[text.index("<details>") : text.index("</details>")]
    assert "<h4><code>good</code></h4>" in folded
    assert "errors == 0" in folded
    assert "bad" not in folded
    assert text.index("<h3>❌ failed: <code>bad</code></h3>") < text.index("<details>")


def test_names_and_messages_stay_text_in_the_summary(hostile: str, hostile_run: Summary) -> None:
    html, code, markdown = blocks(
        github.step_summary([hostile_run, {**hostile_run, "passed": True, "outcome": "passed"}])
    )
    page = Page("\n".join(html))
    assert page.tags == MARKUP
    assert markdown == ["## ❌ Stress tests: 1 of 2 runs did not pass", "Repeat it:"]
    (line,) = map(fenced, code)
    foreign = {line, *page.codes}
    assert len(foreign) == 1
    assert line.isprintable()
    if hostile.isprintable():
        assert foreign == {hostile}


def test_the_summary_can_be_written_whatever_the_names_are(hostile_runs: list[Summary]) -> None:
    text = github.step_summary(hostile_runs)
    text.encode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)


def test_a_long_message_is_shortened_and_a_command_to_copy_is_not(failed: Make) -> None:
    text = github.step_summary([failed(failure="x" * 100_000, repeat="pytest " + "y" * 10_000)])
    assert "x" * 1_000 not in text
    assert "y" * 10_000 in text


def test_long_lists_of_errors_say_how_many_more_there_are(failed: Make) -> None:
    (one,) = failed()["error_types"]
    text = github.step_summary([failed(error_types=[{**one, "type": f"Error{number}"} for number in range(70)])])
    assert "Error49<" in text
    assert "Error50<" not in text
    assert "<td>20 more</td>" in text


def test_a_summary_too_long_for_github_leaves_out_whole_sections_and_counts_them(
    summary: Make, failed: Make
) -> None:
    runs = [failed(test=f"bad {number}", repeat="é" * 20_000) for number in range(60)]
    runs += [summary(test=f"good {number}") for number in range(30)]
    text = github.step_summary(runs)
    assert len(text.encode()) <= 1024 * 1024
    html, code, markdown = blocks(text)
    assert Page("\n".join(html)).tags == MARKUP
    assert {fenced(block) for block in code} == {"é" * 20_000}
    (note,) = [block for block in markdown if block.startswith("Left out")]
    assert f"{60 - len(code)} runs that did not pass" in note
    assert 0 < len(code) < 60


def test_a_table_too_long_for_github_says_how_many_rows_are_left_out(summary: Make) -> None:
    text = github.step_summary([summary(test=f"{number} {'x' * 400}") for number in range(3_000)])
    assert len(text.encode()) <= 1024 * 1024
    rows = text[: text.index("</table>")].count("<tr>") - 1
    folded = text.count("<h4>")
    assert (
        f"Left out, to stay within GitHub's 1 MiB: {3_000 - rows} rows of the table, {3_000 - folded} runs" in text
    )


def test_the_summary_is_appended_to_what_others_wrote(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("<p>others")
    assert github.append(file, "## é\n") == ""
    assert file.read_text(encoding="utf-8") == "<p>others\n\n## é\n"
    assert github.append(str(tmp_path / "new.md"), "## x\n") == ""
    assert (tmp_path / "new.md").read_text() == "## x\n"


def test_a_summary_that_cannot_be_written_whole_is_not_there_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(file: int, data: bytes) -> None:
        os.write(file, data[:3])
        raise OSError(28, "No space left on device")

    file = tmp_path / "summary.md"
    file.write_text("others\n")
    monkeypatch.setattr("pytest_nos_stress.reporting.ci.github.write_all", disk_full)
    assert "cannot be written (No space left on device)" in github.append(file, "## x\n")
    assert file.read_text() == "others\n"


def test_nothing_is_appended_that_would_hide_what_others_wrote(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_bytes(b"x" * (1024 * 1024 - 5))
    assert "exceed GitHub's limit of 1 MiB" in github.append(file, "## too long\n")
    assert file.stat().st_size == 1024 * 1024 - 5
    assert github.append(file, "y\n") == ""


@pytest.mark.parametrize(
    "path", ["", ".", "missing/summary.md", "nul\0", "line\n\x1b[31m/x", "surrogate \ud800/x"]
)
def test_a_summary_that_cannot_be_written_is_a_problem_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = github.append(path, "## x\n")
    assert problem.startswith("GITHUB_STEP_SUMMARY='")
    assert "cannot be written (" in problem
    assert problem.isprintable()
    assert os.listdir(tmp_path) == []


def test_a_run_that_did_not_pass_is_an_error_at_its_test(summary: Make, failed: Make) -> None:
    (line,) = github.annotations([summary(), failed()])
    name, properties, message = command(line)
    assert name == "error"
    assert properties == {
        "file": "tests/test_orders.py",
        "line": "12",
        "title": "Stress test failed: tests/test_orders.py::test_orders",
    }
    assert message.split("\n") == [
        "threshold errors == 0 failed: 3",
        "check books balance failed: off by 3",
        "Repeat it: pytest --stress --stress-seed=7 tests/test_orders.py::test_orders",
    ]


def test_a_file_is_found_from_the_root_of_the_repository(failed: Make) -> None:
    (line,) = github.annotations([failed(file="../tests/test_a.py")], directory="services/orders")
    assert command(line)[1]["file"] == "services/tests/test_a.py"


def test_a_bottleneck_of_the_test_machine_is_a_warning_even_if_the_run_passed(summary: Make) -> None:
    (line,) = github.annotations([summary(harness="the processor was saturated")])
    name, properties, message = command(line)
    assert (name, message) == ("warning", "the processor was saturated")
    assert properties["title"].startswith("Test machine was the bottleneck: ")


def test_a_run_without_a_file_is_an_error_all_the_same(failed: Make) -> None:
    (line,) = github.annotations([failed(file=None, line=None, failure="", thresholds=[], checks=[])])
    name, properties, message = command(line)
    assert name == "error"
    assert [*properties] == ["title"]
    assert message.startswith("the run's verdict is failed\n")


def test_names_and_messages_stay_text_in_annotations(hostile: str, hostile_run: Summary) -> None:
    lines = github.annotations([hostile_run])
    assert [command(line)[0] for line in lines] == ["error", "warning"]
    for line in lines:
        assert line.isprintable()
        line.encode()
        _, properties, message = command(line)
        assert {*properties} == {"file", "line", "title"}
        assert properties["line"] == "12"
        if hostile.isprintable():
            assert properties["title"].endswith(f": {hostile}")
            assert message.split("\n")[0] == hostile


def test_more_than_github_shows_are_counted_in_the_last_one(failed: Make) -> None:
    ten = github.annotations([failed(run=number) for number in range(1, 11)])
    assert len(ten) == 10
    assert command(ten[9])[1]["title"].endswith("run 10")
    many = github.annotations([failed(run=number, harness="slow") for number in range(1, 31)])
    for kind, words in (("error", "did not pass"), ("warning", "had the test machine as the bottleneck")):
        kinds = [line for line in many if line.startswith(f"::{kind} ")]
        assert len(kinds) == 10
        assert command(kinds[8])[1]["title"].endswith("run 9")
        assert command(kinds[9])[2] == f"21 more runs {words}"


def test_a_message_is_as_long_as_github_shows_it(failed: Make) -> None:
    (line,) = github.annotations([failed(test="t" * 5_000, failure="%" * 10_000)])
    _, properties, message = command(line)
    assert len(message) <= 4_096
    assert len(properties["title"]) <= 255


def test_passed_runs_have_no_annotations(summary: Make) -> None:
    assert github.annotations([]) == []
    assert github.annotations([summary()]) == []


def test_a_run_that_its_test_expected_to_fail_has_no_annotation(failed: Make) -> None:
    assert github.annotations([failed(outcome="passed"), failed(outcome="skipped")]) == []
