"""Stages of a stream: items pass them one after another, from one end of the stream to the other.

An item is bytes, the sender's end of data (``EOF``), or the command to close the connection (``CLOSE``).
Guarantees: items leave a stage in the order of their arrival; a removed stage passes on all held items at once;
after ``end()``, a stage has no timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Final, Protocol

EOF: Final = b""
"""End of the sender's data. No other item is empty."""


class Close:
    """Command to close the connection after all earlier items have been delivered."""


CLOSE: Final = Close()
Item = bytes | Close

# epoll waits for whole milliseconds, rounded up. Items are therefore released half a millisecond early.
_EARLY: Final = 0.0005
_SECONDS_PER_SLICE: Final = 0.1
_SMALLEST_SLICE: Final = 100


class Flow(Protocol):
    """Interface of a stream for its stages."""

    loop: asyncio.AbstractEventLoop

    def is_active(self) -> bool:
        """Return True if faults are on."""

    def dropped(self, size: int) -> None:
        """Note that ``size`` received bytes will not be delivered."""

    def reset(self) -> None:
        """Reset both ends of the connection."""


class Stage:
    """Base class of stages. Passes all items on unchanged.

    ``random`` is the generator of the stage's draws. It must be set before the stage is added to a stream.
    """

    random: Random

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.pass_on: Callable[[Item], None] = _nowhere

    def begin(self) -> None:
        """Start, after the stage has been added to a stream."""

    def feed(self, item: Item) -> None:
        """Process an item."""
        self.pass_on(item)

    def remove(self) -> None:
        """Pass on all held items. The stage is about to be removed from an open stream."""
        self.end()

    def end(self) -> None:
        """Drop all held items and timers. The connection has ended."""

    def drop(self, item: Item) -> None:
        """Discard an item."""
        if isinstance(item, bytes):
            self.flow.dropped(len(item))


class Delayed(Stage):
    """A stage that holds items until they are due."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow)
        self._held: deque[tuple[float, Item]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, item: Item, due: float) -> None:
        """Pass the item on at ``due`` by the loop's clock, but never before earlier items."""
        if not self._held and due <= self.flow.loop.time() + _EARLY:
            self.pass_on(item)
            return
        self._held.append((due, item))
        if self._timer is None:
            self._set_timer()

    def remove(self) -> None:
        self._cancel()
        while self._held:
            self.pass_on(self._held.popleft()[1])

    def end(self) -> None:
        self._cancel()
        self._held.clear()

    def _release(self) -> None:
        self._timer = None
        latest = self.flow.loop.time() + _EARLY
        while self._held and self._held[0][0] <= latest:
            self.pass_on(self._held.popleft()[1])
        if self._held and self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        self._timer = self.flow.loop.call_at(self._held[0][0] - _EARLY, self._release)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def slices(data: bytes, bytes_per_second: float) -> Iterator[bytes]:
    """Yield the data in pieces of about 0.1 s each, so that a slow link sends continuously."""
    size = max(_SMALLEST_SLICE, int(bytes_per_second * _SECONDS_PER_SLICE))
    if len(data) <= size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _nowhere(item: Item) -> None:
    raise AssertionError(f"a stage without a place was fed {item!r}")
