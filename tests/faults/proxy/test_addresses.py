"""Addresses of the server behind a proxy: the allowed forms, and the messages for bad addresses."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable

import pytest

from pytest_nos_stress import SettingError
from pytest_nos_stress.proxy import ProxyServer

Connect = Callable[[object], socket.socket]


@pytest.mark.parametrize(
    ("upstream", "url"),
    [
        ("127.0.0.1:{port}", "tcp://127.0.0.1:{own}"),
        ("localhost:{port}", "tcp://127.0.0.1:{own}"),
        ("http://127.0.0.1:{port}", "http://127.0.0.1:{own}"),
        ("http://127.0.0.1:{port}/api/v1/", "http://127.0.0.1:{own}/api/v1"),
        ("redis://127.0.0.1:{port}", "redis://127.0.0.1:{own}"),
    ],
)
def test_an_upstream_is_an_address_or_a_url_and_the_proxy_has_both(
    proxies: ProxyServer, echo: tuple[str, int], upstream: str, url: str
) -> None:
    proxy = proxies.proxy(upstream.format(port=echo[1]))
    assert proxy.url == url.format(own=proxy.port)
    assert proxy.address == f"127.0.0.1:{proxy.port}"
    assert proxy.port != echo[1]


def test_a_port_can_be_chosen(proxies: ProxyServer, echo: tuple[str, int], connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = proxies.proxy(echo, port=port)
    assert proxy.port == port
    connection = connect(proxy)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"


@pytest.mark.parametrize(
    "upstream",
    ["", "localhost", ":80", "127.0.0.1:http", "127.0.0.1:99999", 8000, None, ("h", 0), ("h",), ("", 1)],
)
def test_a_bad_upstream_is_refused_in_one_line(proxies: ProxyServer, upstream: object) -> None:
    with pytest.raises(SettingError) as raised:
        proxies.proxy(upstream)
    assert str(raised.value) == (
        f"upstream={upstream!r}: must be 'host:port', (host, port) or a URL such as 'http://127.0.0.1:8000'"
    )


def test_an_upstream_that_refuses_connections_is_refused_in_one_line(proxies: ProxyServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SettingError) as raised:
        proxies.proxy(f"127.0.0.1:{port}")
    assert str(raised.value) == (
        f"upstream='127.0.0.1:{port}': does not accept a connection (connection refused); "
        "must be the address of a running server"
    )


def test_a_port_in_use_is_refused_in_one_line(proxies: ProxyServer, echo: tuple[str, int]) -> None:
    with pytest.raises(SettingError) as raised:
        proxies.proxy(echo, port=echo[1])
    assert str(raised.value) == (
        f"port={echo[1]}: cannot listen on 127.0.0.1:{echo[1]} (address already in use); "
        "must be free, or 0 for any free port"
    )


@pytest.mark.parametrize("port", [-1, 70_000, "80", True, 1.5])
def test_a_bad_port_is_refused_in_one_line(proxies: ProxyServer, echo: tuple[str, int], port: int) -> None:
    with pytest.raises(SettingError, match=rf"^port={re.escape(repr(port))}: must be a whole number from 0"):
        proxies.proxy(echo, port=port)


def test_a_bad_network_is_refused_in_one_line(proxies: ProxyServer, echo: tuple[str, int]) -> None:
    with pytest.raises(SettingError, match=r"^network='dialup': no such profile; allowed: colo"):
        proxies.proxy(echo, network="dialup")


def test_a_proxy_that_could_not_be_made_leaves_nothing_behind(echo: tuple[str, int]) -> None:
    with ProxyServer() as server, pytest.raises(SettingError):
        server.proxy(echo, port=echo[1])
    assert "stress proxies" not in {thread.name for thread in threading.enumerate()}
