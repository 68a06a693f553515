"""A proxy as its user has it in hand: its address, toxics, switches and figures.

Guarantees: every method may be called from any thread but the proxies' own, and has taken effect when it returns,
on open connections too; connection number n (from 0, in the order in which they came) draws from (seed, proxy
name, n), so the same sequence of connections meets the same faults.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, Self, TypeVar

from pytest_nos_stress.faults.network import Network

from .addresses import BACKLOG, Upstream, joined, listening
from .connections import Connections, Planned, Statistics, Toxic
from .toxics import check_stream, check_toxicity, checked

T = TypeVar("T")


class Runner(Protocol):
    """What runs proxies."""

    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives, done in the proxies' thread."""


class Proxy:
    """A proxy before one server. Made by ``ProxyServer.proxy``."""

    def __init__(
        self,
        runner: Runner,
        upstream: Upstream,
        server: tuple[str, int],
        network: Network | None,
        seed: int,
        name: str,
    ) -> None:
        self.name = name
        self.host, self.port = "", 0
        self.is_closed = False
        self._runner = runner
        self._upstream = upstream
        self._listener: asyncio.Server | None = None
        self._connections = Connections(runner.loop, server, network, seed, name)

    @property
    def address(self) -> str:
        """Where clients connect: ``"127.0.0.1:4711"``."""
        return joined(self.host, self.port)

    @property
    def url(self) -> str:
        """The same as a URL, with scheme and path of the upstream's where that was one (else ``tcp``)."""
        return f"{self._upstream.scheme}://{self.address}{self._upstream.path}"

    @property
    def network(self) -> Network | None:
        """The network that messages meet; None if there is none."""
        return self._connections.network

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """The toxics, in the order in which they were added."""
        return self._connections.toxics

    @property
    def predicate(self) -> Callable[[], bool] | None:
        """The predicate of ``active_when``."""
        return self._connections.predicate

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections.opened)

    @property
    def statistics(self) -> Statistics:
        """What has gone through the proxy."""
        return self._runner.run(self._connections.count())

    def add(
        self,
        kind: str,
        *,
        stream: str = "downstream",
        toxicity: float = 1.0,
        name: str | None = None,
        **parameters: float,
    ) -> Toxic:
        """Add a toxic, behind those there are, to open connections too. Raises ``SettingError``.

        ``kind``: latency, bandwidth, slow_close, timeout, reset_peer, slicer or limit_data, with Toxiproxy's
        ``parameters``. ``stream``: ``downstream`` (server to client) or ``upstream``. ``toxicity``: the
        probability that it applies to a connection. ``name``: default ``<kind>_<stream>``.
        """
        __tracebackhide__ = True
        values = checked(kind, parameters)
        check_stream(stream)
        toxic = Toxic(name or f"{kind}_{stream}", kind, stream, check_toxicity(toxicity), values, self)
        self._runner.run(self._connections.add(toxic))
        return toxic

    def remove(self, name: str) -> None:
        """Take the toxic of that name away, from open connections too. Raises ``SettingError``."""
        self._runner.run(self._connections.remove(name))

    def reset(self) -> None:
        """Take all toxics away, and bring the proxy up."""
        for toxic in self.toxics:
            toxic.remove()
        self.up()

    def down(self) -> Down:
        """Refuse new connections and cut the open ones, until ``up()``, or to the end of a ``with`` block."""
        self._runner.run(self._go_down())
        return Down(self)

    def up(self) -> None:
        """Take connections again, at the same port. Raises ``SettingError`` where another program has it now."""
        if self.is_closed:
            raise RuntimeError(f"proxy {self.name!r} is closed")
        if self._listener is None:
            self.listen(listening(self.host, self.port))

    def active_when(self, predicate: Callable[[], bool] | None) -> None:
        """Turn toxics and network on and off.

        While ``predicate()`` is False, everything passes as it is, on open connections too; None: always on. It is
        called for every piece of data, in the proxies' thread, so it must be quick. Its exception means True and
        is raised by ``close()``.
        """
        self._connections.predicate = predicate

    def use_network(self, network: Any, planned: Planned | None = None) -> None:
        """Let messages meet this network from now on, on open connections too, which then begin their draws anew.

        ``network``: as for ``Network.of``. ``planned``: gives what the exchanges of a connection meet, by its
        name; default: the network's draws. A connection of which a message has been lost is reset. Raises
        ``SettingError``.
        """
        self._runner.run(self._connections.change_network(Network.of(network), planned))

    def reseed(self, seed: int, key: str) -> None:
        """Let connections made from now on draw from another seed and key, numbered from 0."""
        self._connections.reseed(seed, key)

    def restart_clock(self) -> None:
        """Let the times of the network's partitions count from now, not from when the proxy was made."""
        self._connections.restart_clock()

    def close(self) -> None:
        """Cut all connections and free the port; may be called again."""
        self._runner.run(self.shut())
        error, self._connections.error = self._connections.error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Proxy {self.name!r} {self.address} before {self._upstream}>"

    def listen(self, listener: socket.socket) -> None:
        """Take connections from a listening socket, which the proxy closes."""
        self.host, self.port = listener.getsockname()[:2]
        self._runner.run(self._go_up(listener))

    async def shut(self) -> None:
        """``close``, in the proxies' thread."""
        self.is_closed = True
        await self._go_down()

    async def _go_up(self, listener: socket.socket) -> None:
        self._listener = await self._runner.loop.create_server(
            self._connections.accept, sock=listener, backlog=BACKLOG
        )

    async def _go_down(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._connections.cut()


class Down:
    """A proxy that is down; the end of a ``with`` block brings it up."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __enter__(self) -> Proxy:
        return self._proxy

    def __exit__(self, *error: object) -> None:
        self._proxy.up()
