"""A closed server leaves no thread, socket or task behind, in whatever state its connections were."""

from __future__ import annotations

import gc
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_nos_stress.proxy import Proxy, ProxyServer

Connect = Callable[[object], socket.socket]
Serve = Callable[[Callable[[socket.socket], None]], tuple[str, int]]

DESCRIPTORS = Path("/proc/self/fd")


def proxy_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "stress proxies"]


def open_descriptors() -> list[str]:
    """Return the open file descriptors of this process, by name."""
    gc.collect()
    return sorted(os.readlink(path) for path in DESCRIPTORS.iterdir() if path.exists())


@pytest.fixture
def quiet_upstream() -> Iterator[tuple[str, int]]:
    """A server whose operating system accepts connections, but which never reads from them."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()


def busy(proxy: Proxy) -> list[socket.socket]:
    clients = [socket.create_connection((proxy.host, proxy.port)) for _ in range(5)]
    for client in clients:
        client.sendall(bytes(1000))
    return clients


def with_open_connections(proxy: Proxy) -> None: ...


def with_data_delayed(proxy: Proxy) -> None:
    proxy.add("latency", stream="upstream", latency=3_600_000)


def with_data_queued(proxy: Proxy) -> None:
    proxy.add("bandwidth", stream="upstream", rate=0.001)


def with_timers_running(proxy: Proxy) -> None:
    proxy.add("timeout", timeout=3_600_000)
    proxy.add("reset_peer", stream="upstream", timeout=3_600_000)


def when_it_was_down_before(proxy: Proxy) -> None:
    proxy.down()
    proxy.up()


def after_an_error_of_the_switch(proxy: Proxy) -> None:
    proxy.active_when(lambda: bool(1 / 0))
    proxy.add("latency", stream="upstream", latency=3_600_000)


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="counts descriptors as Linux shows them")
@pytest.mark.parametrize(
    "prepare",
    [
        with_open_connections,
        with_data_delayed,
        with_data_queued,
        with_timers_running,
        when_it_was_down_before,
        after_an_error_of_the_switch,
    ],
)
@pytest.mark.parametrize("network", [None, {"latency": 3600, "loss": 0.5, "timeout": 3600}])
def test_close_leaves_no_thread_and_no_socket(
    quiet_upstream: tuple[str, int], prepare: Callable[[Proxy], None], network: object
) -> None:
    before = open_descriptors()
    server = ProxyServer()
    proxy = server.proxy(quiet_upstream, network=network)
    prepare(proxy)
    clients = busy(proxy)
    wait_for(lambda: proxy.connections == 5 and (network is not None or proxy.toxics or _all_is_there(proxy)))
    assert proxy_threads() == ["stress proxies"]
    try:
        server.close()
    except ZeroDivisionError:
        assert prepare is after_an_error_of_the_switch
    server.close()
    assert proxy_threads() == []
    assert proxy.connections == 0
    for client in clients:
        client.close()
    assert open_descriptors() == before


def _all_is_there(proxy: Proxy) -> bool:
    return proxy.statistics.bytes_up == 5000


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_one_thread_serves_all_proxies_and_is_started_by_the_first(echo: tuple[str, int]) -> None:
    with ProxyServer() as server:
        assert proxy_threads() == []
        for _ in range(3):
            server.proxy(echo)
        assert proxy_threads() == ["stress proxies"]
    assert proxy_threads() == []


def test_an_ended_connection_is_dropped_with_its_held_data(proxies: ProxyServer, echo: tuple[str, int]) -> None:
    proxy = proxies.proxy(echo, network="colo")
    proxy.add("latency", stream="upstream", latency=3_600_000)
    clients = busy(proxy)
    wait_for(lambda: proxy.connections == 5)
    references = [weakref.ref(connection) for connection in proxy._connections.opened]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    wait_for(lambda: not proxy.connections)
    wait_for(lambda: gc.collect() or not any(reference() for reference in references))


def test_an_exception_in_the_proxies_thread_is_not_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ProxyServer()
        proxy = server.proxy(listener.getsockname())
        server.loop.call_soon_threadsafe(lambda: 1 / 0)
        assert proxy.statistics.connections == 0
        with pytest.raises(ZeroDivisionError):
            server.close()
    assert proxy_threads() == []


def test_closing_does_not_wait_for_a_connection_in_progress() -> None:
    # A full backlog: the system completes no further connection, so the proxy's attempts hang.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        server = ProxyServer()
        proxy = server.proxy(listener.getsockname())
        clients = busy(proxy)
        wait_for(lambda: proxy.connections == 5)
        started = time.monotonic()
        server.close()
        assert time.monotonic() - started < 60  # The system gives up connecting after minutes.
        for client in clients:
            client.close()
    assert proxy_threads() == []


def test_a_server_that_is_closed_makes_no_proxies(echo: tuple[str, int]) -> None:
    server = ProxyServer()
    server.close()
    with pytest.raises(RuntimeError, match="closed"):
        server.proxy(echo)


def test_a_proxy_cannot_be_changed_from_its_own_thread(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    proxy = proxies.proxy(echo)
    proxy.active_when(lambda: bool(proxy.add("timeout", timeout=0)))
    proxy.add("latency", latency=1)
    connection = connect(proxy)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    with pytest.raises(RuntimeError, match="own thread"):
        proxy.close()


FORGETFUL = """
import socket, sys
from pytest_nos_stress.proxy import ProxyServer

with socket.create_server(("127.0.0.1", 0)) as listener:
    proxy = ProxyServer().proxy(listener.getsockname())
    proxy.add("latency", latency=60_000, stream="upstream")
    with socket.create_connection((proxy.host, proxy.port)) as client:
        client.sendall(b"x")
        {end}
"""


@pytest.mark.parametrize(("end", "status"), [("pass", 0), ("sys.exit(3)", 3), ("raise KeyError('planned')", 1)])
def test_a_program_that_does_not_close_the_server_ends_normally(end: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", FORGETFUL.format(end=end)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    assert "Warning" not in done.stderr
    assert "ignored" not in done.stderr
