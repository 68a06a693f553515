"""Hooks that find exceptions in what a target left behind, during runs.

The interpreter and asyncio report exceptions that nobody handles to hooks. The hooks of this module stand before
those of pytest or of the user, and pass on exceptions that belong to no run. They are installed during runs only.

A thread or a task of an event loop belongs to the operation in which it was started. Exceptions of anything else,
such as a thread that a fixture started, belong to every run in progress.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import functools
import gc
import logging
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

from pytest_nos_stress._internal.instrument import Lock, Thread, current_thread, sleep
from pytest_nos_stress._internal.patches import Patch
from pytest_nos_stress.engines import leftovers
from pytest_nos_stress.engines.base import CURRENT_AGENT
from pytest_nos_stress.engines.current_agent import current_agent

from .agent import Agent
from .background import BackgroundErrors, Origin, Source
from .background_futures import FutureWatch, copy_of
from .background_threads import ORIGIN, await_older_threads, await_raw_threads, join_threads, system_threads
from .earlier_garbage import YOUNG, EarlierGarbage

_PATIENCE: Final = 0.5
"""Seconds to wait at the end of a run for futures, and for exceptions that other threads are noting."""
_TIME_TO_LEAVE_A_FINALIZER: Final = 0.01
_DESTROYED: Final = "Task was destroyed"


class _Hooks:
    """The process's hooks, and the runs in progress."""

    def __init__(self) -> None:
        self._runs: tuple[BackgroundErrors, ...] = ()
        self._lock = Lock()
        self._collecting: int | None = None
        self._has_frozen = False
        self._garbage = EarlierGarbage()
        self._tasks: weakref.WeakKeyDictionary[Any, Origin] = weakref.WeakKeyDictionary()
        """Tasks of event loops, and futures of their executors."""
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._futures = FutureWatch(self.origin_here)
        self._patches_uvloop = False
        self._patches = [
            Patch(threading, "excepthook", self._threading_excepthook),
            Patch(threading.Thread, "start", self._thread_start),  # noqa: TID251 - the target's threads
            Patch(sys, "unraisablehook", self._unraisablehook),
            Patch(warnings, "_warn_unawaited_coroutine", self._warn_unawaited_coroutine),
            *self._futures.patches,
            *self._patches_of(asyncio.BaseEventLoop),
        ]

    def _patches_of(self, loop_type: type) -> list[Patch]:
        return [
            Patch(loop_type, "create_task", self._create_task),
            Patch(loop_type, "run_in_executor", self._run_in_executor),
            Patch(loop_type, "call_soon_threadsafe", self._call_soon_threadsafe),
            Patch(loop_type, "default_exception_handler", self._default_exception_handler),
        ]

    def begin(self, run: BackgroundErrors) -> None:
        with self._lock:
            self._runs = (*self._runs, run)
            if len(self._runs) > 1:
                return
            self._collecting = None
            self._freeze()
            if "uvloop" in sys.modules and not self._patches_uvloop:
                self._patches_uvloop = True
                self._patches += self._patches_of(sys.modules["uvloop"].Loop)
            for patch in self._patches:
                patch.apply()
            self._futures.begin()
            gc.callbacks.append(self._on_collection)
            logging.getLogger("concurrent.futures").addFilter(self._on_log)

    def end(self, run: BackgroundErrors) -> None:
        with self._lock:
            if run not in self._runs:
                return
            self._runs = tuple(other for other in self._runs if other is not run)
            if self._runs:
                return
            logging.getLogger("concurrent.futures").removeFilter(self._on_log)
            with contextlib.suppress(ValueError):
                gc.callbacks.remove(self._on_collection)
            self._futures.end()
            for patch in self._patches:
                patch.undo()
            self._loops.clear()
            if self._has_frozen:
                gc.unfreeze()

    def _freeze(self) -> None:
        """Exempt all objects from before the run from garbage collection: their finalizers are not of the run.

        A collection at the end of the run then visits only objects of the run. It takes 0.1 ms, and a full one 10
        to 20 ms. In a process that has exempted objects itself, a run collects only young garbage.
        """
        self._has_frozen = not gc.get_freeze_count()
        if self._has_frozen:
            gc.freeze()

    def collect_earlier_garbage(self) -> None:
        """Collect the garbage of earlier runs if it is time. During a run, its errors would count for that run."""
        with self._lock:
            if not self._runs:
                self._garbage.collect_if_due()

    def forget(self) -> None:
        """Forget the runs, in a process that a target has forked: nobody reads what it notes."""
        self._runs = ()

    # Origins.

    def origin_here(self) -> Origin | None:
        """Return the operation on whose behalf this code runs; None if it is not known."""
        if self._collecting == _thread.get_ident():
            return None  # the garbage is not the garbage of this thread
        agent = current_agent()
        if isinstance(agent, Agent):
            return Origin(agent, agent.current_index())
        origin: Origin | None = getattr(current_thread(), ORIGIN, None)
        return origin

    def _origin_of_task(self, task: Any) -> Origin | None:
        return None if task is None else self._tasks.get(task)

    def _origin_of_handle(self, handle: Any) -> Origin | None:
        context = getattr(handle, "_context", None)
        agent = None if context is None else context.get(CURRENT_AGENT)
        return Origin(agent, None) if isinstance(agent, Agent) else None

    def _belongs_to_a_run(self, error: BaseException, source: Source, origin: Origin | None) -> bool:
        """Note an exception. Return False if it belongs to no run in progress."""
        runs = self._runs
        if origin is not None:
            runs = tuple(run for run in runs if run is origin.run)
        for run in runs:
            run.note(error, source, origin)
        return bool(runs)

    # Hooks. Each returns a function that stands in for the one before it.

    def _threading_excepthook(self, before: Callable[[Any], None]) -> Callable[[Any], None]:
        def excepthook(args: Any) -> None:
            error = args.exc_value if args.exc_value is not None else args.exc_type()
            name = "unknown" if args.thread is None else args.thread.name
            if not self._belongs_to_a_run(error, Source("thread", name), getattr(args.thread, ORIGIN, None)):
                before(args)

        return excepthook

    def _thread_start(self, before: Callable[[Any], None]) -> Callable[[Any], None]:
        def start(thread: Any) -> None:
            origin = self.origin_here() if self._runs and not isinstance(thread, Thread) else None
            if origin is not None:
                setattr(thread, ORIGIN, origin)
            before(thread)

        return start

    def _unraisablehook(self, before: Callable[[Any], None]) -> Callable[[Any], None]:
        def unraisablehook(args: Any) -> None:
            if args.exc_type is KeyboardInterrupt and current_thread() is threading.main_thread():
                Thread(_interrupt_main, name="stress interrupt").start()
                return
            error = args.exc_value if args.exc_value is not None else args.exc_type()
            name = getattr(args.object, "__qualname__", type(args.object).__qualname__)
            kind = "thread" if "thread" in (args.err_msg or "") else "finalizer"
            if not self._belongs_to_a_run(error, Source(kind, name), self.origin_here()):
                before(args)

        return unraisablehook

    def _warn_unawaited_coroutine(self, before: Callable[[Any], None]) -> Callable[[Any], None]:
        def warn_unawaited_coroutine(coroutine: Any) -> None:
            error = RuntimeWarning(f"coroutine {coroutine.__qualname__!r} was never awaited")
            source = Source("coroutine", coroutine.__qualname__)
            if not self._belongs_to_a_run(error, source, self.origin_here()):
                before(coroutine)

        return warn_unawaited_coroutine

    def _create_task(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def create_task(loop: Any, coroutine: Any, **options: Any) -> Any:
            task = before(loop, coroutine, **options)
            if self._runs:
                origin = self._origin_of_task(_current_task(loop)) or self.origin_here()
                if origin is not None:
                    self._tasks[task] = origin
            return task

        return create_task

    def _run_in_executor(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def run_in_executor(loop: Any, *args: Any) -> Any:
            future = before(loop, *args)
            origin = self.origin_here() if self._runs else None
            if origin is not None:
                self._tasks[future] = origin
            return future

        return run_in_executor

    def _call_soon_threadsafe(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def call_soon_threadsafe(loop: Any, callback: Any, *args: Any, **options: Any) -> Any:
            if self._runs and self.origin_here() is not None:
                self._loops.add(loop)
            return before(loop, callback, *args, **options)

        return call_soon_threadsafe

    def _default_exception_handler(self, before: Callable[..., None]) -> Callable[..., None]:
        def default_exception_handler(loop: Any, context: dict[str, Any]) -> None:
            error = context.get("exception")
            message = str(context.get("message"))
            task = context.get("task") or context.get("future")
            if error is None and message.startswith(_DESTROYED):
                error = RuntimeError("the task was destroyed while it was pending")
            if error is None:
                before(loop, context)
                return
            handle = context.get("handle")
            origin = self._origin_of_task(task) or self._origin_of_handle(handle) or self.origin_here()
            if not self._belongs_to_a_run(error, _source_in_loop(task, handle, message), origin):
                before(loop, context)

        return default_exception_handler

    def _on_log(self, record: logging.LogRecord) -> bool:
        """Filter the log of ``concurrent.futures``, which gets the exceptions of a future's callbacks."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return True
        return not self._belongs_to_a_run(error, Source("callback of a future"), self.origin_here())

    def _on_collection(self, phase: str, _info: dict[str, int]) -> None:
        self._collecting = _thread.get_ident() if phase == "start" else None

    # The end of a run.

    def settle(self, run: BackgroundErrors, threads_before: set[int]) -> None:
        """Wait a little for what the target has left behind, and note what nobody has looked at."""
        await_older_threads()
        run.judge_futures(_PATIENCE)
        self._futures.settle(run)
        run.wait_for_notes(_PATIENCE)
        run.still_running += join_threads(run)
        await_raw_threads(threads_before)
        for loop in copy_of(self._loops.copy):
            if loop.is_running():
                leftovers.await_tasks(loop, functools.partial(self._pending_tasks, run, loop))
        gc.collect() if self._has_frozen else gc.collect(YOUNG)
        self._note_unseen_tasks(run)
        self._futures.note_unseen(run)
        run.wait_for_notes(_PATIENCE)

    def _pending_tasks(self, run: BackgroundErrors, loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
        tasks = [task for task, origin in copy_of(self._tasks.items) if origin.run is run]
        return [
            task
            for task in tasks
            if isinstance(task, asyncio.Task) and task.get_loop() is loop and not task.done()
        ]

    def _note_unseen_tasks(self, run: BackgroundErrors) -> None:
        """Note the exceptions of tasks that are still alive and that nobody has looked at."""
        for task, origin in copy_of(self._tasks.items):
            if origin.run is run and task.done() and not task.cancelled() and task._log_traceback:
                run.note(task.exception(), _source_in_loop(task, None, ""), origin)


_HOOKS: Final = _Hooks()
os.register_at_fork(after_in_child=_HOOKS.forget)


def _interrupt_main() -> None:
    """Repeat a Ctrl-C that came in a finalizer or a garbage collection, where it has no effect."""
    sleep(_TIME_TO_LEAVE_A_FINALIZER)
    _thread.interrupt_main()


def collect_earlier_garbage() -> None:
    """Collect the garbage of earlier runs now and then, before a run begins."""
    _HOOKS.collect_earlier_garbage()


@contextlib.contextmanager
def finding_background_errors(run: BackgroundErrors) -> Iterator[None]:
    """Note what the target leaves behind while the block runs, and what ends shortly after it."""
    try:
        threads_before = system_threads()
        _HOOKS.begin(run)  # in the block, because a signal can raise an exception at any time
        yield
        _HOOKS.settle(run, threads_before)
    finally:
        _HOOKS.end(run)


def _current_task(loop: Any) -> Any:
    try:
        return asyncio.current_task(loop)
    except RuntimeError:
        return None


def _source_in_loop(task: Any, handle: Any, message: str) -> Source:
    """Return the source of an exception that an event loop reports."""
    if isinstance(task, asyncio.Task):
        name = getattr(task.get_coro(), "__qualname__", task.get_name())
        return Source("asyncio task", name)
    if task is not None:
        return Source("asyncio future", type(task).__qualname__)
    callback = getattr(handle, "_callback", None)
    return Source("callback", message if callback is None else getattr(callback, "__qualname__", repr(callback)))
