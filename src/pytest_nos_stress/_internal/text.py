"""Text from outside (names, error messages) made safe to write: one line, no control characters."""

from __future__ import annotations

import re
import shlex
import traceback
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from types import TracebackType
from typing import Final

# C0 and C1 controls, DEL, the Unicode line separators, the bidirectional overrides and lone surrogates.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST_NAME: Final = 150
_LONGEST_MESSAGE: Final = 2_000
_LONGEST_TRACEBACK: Final = 10_000
_CALLERS: Final = (
    "contextlib",
    "pytest_nos_stress.run.agent",
    "pytest_nos_stress.run.checks",
    "pytest_nos_stress.engines.asyncio_engine",
    "pytest_nos_stress.engines.threads",
    "pytest_nos_stress.engines.virtual.actor",
    "pytest_nos_stress.engines.virtual.engine",
    "pytest_nos_stress.faults.call_faults",
    "pytest_nos_stress.faults.transport",
    "pytest_nos_stress.plugin.simulator_fixture",
    "pytest_nos_stress.run.context",
)


def one_line(text: str) -> str:
    """The text with each control character escaped as Python would write it."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def lines(text: str) -> str:
    """The text with its control characters escaped, line ends and tabs kept."""
    return "\n".join("\t".join(map(one_line, line.split("\t"))) for line in text.split("\n"))


def shell_command(parts: Iterable[str]) -> str:
    """Words as a command for bash, on one line: those with control characters are quoted as ``$'...'``."""
    return " ".join(shlex.quote(part) if one_line(part) == part else _ansi_c_quoted(part) for part in parts)


def _ansi_c_quoted(word: str) -> str:
    quoted = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{one_line(quoted)}'"


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows as lines with aligned columns; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def error_name(error: BaseException) -> str:
    """The type of an exception, with its module where it is not a built-in one."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def error_message(error: BaseException) -> str:
    """``str(error)``, bounded in length; says so where ``str()`` itself raises, whatever it raises."""
    try:
        return shorten(str(error), _LONGEST_MESSAGE)
    except BaseException as broken:
        return f"<str() of this exception raised {type(broken).__name__}>"


def from_target_on(error: BaseException) -> TracebackType | None:
    """The exception's traceback without the frames of those here who called the target."""
    tail = error.__traceback__
    while tail is not None and tail.tb_frame.f_globals.get("__name__") in _CALLERS:
        tail = tail.tb_next
    return tail


def error_traceback(error: BaseException) -> str:
    """The formatted traceback from the target's first frame on, bounded in length."""
    try:
        text = "".join(traceback.format_exception(type(error), error, from_target_on(error)))
    except BaseException as broken:
        return f"<formatting this traceback raised {type(broken).__name__}>"
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"


def safe_name(test_id: str) -> str:
    """A test id as the name of one directory: readable, and different for different ids.

    Ids of plain names map one to one (``tests/test_a.py::test_b`` to ``tests-test_a.py--test_b``); an id with
    other characters, or a long one, carries a hash.
    """
    mapped = test_id.replace("::", "--").replace("/", "-").lstrip(".")
    safe = "".join(character if _is_safe(character) else "_" for character in mapped)[:_LONGEST_NAME]
    if safe == mapped and re.fullmatch(r"(?!\.)([\w.]+/)*[\w.]+(::\w+)*(\[\w*\])?", test_id):
        return safe
    digest = blake2b(test_id.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{safe}-{digest}"


def _is_safe(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "_.-[]")
