"""Futures of ``concurrent.futures`` that operations made, and whose exceptions nobody has seen.

Python reports nothing if a future of an executor is dropped together with its exception. While runs go on, the
attribute in which a future keeps its exception is a descriptor. It knows when an exception is stored, and when
anybody reads it. Wrapping ``result()`` would do the same, but add a frame to the tracebacks of targets.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from pytest_nos_stress._internal.patches import Patch

from .background import BackgroundErrors, Origin, Source

T = TypeVar("T")

_EXCEPTION: Final = "_exception"
_ORIGIN: Final = "_nos_stress_origin"
_LONGEST_PATIENCE: Final = 0.5
_SHORTEST_PATIENCE: Final = 0.02


class FutureWatch:
    """Watches the futures of all runs in progress.

    ``origin_here`` returns the operation on whose behalf a future is made. Futures of nobody are not watched: a
    test may read their exceptions after the run.
    """

    def __init__(self, origin_here: Callable[[], Origin | None]) -> None:
        self._origin_here = origin_here
        self._patience = _LONGEST_PATIENCE
        self._made: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._failed: dict[int, tuple[weakref.ref[Any], BaseException, Origin]] = {}
        self.patches = [
            Patch(concurrent.futures.Future, name, self._noting_callbacks)
            for name in ("set_result", "set_exception")
        ]

    def begin(self) -> None:
        setattr(concurrent.futures.Future, _EXCEPTION, _WatchedException(self))

    def end(self) -> None:
        if isinstance(vars(concurrent.futures.Future).get(_EXCEPTION), _WatchedException):
            delattr(concurrent.futures.Future, _EXCEPTION)
        self._made.clear()
        self._failed.clear()

    def _noting_callbacks(self, before: Callable[..., None]) -> Callable[..., None]:
        """Let the run's end wait for the callbacks of a future, which run after waiting threads were woken."""

        def set_outcome(future: Any, *outcome: Any, **by_name: Any) -> None:
            origin: Origin | None = vars(future).get(_ORIGIN)
            run = None if origin is None else origin.run
            with contextlib.nullcontext() if run is None else run.noting():
                before(future, *outcome, **by_name)

        return set_outcome

    def settle(self, run: BackgroundErrors) -> None:
        """Wait for the futures of a run that are not done, and note the exceptions that nobody has seen.

        Work that takes longer is waited for half as long in the next run.
        """
        futures = [future for future in copy_of(self._made.values) if _origin_of(future, run) is not None]
        if concurrent.futures.wait(futures, self._patience).not_done:
            self._patience = max(_SHORTEST_PATIENCE, self._patience / 2)

    def note_unseen(self, run: BackgroundErrors) -> None:
        """Note the exceptions of futures that are still alive and that nobody has looked at."""
        for ident, (_, _, origin) in list(self._failed.items()):
            if origin.run is run:
                self._note(ident, run)

    def made(self, future: Any) -> None:
        origin = self._origin_here()
        if origin is not None:
            vars(future)[_ORIGIN] = origin
            self._made[id(future)] = future

    def failed(self, future: Any, error: BaseException) -> None:
        origin: Origin | None = vars(future).get(_ORIGIN)
        if origin is not None:
            ident = id(future)
            self._failed[ident] = weakref.ref(future, lambda _: self._dropped(ident)), error, origin

    def seen(self, future: Any) -> None:
        self._failed.pop(id(future), None)

    def _dropped(self, ident: int) -> None:
        failed = self._failed.get(ident)
        run = None if failed is None else failed[2].run
        if run is not None:
            self._note(ident, run)

    def _note(self, ident: int, run: BackgroundErrors) -> None:
        """Note the exception of a future, unless another thread does."""
        with run.noting():
            failed = self._failed.pop(ident, None)
            if failed is not None:
                run.note(failed[1], Source("future of an executor"), failed[2])


class _WatchedException:
    """The attribute of a future that has its exception. The value is where it would be without the descriptor."""

    def __init__(self, watch: FutureWatch) -> None:
        self._watch = watch

    def __get__(self, future: Any, _owner: type) -> Any:
        if future is None:
            return self
        error = vars(future).get(_EXCEPTION)
        if error is not None:
            self._watch.seen(future)
        return error

    def __set__(self, future: Any, error: BaseException | None) -> None:
        vars(future)[_EXCEPTION] = error
        if error is None:
            self._watch.made(future)
        else:
            self._watch.failed(future, error)


def copy_of(items: Callable[[], Iterable[T]]) -> list[T]:
    """Return a list of the items of a weak collection, which other threads may change meanwhile."""
    while True:
        try:
            return list(items())
        except RuntimeError:  # it changed during the iteration
            continue


def _origin_of(future: Any, run: BackgroundErrors) -> Origin | None:
    origin: Origin | None = vars(future).get(_ORIGIN)
    return origin if origin is not None and origin.run is run else None
