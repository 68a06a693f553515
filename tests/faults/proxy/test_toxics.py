"""Effects of each toxic on a connection. Times are checked for a minimum only, because the machine may be slow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_nos_stress import SettingError
from pytest_nos_stress.proxy import Proxy, ProxyServer

Connect = Callable[[object], socket.socket]
Serve = Callable[[Callable[[socket.socket], None]], tuple[str, int]]


@pytest.fixture
def proxy(proxies: ProxyServer, echo: tuple[str, int]) -> Proxy:
    """A proxy in front of an echo server."""
    return proxies.proxy(echo, seed=1, name="echo")


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send the data, and return as many bytes of the answer, or fewer if the connection is closed."""
    connection.sendall(data)
    return receive(connection, len(data))


def receive(connection: socket.socket, size: int) -> bytes:
    answer = b""
    while len(answer) < size:
        part = connection.recv(65_536)
        if not part:
            break
        answer += part
    return answer


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def is_silent(connection: socket.socket) -> bool:
    connection.settimeout(0.1)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(30)
    return False


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_latency_delays_all_data(proxy: Proxy, connect: Connect, stream: str) -> None:
    connection = connect(proxy)
    exchange(connection, b"x")
    proxy.add("latency", stream=stream, latency=80)
    assert seconds(lambda: exchange(connection, b"x")) >= 0.079


def test_jitter_spreads_the_delay_around_the_latency(proxy: Proxy, connect: Connect) -> None:
    proxy.add("latency", latency=30, jitter=30)
    connection = connect(proxy)
    delays = [seconds(lambda: exchange(connection, b"x")) for _ in range(12)]
    assert max(delays) - min(delays) > 0.015
    assert max(delays) >= 0.030


def test_delayed_data_keeps_its_order(proxy: Proxy, connect: Connect) -> None:
    proxy.add("latency", latency=10, jitter=10)
    proxy.add("latency", stream="upstream", latency=10, jitter=10)
    connection = connect(proxy)
    sent = b"".join(b"%06d" % number for number in range(300))
    for start in range(0, len(sent), 60):
        connection.sendall(sent[start : start + 60])
        time.sleep(0.001)
    assert receive(connection, len(sent)) == sent


def test_bandwidth_limits_the_rate_in_thousands_of_bytes(proxy: Proxy, connect: Connect) -> None:
    proxy.add("bandwidth", rate=200)
    connection = connect(proxy)
    exchange(connection, b"x")
    took = seconds(lambda: exchange(connection, bytes(100_000)))
    assert took >= 0.49


def test_a_slow_stream_sends_continuously_and_not_only_at_its_end(proxy: Proxy, connect: Connect) -> None:
    proxy.add("bandwidth", rate=5)
    connection = connect(proxy)
    connection.sendall(bytes(100_000))
    assert len(connection.recv(100_000)) < 50_000


def test_slow_close_delays_the_end_alone(proxy: Proxy, connect: Connect) -> None:
    proxy.add("slow_close", delay=150)
    connection = connect(proxy)
    assert exchange(connection, b"x") == b"x"
    started = time.perf_counter()
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
    assert time.perf_counter() - started >= 0.149


def test_timeout_lets_nothing_through_and_closes_the_connection(proxy: Proxy, connect: Connect) -> None:
    proxy.add("timeout", timeout=150)
    started = time.perf_counter()
    connection = connect(proxy)
    connection.sendall(b"x")
    assert connection.recv(1) == b""
    assert time.perf_counter() - started >= 0.149


def test_a_timeout_of_0_is_a_black_hole_until_it_is_removed(proxy: Proxy, connect: Connect) -> None:
    connection = connect(proxy)
    exchange(connection, b"x")
    with proxy.add("timeout", timeout=0):
        connection.sendall(b"lost")
        assert is_silent(connection)
    # A part of its data is missing, so as in Toxiproxy the connection ends here.
    assert connection.recv(1) == b""
    assert exchange(connect(proxy), b"y") == b"y"


def test_reset_peer_resets_the_connection_once_data_comes(proxy: Proxy, connect: Connect) -> None:
    proxy.add("reset_peer", timeout=100)
    connection = connect(proxy)
    started = time.perf_counter()
    connection.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert time.perf_counter() - started >= 0.099
    assert proxy.statistics.resets == 1


@pytest.mark.parametrize(("stream", "is_served"), [("upstream", False), ("downstream", True)])
def test_a_reset_upstream_reaches_no_server_and_a_reset_downstream_does(
    proxies: ProxyServer, serve: Serve, connect: Connect, stream: str, is_served: bool
) -> None:
    served: list[int] = []

    def answer(connection: socket.socket) -> None:
        served.extend(connection.recv(100))
        connection.sendall(b"done")

    proxy = proxies.proxy(serve(answer))
    proxy.add("reset_peer", stream=stream)
    connection = connect(proxy)
    connection.sendall(b"order")
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    proxies.close()
    assert bool(served) is is_served


def test_slicer_sends_small_pieces_apart(proxy: Proxy, connect: Connect) -> None:
    proxy.add("slicer", average_size=100, size_variation=50, delay=40_000)
    connection = connect(proxy)
    data = bytes(range(256)) * 4
    connection.sendall(data)
    received, pieces = b"", 0
    while len(received) < len(data):
        received += connection.recv(65_536)
        pieces += 1
    assert received == data
    assert pieces > 2


