"""The public interface of a proxy: its switches and its statistics."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from pytest_nos_stress import SettingError
from pytest_nos_stress.proxy import Proxy, ProxyServer

Connect = Callable[[object], socket.socket]


@pytest.fixture
def proxy(proxies: ProxyServer, echo: tuple[str, int]) -> Proxy:
    """A proxy in front of an echo server."""
    return proxies.proxy(echo)


def answers(connection: socket.socket) -> bool:
    connection.sendall(b"x")
    return connection.recv(1) == b"x"


def is_silent(connection: socket.socket) -> bool:
    connection.sendall(b"x")
    connection.settimeout(0.1)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    return True


def test_a_proxy_that_is_down_refuses_and_has_cut_its_connections(proxy: Proxy, connect: Connect) -> None:
    connection = connect(proxy)
    assert answers(connection)
    with proxy.down():
        assert connection.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    assert answers(connect(proxy))


def test_down_lasts_until_up(proxy: Proxy, connect: Connect) -> None:
    address = proxy.address
    proxy.down()
    proxy.down()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.up()
    proxy.up()
    assert answers(connect(proxy))
    assert proxy.address == address


def test_a_port_that_another_program_took_meanwhile_is_refused_in_one_line(proxy: Proxy) -> None:
    proxy.down()
    with (
        socket.create_server((proxy.host, proxy.port)),
        pytest.raises(SettingError, match=rf"^port={proxy.port}: cannot listen on .*must be free"),
    ):
        proxy.up()


def test_reset_removes_all_toxics_and_brings_the_proxy_up(proxy: Proxy, connect: Connect) -> None:
    proxy.add("timeout", timeout=0)
    proxy.add("latency", latency=3_600_000)
    proxy.down()
    proxy.reset()
    assert proxy.toxics == ()
    assert answers(connect(proxy))


def test_toxics_are_removed_by_name(proxy: Proxy) -> None:
    proxy.add("latency", latency=1)
    slow = proxy.add("latency", latency=1, name="slow")
    proxy.remove("latency_downstream")
    assert proxy.toxics == (slow,)
    with pytest.raises(SettingError) as raised:
        proxy.remove("fast")
    assert str(raised.value) == "toxic 'fast': no toxic of that name; the proxy's toxics: slow"


def test_two_toxics_of_one_name_are_refused(proxy: Proxy) -> None:
    proxy.add("latency", latency=1)
    with pytest.raises(SettingError) as raised:
        proxy.add("latency", latency=2)
    assert str(raised.value) == "toxic 'latency_downstream': duplicate name; give another name="


def test_a_toxic_may_be_removed_twice(proxy: Proxy) -> None:
    first = proxy.add("latency", latency=1)
    first.remove()
    second = proxy.add("latency", latency=1)
    first.remove()
    assert proxy.toxics == (second,)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("latency", {"latency": 3_600_000}),
        ("bandwidth", {"rate": 0.001}),
        ("timeout", {"timeout": 0}),
        ("limit_data", {"bytes": 0}),
        ("slicer", {"average_size": 1, "delay": 3_600_000_000}),
        ("reset_peer", {}),
    ],
)
def test_while_faults_are_off_all_data_passes_unchanged(
    proxy: Proxy, connect: Connect, kind: str, parameters: dict[str, Any]
) -> None:
    is_on = False
    proxy.active_when(lambda: is_on)
    proxy.add(kind, **parameters)
    connection = connect(proxy)
    for _ in range(3):
        assert answers(connection)
    is_on = True
    connection.sendall(b"yy")
    connection.settimeout(0.1)
    try:
        rest = connection.recv(2)
    except (TimeoutError, ConnectionResetError):
        rest = b""
    assert rest != b"yy"


def test_a_timeout_that_ends_while_faults_are_off_closes_nothing(proxy: Proxy, connect: Connect) -> None:
    proxy.active_when(lambda: False)
    proxy.add("timeout", timeout=10)
    connection = connect(proxy)
    for _ in range(300):
        assert answers(connection)
    proxy.active_when(None)
    assert connection.recv(1) == b""


def test_a_network_is_switched_off_with_the_toxics(
    proxies: ProxyServer, echo: tuple[str, int], connect: Connect
) -> None:
    proxy = proxies.proxy(echo, network={"latency": 3600, "loss": 1, "partitions": [(0, 3600)]})
    proxy.active_when(lambda: False)
    assert answers(connect(proxy))


def test_an_exception_of_the_predicate_is_not_lost(proxy: Proxy, connect: Connect) -> None:
    def broken() -> bool:
        raise LookupError("no window")

    proxy.active_when(broken)
    proxy.add("latency", latency=1)
    assert answers(connect(proxy))
    with pytest.raises(LookupError, match="no window"):
        proxy.close()
    proxy.close()


def test_statistics_count_what_was_delivered(proxy: Proxy, connect: Connect) -> None:
    connection = connect(proxy)
    assert answers(connection)
    proxy.add("limit_data", bytes=3)
    connection.sendall(b"12345")
    assert connection.recv(5) == b"123"
    assert connection.recv(5) == b""
    assert proxy.statistics == (6, 4, 1, 0)


def test_a_closed_proxy_refuses_changes_and_keeps_its_statistics(proxy: Proxy, connect: Connect) -> None:
    assert answers(connect(proxy))
    proxy.close()
    proxy.close()
    assert proxy.statistics == (1, 1, 1, 0)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    with pytest.raises(RuntimeError, match="is closed"):
        proxy.up()


def test_proxies_do_not_disturb_each_other(proxies: ProxyServer, echo: tuple[str, int], connect: Connect) -> None:
    broken, sound = proxies.proxy(echo), proxies.proxy(echo)
    broken.add("timeout", timeout=0)
    assert is_silent(connect(broken))
    assert answers(connect(sound))
    broken.close()
    assert answers(connect(sound))
