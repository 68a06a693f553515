"""A proxy as its user has it in hand: its address, toxics, switches and figures.

Guarantees: every method may be called from any thread but the proxies' own, and has taken effect when it returns,
on open connections too; connection number n (from 0, in the order in which they came) draws from (seed, proxy
name, n), so the same sequence of connections meets the same faults.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar

from pytest_nos_stress._internal.seeding import stream_key
from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.link import Link
from pytest_nos_stress.faults.network import Network
from pytest_nos_stress.faults.network_sampling import NetworkSampler

from .addresses import BACKLOG, Upstream, joined, listening
from .network_stage import Messages, NextDelays, RequestReply, drawn
from .relay import Connection, End
from .toxics import TOXICS, check_stream, check_toxicity, checked

T = TypeVar("T")

Planned = Callable[[str], NextDelays]
"""Gives what the exchanges of a connection meet, by the connection's name."""

_LONGEST_CUT: Final = 1.0


class Runner(Protocol):
    """What runs proxies."""

    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives, done in the proxies' thread."""


class Statistics(NamedTuple):
    """What has gone through a proxy since it was made.

    Bytes are those delivered to the server (``bytes_up``) and to clients (``bytes_down``); ``connections`` is how
    many clients have connected, ``resets`` how many connections the proxy has reset.
    """

    bytes_up: int
    bytes_down: int
    connections: int
    resets: int


