"""One connection through a proxy: two ends, and a stream from each end to the other.

Guarantees: without stages, bytes go directly from one socket to the other. Backpressure limits a fast sender, so a
stream holds only about ``_MOST_HELD`` bytes besides the buffers of the sockets. The end of data in one direction
passes, and leaves the other direction open. A reset of one end resets the other.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

from .pipeline import EOF, Item, Stage

_MOST_HELD: Final = 1 << 20
_LINGER_0: Final = struct.pack("ii", 1, 0)


class Stream:
    """Data from one end of a connection to the other, through stages."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.loop = connection.loop
        self.is_active = connection.is_active
        self.reset = connection.reset
        self.stages: list[Stage] = []
        self.has_ended = False
        self.bytes = 0
        self._head: Callable[[Item], None] = self._deliver
        self._source: asyncio.Transport | None = None
        self._destination: asyncio.Transport | None = None
        self._held = 0
        self._is_full = False

    def connect(self, source: asyncio.Transport, destination: asyncio.Transport) -> None:
        self._source, self._destination = source, destination

    def receive(self, data: bytes) -> None:
        if not self.stages:
            self._deliver(data)
            return
        self._held += len(data)
        self._head(data)
        self._adjust()

    def dropped(self, size: int) -> None:
        self._held -= size
        self._adjust()

    def add(self, stage: Stage, *, first: bool = False) -> None:
        self.stages.insert(0 if first else len(self.stages), stage)
        self._join()
        stage.begin()

    def remove(self, stage: Stage) -> None:
        stage.remove()
        if stage in self.stages:
            self.stages.remove(stage)
            self._join()

    def end(self) -> None:
        for stage in self.stages:
            stage.end()
        self.stages.clear()

    def pause(self) -> None:
        """Note that the destination accepts no more data for now."""
        self._is_full = True
        self._adjust()

    def resume(self) -> None:
        self._is_full = False
        self._adjust()

    def _join(self) -> None:
        following: Callable[[Item], None] = self._deliver
        for stage in reversed(self.stages):
            stage.pass_on = following
            following = stage.feed
        self._head = following

    def _deliver(self, item: Item) -> None:
        destination = self._destination
        if not isinstance(item, bytes):
            self.connection.close()
            return
        if destination is None or destination.is_closing():
            return
        if item == EOF:
            self._deliver_end(destination)
        else:
            destination.write(item)
            self.bytes += len(item)
            if self._held:
                self._held = max(0, self._held - len(item))
                self._adjust()

    def _deliver_end(self, destination: asyncio.Transport) -> None:
        self.has_ended = True
        if self.connection.has_ended():
            self.connection.close()
        elif destination.can_write_eof():
            destination.write_eof()

    def _adjust(self) -> None:
        """Pause or resume reading from the source."""
        source = self._source
        if source is None or source.is_closing():
            return
        is_too_much = self._is_full or self._held > _MOST_HELD
        if is_too_much and source.is_reading():
            source.pause_reading()
        elif not is_too_much and not source.is_reading():
            source.resume_reading()


class End(asyncio.Protocol):
    """One end of a connection: its socket, its outgoing stream (``out``) and its incoming stream (``into``)."""

    def __init__(self, out: Stream, into: Stream) -> None:
        self._out, self._into = out, into
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # Data is read only when both ends are connected.
        self.transport.pause_reading()
        self._out.connection.made(self)

    def data_received(self, data: bytes) -> None:
        self._out.receive(data)

    def pause_writing(self) -> None:
        self._into.pause()

    def resume_writing(self) -> None:
        self._into.resume()

    def eof_received(self) -> bool:
        self._out.receive(EOF)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._out.connection.lost(error)


class Connection:
    """A client's connection, and the connection to the server that was made for it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        is_active: Callable[[], bool],
        on_reset: Callable[[], None],
        on_end: Callable[[Connection], None],
    ) -> None:
        self.loop = loop
        self.number = number
        self.is_active = is_active
        self.toxics: dict[str, Stage] = {}
        self._network: tuple[Stage, Stage] | None = None
        self.upstream, self.downstream = Stream(self), Stream(self)
        self.client = End(out=self.upstream, into=self.downstream)
        self.server = End(out=self.downstream, into=self.upstream)
        self._on_reset, self._on_end = on_reset, on_end
        self._is_over = False
        self._open_ends = 0
        self.connecting: asyncio.Task[Any] | None = None

    def open(self, host: str, port: int) -> None:
        """Connect to the server."""
        self.connecting = self.loop.create_task(self._connect(host, port))

    def stream(self, name: str) -> Stream:
        return self.upstream if name == "upstream" else self.downstream

    def join_network(self, upstream: Stage, downstream: Stage) -> None:
        """Add the network's stages in front of all other stages."""
        self._network = upstream, downstream
        self.upstream.add(upstream, first=True)
        self.downstream.add(downstream, first=True)

    def leave_network(self) -> None:
        """Remove the network's stages."""
        if self._network is not None:
            self.upstream.remove(self._network[0])
            self.downstream.remove(self._network[1])
            self._network = None

    def made(self, end: End) -> None:
        """Note that one end is connected. Start reading once both ends are connected."""
        self._open_ends += 1
        client, server = self.client.transport, self.server.transport
        if self._is_over and end.transport is not None:
            end.transport.abort()
        elif client is not None and server is not None:
            self.upstream.connect(client, server)
            self.downstream.connect(server, client)
            client.resume_reading()
            server.resume_reading()

    def has_ended(self) -> bool:
        """Return True if both sides have ended their data."""
        return self.upstream.has_ended and self.downstream.has_ended

    def close(self) -> None:
        """Close both ends after all written data has been sent."""
        for transport in self._transports():
            transport.close()

    def reset(self) -> None:
        """Close both ends at once, with a TCP RST."""
        if not self._is_over:
            self._on_reset()
            self._finish(_abort_with_reset)

    def abort(self) -> None:
        """Close both ends at once, without sending buffered data."""
        self._finish(_abort)

    def lost(self, error: Exception | None) -> None:
        """Note that one end is closed, and close the other end."""
        self._open_ends -= 1
        if not self._is_over:
            self._finish(_close if error is None else _abort_with_reset)
        if not self._open_ends:
            self._on_end(self)

    def _finish(self, end: Callable[[asyncio.Transport], None]) -> None:
        self._is_over = True
        if self.connecting is not None:
            self.connecting.cancel()
        self.upstream.end()
        self.downstream.end()
        for transport in self._transports():
            end(transport)

    def _transports(self) -> list[asyncio.Transport]:
        return [end.transport for end in (self.client, self.server) if end.transport is not None]

    async def _connect(self, host: str, port: int) -> None:
        try:
            await self.loop.create_connection(lambda: self.server, host, port)
        except OSError:
            self.reset()
        finally:
            self.connecting = None


def _close(transport: asyncio.Transport) -> None:
    transport.close()


def _abort(transport: asyncio.Transport) -> None:
    transport.abort()


def _abort_with_reset(transport: asyncio.Transport) -> None:
    connected: socket.socket | None = transport.get_extra_info("socket")
    if connected is not None and connected.fileno() >= 0:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    transport.abort()
