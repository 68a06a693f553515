"""Throughput and round trips through the proxy, compared with no proxy and with a plain relay.

    python benchmarks/proxy.py                    half a minute

The contestants take turns, several times. A ratio is of two measurements in the same turn. Client and server are
separate processes, so the relay is what limits the figures. The plain relay is the simplest one in asyncio:
streams with ``read``, ``write`` and ``drain``.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "src")]

from benchmarks.measuring import ask, median_and_range, started  # noqa: E402

from pytest_nos_stress.faults.network import Network  # noqa: E402
from pytest_nos_stress.proxy import ProxyServer  # noqa: E402

_REPETITIONS: Final = 5
_MEGABYTES: Final = 400
_ROUND_TRIPS: Final = 3000
_CHUNK: Final = 1 << 18
_PUSH = b"push"


def serve() -> None:
    """Answer a client that begins with ``push`` with its number of bytes. Send other clients their bytes back."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(json.dumps(listener.getsockname()[1]), flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray(_CHUNK)
        size = connection.recv_into(buffer)
        if bytes(buffer[:4]) != _PUSH:
            while size:
                connection.sendall(buffer[:size])
                size = connection.recv_into(buffer)
            return
        total = size
        while size := connection.recv_into(buffer):
            total += size
        connection.sendall(b"%d" % total)


def push(port: int, connections: int) -> None:
    """Print the megabytes per second that the connections send together."""
    data = _PUSH * (_CHUNK // len(_PUSH))
    chunks = _MEGABYTES * 1_000_000 // _CHUNK // connections
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]

    def send(connection: socket.socket) -> None:
        with connection:
            for _ in range(chunks):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            if int(connection.recv(100)) != chunks * _CHUNK:
                raise RuntimeError("the server did not receive all bytes")

    threads = [threading.Thread(target=send, args=(client,)) for client in sockets]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(connections * chunks * _CHUNK / 1e6 / (time.perf_counter() - begin)))


def trips(port: int, count: int) -> None:
    """Print the median and the 99th percentile of round trips of 100 bytes, in microseconds."""
    taken = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            begin = time.perf_counter()
            connection.sendall(bytes(100))
            connection.recv(100)
            taken.append((time.perf_counter() - begin) * 1e6)
    taken.sort()
    print(json.dumps([statistics.median(taken), taken[count * 99 // 100]]))


@contextmanager
def plain_relay(upstream: int) -> Iterator[int]:
    """Run a plain asyncio relay in a thread. Yield its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(copy(reader, upstream_writer), copy(upstream_reader, writer))
        upstream_writer.close()
        writer.close()

    server = asyncio.run_coroutine_threadsafe(
        asyncio.start_server(relay, "127.0.0.1", 0, backlog=512), loop
    ).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _measure_in_turns(ports: dict[str, int], measure: Callable[[int], Any]) -> dict[str, list[Any]]:
    """Measure all ports in turns. Return the figures by name."""
    figures: dict[str, list[Any]] = {name: [] for name in ports}
    for _ in range(_REPETITIONS):
        for name, port in ports.items():
            figures[name].append(measure(port))
    return figures


def _print_throughput(ports: dict[str, int], connections: int) -> None:
    print(f"\n{connections} connection{'s' * (connections > 1)}, MB/s")
    rates = _measure_in_turns(ports, lambda port: ask("proxy", "push", port, connections))
    for name, values in rates.items():
        share = median_and_range([own / direct for own, direct in zip(values, rates["direct"], strict=True)], 2)
        print(f"  {name:<14} {median_and_range(values, 0):<24} x direct: {share}")
    ratios = [own / plain for own, plain in zip(rates["proxy"], rates["plain relay"], strict=True)]
    print(f"  the proxy / the plain relay: {median_and_range(ratios)} x")


def _print_round_trips(ports: dict[str, int]) -> None:
    print("\none round trip of 100 bytes, us: median, 99th percentile")
    for name, values in _measure_in_turns(ports, lambda port: ask("proxy", "trips", port, _ROUND_TRIPS)).items():
        medians, tails = zip(*values, strict=True)
        print(f"  {name:<14} {median_and_range(medians, 0):<24} {median_and_range(tails, 0)}")


def main() -> None:
    with ExitStack() as stack:
        server, _ = stack.enter_context(started(["-m", "benchmarks.proxy", "serve"]))
        assert server.stdout is not None
        upstream = json.loads(server.stdout.readline())
        proxies = stack.enter_context(ProxyServer())
        ports = {
            "direct": upstream,
            "plain relay": stack.enter_context(plain_relay(upstream)),
            "proxy": proxies.proxy(("127.0.0.1", upstream)).port,
        }
        for connections in (1, 100):
            _print_throughput(ports, connections)
        colo = proxies.proxy(("127.0.0.1", upstream), network=Network.of("colo"), name="colo")
        slow = proxies.proxy(("127.0.0.1", upstream), name="slow")
        slow.add("latency", latency=10)
        _print_round_trips(ports | {"network=colo": colo.port})
        print("\na latency toxic of 10 ms, us: median, 99th percentile")
        print(f"  {ask('proxy', 'trips', slow.port, 200)}")


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {"serve": serve, "push": push, "trips": trips}
    if len(sys.argv) > 1:
        verbs[sys.argv[1]](*map(int, sys.argv[2:]))
    else:
        main()
