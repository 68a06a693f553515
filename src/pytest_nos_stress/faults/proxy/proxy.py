"""Public interface of a proxy: its address, toxics, switches and statistics.

Guarantees: every method can be called from any thread except the proxies' own thread, and has taken effect when it
returns, also on open connections. Connection number n (from 0, in order of arrival) draws from (seed, proxy name,
n), so the same sequence of connections meets the same faults.
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
    """Interface of the server that runs proxies."""

    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the proxies' thread, and return its result."""


class Proxy:
    """A proxy in front of one server. Made by ``ProxyServer.proxy``."""

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
        """Address for clients, such as ``"127.0.0.1:4711"``."""
        return joined(self.host, self.port)

    @property
    def url(self) -> str:
        """URL for clients, with the scheme and path of the upstream's URL. Without one, the scheme is ``tcp``."""
        return f"{self._upstream.scheme}://{self.address}{self._upstream.path}"

    @property
    def network(self) -> Network | None:
        """Network that messages meet; None without a network."""
        return self._connections.network

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """Toxics, in the order in which they were added."""
        return self._connections.toxics

    @property
    def predicate(self) -> Callable[[], bool] | None:
        """Predicate that ``active_when`` has set; None without one."""
        return self._connections.predicate

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections.opened)

    @property
    def statistics(self) -> Statistics:
        """Traffic of the proxy since it was made."""
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
        """Add a toxic behind the existing toxics, also to open connections. Raises ``SettingError``.

        - ``kind``: latency, bandwidth, slow_close, timeout, reset_peer, slicer or limit_data.
        - ``parameters``: the parameters of the kind, as in Toxiproxy.
        - ``stream``: ``downstream`` (server to client, the default) or ``upstream``.
        - ``toxicity``: the probability that the toxic applies to a connection (default 1).
        - ``name``: default ``<kind>_<stream>``.
        """
        __tracebackhide__ = True
        values = checked(kind, parameters)
        check_stream(stream)
        toxic = Toxic(name or f"{kind}_{stream}", kind, stream, check_toxicity(toxicity), values, self)
        self._runner.run(self._connections.add(toxic))
        return toxic

    def remove(self, name: str) -> None:
        """Remove the toxic of that name, also from open connections. Raises ``SettingError``."""
        self._runner.run(self._connections.remove(name))

    def reset(self) -> None:
        """Remove all toxics, and bring the proxy up."""
        for toxic in self.toxics:
            toxic.remove()
        self.up()

    def down(self) -> Down:
        """Refuse new connections and cut open connections, until ``up()`` or the end of a ``with`` block."""
        self._runner.run(self._go_down())
        return Down(self)

    def up(self) -> None:
        """Accept connections again, at the same port. Raises ``SettingError`` if another program uses the port."""
        if self.is_closed:
            raise RuntimeError(f"proxy {self.name!r} is closed")
        if self._listener is None:
            self.listen(listening(self.host, self.port))

    def active_when(self, predicate: Callable[[], bool] | None) -> None:
        """Set a predicate that turns toxics and network on and off, also on open connections.

        While ``predicate()`` is False, all data passes unchanged. None: toxics and network are always on. The
        predicate is called for every piece of data, in the proxies' thread, so it must be fast. If it raises an
        exception, it counts as True, and ``close()`` raises the exception.
        """
        self._connections.predicate = predicate

    def use_network(self, network: Any, planned: Planned | None = None) -> None:
        """Change the network, also for open connections, whose draws then start anew. Raises ``SettingError``.

        ``network``: as for ``Network.of``. ``planned``: returns the function that gives a connection's delays and
        losses, by the connection's name (default: draws of the network). A connection that waits for a lost
        message is reset.
        """
        self._runner.run(self._connections.change_network(Network.of(network), planned))

    def reseed(self, seed: int, key: str) -> None:
        """Make new connections draw from another seed and key. Their numbers begin at 0."""
        self._connections.reseed(seed, key)

    def restart_clock(self) -> None:
        """Restart the clock of the network's partitions at 0. By default it starts when the proxy is made."""
        self._connections.restart_clock()

    def close(self) -> None:
        """Cut all connections and free the port. A second call does nothing.

        Raises the first exception of the predicate of ``active_when``.
        """
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
        """Accept connections from a listening socket, which the proxy closes later."""
        self.host, self.port = listener.getsockname()[:2]
        self._runner.run(self._go_up(listener))

    async def shut(self) -> None:
        """Close the proxy, in the proxies' thread."""
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
    """Context manager of a proxy that is down. The end of a ``with`` block brings the proxy up."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __enter__(self) -> Proxy:
        return self._proxy

    def __exit__(self, *error: object) -> None:
        self._proxy.up()
