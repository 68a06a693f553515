"""The summary at the end of a session's terminal output.

A table with a row for each test that failed outside of a run, and for each run, failed runs first. Below each row:
the reason for a failure, latency and failures over time, notes, and the paths of the files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pytest_nos_stress._internal.text import escape_controls, table
from pytest_nos_stress.results.format import format_seconds
from pytest_nos_stress.results.session_tests import NO_TESTS, NOT_FINISHED, NOT_RUN, SKIPPED, SessionTests
from pytest_nos_stress.results.summary_types import SessionTest, Summary
from pytest_nos_stress.results.verdicts import FAILED

from .failure_message import BOTTLENECK
from .session_tests import without_run
from .summary import formatted, is_failure, verdict_text

_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = "_.-=+*#@"
_BLANK: Final = " "
_COARSER: Final = 3


def summary(runs: Sequence[Summary], session: SessionTests = NO_TESTS, *, encoding: str = "utf-8") -> list[str]:
    """Return the lines of the summary. Sparklines are ASCII if the terminal's encoding has no block elements."""
    bars = _BARS if _can_show(encoding) else _PLAIN_BARS
    ordered = sorted(runs, key=lambda run: (not is_failure(run), bool(run["passed"])))
    tests = [test for test in without_run(runs, session) if test["outcome"] in (FAILED, NOT_FINISHED)]
    rows = [*map(_test_row, tests), *map(_row, ordered)]
    details_of_rows = [*([f"why: {test['reason']}"] for test in tests), *(_details(run, bars) for run in ordered)]
    printed = []
    if rows:
        heading, *lines = table([_HEADINGS, *rows], indent="")
        printed = [heading]
        for line, parts in zip(lines, details_of_rows, strict=True):
            printed += [line, *(f"  {escape_controls(part)}" for part in parts)]
    return [*printed, *_unfinished(runs, session)]


def _unfinished(runs: Sequence[Summary], session: SessionTests) -> list[str]:
    """Return lines that count the tests that were not run or skipped, and that name why the session stopped."""
    outcomes = Counter(test["outcome"] for test in without_run(runs, session))
    lines = [
        f"{count} stress {'test was' if count == 1 else 'tests were'} {word}"
        for count, word in ((outcomes[NOT_RUN], "not run"), (outcomes[SKIPPED], "skipped"))
        if count
    ]
    return lines + ([f"the session was stopped: {escape_controls(session.stopped)}"] if session.stopped else [])


def details(run: Summary) -> list[str]:
    """Return the figures and details of one run, a line each."""
    row = dict(zip(_HEADINGS, _row(run), strict=True))
    return [
        escape_controls(line)
        for line in (*(f"{name}: {text}" for name, text in row.items()), *_details(run, _BARS))
    ]


_HEADINGS: Final = (
    "verdict",
    "operations",
    "success/failed/missing",
    "errors",
    "p50",
    "p99",
    "seed",
    "test",
)


def _row(run: Summary) -> tuple[str, ...]:
    texts = formatted(run)
    return (
        verdict_text(run),
        texts["operations"],
        "/".join(texts[name] for name in ("successes", "failures", "missing_data")),
        texts["errors"],
        texts["latency p50"],
        texts["latency p99"],
        str(run["seed"]),
        escape_controls(f"{run['test']}{run['note']}"),
    )


def _test_row(test: SessionTest) -> tuple[str, ...]:
    return (test["outcome"], *["-"] * (len(_HEADINGS) - 2), escape_controls(test["test"]))


def _details(run: Summary, bars: str) -> list[str]:
    """Return the lines below a run's row: the reason for a failure, notes, and the paths of the files."""
    lines = [] if run["passed"] or not run["failure"] else [f"why: {run['failure']}"]
    if run["finding"]:
        lines.append(f"finding: {run['finding']}")
    if run["operations"] > 1:
        lines += filter(None, [_over_time(run, bars)])
    if run["harness"]:
        lines.append(f"{BOTTLENECK}: {run['harness']}")
    if run["not_applicable"]:
        lines.append(f"not applicable: {', '.join(run['not_applicable'])}")
    lines += [*run["notes"], f"files: {run['directory']}"]
    if not run["passed"] and "report" in run["files"]:
        lines.append(f"report: {run['files']['report']}")
    return lines


def _over_time(run: Summary, bars: str) -> str:
    """Return sparklines of latency, and of errors or otherwise failures. Empty if the run took no time."""
    if not run["duration"]:
        return ""
    history = run["history"]
    p99 = history["p99"]
    worst = max((seconds for seconds in p99 if seconds is not None), default=0.0)
    parts = [f"p99 {sparkline(_coarser(p99), bars)} up to {format_seconds(worst)}"] if worst else []
    name, counts = ("errors", history["errors"]) if run["errors"] else ("failures", history["failures"])
    if any(counts):
        begins = history["seconds"][counts.index(max(counts))]
        when = f"at {format_seconds(begins)}" if begins else "at the start"
        parts.append(f"{name} {sparkline(_coarser(counts), bars)} most {when}")
    return ", ".join(parts)


def _coarser(values: Sequence[float | None]) -> list[float | None]:
    """Return the largest of each three values, so that the sparkline fits on a line."""
    starts = range(0, len(values), _COARSER)
    parts = [[value for value in values[at : at + _COARSER] if value is not None] for at in starts]
    return [max(part, default=None) for part in parts]


def sparkline(values: Sequence[float | None], bars: str = _BARS) -> str:
    """Return values as a line of bars from 0 to the largest value, with a blank for None."""
    largest = max((value for value in values if value is not None), default=0.0)
    if not largest:
        return "".join(_BLANK if value is None else bars[0] for value in values)
    steps = len(bars) - 1
    return "".join(_BLANK if value is None else bars[round(value / largest * steps)] for value in values)


def _can_show(encoding: str) -> bool:
    try:
        _BARS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def replay_summary(replayed: Sequence[str]) -> str:
    """Count the outcomes of replayed tests, on one line. Each outcome is the predicate of a sentence on tests."""
    counts = Counter(replayed)
    return "; ".join(
        f"{count} {'test' if count == 1 else 'tests'} {outcome}" for outcome, count in sorted(counts.items())
    )
