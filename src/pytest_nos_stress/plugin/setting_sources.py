"""Read settings from the command line, ini files and markers, and validate each value.

Guarantee: a value that is not allowed raises ``SettingError``. Its message is one line that names the source.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_nos_stress.config import UNSET, Setting, merge, options
from pytest_nos_stress.errors import SettingError


def ini_label(setting: Setting) -> str:
    """Return the name by which an error message calls an ini key."""
    return f"{setting.ini} (ini)"


def read_command_line(config: pytest.Config, settings: Iterable[Setting]) -> dict[str, Any]:
    """Return the values of the settings that are set on the command line. Raises ``SettingError``."""
    values = {}
    for setting in settings:
        raw = config.getoption(setting.dest) if setting.flag else None
        if raw is not None:
            values[setting.name] = setting.read(raw, str(setting.flag))
    return _with_parsed_thresholds(values, "--stress-threshold")


def read_ini(config: pytest.Config, settings: Iterable[Setting]) -> dict[str, Any]:
    """Return the values of the settings that are set in the ini file. Raises ``SettingError``."""
    values = {}
    for setting in settings:
        raw = _ini_value(config, setting.ini) if setting.flag and setting.ini else UNSET
        if raw is not UNSET:
            values[setting.name] = setting.read(raw, ini_label(setting))
    return _with_parsed_thresholds(values, ini_label(options.BY_NAME["thresholds"]))


def _ini_value(config: pytest.Config, key: str) -> Any:
    """Return the value of an ini key. In native TOML, its type can differ from the type declared to pytest."""
    try:
        return config.getini(key)
    except (TypeError, pytest.UsageError):
        return _native_toml(config)[key]


def _native_toml(config: pytest.Config) -> dict[str, Any]:
    import tomllib

    path = config.inipath
    if path is None:
        raise pytest.UsageError("stress settings: found no ini file to read; name it with -c FILE")
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    table: dict[str, Any] = content.get("tool", content).get("pytest", {})
    return table


def _with_parsed_thresholds(values: dict[str, Any], label: str) -> dict[str, Any]:
    if values.get("thresholds"):
        from pytest_nos_stress.results.threshold_parser import parse_threshold

        values["thresholds"] = tuple(
            parse_threshold(text, session_wide=True, label=label) for text in values["thresholds"]
        )
    return values


class MarkerReader:
    """Reads each stress marker once, even if a test runs many times or several tests share the marker."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[pytest.Mark, dict[str, Any]]] = {}
        """Settings of each marker by ``id(marker)``. The marker is stored too, so that its id is not reused."""

    def read(self, item: pytest.Item) -> list[dict[str, Any]]:
        """Return the settings of each stress marker of the test, the closest last. Raises ``SettingError``."""
        return [self._settings_of(marker) for marker in reversed(list(item.iter_markers("stress")))]

    def _settings_of(self, marker: pytest.Mark) -> dict[str, Any]:
        if id(marker) not in self._read:
            self._read[id(marker)] = marker, _read_marker(marker)
        return self._read[id(marker)][1]


def _read_marker(marker: pytest.Mark) -> dict[str, Any]:
    if marker.args:
        raise SettingError(f"{marker.args[0]!r}: is a positional argument; must be a keyword, such as agents=8")
    values = options.check_all(marker.kwargs)
    if "gate" in values:
        raise SettingError(
            f"gate={values['gate']!r}: allowed in run() only, because the test must then judge the result itself"
        )
    if values.get("thresholds"):
        from pytest_nos_stress.results.threshold_parser import parse_threshold

        values["thresholds"] = tuple(
            parse_threshold(expression) if isinstance(expression, str) else expression
            for expression in values["thresholds"]
        )
    merge.check_source(values)
    return values
