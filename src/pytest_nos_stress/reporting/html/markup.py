"""Markup: escape text from outside for HTML, and load the assets of pages.

A page contains its style, scripts and data, and makes no network request. Its Content-Security-Policy allows only
the scripts whose digests it lists (CSP Level 3, ``script-src`` with hashes).
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

from pytest_nos_stress._internal.system import read
from pytest_nos_stress._internal.text import escape_controls, escape_keep_newlines

ASSETS: Final = Path(__file__).with_name("assets")
ECHARTS: Final = "echarts.min.js.gz"
_CHART_SCRIPTS: Final = ("format.js", "data.js", "look.js", "charts.js", "tables.js")


def text(value: object) -> str:
    """Escape text from outside for HTML and for values of attributes, on one line."""
    return html.escape(escape_controls(str(value)))


def block(value: str) -> str:
    """Escape text from outside for HTML, with its line ends."""
    return html.escape(escape_keep_newlines(value))


@cache
def asset(name: str) -> str:
    """Return the text of an asset."""
    return read(ASSETS / name).decode()


@cache
def packed_echarts() -> bytes:
    """Return the charting library as published, compressed, as Base64."""
    return base64.b64encode(read(ASSETS / ECHARTS))


@cache
def echarts() -> str:
    """Return the source of the charting library as published."""
    return gzip.decompress(read(ASSETS / ECHARTS)).decode()


@cache
def chart_script() -> str:
    """Return the script that makes the options of charts from data, for the page and the static pictures."""
    return "\n".join(map(asset, _CHART_SCRIPTS))


@cache
def page_script() -> str:
    """Return the script of the page: the chart script and the page's own part."""
    return f"{chart_script()}\n{asset('report.js')}"


@cache
def policy() -> str:
    """Return a report's Content-Security-Policy: it runs its two scripts and makes no request."""
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
    """Return an asset as a template with a ``$name`` for each value that a page fills in."""
    return Template(asset(name))


def digits(number: str) -> str:
    """Render a whole number in groups of three digits, without separators, so that copied text is the number."""
    if not number.isdecimal() or len(number) < 5:
        return text(number)
    first = len(number) % 3
    groups = [number[:first]] * bool(first) + [number[at : at + 3] for at in range(first, len(number), 3)]
    spans = "".join(f'<span class="group">{group}</span>' for group in groups)
    return f'<data value="{number}">{spans}</data>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], label: str, *, numbers_from: int = 99) -> str:
    """Render a table. Cells are markup already; columns from index ``numbers_from`` on are numbers."""
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
