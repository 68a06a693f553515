"""What the command line, ini files and markers say of settings, as values that are checked.

Guarantee: what is wrong is a ``SettingError`` of one line that says where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_nos_stress.config import options
from pytest_nos_stress.config.options import Setting
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.scenario import fields


def ini_label(setting: Setting) -> str:
    """How an error names an ini key."""
    return f"{setting.ini} (ini)"


def read_command_line(config: pytest.Config, of: Sequence[Setting]) -> dict[str, Any]:
    given = {}
    for setting in of:
        raw = config.getoption(setting.dest) if setting.flag else None
        if raw is not None:
            given[setting.name] = setting.read(raw, str(setting.flag))
    return _with_parsed_thresholds(given, "--stress-threshold")


def read_ini(config: pytest.Config, of: Sequence[Setting]) -> dict[str, Any]:
    given = {}
    for setting in of:
        raw = _ini_value(config, setting.ini) if setting.flag and setting.ini else options.UNSET
        if raw is not options.UNSET:
            given[setting.name] = setting.read(raw, ini_label(setting))
    return _with_parsed_thresholds(given, ini_label(options.BY_NAME["thresholds"]))


def _ini_value(config: pytest.Config, key: str) -> Any:
    """The value of an ini key; in native TOML, where pytest wants the one type declared, whatever type it has."""
    try:
        return config.getini(key)
    except (TypeError, pytest.UsageError):
        return _native_toml(config)[key]


def _native_toml(config: pytest.Config) -> dict[str, Any]:
    import tomllib

    path = config.inipath
    if path is None:
        raise pytest.UsageError("the ini file of a stress setting is gone")
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    table: dict[str, Any] = content.get("tool", content).get("pytest", {})
    return table


def _with_parsed_thresholds(given: dict[str, Any], label: str) -> dict[str, Any]:
    if given.get("thresholds"):
        from pytest_nos_stress.results.threshold_parser import parse_threshold

        given["thresholds"] = tuple(
            parse_threshold(text, session_wide=True, label=label) for text in given["thresholds"]
        )
    return given


def read_markers(item: pytest.Item) -> list[dict[str, Any]]:
    """The keywords of the item's stress markers, the closest last."""
    levels = []
    for marker in reversed(list(item.iter_markers("stress"))):
        if marker.args:
            raise SettingError(f"{marker.args[0]!r}: takes keywords only, for instance agents=8")
        values = options.check_all(marker.kwargs)
        if "gate" in values:
            raise SettingError(
                f"gate={values['gate']!r}: allowed in run() only, where the test can judge the result"
            )
        if values.get("thresholds"):
            from pytest_nos_stress.results.threshold_parser import parse_threshold

            values["thresholds"] = tuple(
                parse_threshold(one) if isinstance(one, str) else one for one in values["thresholds"]
            )
        fields.check_level(values)
        levels.append(values)
    return levels
