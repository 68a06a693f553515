"""The settings of a session, and the merged settings of each test.

Guarantee: a wrong setting on the command line or in an ini file raises ``SettingError`` when the session begins,
and a wrong setting in a marker raises it when the marker is checked.
"""

from __future__ import annotations

import tempfile  # noqa: TID251 - used before the first test
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.config import merge, options
from pytest_nos_stress.config.options import SESSION_SETTINGS, SETTINGS
from pytest_nos_stress.errors import SettingError

from .setting_sources import MarkerReader, ini_label, read_command_line, read_ini


class SessionSettings:
    """The settings of command line and ini file, read once.

    ``directory``: where the session was started. Raises ``SettingError``.
    """

    def __init__(self, config: pytest.Config, directory: Path) -> None:
        self._directory = directory
        self._is_active = bool(config.getoption("stress"))
        self._markers = MarkerReader()
        self._writable: set[Path] = set()
        self.ini = read_ini(config, SETTINGS)
        self.command_line = read_command_line(config, SETTINGS)
        self.test_values = merge.merge([self.ini, self.command_line])
        """Values from ini file and command line that apply to every test."""
        self._check()
        self.session_values: dict[str, Any] = {
            **{setting.name: setting.default for setting in SESSION_SETTINGS},
            **read_ini(config, SESSION_SETTINGS),
            **read_command_line(config, SESSION_SETTINGS),
        }
        """Values of ``SESSION_SETTINGS``, which apply to the session and not to single runs."""

    @property
    def output_dir(self) -> Path:
        """The directory for the session's own files."""
        return self._directory / _output_dir(self.test_values)

    def merged(self, item: pytest.Item, run: dict[str, Any]) -> dict[str, Any]:
        """Merge the settings of a test: ``run(...)`` overrides command line, marker and ini file, in this order.

        Leaves out the command line's scenario, because it applies to one run only. Raises ``SettingError``.
        """
        checked = options.check_all(run)
        merge.check_source(checked)
        command_line = {name: value for name, value in self.command_line.items() if name != "scenario"}
        return merge.merge([self.ini, *self._markers.read(item), command_line, checked])

    def check(self, values: dict[str, Any], label: Callable[[str], str] = str) -> None:
        """Raise ``SettingError`` if merged settings conflict, or cannot work on this machine."""
        merge.check_merged(values, label)
        if not self._is_active:
            return
        if "engine" in values:
            from pytest_nos_stress.engines import engine_class

            engine_class(values["engine"], label("engine"))
        self._check_writable(self._directory / _output_dir(values), label("output_dir"))

    def _check(self) -> None:
        for source in (self.ini, self.command_line):
            merge.check_source(source, self._label)
        self.check(self.test_values, self._label)

    def _label(self, name: str) -> str:
        setting = options.BY_NAME[name]
        if name in self.command_line:
            return str(setting.flag)
        return ini_label(setting) if name in self.ini else f"{setting.flag} (default)"

    def _check_writable(self, directory: Path, label: str) -> None:
        if directory in self._writable:
            return
        try:
            existing = next(parent for parent in (directory, *directory.parents) if parent.exists())
            with tempfile.TemporaryDirectory(dir=existing):
                pass
        except OSError as error:
            raise SettingError(
                f"{label}={safe_repr(str(directory))}: cannot be written ({error.strerror}); "
                "must be a writable directory"
            ) from None
        self._writable.add(directory)


def _output_dir(values: dict[str, Any]) -> str:
    output_dir: str = values.get("output_dir", options.BY_NAME["output_dir"].default)
    return output_dir
