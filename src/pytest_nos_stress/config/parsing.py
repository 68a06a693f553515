"""How text becomes a setting's value: what stands on the command line or in an ini file.

What is no text (a native TOML value) is given back as it is, for the value's kind to check.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any


def _split(text: Any) -> list[str]:
    """Names of comma-separated text, or of a list of such texts."""
    texts = [text] if isinstance(text, str) else list(text)
    if not all(isinstance(one, str) for one in texts):
        raise ValueError(text)
    return [name.strip() for part in texts for name in part.split(",") if name.strip()]


def read_agents(text: Any) -> Any:
    if not isinstance(text, (str, list, tuple)):
        return text
    names = _split(text)
    if len(names) == 1 and names[0].lstrip("+-").isdecimal():
        return int(names[0])
    return names


def read_tasks(text: Any) -> Any:
    if isinstance(text, Mapping):
        return text
    whole = text if isinstance(text, str) else "".join(text)
    if whole.strip().startswith("{"):  # what pytest makes of an inline table where it wants text
        return ast.literal_eval(whole.strip())
    names = _split(text)
    if not any("=" in name for name in names):
        return names
    pairs = [name.partition("=") for name in names]
    if len({name for name, _, _ in pairs}) < len(pairs):
        return [name for name, _, _ in pairs]
    return {name.strip(): float(weight or 1) for name, _, weight in pairs}


def read_names(text: Any) -> Any:
    return _split(text) if isinstance(text, (str, list, tuple)) else text


def read_switch(text: Any) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(str(text).strip().lower(), text)


def read_number(text: Any) -> Any:
    return float(text) if isinstance(text, str) else text


def read_whole(text: Any) -> Any:
    return int(text) if isinstance(text, str) else text


def read_lines(text: Any) -> Any:
    return [text] if isinstance(text, str) else list(text)


def read_scenario(path: Any) -> Any:
    """The scenario in a file that a run has written."""
    from pytest_nos_stress.scenario.scenario import Scenario

    from .options import SettingError, shown

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingError(f"scenario file {shown(path)}: cannot be read ({reason})") from None
    return Scenario.from_json(text, f"scenario file {shown(path)}")


def read_fault_windows(text: Any) -> Any:
    from pytest_nos_stress.faults.windows import read_windows

    return read_windows(text)


def read_options(text: Any) -> Any:
    """A name, ``name=value`` pairs, or what pytest makes of an inline table where it wants text."""
    if not isinstance(text, str):
        return text
    whole = text.strip()
    if whole.startswith("{"):
        return ast.literal_eval(whole)
    pairs = [part.partition("=") for part in whole.split(",") if part.strip()]
    if len(pairs) == 1 and not pairs[0][1]:
        return whole
    return {name.strip(): read_value(value.strip()) if equals else 1 for name, equals, value in pairs}


def read_network(text: Any) -> Any:
    """Text, which the network itself reads, but for what pytest makes of an inline table."""
    return read_options(text) if isinstance(text, str) and text.strip().startswith("{") else text


def read_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def read_retries(text: Any) -> Any:
    options = read_options(text)
    return int(options) if isinstance(options, str) else options
