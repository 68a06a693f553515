"""Parse text from the command line or an ini file into values.

A value that is not text, as native TOML gives, is returned as it is, for the value's type to check.
"""

from __future__ import annotations

import ast
from typing import Any


def split_names(text: Any) -> list[str]:
    """Names of comma-separated text, or of a list of such texts."""
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
    """A name, ``name=value`` pairs, or what pytest makes of an inline table where it wants text."""
    if not isinstance(text, str):
        return text
    whole = text.strip()
    if whole.startswith("{"):
        return ast.literal_eval(whole)
    pairs = [part.partition("=") for part in whole.split(",") if part.strip()]
    if len(pairs) == 1 and not pairs[0][1]:
        return whole
    return {name.strip(): parse_value(value.strip()) if equals else 1 for name, equals, value in pairs}


def parse_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
