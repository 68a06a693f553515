"""How text becomes a setting's value: what stands on the command line or in an ini file.

What is no text (a native TOML value) is given back as it is, for the value's kind to check.
"""

from __future__ import annotations

from typing import Any


def parse_scenario(path: Any) -> Any:
    """The scenario in a file that a run has written."""
    from pytest_nos_stress._internal.text import safe_repr
    from pytest_nos_stress.errors import SettingError
    from pytest_nos_stress.scenario.scenario import Scenario

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingError(f"scenario file {safe_repr(path)}: cannot be read ({reason})") from None
    return Scenario.from_json(text, f"scenario file {safe_repr(path)}")