@dataclass(frozen=True, eq=False)
class Toxic:
    """A fault on a proxy. In a ``with`` block it is removed at the end."""

    name: str
    kind: str
    stream: str
    toxicity: float
    parameters: Mapping[str, float]
    _proxy: Proxy = field(repr=False)

    def remove(self) -> None:
        """Take the toxic away, from open connections too; nothing happens where it is gone."""
        if self in self._proxy.toxics:
            self._proxy.remove(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


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
        self.network = network
        self.host, self.port = "", 0
        self.toxics: tuple[Toxic, ...] = ()
        self.predicate: Callable[[], bool] | None = None
        self._runner = runner
        self._upstream, self._server = upstream, server
        self._seed = seed
        self._link = None if network is None else Link(network)
        self._started = runner.loop.time()
        self._error: Exception | None = None
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._made = self._resets = self._bytes_up = self._bytes_down = 0
        self.is_closed = False
        self._planned: Planned | None = None
        self._key, self._numbered_from = name, 0
        self._load_generators()

    @property
    def address(self) -> str:
        """Where clients connect: ``"127.0.0.1:4711"``."""
        return joined(self.host, self.port)

    @property
    def url(self) -> str:
        """The same as a URL, with scheme and path of the upstream's where that was one (else ``tcp``)."""
        return f"{self._upstream.scheme}://{self.address}{self._upstream.path}"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def statistics(self) -> Statistics:
        """What has gone through the proxy."""
        return self._runner.run(self._count())

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
        self._runner.run(self._add(toxic))
        return toxic

    def remove(self, name: str) -> None:
        """Take the toxic of that name away, from open connections too. Raises ``SettingError``."""
        self._runner.run(self._remove(name))

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
        self.predicate = predicate

    def use_network(self, network: Any, planned: Planned | None = None) -> None:
        """Let messages meet this network from now on, on open connections too, which then begin their draws anew.

        ``network``: as for ``Network.of``. ``planned``: gives what the exchanges of a connection meet, by its
        name; default: the network's draws. A connection of which a message has been lost is reset. Raises
        ``SettingError``.
        """
        self._runner.run(self._change_network(Network.of(network), planned))

    def reseed(self, seed: int, key: str) -> None:
        """Let connections made from now on draw from another seed and key, numbered from 0."""
        self._seed, self._key, self._numbered_from = seed, key, self._made

    def restart_clock(self) -> None:
        """Let the times of the network's partitions count from now, not from when the proxy was made."""
        self._started = self._runner.loop.time()

    def close(self) -> None:
        """Cut all connections and free the port; may be called again."""
        self._runner.run(self.shut())
        error, self._error = self._error, None
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
        self._listener = await self._runner.loop.create_server(self._accept, sock=listener, backlog=BACKLOG)

    async def _go_down(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        opened = list(self._connections)
        attempts = [connection.connecting for connection in opened if connection.connecting is not None]
        for connection in opened:
            connection.abort()
        if attempts:
            await asyncio.wait(attempts)
        latest = self._runner.loop.time() + _LONGEST_CUT
        while not self._connections.isdisjoint(opened) and self._runner.loop.time() < latest:
            await asyncio.sleep(0)

    async def _change_network(self, network: Network | None, planned: Planned | None) -> None:
        if network == self.network and planned is self._planned:
            return
        self.network, self._planned = network, planned
        self._link = None if network is None else Link(network)
        self._load_generators()
        for connection in list(self._connections):
            connection.leave_network()
            if self._link is not None:
                self._join_network(self._link, connection)

    def _load_generators(self) -> None:
        # NumPy loads its generators when the first is made: not while a message waits.
        if self.network is not None:
            NetworkSampler(self.network, self._seed, self.name)

    async def _count(self) -> Statistics:
        return Statistics(
            self._bytes_up + sum(connection.upstream.bytes for connection in self._connections),
            self._bytes_down + sum(connection.downstream.bytes for connection in self._connections),
            self._made,
            self._resets,
        )

    async def _add(self, toxic: Toxic) -> None:
        if any(other.name == toxic.name for other in self.toxics):
            raise SettingError(f"toxic {toxic.name!r}: is there already; must have another name=")
        self.toxics += (toxic,)
        for connection in self._connections:
            self._apply(toxic, connection)

    async def _remove(self, name: str) -> None:
        if all(toxic.name != name for toxic in self.toxics):
            there_are = ", ".join(toxic.name for toxic in self.toxics) or "none"
            raise SettingError(f"toxic {safe_repr(name)}: no toxic of that name; there are {there_are}")
        toxic = next(toxic for toxic in self.toxics if toxic.name == name)
        self.toxics = tuple(other for other in self.toxics if other is not toxic)
        for connection in list(self._connections):
            stage = connection.toxics.pop(name, None)
            if stage is not None:
                connection.stream(toxic.stream).remove(stage)

    def _accept(self) -> End:
        connection = Connection(self._runner.loop, self._made, self._is_active, self._note_reset, self._forget)
        self._made += 1
        self._connections.add(connection)
        exchange = None if self._link is None else self._join_network(self._link, connection)
        for toxic in self.toxics:
            self._apply(toxic, connection)
        if exchange is not None and self._is_active() and self._is_partitioned():
            exchange.lose()
        else:
            connection.open(*self._server)
        return connection.client

    def _name_of(self, connection: Connection) -> str:
        """What a connection draws under."""
        return f"{self._key} {connection.number - self._numbered_from}"

    def _delays_of(self, link: Link, connection: str) -> NextDelays:
        return (
            drawn(NetworkSampler(link.network, self._seed, connection))
            if self._planned is None
            else self._planned(connection)
        )

    def _join_network(self, link: Link, connection: Connection) -> RequestReply:
        exchange = RequestReply(
            self._delays_of(link, self._name_of(connection)),
            link,
            self._is_partitioned,
            self._runner.loop,
            connection.reset,
        )
        upstream, downstream = connection.upstream, connection.downstream
        connection.join_network(
            Messages(upstream, exchange, exchange.request_delay),
            Messages(downstream, exchange, exchange.reply_delay),
        )
        return exchange

    def _apply(self, toxic: Toxic, connection: Connection) -> None:
        random = Random(stream_key(self._seed, self._name_of(connection), "toxic", toxic.name))
        if random.random() >= toxic.toxicity:
            return
        stream = connection.stream(toxic.stream)
        stage = TOXICS[toxic.kind].stage(stream, **toxic.parameters)
        stage.random = random
        connection.toxics[toxic.name] = stage
        stream.add(stage)

    def _is_active(self) -> bool:
        if self.predicate is None:
            return True
        try:
            return bool(self.predicate())
        except Exception as error:
            self._error = self._error or error
            return True

    def _is_partitioned(self) -> bool:
        elapsed = self._runner.loop.time() - self._started
        return self._link is not None and self._link.is_partitioned(elapsed, self.name)

    def _note_reset(self) -> None:
        self._resets += 1

    def _forget(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._bytes_up += connection.upstream.bytes
            self._bytes_down += connection.downstream.bytes


class Down:
    """A proxy that is down; the end of a ``with`` block brings it up."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __enter__(self) -> Proxy:
        return self._proxy

    def __exit__(self, *error: object) -> None:
        self._proxy.up()
