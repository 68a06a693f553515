"""A network at a real proxy: a client measures the delays that the same network causes for calls in process.

In process an operation takes its request leg and its reply leg, and queues for the bandwidth with both messages.
The bound is 10% on the median, on the 90th percentile and on the rate, with a hundred connections at a time. The
draws compared are the same ones, so there is no sampling error, only the clock's and the machine's. A busy machine
only adds time: a call is measured again for up to a minute, and its shortest time counts.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_nos_stress.faults.network import Network
from pytest_nos_stress.faults.network_sampling import NetworkSampler
from pytest_nos_stress.proxy import Proxy, ProxyServer

Connect = Callable[[object], socket.socket]
Serve = Callable[[Callable[[socket.socket], None]], tuple[str, int]]

Floats = npt.NDArray[np.float64]

SEED, NAME = 3, "measured"
CONNECTIONS = 100
SIZE = 500


def latencies_in_process(network: Network, calls: int) -> Floats:
    trips = []
    for number in range(CONNECTIONS):
        delays = NetworkSampler(network, SEED, f"{NAME} {number}").block(1 + calls)
        trips.append((delays.request + delays.reply)[1:])
    return np.array(trips)


async def measured(proxies: ProxyServer, network: Network, calls: int) -> tuple[Floats, float]:
    """Return the latencies of calls after the first by connection, and how long they took together."""
    answering: list[asyncio.Task[None]] = []

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.get_running_loop().create_task(_answer(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, backlog=512)
    upstream = server.sockets[0].getsockname()
    proxy = proxies.proxy(upstream, network=network, seed=SEED, name=NAME)
    # One after another, so that the proxy numbers them so.
    clients = [await asyncio.open_connection(proxy.host, proxy.port) for _ in range(CONNECTIONS)]
    # A connection's first call also waits for the connection, and in process there is none.
    await asyncio.gather(*(_call(*client, size=1) for client in clients))
    started = time.perf_counter()
    latencies = await asyncio.gather(*(_calls(*client, calls) for client in clients))
    took = time.perf_counter() - started
    proxy.close()
    server.close()
    await asyncio.gather(*answering)
    return np.array(latencies), took


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    finally:
        writer.close()
        await writer.wait_closed()


async def _call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> float:
    started = time.perf_counter()
    writer.write(bytes(size))
    await reader.readexactly(size)
    return time.perf_counter() - started


async def _calls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, calls: int) -> list[float]:
    latencies = [await _call(reader, writer, SIZE) for _ in range(calls)]
    writer.close()
    await writer.wait_closed()
    return latencies


def is_near(measured: float, expected: float) -> bool:
    return abs(measured - expected) <= 0.1 * expected


def holds(attempt: Callable[[], bool]) -> bool:
    """Return True if one of the attempts within a minute succeeds."""
    deadline = time.monotonic() + 60
    while not attempt():
        if time.monotonic() > deadline:
            return False
    return True


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(Network(latency=0.080, p99=0.400, correlation=0.5, bandwidth=3.75e6), id="retail"),
        pytest.param(Network(latency=0.0625, p99=0.200, correlation=0.5), id="a quarter of cross-continent"),
    ],
)
def test_latency_through_the_proxy_is_that_in_process(proxies: ProxyServer, network: Network) -> None:
    calls = 4
    expected = latencies_in_process(network, calls)
    shortest = np.full_like(expected, np.inf)

    def agrees() -> bool:
        latencies, _ = asyncio.run(measured(proxies, network, calls))
        assert (latencies >= expected - 0.002).all()
        np.minimum(shortest, latencies, out=shortest)
        return all(is_near(float(np.percentile(shortest, p)), float(np.percentile(expected, p))) for p in (50, 90))

    assert holds(agrees)


def test_the_rate_through_the_proxy_is_the_bandwidth_as_in_process(proxies: ProxyServer) -> None:
    calls, bandwidth = 5, 500_000

    def agrees() -> bool:
        _, took = asyncio.run(measured(proxies, Network(latency=0.01, bandwidth=bandwidth), calls))
        return is_near(2 * calls * CONNECTIONS * SIZE / took, bandwidth)

    assert holds(agrees)


def test_the_nth_call_of_a_connection_meets_the_nth_draw_in_any_number_of_pieces(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    network = Network(latency=0.1, jitter=0.1, distribution="uniform")
    delays = NetworkSampler(network, SEED, f"{NAME} 0").block(6)
    drawn = delays.request + delays.reply
    shortest = np.full_like(drawn, np.inf)

    def seconds(connection: socket.socket) -> float:
        started = time.perf_counter()
        connection.sendall(b"head")
        connection.sendall(b"body")
        received = 0
        while received < 8:
            received += len(connection.recv(8))
        return time.perf_counter() - started

    def agrees() -> bool:
        connection = connect(proxies.proxy(echo, network=network, seed=SEED, name=NAME))
        latencies = np.array([seconds(connection) for _ in range(6)])
        assert (latencies >= drawn - 0.002).all()
        np.minimum(shortest, latencies, out=shortest)
        return bool(np.corrcoef(shortest, drawn)[0, 1] > 0.9)

    assert holds(agrees)


def test_a_reply_without_a_request_has_its_own_draw(proxies: ProxyServer, serve: Serve, connect: Connect) -> None:
    network = Network(loss=0.3, timeout=0.02)
    seed = next(
        seed for seed in range(100) if NetworkSampler(network, seed, f"{NAME} 0").block(2).lost.tolist() == [0, 2]
    )

    def greet_twice(connection: socket.socket) -> None:
        connection.sendall(b"1")
        time.sleep(0.3)  # longer than one message lasts
        connection.sendall(b"2")
        connection.recv(1)

    connection = connect(proxies.proxy(serve(greet_twice), network=network, seed=seed, name=NAME))
    assert connection.recv(10) == b"1"
    with pytest.raises(ConnectionResetError):
        connection.recv(10)


def outcomes(proxy: Proxy, connect: Connect, count: int) -> list[str]:
    """Return the outcome of one call on each of ``count`` connections."""
    results = []
    for number in range(count):
        connection = connect(proxy)
        connection.sendall(b"%d" % number)
        try:
            results.append("answered" if connection.recv(10) else "closed")
        except ConnectionResetError:
            results.append("reset")
        connection.close()
    return results


def test_calls_are_lost_as_drawn_and_a_server_sees_those_whose_reply_is_lost(
    proxies: ProxyServer, serve: Serve, connect: Connect
) -> None:
    seen = []

    def answer(connection: socket.socket) -> None:
        if data := connection.recv(100):
            seen.append(int(data))
            connection.sendall(b"done")

    network = Network(loss=0.3, timeout=0.02)
    lost = [NetworkSampler(network, SEED, f"{NAME} {number}").block(1).lost[0] for number in range(40)]
    proxy = proxies.proxy(serve(answer), network=network, seed=SEED, name=NAME)
    assert outcomes(proxy, connect, 40) == ["reset" if direction else "answered" for direction in lost]
    assert sorted(seen) == [number for number, direction in enumerate(lost) if direction != 1]
    assert {0, 1, 2} == set(lost)


def test_a_lost_message_resets_the_connection_when_its_caller_gives_up(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    connection = connect(proxies.proxy(echo, network={"loss": 1, "timeout": "150ms"}))
    started = time.perf_counter()
    connection.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert time.perf_counter() - started >= 0.14


@pytest.mark.parametrize(
    ("partition", "outcome"),
    [
        ([0, 3600], "reset"),
        ([3600, 7200], "answered"),
        ({"from": 0, "to": 3600, "agents": ["broker"]}, "reset"),
        ({"from": 0, "to": 3600, "agents": ["somebody else"]}, "answered"),
    ],
)
def test_nothing_passes_in_a_partition(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect, partition: Any, outcome: str
) -> None:
    network = {"partitions": [partition], "timeout": 0.05}
    assert outcomes(proxies.proxy(echo, network=network, name="broker"), connect, 2) == [outcome] * 2


def test_a_partition_cuts_open_connections_too_and_ends(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    proxy = proxies.proxy(echo, network={"partitions": [(0, 1)], "timeout": 0.05})
    is_partitioned = False
    proxy.active_when(lambda: is_partitioned)
    connection = connect(proxy)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    is_partitioned = True
    proxy.restart_clock()
    connection.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    while "reset" in outcomes(proxy, connect, 1):
        pass
    assert outcomes(proxy, connect, 3) == ["answered"] * 3


def test_toxics_and_a_network_add_up(proxies: ProxyServer, echo: tuple[str, int], connect: Connect) -> None:
    proxy = proxies.proxy(echo, network={"latency": "60ms"})
    proxy.add("latency", latency=50)
    connection = connect(proxy)
    started = time.perf_counter()
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    assert time.perf_counter() - started >= 0.108


def test_a_network_can_be_changed_under_open_connections(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    proxy = proxies.proxy(echo)
    connection = connect(proxy)

    def seconds() -> float:
        started = time.perf_counter()
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        return time.perf_counter() - started

    seconds()
    proxy.use_network({"latency": "60ms"})
    assert seconds() >= 0.058
    proxy.use_network({"latency": 3600})
    connection.sendall(b"y")
    proxy.use_network(None)
    assert connection.recv(1) == b"y"
    assert proxy.network is None


def test_a_connection_that_lost_a_message_is_reset_when_its_network_is_removed(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    proxy = proxies.proxy(echo, network={"loss": 1, "timeout": 3600})
    connection = connect(proxy)
    connection.sendall(b"x")
    connection.settimeout(0.1)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    proxy.use_network(None)
    connection.settimeout(30)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
