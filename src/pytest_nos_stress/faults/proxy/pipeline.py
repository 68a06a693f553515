"""What stands between the two ends of a stream: stages that items pass one after another.

An item is bytes, the sender's end of data (``EOF``), or the order to close the connection (``CLOSE``). Guarantees:
items leave a stage in the order in which they came; a stage that is removed passes on at once what it holds;
after ``end()`` it has no timer left.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Final, Protocol

EOF: Final = b""
"""The sender's end of data; no other item is empty."""


class Close:
    """The order to close the connection once what was sent before it has been delivered."""


CLOSE: Final = Close()
Item = bytes | Close

# epoll waits for whole milliseconds, rounded up; so what is due is let go half of one early.
_EARLY: Final = 0.0005
_SECONDS_PER_SLICE: Final = 0.1
_SMALLEST_SLICE: Final = 100


class Flow(Protocol):
    """The stream as its stages see it."""

    loop: asyncio.AbstractEventLoop

    def is_active(self) -> bool:
        """Whether faults are on."""

    def dropped(self, size: int) -> None:
        """Bytes that were received will not be delivered."""

    def reset(self) -> None:
        """Reset both ends of the connection."""


class Stage:
    """Passes everything on, in order; subclasses do something to it.

    ``random`` is what its draws come from, where it makes any; set before the stage has its place.
    """

    random: Random

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.pass_on: Callable[[Item], None] = _nowhere

    def begin(self) -> None:
        """The stage has its place in a stream."""

    def feed(self, item: Item) -> None:
        """An item comes."""
        self.pass_on(item)

    def remove(self) -> None:
        """Pass on what is held: the stage is taken out of a stream that goes on."""
        self.end()

    def end(self) -> None:
        """Forget everything: the connection is gone."""

    def drop(self, item: Item) -> None:
        if isinstance(item, bytes):
            self.flow.dropped(len(item))


class Delayed(Stage):
    """A stage that keeps items until they are due."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow)
        self._held: deque[tuple[float, Item]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, item: Item, due: float) -> None:
        """Pass the item on at ``due`` by the loop's clock, but never before those that came earlier."""
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
    """The data in pieces of about a tenth of a second each, so that a slow link is slow and not silent."""
    size = max(_SMALLEST_SLICE, int(bytes_per_second * _SECONDS_PER_SLICE))
    if len(data) <= size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _nowhere(item: Item) -> None:
    raise AssertionError(f"a stage without a place was fed {item!r}")
