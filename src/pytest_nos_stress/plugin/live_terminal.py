"""The terminal on which a session shows its runs while they go on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_nos_stress.reporting.progress import Live


class LiveTerminal:
    """The terminal or log itself, which stays open while pytest captures what tests write to it.

    ``view`` is the setting ``live``. With ``auto``, CI logs, xdist, ``-q`` and ``-s`` (which gives the terminal to
    the tests) have no live line. The standard output of xdist's workers is not shown, their standard error is.
    """

    def __init__(self, config: pytest.Config, view: str) -> None:
        self._config = config
        self._is_plain = view == "plain"
        self._file = None if view == "off" or not config.getoption("stress") else self._open()

    def progress_of(self, test: str) -> Live | None:
        """Return what shows the progress of a test's run; None if nothing does."""
        if self._file is None:
            return None
        from pytest_nos_stress.reporting.progress import ProgressLine, ProgressLog

        shows_here = self._config.pluginmanager.hasplugin("terminalreporter")
        if self._is_plain:
            return ProgressLog(self._file, test, lambda: not shows_here or not _width_of_line(self._config))
        if not shows_here:
            return None
        writer = self._config.get_terminal_writer()
        return ProgressLine(self._file, lambda: writer.fullwidth - writer.width_of_current_line - 2)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)

    def _open(self) -> int | None:
        config = self._config
        is_worker = hasattr(config, "workerinput")
        if self._is_plain:
            return _duplicate(2 if is_worker else 1)
        quiet = config.get_verbosity() < 0 or config.getoption("capture", "no") == "no"
        distributed = is_worker or config.getoption("numprocesses", None)
        dumb = os.environ.get("CI") or os.environ.get("TERM") == "dumb"
        if quiet or distributed or dumb or not os.isatty(1):
            return None
        return _duplicate(1)


def _duplicate(file: int) -> int | None:
    """Return another descriptor of a file; None if the file is closed."""
    try:
        return os.dup(file)
    except OSError:
        return None


def _width_of_line(config: pytest.Config) -> int:
    """How much pytest has written on the terminal's current line."""
    return int(config.get_terminal_writer().width_of_current_line)
