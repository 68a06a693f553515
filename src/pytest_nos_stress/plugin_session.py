"""What a pytest session says of its stress tests: the settings of command line and ini, seed, directory.

Guarantee: everything that is wrong on the command line or in an ini file is a ``pytest.UsageError`` before
anything is collected, and everything wrong at a marker is a collection error there; one line each.
"""

from __future__ import annotations

import inspect
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import settings
from .settings import SETTINGS, SettingError, shown
from .text import one_line

if TYPE_CHECKING:
    from .terminal import LiveLine


class StressSession:
    """The session's part of every run's settings."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._writable: set[Path] = set()
        self.interrupted: list[dict[str, Any]] = []
        """The summary's rows of runs that Ctrl-C ended: their tests have no report."""
        from_controller = getattr(config, "workerinput", {}).get("nos_stress", {})
        self.directory = Path(from_controller.get("directory", config.invocation_params.dir))
        try:
            self.ini = _read_ini(config)
            self.command_line = _read_command_line(config)
            self._check()
        except SettingError as error:
            raise pytest.UsageError(str(error)) from None
        given = settings.merge([self.ini, self.command_line]).get("seed")
        if given is None:
            given = from_controller.get("seed")
        self.seed: int = random.SystemRandom().getrandbits(32) if given is None else given
        self._terminal = self._open_terminal()

    @property
    def active(self) -> bool:
        return bool(self.config.getoption("stress"))

    def close(self) -> None:
        if self._terminal is not None:
            os.close(self._terminal)

    def live_line(self) -> LiveLine | None:
        """A live line on the session's terminal; None where there is none to show it on."""
        if self._terminal is None or not self.config.pluginmanager.hasplugin("terminalreporter"):
            return None
        from .terminal import LiveLine

        writer = self.config.get_terminal_writer()
        return LiveLine(self._terminal, lambda: writer.fullwidth - writer.width_of_current_line - 2)

    def _open_terminal(self) -> int | None:
        """The terminal itself, which stays open to us while pytest captures what tests write to it.

        CI logs, xdist, ``-q`` and ``-s`` (which gives the terminal to the tests) have no live line.
        """
        config = self.config
        quiet = config.get_verbosity() < 0 or config.getoption("capture", "no") == "no"
        distributed = hasattr(config, "workerinput") or config.getoption("numprocesses", None)
        dumb = os.environ.get("CI") or os.environ.get("TERM") == "dumb"
        if not self.active or quiet or distributed or dumb or not os.isatty(1):
            return None
        return os.dup(1)

    def for_workers(self) -> dict[str, Any]:
        return {"seed": self.seed, "directory": str(self.directory)}

    def header(self) -> str:
        return f"stress: seed {self.seed}, repeat with --stress-seed={self.seed}"

    def check_marker(self, item: pytest.Function, *, is_body: bool) -> None:
        """Raise ``CollectError`` for a stress marker that is wrong."""
        try:
            values = self.levels(item, {})
            settings.check_together(values)
            self._check_active(values)
            tasks = [marker.kwargs["tasks"] for marker in item.iter_markers("stress") if "tasks" in marker.kwargs]
            if is_body and tasks:
                raise SettingError(f"tasks={shown(tasks[0])}: the body is the task; allowed only with the fixture")
        except SettingError as error:
            where = one_line(f"{item.path.name}::{item.name}")
            raise pytest.Collector.CollectError(f"{where}: stress marker: {error}") from None

    def levels(self, item: pytest.Item, run: dict[str, Any]) -> dict[str, Any]:
        """The settings of one run: the first of ``run(...)``, command line, marker, ini that has each.

        Raises ``SettingError``.
        """
        given = settings.check_all(run)
        settings.check_together(given | {"min_delay": 0, "max_delay": 0})
        values = settings.merge([self.ini, *_read_markers(item), self.command_line, given])
        values.setdefault("seed", self.seed)
        if values["seed"] is None:
            values["seed"] = self.seed
        return values

    def _check(self) -> None:
        def label(name: str) -> str:
            if name in self.command_line:
                return str(settings.BY_NAME[name].flag)
            return _ini_label(name) if name in self.ini else f"{settings.BY_NAME[name].flag} (default)"

        # Each level takes the place of the other's number or duration, so both on one level are an error.
        for level in (self.ini, self.command_line):
            settings.check_together(level | {"min_delay": 0, "max_delay": 0}, label)
        values = settings.merge([self.ini, self.command_line])
        settings.check_together(values, label)
        self._check_active(values, label)

    def _check_active(self, values: dict[str, Any], label: Callable[[str], str] = str) -> None:
        """What can only be tried: does the engine exist, can the directory be written?"""
        if not self.active:
            return
        from .engines import create

        if "engine" in values:
            create(values["engine"], label("engine"))
        directory = self.directory / values.get("output_dir", settings.BY_NAME["output_dir"].default)
        if directory in self._writable:
            return
        try:
            existing = next(one for one in (directory, *directory.parents) if one.exists())
            with tempfile.TemporaryDirectory(dir=existing):
                pass
        except OSError as error:
            raise SettingError(
                f"{label('output_dir')}={shown(str(directory))}: cannot be written ({error.strerror}); "
                "must be a directory to write in"
            ) from None
        self._writable.add(directory)


def _ini_label(name: str) -> str:
    return f"{settings.BY_NAME[name].ini} (ini)"


def _read_command_line(config: pytest.Config) -> dict[str, Any]:
    given = {}
    for setting in SETTINGS:
        raw = config.getoption(setting.dest) if setting.flag else None
        if raw is not None:
            given[setting.name] = setting.read(raw, str(setting.flag))
    return _with_parsed_thresholds(given, "--stress-threshold")


def _read_ini(config: pytest.Config) -> dict[str, Any]:
    given = {}
    for setting in SETTINGS:
        raw = _ini_value(config, setting.ini) if setting.flag and setting.ini else settings.UNSET
        if raw is not settings.UNSET:
            given[setting.name] = setting.read(raw, _ini_label(setting.name))
    return _with_parsed_thresholds(given, _ini_label("thresholds"))


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
        from .thresholds import parse

        given["thresholds"] = tuple(parse(text, session_wide=True, label=label) for text in given["thresholds"])
    return given


def _read_markers(item: pytest.Item) -> list[dict[str, Any]]:
    """The keywords of the item's stress markers, the closest last."""
    levels = []
    for marker in reversed(list(item.iter_markers("stress"))):
        if marker.args:
            raise SettingError(f"{marker.args[0]!r}: takes keywords only, for instance agents=8")
        values = settings.check_all(marker.kwargs)
        if "gate" in values:
            raise SettingError(
                f"gate={values['gate']!r}: allowed in run() only, where the test can judge the result"
            )
        if values.get("thresholds"):
            from .thresholds import parse

            values["thresholds"] = tuple(
                parse(one) if isinstance(one, str) else one for one in values["thresholds"]
            )
        settings.check_together(values | {"min_delay": 0, "max_delay": 0})
        levels.append(values)
    return levels


def body_arguments(item: pytest.Function) -> dict[str, Any]:
    """The fixtures that a test function names, with their values."""
    wanted = inspect.signature(item.obj).parameters
    return {name: value for name, value in item.funcargs.items() if name in wanted}
