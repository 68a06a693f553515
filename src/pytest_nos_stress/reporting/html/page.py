"""The report of a run: one self-contained HTML file that makes no network request.

The verdict comes first, with the findings and the reason; then figures, thresholds, charts, errors and the
scenario. Everything except the charts is plain HTML and needs no JavaScript. The texts of figures come from
``summary.formatted``, so they have the same digits as every other output.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from pytest_nos_stress._internal.outcome import ERROR, FAILED, MISSING, SUCCESS
from pytest_nos_stress._internal.text import counted
from pytest_nos_stress.reporting import summary as summaries
from pytest_nos_stress.reporting.failure_message import BOTTLENECK, excluded_phase
from pytest_nos_stress.results import verdicts
from pytest_nos_stress.results.error_source import place_of
from pytest_nos_stress.results.format import format_seconds
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.statistics_types import ErrorTypeStatistics
from pytest_nos_stress.results.summary_types import Summary
from pytest_nos_stress.results.verdicts import NOT_APPLICABLE, PASSED
from pytest_nos_stress.scenario.phases import STEADY

from .chart_data import chart_data
from .markup import asset, block, digits, packed_echarts, page_script, policy, table, template, text

_MOST_ROWS: Final = 50
_MOST_TRACEBACKS: Final = 10
_HEADS: Final = (
    "Operations",
    "Successful",
    "Missing data",
    "Failed (incl. errors)",
    "Errors",
    "p50",
    "p99",
    "Longest",
)
_COMPRESSION: Final = 6


def render_result(result: StressResult) -> list[bytes]:
    """Render the report of a result as the parts of one file, UTF-8."""
    return render(result, result.summary)


def render(result: StressResult, summary: Summary) -> list[bytes]:
    """Render the report of a run and its summary as the parts of one file, UTF-8."""
    data = chart_data(result)
    page = template("report.html").substitute(
        policy=policy(),
        style=asset("report.css"),
        title=text(f"{summary['verdict']}: {summary['test']}"),
        test=text(_named(summary)),
        verdict=text(str(summary["verdict"]).capitalize()),
        verdict_class="passed" if summary["passed"] else "failed",
        verdict_sign="✓" if summary["passed"] else "✕",
        reasons=_reasons(summary, data["findings"]),
        harness=_harness(summary),
        figures=_figures(summary),
        gate=_gate(summary),
        seed=summary["seed"],
        repeat=block(summary["repeat"]),
        errors=_errors(result),
        breakdown=_breakdown(data),
        scenario=_scenario(result, summary),
        footer=_footer(result),
        script=page_script(),
    )
    return list(_filled(page, {"echarts-packed": packed_echarts(), "data-packed": gzip_base64(data)}))


def _filled(page: str, contents: dict[str, bytes]) -> Iterator[bytes]:
    """Yield the page in parts, with ``contents`` filled in by the id of their element.

    Large contents are yielded as they are, not copied into the page's text. Text from outside cannot imitate such
    an element, because its quotes are escaped.
    """
    for name, content in contents.items():
        before, element, page = page.partition(f'id="{name}">')
        yield f"{before}{element}".encode()
        yield content
    yield page.encode()


def gzip_base64(data: dict[str, Any]) -> bytes:
    """Encode data for a script of a page: compressed JSON as Base64, which has no character special to HTML."""
    written = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(gzip.compress(written, _COMPRESSION, mtime=0))


def _named(summary: Summary) -> str:
    return f"{summary['test']} (run {summary['run']})" if summary["run"] > 1 else str(summary["test"])


def _reasons(summary: Summary, findings: Sequence[str]) -> str:
    """Render the findings, the reason for the verdict, and the notes."""
    reason = summary["failure"] or (_all_passed(summary) if summary["passed"] else "")
    paragraphs = [f'<p class="finding">{text(sentence)}</p>' for sentence in findings]
    paragraphs += [
        f'<p class="reason">{block(sentence)}</p>' for sentence in (reason, *_notes(summary)) if sentence
    ]
    return "\n".join(paragraphs)


def _notes(summary: Summary) -> list[str]:
    """Return the notes, without those that are part of the reason.

    If a note names a phase that thresholds do not judge, all such phases are named.
    """
    phases = [
        excluded_phase(phase)
        for phase in summary["phases"]
        if phase["name"] != STEADY and phase["total_operations"]
    ]
    are_named = any(note in phases for note in summary["notes"])
    notes = [*(phases if are_named else ()), *(note for note in summary["notes"] if note not in phases)]
    return [note for note in notes if note not in summary["failure"]]


def _all_passed(summary: Summary) -> str:
    thresholds, checks = len(summary["thresholds"]), len(summary["checks"])
    numbers = ((thresholds, "threshold"), (checks, "check"))
    counts = " and ".join(counted(count, noun) for count, noun in numbers if count)
    return f"{counts} passed." if counts else ""


def _harness(summary: Summary) -> str:
    words = summary["harness"]
    if not words:
        return ""
    heading = f"<strong>{BOTTLENECK.capitalize()}:</strong>"
    return f'<section class="warning" aria-label="Bottleneck">{heading} {text(words)}</section>'


def _figures(summary: Summary) -> str:
    texts = summaries.formatted(summary)
    figures = [
        ("Operations", texts["operations"], f"by {counted(summary['agents'], 'agent')}", False),
        ("Successful", texts["successes"], texts["success_rate"], not summary["successes"]),
        ("Missing data", texts["missing_data"], texts["missing_data_rate"], False),
        ("Failed (incl. errors)", texts["failures"], texts["failure_rate"], False),
        ("Errors", texts["errors"], texts["error_rate"], bool(summary["errors"])),
        ("Throughput", texts["throughput"], f"in {text(texts['duration'])}", False),
        ("Latency p50", texts["latency p50"], "", False),
        ("p95", texts["latency p95"], "", False),
        ("p99", texts["latency p99"], "", False),
        ("Longest", texts["latency max"], "", False),
    ]
    return "\n".join(
        f"<div><dt>{name}</dt><dd{' class=bad' * is_bad}>{digits(value)}<small>{more}</small></dd></div>"
        for name, value, more, is_bad in figures
    )


def _gate(summary: Summary) -> str:
    rows = [
        (text(threshold["wanted"]), text(threshold["measured"]), _tag(threshold["verdict"]))
        for threshold in summary["thresholds"]
    ]
    rows += [
        (f"check {text(check['name'])}", text(check["finding"]), _tag(check["verdict"]))
        for check in summary["checks"]
    ]
    rows += [(text(expression), "", _tag(NOT_APPLICABLE)) for expression in summary["not_applicable"]]
    rows.sort(key=lambda row: (_tag(PASSED) in row, _tag(NOT_APPLICABLE) in row))
    if not rows:
        return '<p class="note">This run had no thresholds and no checks.</p>'
    return table(("Wanted", "Measured", "Verdict"), rows, "Verdicts on thresholds and checks")


def _tag(verdict: str) -> str:
    signs = {PASSED: (PASSED, "✓"), verdicts.FAILED: (verdicts.FAILED, "✕"), NOT_APPLICABLE: ("plain", "&ndash;")}
    kind, sign = signs.get(verdict, ("", "?"))
    return f'<span class="tag {kind}"><span aria-hidden="true">{sign}</span> {text(verdict)}</span>'


def _errors(result: StressResult) -> str:
    """Render each error type, most frequent first, with an example."""
    error_types = result.error_types
    if not error_types:
        return ""
    most = max(error_type["count"] for error_type in error_types)
    articles = "\n".join(
        _error(error_type, most, has_traceback=rank < _MOST_TRACEBACKS)
        for rank, error_type in enumerate(error_types[:_MOST_ROWS])
    )
    left = len(error_types) - _MOST_ROWS
    more = f'<p class="note">The statistics file lists {left} more error types.</p>' if left > 0 else ""
    return (
        f'<section class="card" aria-labelledby="errors"><h2 id="errors">Errors</h2>\n{articles}{more}</section>'
    )


def _error(error_type: ErrorTypeStatistics, most: int, *, has_traceback: bool) -> str:
    width, name = 100 * error_type["count"] / most, text(error_type["type"])
    place = place_of(error_type["source"], error_type["agent"], error_type["task"])
    return (
        f'<article class="error"><h3><span class="tag failed">{digits(str(error_type["count"]))} &times;</span>'
        f'<span class="mono">{name}</span></h3>'
        f'<span class="bar"><svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.2f}" height="6"/></svg></span>'
        f"<p>{text(error_type['message'])}</p>"
        f'<p class="note">Example: {text(place)}</p>'
        f"{_traceback(error_type) if has_traceback else ''}</article>"
    )


def _traceback(error_type: ErrorTypeStatistics) -> str:
    return (
        '<details><summary>Traceback</summary><pre tabindex="0" '
        f'aria-label="Traceback of {text(error_type["type"])}">'
        f"{block(error_type['traceback'])}</pre></details>"
    )


def _breakdown(data: dict[str, Any]) -> str:
    """Render the figures of tasks and agents as plain tables, worst first."""
    tasks, agents = data["tasks"], data["agents"]
    rows = _rows(tasks, data["levels"]["task"], len(tasks))
    by_task = table(("Task", *_HEADS), rows, "Figures by task", numbers_from=1)
    rows = _rows(agents, data["levels"]["agent"], _MOST_ROWS)
    by_agent = table(("Agent", *_HEADS), rows, "Figures by agent", numbers_from=1)
    left = data["agentsInAll"] - len(rows)
    more = (
        f'<p class="note">{left} agents with fewer errors and unsuccessful operations are not listed.</p>'
        if left > 0
        else ""
    )
    return (
        '<section class="card" aria-labelledby="tables"><h2 id="tables">Figures by task and agent</h2>'
        f"{by_task}<details><summary>By agent, worst first</summary>{by_agent}{more}</details></section>"
    )


def _rows(names: Sequence[str], level: dict[str, Any], most: int) -> list[tuple[str, ...]]:
    """Render a row for each name, at most ``most``: by errors, then by unsuccessful operations, worst first."""
    columns = zip(*level["counts"], *(level["latency"][name] for name in ("p50", "p99", "max")), strict=True)
    figures = [(name, column[:4], column[4:]) for name, column in zip(names, columns, strict=True)]
    figures.sort(key=lambda row: (-row[1][ERROR], row[1][SUCCESS] - sum(row[1])))
    return [
        (
            text(name),
            *map(digits, map(str, _counts(counts))),
            *("&ndash;" if nanoseconds < 0 else format_seconds(nanoseconds / 1e9) for nanoseconds in latency),
        )
        for name, counts, latency in figures[:most]
    ]


def _counts(counts: Sequence[int]) -> tuple[int, ...]:
    """Return counts in the order of the columns. Errors count as failed too, as everywhere except in charts."""
    return sum(counts), counts[SUCCESS], counts[MISSING], counts[FAILED] + counts[ERROR], counts[ERROR]


def _scenario(result: StressResult, summary: Summary) -> str:
    values = {name: value for name, value in result.scenario.to_dict().items() if value is not None}
    agents, operations = values.pop("agents"), values.pop("operations", None)
    values = {"agents": _listed(agents), **values}
    if operations is not None:
        values["operations"] = f"a list of {len(operations)} operations"
    rows = [(text(name), f'<span class="mono">{text(_plain(value))}</span>') for name, value in values.items()]
    files = " · ".join(_file(path) for key, path in summary["files"].items() if key != "report")
    links = f'<p class="note">Other files of this run: {files}</p>' if files else ""
    return (
        '<section class="card" aria-labelledby="scenario"><h2 id="scenario">Scenario</h2>'
        f"{table(('Setting', 'Value'), rows, 'Settings of the scenario')}{links}</section>"
    )


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(names[:8])
    return f"{len(names)}: {first}{', ...' if len(names) > 8 else ''}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _file(path: str) -> str:
    name = PurePath(path).name
    return f'<a href="{text(quote(name, errors="replace"))}">{text(name)}</a>'


def _footer(result: StressResult) -> str:
    stats = result.stats
    return f"Started {text(stats['start_time'])}, Python {text(stats['python'])}."
