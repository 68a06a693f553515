"""Addresses of proxies: parse and test the upstream's address, and open the socket that a proxy listens on.

Guarantee: an address that cannot work is a ``SettingError`` of one line when the proxy is made. Then no socket
stays open.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.errors import SettingError

BACKLOG: Final = 1024
LONGEST_CONNECT: Final = 3.0

_ALLOWED: Final = "must be 'host:port', (host, port) or a URL such as 'http://127.0.0.1:8000'"
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Upstream(NamedTuple):
    """Address of the server behind a proxy. ``scheme`` and ``path`` come from a URL, if one was given."""

    host: str
    port: int
    scheme: str = "tcp"
    path: str = ""

    def __str__(self) -> str:
        return joined(self.host, self.port)


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parsed(value: Any) -> Upstream:
    """Return the upstream that ``value`` describes. Raises ``SettingError``."""
    try:
        return _of_text(value) if isinstance(value, str) else _of_pair(value)
    except (TypeError, ValueError):
        raise SettingError(f"upstream={safe_repr(value)}: {_ALLOWED}") from None


def _of_text(text: str) -> Upstream:
    has_scheme = "://" in text
    parts = urlsplit(text if has_scheme else f"//{text}")
    port = parts.port or (_PORTS.get(parts.scheme) if has_scheme else None)
    if not parts.hostname or not port or (parts.path and not has_scheme):
        raise ValueError(text)
    return Upstream(parts.hostname, port, parts.scheme or "tcp", parts.path.rstrip("/"))


def _of_pair(value: Any) -> Upstream:
    host, port = value[:2]
    if not isinstance(host, str) or not host or isinstance(port, (bool, str)) or not 0 < port < 65_536:
        raise ValueError(value)
    return Upstream(host, int(port))


def resolved(upstream: Upstream) -> tuple[str, int]:
    """Return the numeric host and the port at which the upstream answers. Raises ``SettingError`` without one."""
    try:
        with socket.create_connection((upstream.host, upstream.port), timeout=LONGEST_CONNECT) as connection:
            address = connection.getpeername()
            return str(address[0]), int(address[1])
    except (OSError, UnicodeError) as error:
        raise SettingError(
            f"upstream={str(upstream)!r}: does not accept a connection ({_reason(error)}); "
            "must be the address of a running server"
        ) from None


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at this address; port 0 is any free port. Raises ``SettingError``."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65_536:
        raise SettingError(f"port={safe_repr(port)}: must be a whole number from 0 (any free port) to 65535")
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except (OSError, UnicodeError) as error:
        raise SettingError(
            f"port={port}: cannot listen on {joined(host, port)} ({_reason(error)}); "
            "must be free, or 0 for any free port"
        ) from None


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    known = os.strerror(number) if isinstance(number, int) and number > 0 else str(error)
    return known.lower()
