"""A ``Network`` on one connection: each message meets the delays and losses of a call in process.

A message is all data that one side sends until the other side sends, or until the side has been silent for
``_SILENCE`` seconds. So the n-th request on a connection has the request delay of the n-th draw, and its reply has
the reply delay of that draw, regardless of the number of pieces.

Guarantees: connection number n of a proxy draws only from (seed, proxy name, n). Data keeps its order within a
stream. A lost message, or a message within a partition, resets the connection after ``network.timeout`` seconds,
when a call in process fails, too. Until then, nothing passes.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable
from typing import Final

from pytest_nos_stress.faults.link import Link
from pytest_nos_stress.faults.network_sampling import REPLY_LOST, REQUEST_LOST, NetworkSampler

from .pipeline import EOF, Delayed, Flow, Item, slices

NextDelays = Callable[[], tuple[float, float, int]]
"""Returns the next exchange's delays of request and reply in seconds, and the lost message (0, 1 or 2)."""

_SILENCE: Final = 0.05
_BLOCK: Final = 64


def drawn(draws: NetworkSampler) -> NextDelays:
    """Return a function that draws one exchange at a time from a sampler, which draws in blocks."""
    blocks = (draws.block(_BLOCK) for _ in itertools.count())
    rows = (
        row
        for delays in blocks
        for row in zip(delays.request.tolist(), delays.reply.tolist(), delays.lost.tolist(), strict=True)
    )
    return functools.partial(next, rows)


class RequestReply:
    """Current exchange of request and reply on one connection. Both streams of the connection share it."""

    def __init__(
        self,
        next_delays: NextDelays,
        link: Link,
        is_partitioned: Callable[[], bool],
        loop: asyncio.AbstractEventLoop,
        reset: Callable[[], None],
    ) -> None:
        self.link = link
        self.is_partitioned = is_partitioned
        self.is_lost = False
        self.speaker: Messages | None = None
        self._next = next_delays
        self._loop, self._reset = loop, reset
        self._current: tuple[float, float, int] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def request_delay(self) -> float | None:
        """Return the delay of the next request in seconds; None if it is lost."""
        self._current = self._next()
        request, _, lost = self._current
        return None if lost == REQUEST_LOST else request

    def reply_delay(self) -> float | None:
        """Return the delay of the next reply in seconds; None if it is lost.

        A reply without a request before it has its own draw.
        """
        _, reply, lost = self._current or self._next()
        self._current = None
        return None if lost == REPLY_LOST else reply

    def lose(self) -> None:
        """Stop the connection. It is reset after the network's timeout, when the client gives up."""
        if self.is_lost:
            return
        self.is_lost = True
        self._timer = self._loop.call_later(self.link.network.timeout, self._reset)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Messages(Delayed):
    """Stage of the network in one stream."""

    def __init__(self, flow: Flow, exchange: RequestReply, next_delay: Callable[[], float | None]) -> None:
        super().__init__(flow)
        self._exchange = exchange
        self._next_delay = next_delay
        self._delay: float | None = 0.0
        self._silent_since = float("-inf")
        self._bandwidth = exchange.link.network.bandwidth

    def feed(self, item: Item) -> None:
        exchange = self._exchange
        if exchange.is_lost:
            self.drop(item)
        elif not isinstance(item, bytes) or item == EOF or not self.flow.is_active():
            self.hold(item, 0.0)
        else:
            self._send(item)

    def remove(self) -> None:
        super().remove()
        if self._exchange.is_lost:
            self.flow.reset()

    def end(self) -> None:
        super().end()
        self._exchange.end()

    def _send(self, data: bytes) -> None:
        exchange, now = self._exchange, self.flow.loop.time()
        if exchange.speaker is not self or now - self._silent_since > _SILENCE:
            self._delay = self._next_delay()
        exchange.speaker, self._silent_since = self, now
        if self._delay is None or exchange.is_partitioned():
            self.drop(data)
            exchange.lose()
            return
        for piece in slices(data, self._bandwidth) if self._bandwidth else (data,):
            self.hold(piece, now + exchange.link.queueing(now, len(piece)) + self._delay)
