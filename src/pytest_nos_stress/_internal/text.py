"""Make text from users and targets (names, error messages) safe to print: one line, no control characters."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

# C0 and C1 controls, DEL, the Unicode line separators, the bidirectional overrides and lone surrogates.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST_NAME: Final = 150
_LONGEST_MESSAGE: Final = 2_000


def escape_controls(text: str) -> str:
    """Return the text with each control character as a Python escape sequence."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escape_keep_newlines(text: str) -> str:
    """Return the text with its control characters escaped, except line ends and tabs."""
    return "\n".join("\t".join(map(escape_controls, line.split("\t"))) for line in text.split("\n"))


def shell_command(parts: Iterable[str]) -> str:
    """Return words as a command for bash, on one line. Words with control characters are quoted as ``$'...'``."""
    return " ".join(shlex.quote(part) if escape_controls(part) == part else _ansi_c_quoted(part) for part in parts)


def _ansi_c_quoted(word: str) -> str:
    quoted = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{escape_controls(quoted)}'"


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Return rows as lines with aligned columns. The first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def counted(count: int, noun: str) -> str:
    """Return a number and a noun in the right form: ``1 agent``, ``12 agents``."""
    return f"{count} {noun if count == 1 else f'{noun}s'}"


def shorten(text: str, longest: int) -> str:
    """Return the text, cut off with ``...`` after ``longest`` characters."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def error_name(error: BaseException) -> str:
    """Return the name of an exception's type, with its module if it is not a built-in type."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def error_message(error: BaseException) -> str:
    """Return ``str(error)``, bounded in length, or a text that names the exception that ``str()`` raised."""
    try:
        return shorten(str(error), _LONGEST_MESSAGE)
    except BaseException as broken:
        return f"<str() of this exception raised {type(broken).__name__}>"


def safe_name(test_id: str) -> str:
    """Return the directory name of a test id: readable, and different for different ids.

    An id of plain names is translated directly: ``tests/test_a.py::test_b`` becomes ``tests-test_a.py--test_b``.
    The name of a long id, or an id with other characters, ends with a hash.
    """
    mapped = test_id.replace("::", "--").replace("/", "-").lstrip(".")
    safe = "".join(character if _is_safe(character) else "_" for character in mapped)[:_LONGEST_NAME]
    if safe == mapped and re.fullmatch(r"(?!\.)([\w.]+/)*[\w.]+(::\w+)*(\[\w*\])?", test_id):
        return safe
    digest = blake2b(test_id.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{safe}-{digest}"


def _is_safe(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "_.-[]")


def safe_repr(value: Any) -> str:
    """Return ``repr(value)`` on one line of at most 120 characters, or the type's name if ``repr()`` raises."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."
