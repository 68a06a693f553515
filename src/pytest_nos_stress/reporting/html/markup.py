"""Markup: text from outside made safe for HTML, and the files that every page is made of.

A page carries its style, its scripts and its data in itself and may ask for nothing else: its Content-Security-
Policy lets only the scripts run whose digests it names, and no request leave it (CSP Level 3, ``script-src``
with hashes).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

from pytest_nos_stress._internal.text import escape_controls, escape_keep_newlines

ASSETS: Final = Path(__file__).with_name("assets")
ECHARTS: Final = "echarts.min.js.gz"
_CHART_SCRIPTS: Final = ("format.js", "data.js", "look.js", "charts.js", "tables.js")


def text(value: object) -> str:
    """Text from outside, on one line, for HTML and for values of attributes."""
    return html.escape(escape_controls(str(value)))


def block(value: str) -> str:
    """Text from outside whose line ends are kept."""
    return html.escape(escape_keep_newlines(value))


@cache
def asset(name: str) -> str:
    """A file of ours as text."""
    return (ASSETS / name).read_text("utf-8")


@cache
def packed_echarts() -> bytes:
    """The published charting library, compressed, as Base64."""
    return base64.b64encode((ASSETS / ECHARTS).read_bytes())


@cache
def echarts() -> str:
    """The published charting library."""
    return gzip.decompress((ASSETS / ECHARTS).read_bytes()).decode()


@cache
def chart_script() -> str:
    """What makes options of charts from data: the page and the static pictures use the same."""
    return "\n".join(map(asset, _CHART_SCRIPTS))


@cache
def page_script() -> str:
    """The page's own script."""
    return f"{chart_script()}\n{asset('report.js')}"


@cache
def policy() -> str:
    """What a report may do: run these two scripts, and ask for nothing."""
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in (page_script(), echarts()))
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


POLICY_WITHOUT_SCRIPTS: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def template(name: str) -> Template:
    """A file of ours with ``$name`` in place of what a page fills in."""
    return Template(asset(name))


def digits(number: str) -> str:
    """A whole number in groups of three, without a character between them: copied, it is the number."""
    if not number.isdecimal() or len(number) < 5:
        return text(number)
    first = len(number) % 3
    groups = [number[:first]] * bool(first) + [number[at : at + 3] for at in range(first, len(number), 3)]
    spans = "".join(f'<span class="group">{group}</span>' for group in groups)
    return f'<data value="{number}">{spans}</data>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], label: str, *, numbers_from: int = 99) -> str:
    """A table of cells that are markup already; columns from ``numbers_from`` on are numbers."""
    kinds = [' class="number"' if column >= numbers_from else "" for column in range(len(heads))]
    head = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in zip(heads, kinds, strict=True))
    body = "".join(f"<tr>{_cells(row, kinds)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[str], kinds: Sequence[str]) -> str:
    first, *others = row
    return f'<th scope="row">{first}</th>' + "".join(
        f"<td{kind}>{cell}</td>" for cell, kind in zip(others, kinds[1:], strict=True)
    )
