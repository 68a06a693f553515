"""GitHub Actions: the step summary of a session's runs, and annotations on the workflow run and pull request.

Text from outside is inert in both. In the summary it is escaped HTML inside ``<code>``: GitHub's renderer reads
no Markdown in an HTML block, and code never becomes a link, mention or emoji. Annotations are workflow commands.
Their parser unescapes ``%25``, ``%0D`` and ``%0A``, and in properties also ``%3A`` and ``%2C``. Control
characters never reach the log.

GitHub's limits: a summary larger than 1 MiB is not shown at all. Only the first ten annotations of each kind in a
step are shown, each cut at 4,096 characters. Sources: "Workflow commands for GitHub Actions"; ``ActionCommand.cs``
and ``ExecutionContext.cs`` of the runner.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any, Final

from pytest_nos_stress._internal.atomic_write import write_all
from pytest_nos_stress._internal.system import flock, system
from pytest_nos_stress._internal.text import escape_controls, shorten
from pytest_nos_stress.reporting import session_tests
from pytest_nos_stress.reporting.session_tests import is_bad, without_run
from pytest_nos_stress.reporting.summary import formatted, is_failure, verdict_text
from pytest_nos_stress.results.session_tests import NO_TESTS, NOT_FINISHED, NOT_RUN, SessionTests
from pytest_nos_stress.results.summary_types import SessionTest, Summary
from pytest_nos_stress.results.verdicts import FAILED, NO_DATA, sentence

from .names import run_name

SUMMARY_LIMIT: Final = 1 << 20
"""Largest size of a step summary, in bytes."""
ANNOTATION_LIMIT: Final = 10
"""Number of annotations of one kind that GitHub shows for a step."""
_LONGEST_MESSAGE: Final = 4_000
_LONGEST_TITLE: Final = 200
_LONGEST_TEXT: Final = 500
_MOST_ROWS: Final = 50
_ROOM_FOR_NOTE: Final = 300


def step_summary(runs: Sequence[Summary], session: SessionTests = NO_TESTS) -> str:
    """Render the runs of a session as GitHub-flavoured Markdown, at most 1 MiB in UTF-8.

    The session's verdict comes first, then a table of the tests that have no run and of the runs, then a section
    for each: failed runs first, passed runs folded. Sections that do not fit are left out whole, and a note counts
    them.
    """
    failed = [run for run in runs if is_failure(run)]
    passed = [run for run in runs if not is_failure(run)]
    tests = without_run(runs, session)
    heading = f"## {_headline(runs, session)}\n"
    if session.stopped:
        heading += f"\n<p>The session was stopped: {_code(session.stopped)}</p>\n"
    overview, rows_left = _overview([*failed, *passed], tests, SUMMARY_LIMIT // 2)
    room = SUMMARY_LIMIT - len(f"{heading}\n{overview}".encode()) - 2 * _ROOM_FOR_NOTE
    bad_tests = [test for test in tests if test["outcome"] in (FAILED, NOT_FINISHED)]
    sections = _fitting([*map(_test_section, bad_tests), *map(_failed_section, failed)], room)
    room -= sum(map(_size, sections))
    folded = _fitting(map(_passed_section, passed), room)
    note = _note(
        _left_out(rows_left, "row of the table", "rows of the table"),
        _left_out(len(bad_tests) + len(failed) - len(sections), "run that did not pass", "runs that did not pass"),
        _left_out(len(passed) - len(folded), "run that passed", "runs that passed"),
    )
    return "\n".join(filter(None, [heading, overview, note, *sections, *_folded(folded)]))


def append(path: str | os.PathLike[str], text: str) -> str:
    """Append a summary to GitHub's file. Returns the problem in one line, or an empty text.

    If the file would exceed GitHub's limit, nothing is written: GitHub would not show the summaries of others
    either. A summary is appended whole or not at all. The path is the user's, so a link is followed.
    """
    try:
        file = system.open(path, system.O_WRONLY | system.O_CREAT | system.O_APPEND, 0o666)
        try:
            with _alone(file):
                size = system.fstat(file).st_size
                added = (b"\n\n" if size else b"") + text.encode()
                if size + len(added) > SUMMARY_LIMIT:
                    return (
                        f"GITHUB_STEP_SUMMARY={_quoted(path)}: not written because the file would exceed GitHub's "
                        "limit of 1 MiB; write less to it in this step"
                    )
                _append_whole(file, added, size)
        finally:
            system.close(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"GITHUB_STEP_SUMMARY={_quoted(path)}: cannot be written ({escape_controls(str(reason))})"
    return ""


@contextlib.contextmanager
def _alone(file: int) -> Iterator[None]:
    """Let no other session append to the file while the block runs, if its file system has locks."""
    with contextlib.suppress(OSError):
        flock(file, fcntl.LOCK_EX)  # dropped when the file is closed
    yield


def _append_whole(file: int, data: bytes, size: int) -> None:
    """Append all data to a file of a size, or nothing."""
    try:
        write_all(file, data)
    except OSError:
        with contextlib.suppress(OSError):
            system.ftruncate(file, size)
        raise


def annotations(runs: Sequence[Summary], directory: str = "", session: SessionTests = NO_TESTS) -> list[str]:
    """Return workflow commands: an error for each failed run or test, a warning for a bottleneck of the machine.

    Args:
        runs: The runs' summaries.
        directory: The directory of the summaries' file paths, relative to the root of the repository. GitHub
            resolves paths from that root.
        session: The session's tests.
    """
    tests = without_run(runs, session)
    errors = [
        _command("error", test, directory, f"Stress test {test['outcome']}: {test['test']}", _test_lines(test))
        for test in tests
        if test["outcome"] in (FAILED, NOT_FINISHED)
    ]
    errors += [
        _command("error", run, directory, f"Stress test {verdict_text(run)}: {run_name(run)}", _failure_lines(run))
        for run in runs
        if is_failure(run)
    ]
    not_run = sum(test["outcome"] == NOT_RUN for test in tests)
    if not_run:
        errors.append(f"::error title=Stress tests::{_counted(not_run, 'test was', 'tests were')} not run")
    warnings = [
        _command("warning", run, directory, f"Test machine was the bottleneck: {run_name(run)}", [run["harness"]])
        for run in runs
        if run["harness"]
    ]
    return [
        *_first_ten("error", errors, "did not pass"),
        *_first_ten("warning", warnings, "had the test machine as the bottleneck"),
    ]


def _headline(runs: Sequence[Summary], session: SessionTests) -> str:
    text = session_tests.headline(
        runs,
        session,
        did_not_pass="did not pass",
        all_passed=f"{_counted(len(runs), 'run', 'runs')} passed",
    )
    sign = "✅ " if session_tests.has_passed(runs, session) else "❌ "
    if not runs and not session.stopped and not any(map(is_bad, session.tests)):
        sign = ""  # no tests, or all of them skipped
    return f"{sign}Stress tests: {text[0].lower()}{text[1:]}"


def _overview(runs: Sequence[Summary], tests: Sequence[SessionTest], room: int) -> tuple[str, int]:
    """Return the table of tests without a run and of runs, and the number of rows for which it has no room."""
    if not runs and not tests:
        return "", 0
    columns = ("verdict", "test", "operations", "failures", "errors", "p50", "p99")
    rows = _fitting((*map(_test_row, tests), *map(_overview_row, runs)), room)
    return _table(columns, rows), len(tests) + len(runs) - len(rows)


def _test_row(test: SessionTest) -> str:
    sign = "❌" if is_bad(test) else "⚪"
    return _row([f"{sign} {escape(test['outcome'])}", _code(test["test"]), *["-"] * 5])


def _overview_row(run: Summary) -> str:
    figures = formatted(run)
    names = ("operations", "failures", "errors", "latency p50", "latency p99")
    return _row([_verdict(run), _code(run_name(run)), *(escape(figures[name]) for name in names)])


def _test_section(test: SessionTest) -> str:
    parts = [f"<h3>❌ {escape(test['outcome'])}: {_code(test['test'])}</h3>\n"]
    if test["reason"]:
        parts.append(f"<p>{_code(test['reason'])}</p>\n")
    if test["repeat"]:
        parts.append(f"Repeat it:\n\n{_code_block(test['repeat'])}")
    return "\n".join(parts)


def _test_lines(test: SessionTest) -> list[str]:
    return [test["reason"], *([f"Repeat it: {test['repeat']}"] if test["repeat"] else [])]


def _failed_section(run: Summary) -> str:
    parts = [f"<h3>{_verdict(run)}: {_code(run_name(run))}</h3>\n"]
    if run["failure"]:
        parts.append(f"<p>{_code(run['failure'])}</p>\n")
    parts += [_verdicts(run), _errors(run)]
    if run["harness"]:
        parts.append(f"<p>⚠️ {escape(escape_controls(run['harness']))}</p>\n")
    parts.append(f"Repeat it:\n\n{_code_block(run['repeat'])}")
    parts.append(f"<p>Files: {_code(run['directory'])}</p>\n")
    return "\n".join(filter(None, parts))


def _passed_section(run: Summary) -> str:
    harness = f"<p>⚠️ {escape(escape_controls(run['harness']))}</p>\n" if run["harness"] else ""
    return "\n".join(filter(None, [f"<h4>{_code(run_name(run))}</h4>\n", _verdicts(run), harness]))


def _folded(sections: Sequence[str]) -> list[str]:
    if not sections:
        return []
    heading = _counted(len(sections), "run that passed", "runs that passed")
    return [f"<details><summary>{heading}</summary>\n", *sections, "</details>\n"]


def _verdicts(run: Summary) -> str:
    """Render thresholds and checks with wanted and measured values and verdicts."""
    verdicts = [
        (threshold["wanted"], threshold["measured"], threshold["verdict"]) for threshold in run["thresholds"]
    ]
    verdicts += [(check["name"], check["finding"], check["verdict"]) for check in run["checks"]]
    rows = [
        _row([_code(wanted), _code(measured), escape(escape_controls(verdict))])
        for wanted, measured, verdict in verdicts
    ]
    return _table(("wanted", "measured", "verdict"), rows[:_MOST_ROWS], len(rows)) if rows else ""


def _errors(run: Summary) -> str:
    rows = [
        _row(
            [
                str(error_type["count"]),
                _code(error_type["type"]),
                _code(error_type["message"]),
                _code(error_type["source"]),
                _code(error_type["agent"] or ""),
                _code(error_type["task"] or ""),
            ]
        )
        for error_type in run["error_types"]
    ]
    columns = ("count", "type", "message", "source", "agent", "task")
    return _table(columns, rows[:_MOST_ROWS], len(rows)) if rows else ""


def _table(columns: Iterable[str], rows: Sequence[str], total: int = 0) -> str:
    heading = "".join(f"<th>{column}</th>" for column in columns)
    more = [f"<tr><td>{total - len(rows)} more</td></tr>\n"] if total > len(rows) else []
    return "".join([f"<table>\n<tr>{heading}</tr>\n", *rows, *more, "</table>\n"])


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _verdict(run: Summary) -> str:
    return f"{'❌' if is_failure(run) else '✅'} {escape(escape_controls(verdict_text(run)))}"


def _code(text: Any) -> str:
    """Render text from outside as HTML code, on one line and shortened."""
    shortened = shorten(escape_controls(str(text)), _LONGEST_TEXT)
    return f"<code>{escape(shortened)}</code>" if shortened else ""


def _code_block(command: str) -> str:
    """Render a command to copy, unshortened. The fence is longer than any in the command."""
    line = escape_controls(command)
    fence = "```"
    while fence in line:
        fence += "`"
    return f"{fence}sh\n{line}\n{fence}\n"


def _fitting(sections: Iterable[str], room: int) -> list[str]:
    """Return the sections that fit into ``room`` bytes, each of them whole."""
    fitting = []
    for section in sections:
        size = _size(section)
        if size <= room:
            fitting.append(section)
            room -= size
    return fitting


def _size(section: str) -> int:
    return len(section.encode()) + 1


def _note(*left_out: str) -> str:
    parts = [part for part in left_out if part]
    return f"Left out, to stay within GitHub's 1 MiB: {', '.join(parts)}.\n" if parts else ""


def _left_out(count: int, singular: str, plural: str) -> str:
    return _counted(count, singular, plural) if count else ""


def _counted(count: int, singular: str, plural: str) -> str:
    return f"{count} {singular if count == 1 else plural}"


def _failure_lines(run: Summary) -> list[str]:
    """Return the reason for which a run did not pass, its other failures, and the command that repeats it."""
    reason = run["failure"] or "; ".join(run["notes"]) or f"the run's verdict is {run['verdict']}"
    named = [
        (threshold["wanted"], f"threshold {threshold['wanted']}", threshold["verdict"], threshold["measured"])
        for threshold in run["thresholds"]
        if threshold["verdict"] in (FAILED, NO_DATA)
    ]
    named += [
        (check["name"], f"check {check['name']}", check["verdict"], check["finding"])
        for check in run["checks"]
        if check["verdict"] == FAILED
    ]
    others = [sentence(*parts) for name, *parts in named if name not in reason]
    return [reason, *others, f"Repeat it: {run['repeat']}"]


def _command(kind: str, run: Summary | SessionTest, directory: str, title: str, lines: Sequence[str]) -> str:
    properties = {"title": shorten(escape_controls(title), _LONGEST_TITLE)}
    if run.get("file"):
        properties["file"] = escape_controls(os.path.normpath(os.path.join(directory, run["file"])))
        properties["line"] = str(run.get("line") or 1)
    named = ",".join(f"{name}={_escape_property(value)}" for name, value in properties.items())
    message = shorten("\n".join(map(escape_controls, lines)), _LONGEST_MESSAGE)
    return f"::{kind} {named}::{_escape_data(message)}"


def _first_ten(kind: str, commands: Sequence[str], problem: str) -> list[str]:
    """Return the commands, or nine of them and one that counts the rest."""
    if len(commands) <= ANNOTATION_LIMIT:
        return list(commands)
    shown = list(commands[: ANNOTATION_LIMIT - 1])
    return [*shown, f"::{kind} title=Stress tests::{len(commands) - len(shown)} more runs {problem}"]


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")


def _quoted(path: str | os.PathLike[str]) -> str:
    return repr(os.fspath(path))
