"""The lock of an exchange, made for many threads that want it all the time.

With a lock of the standard library eight busy threads form a convoy where a core is idle (Blasgen, Gray, Mitoma
and Price, "The convoy phenomenon", 1979): each order costs a switch of threads, and all together a third of the
orders/s. `benchmarks/exchange.py` measures both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import sleep
from types import TracebackType
from typing import Final

_PATIENCE: Final = 1_000


class ExchangeLock:
    """A reentrant lock for much contention under one GIL.

    A thread that finds it taken gives the processor away and tries again, and blocks only after many tries,
    when its holder must be asleep. So nobody who waits is given the lock without the GIL that is needed to use
    it, while the one that has the GIL finds the lock taken: what makes a convoy.
    """

    __slots__ = ("_acquire", "release")

    def __init__(self) -> None:
        lock = threading.RLock()
        self._acquire: Callable[..., bool] = lock.acquire
        self.release: Callable[[], None] = lock.release

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.RLock.acquire`: whether the lock was taken. `timeout` is in seconds, -1 for ever."""
        if not blocking or timeout != -1:
            return self._acquire(blocking, timeout)
        self.__enter__()
        return True

    def _wait(self) -> None:
        for _ in range(_PATIENCE):
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
