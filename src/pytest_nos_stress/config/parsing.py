"""Read the scenario of a saved run, for the setting ``scenario``."""

from __future__ import annotations

from typing import Any


def parse_scenario(path: Any) -> Any:
    """Return the scenario in a ``scenario.json`` that a run has written. Raises ``SettingError``."""
    from pytest_nos_stress._internal.text import safe_repr
    from pytest_nos_stress.errors import SettingError
    from pytest_nos_stress.scenario.scenario import Scenario

    try:
        with open(path, "rb") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingError(
            f"scenario file {safe_repr(path)}: cannot be read ({reason}); give the path of a run's scenario.json"
        ) from None
    return Scenario.from_json(text, f"scenario file {safe_repr(path)}")
