"""Exceptions that signal handlers raise during a run: Ctrl-C, an alarm, a timeout plugin.

Such an exception can come between any two instructions of the main thread. There, a measurement or a file that
failed would hide it, and so would a callback of the interpreter, whose exceptions Python only prints. So the
handler is called when the signal comes, but its exception is kept until the run can end. A second signal is not
kept: whoever presses Ctrl-C twice does not want to wait.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Self

from pytest_nos_stress._internal.instrument import current_thread


class SignalGuard:
    """Keeps the exceptions of signal handlers. ``interrupt`` is called with the first, and must end the run soon.

    Outside of the main thread, which alone receives signals, the guard does nothing.
    """

    def __init__(self, interrupt: Callable[[BaseException], None]) -> None:
        self.raised: BaseException | None = None
        """The exception that a signal handler raised during the run."""
        self.number = 0
        """The number of that signal."""
        self._interrupt = interrupt
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._raises_at_once = False
        self._is_over = False

    def __enter__(self) -> Self:
        if current_thread() is threading.main_thread():
            for number in signal.valid_signals():
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over = True  # first, because a signal can raise an exception here, too
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)

    @contextlib.contextmanager
    def raising_at_once(self) -> Iterator[None]:
        """Do not keep exceptions in the block, which runs code of the user. If it hangs, they must end it."""
        self._raises_at_once = True
        try:
            yield
        finally:
            self._raises_at_once = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        if self._is_over or self.raised is not None:
            self._handle_another(number, frame)
            return
        try:
            self._call_handler(number, frame)
        except BaseException as error:
            self.raised, self.number = error, number
            self._interrupt(error)
            if self._raises_at_once:
                raise

    def _handle_another(self, number: int, frame: FrameType | None) -> None:
        self._call_handler(number, frame)

    def _call_handler(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        self._handlers[number](number, frame)
