"""Text from outside (names, error messages) made safe to write: one line, no control characters."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    pass


# C0 and C1 controls, DEL, the Unicode line separators, the bidirectional overrides and lone surrogates.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST_NAME: Final = 150
_LONGEST_MESSAGE: Final = 2_000


def escape_controls(text: str) -> str:
    """The text with each control character escaped as Python would write it."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escape_keep_newlines(text: str) -> str:
    """The text with its control characters escaped, line ends and tabs kept."""
    return "\n".join("\t".join(map(escape_controls, line.split("\t"))) for line in text.split("\n"))


def shell_command(parts: Iterable[str]) -> str:
    """Words as a command for bash, on one line: those with control characters are quoted as ``$'...'``."""
    return " ".join(shlex.quote(part) if escape_controls(part) == part else _ansi_c_quoted(part) for part in parts)


def _ansi_c_quoted(word: str) -> str:
    quoted = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{escape_controls(quoted)}'"


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


def safe_repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."
