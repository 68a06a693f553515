"""Parse text from the command line or an ini file into values.

A value that is not text, such as a number of native TOML, is returned unchanged. Its option type validates it.
"""

from __future__ import annotations

from typing import Any

from .reading import read_literal


def split_names(text: Any) -> list[str]:
    """Return the names in comma-separated text, or in a list of such texts. Raises ``ValueError``."""
    texts = [text] if isinstance(text, str) else list(text)
    if not all(isinstance(part, str) for part in texts):
        raise ValueError(text)
    return [name.strip() for part in texts for name in part.split(",") if name.strip()]


def parse_names(text: Any) -> Any:
    return split_names(text) if isinstance(text, (str, list, tuple)) else text


def parse_switch(text: Any) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(str(text).strip().lower(), text)


def parse_number(text: Any) -> Any:
    return float(text) if isinstance(text, str) else text


def parse_whole(text: Any) -> Any:
    return int(text) if isinstance(text, str) else text


def parse_lines(text: Any) -> Any:
    return [text] if isinstance(text, str) else list(text)


def parse_options(text: Any) -> Any:
    """Parse a name, or ``name=value`` pairs, or the ``repr`` of a dict.

    pytest turns an inline table of TOML into the ``repr`` of a dict if the ini key's type is text.
    """
    if not isinstance(text, str):
        return text
    stripped = text.strip()
    if stripped.startswith("{"):
        return read_literal(stripped)
    pairs = [part.partition("=") for part in stripped.split(",") if part.strip()]
    if len(pairs) == 1 and not pairs[0][1]:
        return stripped
    return {name.strip(): parse_value(value.strip()) if equals else 1 for name, equals, value in pairs}


def parse_value(text: str) -> Any:
    try:
        return read_literal(text)
    except ValueError:
        return text
