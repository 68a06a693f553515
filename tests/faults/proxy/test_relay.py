"""A proxy without toxics passes all data unchanged."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from pytest_nos_stress.proxy import Proxy, ProxyServer

Connect = Callable[[object], socket.socket]
Serve = Callable[[Callable[[socket.socket], None]], tuple[str, int]]

MEGABYTE = 1_000_000


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while data := connection.recv(1 << 18):
        parts.append(data)
    return b"".join(parts)


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send the data, and return as many bytes of the answer."""
    connection.sendall(data)
    answer = b""
    while len(answer) < len(data):
        part = connection.recv(65_536)
        if not part:
            break
        answer += part
    return answer


def test_an_echo_passes_the_proxy(proxies: ProxyServer, echo: tuple[str, int], connect: Connect) -> None:
    connection = connect(proxies.proxy(echo))
    assert [exchange(connection, data) for data in (b"one", b"two" * 1000)] == [b"one", b"two" * 1000]


def test_fifty_megabytes_pass_byte_for_byte_in_both_directions_at_once(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    data = Random(1).randbytes(50 * MEGABYTE)
    connection = connect(proxies.proxy(echo))

    def send() -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    back = read_all(connection)
    sender.join()
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()


def test_a_hundred_connections_pass_at_the_same_time(proxies: ProxyServer, echo: tuple[str, int]) -> None:
    proxy = proxies.proxy(echo)
    all_are_there = threading.Barrier(100)

    def talk(number: int) -> bool:
        with socket.create_connection((proxy.host, proxy.port), timeout=30) as connection:
            all_are_there.wait(30)
            data = Random(number).randbytes(20_000)
            return exchange(connection, data) == data

    with ThreadPoolExecutor(100) as clients:
        assert all(clients.map(talk, range(100)))
    assert proxy.statistics[:3] == (100 * 20_000, 100 * 20_000, 100)


def test_a_client_that_has_ended_its_data_still_gets_the_answer(
    proxies: ProxyServer, serve: Serve, connect: Connect
) -> None:
    def answer_at_the_end(connection: socket.socket) -> None:
        connection.sendall(b"got %d" % len(read_all(connection)))

    client = connect(proxies.proxy(serve(answer_at_the_end)))
    client.sendall(bytes(300_000))
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"got 300000"


def test_a_server_can_send_first_and_end_first(proxies: ProxyServer, serve: Serve, connect: Connect) -> None:
    rest = []

    def greet(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)
        rest.append(read_all(connection))
        heard.set()

    heard = threading.Event()
    client = connect(proxies.proxy(serve(greet)))
    assert read_all(client) == b"hello"
    client.sendall(b"goodbye")
    client.shutdown(socket.SHUT_WR)
    assert heard.wait(30)
    assert rest == [b"goodbye"]


def test_a_server_that_does_not_read_slows_its_client_down(
    proxies: ProxyServer, serve: Serve, connect: Connect
) -> None:
    may_read = threading.Event()
    read = []

    def read_late(connection: socket.socket) -> None:
        may_read.wait(30)
        read.append(len(read_all(connection)))

    for toxic in (None, "latency"):
        proxy = proxies.proxy(serve(read_late))
        if toxic:
            proxy.add(toxic, stream="upstream", latency=3_600_000)
        client = connect(proxy)
        client.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200 * MEGABYTE:
                sent += client.send(bytes(1 << 18))
        # What the sockets of two connections hold, and some megabyte of the proxy's own.
        assert sent < 40 * MEGABYTE
        proxy.reset()
        may_read.set()
        client.settimeout(30)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
        assert read.pop() == sent


def test_the_reset_of_a_client_resets_the_server(proxies: ProxyServer, serve: Serve, connect: Connect) -> None:
    raised: list[OSError] = []
    ended = threading.Event()

    def wait_for_more(connection: socket.socket) -> None:
        connection.sendall(b"ready")
        try:
            connection.recv(1)
        except OSError as error:
            raised.append(error)
        ended.set()

    client = connect(proxies.proxy(serve(wait_for_more)))
    assert client.recv(5) == b"ready"
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert ended.wait(30)
    assert [type(error) for error in raised] == [ConnectionResetError]


def test_a_stopped_server_resets_the_client(proxies: ProxyServer, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = proxies.proxy(listener.getsockname())
    with pytest.raises(ConnectionResetError):
        connect(proxy).recv(1)
    assert proxy.statistics.resets == 1


def test_open_connections_are_counted(proxies: ProxyServer, echo: tuple[str, int], connect: Connect) -> None:
    proxy = proxies.proxy(echo)
    clients = [connect(proxy) for _ in range(3)]
    for client in clients:
        assert exchange(client, b"x") == b"x"
    assert proxy.connections == 3
    for client in clients:
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    wait_until_closed(proxy)
    assert proxy.statistics == (3, 3, 3, 0)


def wait_until_closed(proxy: Proxy) -> None:
    """Wait until the proxy has closed its sockets, in the next turn of its loop after both sides have ended."""
    patience = threading.Event()
    for _ in range(3000):
        if not proxy.connections:
            return
        patience.wait(0.01)
    raise AssertionError(f"{proxy.connections} connections are open")
