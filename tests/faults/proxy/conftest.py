"""Real servers on loopback, and proxies in front of them."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from pytest_nos_stress.proxy import ProxyServer

Handler = Callable[[socket.socket], None]
Serve = Callable[[Handler], tuple[str, int]]

PATIENCE = 30.0


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, handler: Handler) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self._handler = handler
        self._has_been_tried = False

    def finish_request(self, request: object, client_address: object) -> None:
        # A proxy connects once, when it is made, to see whether there is a server.
        if not self._has_been_tried:
            self._has_been_tried = True
            return
        assert isinstance(request, socket.socket)
        request.settimeout(PATIENCE)
        try:
            self._handler(request)
        except ConnectionError:
            return


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server for one proxy, which handles each connection in a thread. Returns its address."""
    running = []

    def start(handler: Handler) -> tuple[str, int]:
        server = _Server(handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return "127.0.0.1", server.server_address[1]

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def _echo(connection: socket.socket) -> None:
    while data := connection.recv(65_536):
        connection.sendall(data)


@pytest.fixture
def echo(serve: Serve) -> tuple[str, int]:
    """Address of a server that sends back all data."""
    return serve(_echo)


@pytest.fixture
def proxies(serve: Serve) -> Iterator[ProxyServer]:
    """A proxy server. It is closed before the servers behind it."""
    with ProxyServer() as server:
        yield server


@pytest.fixture
def connect() -> Iterator[Callable[[object], socket.socket]]:
    """Connect to a proxy, or to any object with a host and a port. The socket is closed at the test's end."""
    sockets = []

    def connected(to: object) -> socket.socket:
        address = (to.host, to.port)  # type: ignore[attr-defined]
        connection = socket.create_connection(address, timeout=PATIENCE)
        sockets.append(connection)
        return connection

    yield connected
    for connection in sockets:
        connection.close()
