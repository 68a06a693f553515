"""The terminal on which a session shows the progress of its runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_nos_stress._internal.system import system

if TYPE_CHECKING:
    from pytest_nos_stress.reporting.progress import Live


class LiveTerminal:
    """A file descriptor of the terminal or log, which stays usable while pytest captures the tests' output.

    ``view``: the value of the setting ``live``. With ``auto``, there is no live line in CI logs, under xdist, with
    ``-q``, or with ``-s``, which gives the terminal to the tests. With ``plain``, xdist's workers write to
    standard error, because their standard output is not shown.
    """

    def __init__(self, config: pytest.Config, view: str) -> None:
        self._config = config
        self._is_plain = view == "plain"
        self._file = None if view == "off" or not config.getoption("stress") else self._open()

    def progress_of(self, test: str) -> Live | None:
        """Return the live display of a test's run; None if nothing is shown."""
        if self._file is None:
            return None
        from pytest_nos_stress.reporting.progress import ProgressLine, ProgressLog

        has_reporter = self._config.pluginmanager.hasplugin("terminalreporter")
        if self._is_plain:
            return ProgressLog(self._file, test, lambda: not has_reporter or not _width_of_line(self._config))
        if not has_reporter:
            return None
        writer = self._config.get_terminal_writer()
        return ProgressLine(self._file, lambda: writer.fullwidth - writer.width_of_current_line - 2)

    def close(self) -> None:
        if self._file is not None:
            system.close(self._file)

    def _open(self) -> int | None:
        config = self._config
        is_worker = hasattr(config, "workerinput")
        if self._is_plain:
            return _duplicate(2 if is_worker else 1)
        quiet = config.get_verbosity() < 0 or config.getoption("capture", "no") == "no"
        distributed = is_worker or config.getoption("numprocesses", None)
        dumb = os.environ.get("CI") or os.environ.get("TERM") == "dumb"
        if quiet or distributed or dumb or not system.isatty(1):
            return None
        return _duplicate(1)


def _duplicate(file: int) -> int | None:
    """Return another descriptor of a file; None if the file is closed."""
    try:
        return system.dup(file)
    except OSError:
        return None


def _width_of_line(config: pytest.Config) -> int:
    """Return the number of columns that pytest has written on the terminal's current line."""
    return int(config.get_terminal_writer().width_of_current_line)
