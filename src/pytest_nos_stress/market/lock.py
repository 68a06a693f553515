"""The lock of an exchange, made for high contention.

With a lock of the standard library, eight busy threads form a convoy if a core is idle (Blasgen, Gray, Mitoma and
Price, "The convoy phenomenon", 1979). Each order then costs a switch of threads, and the exchange loses a third of
its orders/s. `benchmarks/exchange.py` measures both locks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from pytest_nos_stress._internal.instrument import sleep

_TRIES_BEFORE_BLOCKING: Final = 1_000


class ExchangeLock:
    """A reentrant lock for high contention under one GIL.

    A thread that finds the lock taken yields the processor and tries again. It blocks only after 1,000 tries,
    when the holder must be asleep. This avoids the cause of a convoy. A blocked thread that is handed the lock
    cannot use it before it has the GIL. Meanwhile the thread that has the GIL finds the lock taken.
    """

    __slots__ = ("_acquire", "release")

    def __init__(self) -> None:
        lock = threading.RLock()  # noqa: TID251 - cooperates in virtual time, as a target's lock does
        self._acquire: Callable[..., bool] = lock.acquire
        self.release: Callable[[], None] = lock.release

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Acquire the lock as `threading.RLock.acquire` does. Returns True if the lock was acquired.

        `timeout` is in seconds; -1 waits forever.
        """
        if not blocking or timeout != -1:
            return self._acquire(blocking, timeout)
        self.__enter__()
        return True

    def _wait(self) -> None:
        for _ in range(_TRIES_BEFORE_BLOCKING):
            sleep(0)
            if self._acquire(False):
                return
        self._acquire(True)

    def __enter__(self) -> None:
        if not self._acquire(False):
            self._wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
