"""What a pytest session says of its stress tests: the settings of command line and ini, seed, directory.

Guarantee: everything that is wrong on the command line or in an ini file is a ``pytest.UsageError`` before
anything is collected, and everything wrong at a marker is a collection error there; one line each.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_nos_stress._internal.text import escape_controls, safe_repr
from pytest_nos_stress.config import merge, options
from pytest_nos_stress.config.options import SESSION_SETTINGS, SETTINGS
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.scenario import fields

from .hypothesis_support import is_under_given
from .setting_sources import ini_label, read_command_line, read_ini, read_markers

if TYPE_CHECKING:
    from pytest_nos_stress.faults.proxy import Proxy
    from pytest_nos_stress.reporting.progress import Live

    from .rerun import Rerun


class FixtureProxies(Protocol):
    """The proxies of the ``stress_proxy`` fixture, as far as a session uses them."""

    def open_proxies(self) -> list[Proxy]:
        """The proxies of the session's fixtures and of the running test."""

    def end_test(self) -> None:
        """Close the proxies that the running test has made."""


class StressSession:
    """The session's part of every run's settings."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._writable: set[Path] = set()
        self.interrupted: list[dict[str, Any]] = []
        """The summary's rows of runs that Ctrl-C ended: their tests have no report."""
        self._runs: dict[str, list[dict[str, Any]]] = {}
        self.problems: list[str] = []
        """What of the session's own files could not be written."""
        from_controller = getattr(config, "workerinput", {}).get("nos_stress", {})
        self.directory = Path(from_controller.get("directory", config.invocation_params.dir))
        try:
            self.ini = read_ini(config, SETTINGS)
            self.command_line = read_command_line(config, SETTINGS)
            self._check()
            own = merge.merge(
                [
                    {setting.name: setting.default for setting in SESSION_SETTINGS},
                    read_ini(config, SESSION_SETTINGS),
                    read_command_line(config, SESSION_SETTINGS),
                ]
            )
        except SettingError as error:
            raise pytest.UsageError(str(error)) from None
        self.own = own
        """The settings of the session itself."""
        given = merge.merge([self.ini, self.command_line]).get("seed")
        if "scenario" in self.command_line:  # the other runs of that test had its seed too
            given = self.command_line["scenario"].seed
        if given is None:
            given = from_controller.get("seed")
        self.seed: int = random.SystemRandom().getrandbits(32) if given is None else given
        self._terminal = self._open_terminal()
        self._refusal = ""
        self._has_repeated = False
        self.item: pytest.Item | None = None
        """The test that is running."""
        self.is_in_call = False
        """Whether the test's own code runs, and not its fixtures'."""
        self.proxies: FixtureProxies | None = None
        self.rerun: Rerun | None = None
        """How the running test is run again; None the first time."""

    def begin(self, item: pytest.Item) -> None:
        """Begin a test, perhaps not for the first time."""
        self.item = item
        if "scenario" in self.command_line and item.get_closest_marker("stress"):
            refusal = self._refusal or self._why_not_to_be_repeated(item)
            if refusal:
                pytest.fail(refusal, pytrace=False)

    def _why_not_to_be_repeated(self, item: pytest.Item) -> str:
        if not is_under_given(item):
            return ""
        return "--stress-scenario: a test under @given draws its own; give it the scenario by @example(...)"

    def require_repetition(self) -> None:
        """Fail the running test if it had a scenario to repeat and no run that did."""
        if "scenario" in self.command_line and self.rerun is None and not self._has_repeated:
            pytest.fail(
                f"--stress-scenario: is of the test's run {self._run_to_repeat()}, which it did not make",
                pytrace=False,
            )

    def check_selection(self, stress_tests: Sequence[pytest.Item]) -> None:
        """A scenario from the command line repeats one test.

        Raises ``UsageError``; xdist's workers, which cannot, fail their tests.
        """
        if "scenario" in self.command_line and len(stress_tests) != 1 and not self.config.getoption("collectonly"):
            given = self.config.getoption(options.BY_NAME["scenario"].dest)
            self._refusal = (
                f"--stress-scenario={escape_controls(given)}: repeats one stress test, "
                f"but {len(stress_tests)} are selected; name the test"
            )
            if not hasattr(self.config, "workerinput"):
                raise pytest.UsageError(self._refusal)

    @property
    def active(self) -> bool:
        return bool(self.config.getoption("stress"))

    def close(self) -> None:
        if self._terminal is not None:
            os.close(self._terminal)

    def live(self) -> Live | None:
        """What shows a run that goes on; None where nothing does."""
        if self._terminal is None:
            return None
        from pytest_nos_stress.reporting.progress import ProgressLine, ProgressLog

        shows_here = self.config.pluginmanager.hasplugin("terminalreporter")
        if self.own["live"] == "plain":
            test = self.item.nodeid if self.item is not None else ""
            return ProgressLog(self._terminal, test, lambda: not shows_here or not _width_of_line(self.config))
        if not shows_here:
            return None
        writer = self.config.get_terminal_writer()
        return ProgressLine(self._terminal, lambda: writer.fullwidth - writer.width_of_current_line - 2)

    def _open_terminal(self) -> int | None:
        """The terminal or log itself, which stays open to us while pytest captures what tests write to it.

        Where nobody asks for more, CI logs, xdist, ``-q`` and ``-s`` (which gives the terminal to the tests)
        have no live line. The standard output of xdist's workers is not shown, their standard error is.
        """
        config = self.config
        is_worker = hasattr(config, "workerinput")
        if not self.active or self.own["live"] == "off":
            return None
        if self.own["live"] == "plain":
            return _open_again(2 if is_worker else 1)
        quiet = config.get_verbosity() < 0 or config.getoption("capture", "no") == "no"
        distributed = is_worker or config.getoption("numprocesses", None)
        dumb = os.environ.get("CI") or os.environ.get("TERM") == "dumb"
        if quiet or distributed or dumb or not os.isatty(1):
            return None
        return _open_again(1)

    def note(self, runs: Sequence[dict[str, Any]]) -> None:
        """All runs of a test that has ended; of one that is run again, those of the last time count."""
        for test in {run["test"] for run in runs}:
            self._runs[test] = [run for run in runs if run["test"] == test]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The summaries of the session's runs, with those of a test that Ctrl-C ended."""
        noted = [run for of_test in self._runs.values() for run in of_test]
        return noted + [run for run in self.interrupted if run["test"] not in self._runs]

    def nowhere_applicable(self) -> list[str]:
        """Thresholds of command line and ini that none of the session's runs was judged by."""
        asked = [set(run["not_applicable"]) for run in self.runs]
        return sorted(set.intersection(*asked)) if asked else []

    def workflow_commands(self) -> list[str]:
        """What CI shows at the tests' lines."""
        from . import session_outputs

        return session_outputs.workflow_commands(self.runs, self.config.rootpath)

    def write_outputs(self) -> list[str]:
        """Write what the session has to say of all its runs; returns what went wrong."""
        if not self.active or self.config.getoption("collectonly"):
            return []
        from . import session_outputs

        given = merge.merge([self.ini, self.command_line])
        output_dir = given.get("output_dir", options.BY_NAME["output_dir"].default)
        return session_outputs.write(self.runs, self.own, self.directory, self.directory / output_dir)

    def for_workers(self) -> dict[str, Any]:
        return {"seed": self.seed, "directory": str(self.directory)}

    def header(self) -> str:
        if "scenario" in self.command_line:
            return f"stress: repeats {escape_controls(self.config.getoption(options.BY_NAME['scenario'].dest))}"
        return f"stress: seed {self.seed}, repeat with --stress-seed={self.seed}"

    def check_marker(self, item: pytest.Function, *, is_body: bool) -> None:
        """Raise ``CollectError`` for a stress marker that is wrong."""
        try:
            values = self.levels(item, {})
            fields.check_together(values)
            self._check_active(values)
            tasks = [marker.kwargs["tasks"] for marker in item.iter_markers("stress") if "tasks" in marker.kwargs]
            if is_body and tasks:
                raise SettingError(
                    f"tasks={safe_repr(tasks[0])}: the body is the task; allowed only with the fixture"
                )
        except SettingError as error:
            where = escape_controls(f"{item.path.name}::{item.name}")
            raise pytest.Collector.CollectError(f"{where}: stress marker: {error}") from None

    def levels(self, item: pytest.Item, run: dict[str, Any], number: int = 1) -> dict[str, Any]:
        """The settings of a test's run of that number: the first of ``run(...)``, command line, marker, ini.

        A scenario takes the place of all that decides the plan, on whatever level that is; one that repeats a
        run goes before all others. Raises ``SettingError``.
        """
        given = options.check_all(run)
        fields.check_level(given)
        command_line = {name: value for name, value in self.command_line.items() if name != "scenario"}
        values = merge.merge([self.ini, *read_markers(item), command_line, given])
        values |= self._repeated(number)
        if values.get("scenario") is not None:
            return {name: value for name, value in values.items() if name not in fields.OF_SCENARIO}
        values.setdefault("seed", self.seed)
        if values["seed"] is None:
            values["seed"] = self.seed
        return values

    def explained(self, error: SettingError, number: int) -> SettingError:
        """The error, with the file whose scenario the run was to repeat."""
        if self.rerun is not None or "scenario" not in self.command_line or number != self._run_to_repeat():
            return error
        given = self.config.getoption(options.BY_NAME["scenario"].dest)
        return type(error)(f"--stress-scenario={escape_controls(given)}: {error}")

    def _repeated(self, number: int) -> dict[str, Any]:
        """The scenario to repeat in the test's run of that number, if there is one."""
        replayed = {} if self.rerun is None else self.rerun.settings(number)
        if replayed or "scenario" not in self.command_line or number != self._run_to_repeat():
            return replayed
        self._has_repeated = True
        return {"scenario": self.command_line["scenario"]}

    def _run_to_repeat(self) -> int:
        """Which run of the test the scenario file is of: its directory says so where it is a test's."""
        path = Path(self.config.getoption(options.BY_NAME["scenario"].dest)).absolute()
        run = re.fullmatch(r"run-(\d+)", path.parent.name)
        return int(run[1]) if run and (path.parent.parent / path.name).exists() else 1

    def _check(self) -> None:
        def label(name: str) -> str:
            if name in self.command_line:
                return str(options.BY_NAME[name].flag)
            return (
                ini_label(options.BY_NAME[name]) if name in self.ini else f"{options.BY_NAME[name].flag} (default)"
            )

        for level in (self.ini, self.command_line):
            fields.check_level(level, label)
        values = merge.merge([self.ini, self.command_line])
        fields.check_together(values, label)
        self._check_active(values, label)

    def _check_active(self, values: dict[str, Any], label: Callable[[str], str] = str) -> None:
        """What can only be tried: does the engine exist, can the directory be written?"""
        if not self.active:
            return
        from pytest_nos_stress.engines import engine_class

        if "engine" in values:
            engine_class(values["engine"], label("engine"))
        directory = self.directory / values.get("output_dir", options.BY_NAME["output_dir"].default)
        if directory in self._writable:
            return
        try:
            existing = next(one for one in (directory, *directory.parents) if one.exists())
            with tempfile.TemporaryDirectory(dir=existing):
                pass
        except OSError as error:
            raise SettingError(
                f"{label('output_dir')}={safe_repr(str(directory))}: cannot be written ({error.strerror}); "
                "must be a directory to write in"
            ) from None
        self._writable.add(directory)


def _open_again(file: int) -> int | None:
    """Another descriptor of a file; None where it is closed."""
    try:
        return os.dup(file)
    except OSError:
        return None


def _width_of_line(config: pytest.Config) -> int:
    """How much pytest has written on the terminal's current line."""
    return int(config.get_terminal_writer().width_of_current_line)