def test_limit_data_closes_the_connection_after_so_many_bytes(proxy: Proxy, connect: Connect) -> None:
    proxy.add("limit_data", bytes=1500)
    connection = connect(proxy)
    assert exchange(connection, bytes(1000)) == bytes(1000)
    connection.sendall(b"y" * 1000)
    assert receive(connection, 2000) == b"y" * 500


def test_toxics_apply_one_after_another_in_the_order_in_which_they_were_added(
    proxy: Proxy, connect: Connect
) -> None:
    proxy.add("limit_data", bytes=10)
    proxy.add("latency", latency=100)
    connection = connect(proxy)
    started = time.perf_counter()
    connection.sendall(bytes(100))
    # What the limit let pass is still on its slow way when the limit closes the stream behind it.
    assert len(receive(connection, 100)) == 10
    assert time.perf_counter() - started >= 0.09


def test_a_removed_toxic_passes_its_held_data_on(proxy: Proxy, connect: Connect) -> None:
    toxic = proxy.add("latency", latency=3_600_000)
    connection = connect(proxy)
    connection.sendall(b"held")
    assert is_silent(connection)
    toxic.remove()
    assert receive(connection, 4) == b"held"
    assert proxy.toxics == ()


def test_toxicity_is_the_share_of_connections_that_a_toxic_applies_to(
    proxy: Proxy, connect: Connect, proxies: ProxyServer, echo: tuple[str, int]
) -> None:
    def affected(proxy: Proxy) -> list[bool]:
        proxy.add("limit_data", toxicity=0.3, bytes=0)
        return [exchange(connect(proxy), b"x") == b"" for _ in range(100)]

    first = affected(proxy)
    assert 15 <= sum(first) <= 45
    # The same seed and name: the same connections; another seed: others.
    assert affected(proxies.proxy(echo, seed=1, name="echo")) == first
    assert affected(proxies.proxy(echo, seed=2, name="echo")) != first


def test_slices_are_the_same_for_the_same_seed(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    def first_slices(seed: int) -> list[int]:
        proxy = proxies.proxy(echo, seed=seed, name="sliced")
        proxy.add("slicer", average_size=1000, size_variation=900, delay=3_600_000_000)
        sizes = []
        for _ in range(4):
            connection = connect(proxy)
            connection.sendall(bytes(5000))
            sizes.append(len(connection.recv(65_536)))
        return sizes

    assert first_slices(1) == first_slices(1)
    assert first_slices(1) != first_slices(2)


def test_a_toxic_has_its_name_kind_stream_and_parameters(proxy: Proxy) -> None:
    toxic = proxy.add("latency", latency=5, name="slow")
    assert proxy.toxics == (toxic,)
    assert (toxic.name, toxic.kind, toxic.stream, toxic.toxicity) == ("slow", "latency", "downstream", 1.0)
    assert dict(toxic.parameters) == {"latency": 5, "jitter": 0}
    assert proxy.add("timeout", stream="upstream", timeout=0).name == "timeout_upstream"


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        (
            "lag",
            {},
            "toxic='lag': no such toxic; allowed: latency, bandwidth, slow_close, timeout, reset_peer, slicer, "
            "limit_data, or call down()",
        ),
        ("latency", {"delay": 5}, "toxic latency: delay: no such parameter; allowed: latency, jitter"),
        ("latency", {}, "toxic latency: latency is missing; must be milliseconds from 0 up"),
        ("latency", {"latency": -1}, "toxic latency: latency=-1: must be milliseconds from 0 up"),
        ("latency", {"latency": "5ms"}, "toxic latency: latency='5ms': must be milliseconds from 0 up"),
        ("latency", {"latency": float("nan")}, "toxic latency: latency=nan: must be milliseconds from 0 up"),
        ("bandwidth", {"rate": 0}, "toxic bandwidth: rate=0: must be KB per second from 0.001 up"),
        ("limit_data", {"bytes": 1.5}, "toxic limit_data: bytes=1.5: must be a whole number of bytes from 0 up"),
        (
            "slicer",
            {"average_size": 10, "size_variation": 10},
            "toxic slicer: size_variation=10: must be a whole number of bytes below average_size",
        ),
        (
            "latency",
            {"latency": 1, "stream": "sideways"},
            "stream='sideways': must be upstream or downstream",
        ),
        ("latency", {"latency": 1, "toxicity": 2}, "toxicity=2: must be a number from 0 to 1"),
    ],
)
def test_a_bad_toxic_is_refused_in_one_line(
    proxy: Proxy, kind: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError) as raised:
        proxy.add(kind, **parameters)
    assert str(raised.value) == message
    assert proxy.toxics == ()


def test_many_threads_may_add_and_remove_toxics_while_data_flows(proxy: Proxy, connect: Connect) -> None:
    connection = connect(proxy)
    is_over = threading.Event()

    def change(number: int) -> None:
        while not is_over.is_set():
            with proxy.add("latency", latency=1, jitter=1, name=f"of {number}", stream="upstream"):
                pass

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        data = b"%d" % number * 500
        assert exchange(connection, data) == data
    is_over.set()
    for thread in threads:
        thread.join()
    assert proxy.toxics == ()
