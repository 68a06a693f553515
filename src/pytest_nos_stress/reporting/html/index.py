"""The index of a session: a row for each run, the failed ones first, each with a link to its report.

A test whose outcome no run shows has a row too, before the runs.

Plain HTML without scripts. The texts of figures come from ``summary.formatted``. A small chart shows each run over
time: operations, failures and errors.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from pytest_nos_stress.reporting import session_tests
from pytest_nos_stress.reporting import summary as summaries
from pytest_nos_stress.results.session_tests import NO_TESTS, SessionTests
from pytest_nos_stress.results.summary_types import SessionTest, Summary
from pytest_nos_stress.results.verdicts import FAILED, PASSED

from .markup import POLICY_WITHOUT_SCRIPTS, asset, digits, template, text

_HEADS: Final = ("Verdict", "Test", "Over time", "Operations", "Failed", "Errors", "p50", "p99", "Seed")
_WIDTH, _HEIGHT = 120, 26


def render(runs: Sequence[Summary], directory: str = "", session: SessionTests = NO_TESTS) -> bytes:
    """Render the index as one HTML file, UTF-8, for a directory relative to the one in which pytest started."""
    ordered = sorted(runs, key=lambda run: not summaries.is_failure(run))
    tests = session_tests.without_run(runs, session)
    has_passed = session_tests.has_passed(runs, session)
    heads = "".join(
        f'<th scope="col"{" class=number" * (number > 2)}>{name}</th>' for number, name in enumerate(_HEADS)
    )
    rows = [
        *(_test_row(test) for test in tests if session_tests.is_bad(test)),
        *(_row(run, directory) for run in ordered),
        *(_test_row(test) for test in tests if not session_tests.is_bad(test)),
    ]
    page = template("index.html").substitute(
        policy=POLICY_WITHOUT_SCRIPTS,
        style=asset("report.css"),
        headline=session_tests.headline(runs, session),
        stopped=f'<p class="reason">{text(f"The session was stopped: {session.stopped}")}</p>'
        * bool(session.stopped),
        verdict_class="passed" if has_passed else "failed",
        verdict_sign="✓" if has_passed else "✕",
        heads=heads,
        rows="\n".join(rows),
    )
    return page.encode()


def _test_row(test: SessionTest) -> str:
    """Return the row of a test that has no run to show. It has no figures."""
    kind, sign = (FAILED, "✕") if session_tests.is_bad(test) else ("plain", "-")
    reason = f'<br><span class="note">{text(test["reason"])}</span>' if test["reason"] else ""
    return (
        f'<tr><td><span class="tag {kind}"><span aria-hidden="true">{sign}</span> '
        f"{text(test['outcome'])}</span></td>"
        f'<th scope="row" class="wide">{text(test["test"])}{reason}</th>'
        f'<td colspan="{len(_HEADS) - 2}"></td></tr>'
    )


def _row(summary: Summary, directory: str) -> str:
    texts = summaries.formatted(summary)
    figures = [
        ("Operations", digits(texts["operations"])),
        ("Failed", digits(texts["failures"])),
        ("Errors", digits(texts["errors"])),
        ("p50", text(texts["latency p50"])),
        ("p99", text(texts["latency p99"])),
        ("Seed", text(summary["seed"])),
    ]
    kind, sign = (FAILED, "✕") if summaries.is_failure(summary) else (PASSED, "✓")
    reason = f'<br><span class="note">{text(summary["failure"])}</span>' if summary["failure"] else ""
    cells = "".join(f'<td class="number" data-name="{name}">{value}</td>' for name, value in figures)
    return (
        f'<tr><td><span class="tag {kind}"><span aria-hidden="true">{sign}</span> '
        f"{text(summaries.verdict_text(summary))}</span></td>"
        f'<th scope="row" class="wide">{_link(summary, directory)}{reason}</th>'
        f'<td class="wide">{_sparkline(summary)}</td>{cells}</tr>'
    )


def _link(summary: Summary, directory: str) -> str:
    name = text(summary["test"]) + (f" (run {summary['run']})" if summary["run"] > 1 else "")
    report = summary["files"].get("report")
    return name if report is None else f'<a href="{text(_relative(report, directory))}">{name}</a>'


def _relative(path: str, directory: str) -> str:
    """Return a path as a URL relative to the index. The URL never has a scheme, such as ``javascript:``."""
    steps = os.path.relpath(path, directory or os.curdir).split(os.sep)
    return f"./{'/'.join(quote(step, safe='', errors='replace') for step in steps)}"


def _sparkline(summary: Summary) -> str:
    history = summary["history"]
    operations = history["operations"]
    if len(operations) < 2:
        return ""
    most = max(*operations, 1)
    lines = "".join(
        f'<polyline class="{kind}" points="{_points(counts, most)}"/>'
        for counts, kind in ((operations, "all"), (history["failures"], "wrong"), (history["errors"], "worst"))
    )
    label = f"Over time, at most per step: {max(operations)} operations, {max(history['failures'])} failures, "
    label += f"{max(history['errors'])} errors"
    return f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{lines}</svg>'


def _points(values: Sequence[float], most: float) -> str:
    step = _WIDTH / (len(values) - 1)
    return " ".join(
        f"{at * step:.1f},{1 + (_HEIGHT - 2) * (1 - value / most):.1f}" for at, value in enumerate(values)
    )
