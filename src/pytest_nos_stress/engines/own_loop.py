"""An event loop with its own thread, for runs that do not use a loop of the user."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import traceback
from asyncio import all_tasks, set_event_loop, wait, wait_for
from typing import Final

from pytest_nos_stress._internal.instrument import Thread
from pytest_nos_stress._internal.loops import new_loop

_TIME_TO_CANCEL: Final = 0.3
_CALLBACKS_OF_TASKS: Final = ("TaskStepMethWrapper", "TaskWakeupMethWrapper")
"""Types of the callbacks that let a task continue. They do not show the task."""


class OwnLoop:
    """An event loop with its own thread."""

    def __init__(self) -> None:
        self.loop = new_loop()
        self._is_stopped = False
        self._thread = Thread(target=self._run, name="stress agents")
        self._thread.start()

    def close(self, timeout: float | None) -> None:
        """End the loop and its thread.

        If a task holds the thread for longer than ``timeout`` seconds, the thread stays, as a daemon.
        """
        self._is_stopped = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)

    def _run(self) -> None:
        loop = self.loop
        set_event_loop(loop)
        try:
            self._run_until_stopped()
            unfinished = all_tasks(loop)
            for task in unfinished:
                task.cancel()
            if unfinished:
                loop.run_until_complete(wait(unfinished, timeout=_TIME_TO_CANCEL))
            for task in unfinished:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(TimeoutError):
                loop.run_until_complete(wait_for(loop.shutdown_asyncgens(), _TIME_TO_CANCEL))
            _report_unseen(loop)
        finally:
            set_event_loop(None)
            loop.close()

    def _run_until_stopped(self) -> None:
        """Run the loop until ``close()``.

        ``SystemExit`` and ``KeyboardInterrupt`` of a task or a callback also leave the loop.
        """
        while not self._is_stopped:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                report_if_lost(self.loop, error)


def _report_unseen(loop: asyncio.AbstractEventLoop) -> None:
    """Pass the exceptions of futures that are still alive, and that nobody has looked at, to the loop's handler.

    A loop reports such a future only when the future is deleted, and a target may keep it.
    """
    futures = [found for found in gc.get_objects() if type(found) is asyncio.Future]
    for future in futures:
        if future.get_loop() is loop and future.done() and future._log_traceback:
            error = future.exception()
            loop.call_exception_handler({"message": "unseen exception", "exception": error, "future": future})


def report_if_lost(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """Pass an exception that has left a loop to the loop's exception handler, unless a task has it."""
    handle, callback = None, None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is asyncio.Handle._run.__code__:
            handle = frame.f_locals["self"]
            callback = handle._callback
    owner = getattr(callback, "__self__", None)
    if handle is None or isinstance(owner, asyncio.Task) or type(callback).__name__ in _CALLBACKS_OF_TASKS:
        return
    loop.call_exception_handler({"message": "exception in callback", "exception": error, "handle": handle})
