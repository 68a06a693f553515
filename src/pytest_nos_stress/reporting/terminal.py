"""The summary that a session's terminal ends with: what a person needs first.

A table with a row for each run, those that did not pass first; below a row why it did not pass, how latency and
failures went over time, what else is to be known, and where to look further.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pytest_nos_stress._internal.text import escape_controls, table
from pytest_nos_stress.results.format import format_seconds
from pytest_nos_stress.results.summary_types import Summary

from .summary import formatted, is_failure, verdict_text

_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = "_.-=+*#@"
_BLANK: Final = " "
_COARSER: Final = 3


def summary(runs: Sequence[Summary], *, encoding: str = "utf-8") -> list[str]:
    """The summary's lines. Where the terminal's encoding has no block elements, sparklines are of ASCII."""
    bars = _BARS if _can_show(encoding) else _PLAIN_BARS
    ordered = sorted(runs, key=lambda run: (not is_failure(run), bool(run["passed"])))
    heading, *lines = table([_HEADINGS, *map(_row, ordered)], indent="")
    printed = [heading]
    for line, run in zip(lines, ordered, strict=True):
        printed += [line, *(f"  {escape_controls(part)}" for part in _below(run, bars))]
    return printed


def details(run: Summary) -> list[str]:
    """One run, a line for each thing that is to be known of it."""
    row = dict(zip(_HEADINGS, _row(run), strict=True))
    return [
        escape_controls(line) for line in (*(f"{name}: {text}" for name, text in row.items()), *_below(run, _BARS))
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


def _below(run: Summary, bars: str) -> list[str]:
    """What follows a run's row: why it did not pass, and what there is to look at."""
    lines = [] if run["passed"] or not run["failure"] else [f"why: {run['failure']}"]
    if run["finding"]:
        lines.append(f"what: {run['finding']}")
    if run["operations"] > 1:
        lines += filter(None, [_over_time(run, bars)])
    if run["harness"]:
        lines.append(f"harness: {run['harness']}")
    if run["not_applicable"]:
        lines.append(f"not applicable: {', '.join(run['not_applicable'])}")
    lines += [*run["notes"], f"files: {run['directory']}"]
    if not run["passed"] and "report" in run["files"]:
        lines.append(f"report: {run['files']['report']}")
    return lines


def _over_time(run: Summary, bars: str) -> str:
    """Latency, and errors or else failures, over the run; empty where there is nothing to see."""
    history = run["history"]
    p99 = history["p99"]
    worst = max((seconds for seconds in p99 if seconds is not None), default=0.0)
    parts = [f"p99 {sparkline(_coarser(p99), bars)} up to {format_seconds(worst)}"] if worst else []
    name, counts = ("errors", history["errors"]) if run["errors"] else ("failures", history["failures"])
    if any(counts):
        begins = format_seconds(history["seconds"][counts.index(max(counts))])
        parts.append(f"{name} {sparkline(_coarser(counts), bars)} most at {begins}")
    return ", ".join(parts)


def _coarser(values: Sequence[float | None]) -> list[float | None]:
    """The largest of each three, so that a line of them fits."""
    starts = range(0, len(values), _COARSER)
    parts = [[value for value in values[at : at + _COARSER] if value is not None] for at in starts]
    return [max(part, default=None) for part in parts]


def sparkline(values: Sequence[float | None], bars: str = _BARS) -> str:
    """Values as a line of bars, from 0 to the largest; a blank where there is none."""
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
    """What came of running tests again, in a line."""
    counts = Counter(replayed)
    return "; ".join(
        f"{count} {'test' if count == 1 else 'tests'} {outcome}" for outcome, count in sorted(counts.items())
    )
