"""Connections through one proxy, with the toxics and the network that affect them.

All of this code runs in the proxies' thread. Guarantee: connection number n (from 0, in order of arrival) draws
from (seed, key, n), so the same sequence of connections meets the same faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple, Protocol, Self

from pytest_nos_stress._internal.loops import yield_once
from pytest_nos_stress._internal.seeding import stream_key
from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.link import Link
from pytest_nos_stress.faults.network import Network
from pytest_nos_stress.faults.network_sampling import NetworkSampler

from .network_stage import Messages, NextDelays, RequestReply, drawn
from .relay import Connection, End
from .toxics import TOXICS

Planned = Callable[[str], NextDelays]
"""Returns the function that gives a connection's planned delays and losses, by the connection's name."""

_LONGEST_CUT: Final = 1.0


class Statistics(NamedTuple):
    """Traffic of a proxy since it was made.

    - ``bytes_up``: bytes delivered to the server.
    - ``bytes_down``: bytes delivered to clients.
    - ``connections``: number of clients that have connected.
    - ``resets``: number of connections that the proxy has reset.
    """

    bytes_up: int
    bytes_down: int
    connections: int
    resets: int


class ToxicProxy(Protocol):
    """Interface of a proxy for its toxics."""

    @property
    def toxics(self) -> tuple[Toxic, ...]: ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True, eq=False)
class Toxic:
    """A fault at a proxy. The end of a ``with`` block removes it."""

    name: str
    kind: str
    stream: str
    toxicity: float
    parameters: Mapping[str, float]
    _proxy: ToxicProxy = field(repr=False)

    def remove(self) -> None:
        """Remove the toxic, also from open connections. Does nothing if it has been removed already."""
        if self in self._proxy.toxics:
            self._proxy.remove(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class Connections:
    """Connections of the proxy ``name`` to ``server``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        server: tuple[str, int],
        network: Network | None,
        seed: int,
        name: str,
    ) -> None:
        self.name = name
        self.network = network
        self.toxics: tuple[Toxic, ...] = ()
        self.predicate: Callable[[], bool] | None = None
        self.error: Exception | None = None
        """First exception of the predicate; None without one."""
        self.opened: set[Connection] = set()
        self._loop = loop
        self._server = server
        self._seed = seed
        self._link = None if network is None else Link(network)
        self._planned: Planned | None = None
        self._started = loop.time()
        self._made = self._resets = self._bytes_up = self._bytes_down = 0
        self._key, self._numbered_from = name, 0
        self._load_generators()

    def accept(self) -> End:
        """Make a connection for a client that has connected."""
        connection = Connection(self._loop, self._made, self._is_active, self._note_reset, self._forget)
        self._made += 1
        self.opened.add(connection)
        exchange = None if self._link is None else self._join_network(self._link, connection)
        for toxic in self.toxics:
            self._apply(toxic, connection)
        if exchange is not None and self._is_active() and self._is_partitioned():
            exchange.lose()
        else:
            connection.open(*self._server)
        return connection.client

    async def cut(self) -> None:
        """Abort the open connections, and wait until they are gone."""
        opened = list(self.opened)
        attempts = [connection.connecting for connection in opened if connection.connecting is not None]
        for connection in opened:
            connection.abort()
        if attempts:
            await asyncio.wait(attempts)
        latest = self._loop.time() + _LONGEST_CUT
        while not self.opened.isdisjoint(opened) and self._loop.time() < latest:
            await yield_once()

    async def change_network(self, network: Network | None, planned: Planned | None) -> None:
        """Change the network, also for open connections, whose draws then start anew."""
        if network == self.network and planned is self._planned:
            return
        self.network, self._planned = network, planned
        self._link = None if network is None else Link(network)
        self._load_generators()
        for connection in list(self.opened):
            connection.leave_network()
            if self._link is not None:
                self._join_network(self._link, connection)

    async def add(self, toxic: Toxic) -> None:
        """Add a toxic, also to open connections. Raises ``SettingError`` if its name is already used."""
        if any(other.name == toxic.name for other in self.toxics):
            raise SettingError(f"toxic {toxic.name!r}: duplicate name; give another name=")
        self.toxics += (toxic,)
        for connection in self.opened:
            self._apply(toxic, connection)

    async def remove(self, name: str) -> None:
        """Remove a toxic, also from open connections. Raises ``SettingError`` if no toxic has the name."""
        toxic = next((toxic for toxic in self.toxics if toxic.name == name), None)
        if toxic is None:
            names = ", ".join(toxic.name for toxic in self.toxics) or "none"
            raise SettingError(f"toxic {safe_repr(name)}: no toxic of that name; the proxy's toxics: {names}")
        self.toxics = tuple(other for other in self.toxics if other is not toxic)
        for connection in list(self.opened):
            stage = connection.toxics.pop(name, None)
            if stage is not None:
                connection.stream(toxic.stream).remove(stage)

    async def count(self) -> Statistics:
        """Return the traffic of the proxy so far."""
        return Statistics(
            self._bytes_up + sum(connection.upstream.bytes for connection in self.opened),
            self._bytes_down + sum(connection.downstream.bytes for connection in self.opened),
            self._made,
            self._resets,
        )

    def reseed(self, seed: int, key: str) -> None:
        """Make new connections draw from another seed and key. Their numbers begin at 0."""
        self._seed, self._key, self._numbered_from = seed, key, self._made

    def restart_clock(self) -> None:
        """Restart the clock of the network's partitions at 0."""
        self._started = self._loop.time()

    def _load_generators(self) -> None:
        # NumPy loads its generators when the first one is made. Do it here, and not while a message waits.
        if self.network is not None:
            NetworkSampler(self.network, self._seed, self.name)

    def _name_of(self, connection: Connection) -> str:
        """Return the name that is part of the key of the connection's draws."""
        return f"{self._key} {connection.number - self._numbered_from}"

    def _delays_of(self, link: Link, connection: str) -> NextDelays:
        if self._planned is None:
            return drawn(NetworkSampler(link.network, self._seed, connection))
        return self._planned(connection)

    def _join_network(self, link: Link, connection: Connection) -> RequestReply:
        exchange = RequestReply(
            self._delays_of(link, self._name_of(connection)),
            link,
            self._is_partitioned,
            self._loop,
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
            self.error = self.error or error
            return True

    def _is_partitioned(self) -> bool:
        elapsed = self._loop.time() - self._started
        return self._link is not None and self._link.is_partitioned(elapsed, self.name)

    def _note_reset(self) -> None:
        self._resets += 1

    def _forget(self, connection: Connection) -> None:
        if connection in self.opened:
            self.opened.remove(connection)
            self._bytes_up += connection.upstream.bytes
            self._bytes_down += connection.downstream.bytes
