"""Seeded TCP proxy on loopback, in front of a real server, which degrades the server's network.

All proxies of a ``ProxyServer`` run in one asyncio thread. The package knows neither pytest nor engines, so a
``Proxy`` can be used in any program.
"""

from .connections import Statistics, Toxic
from .proxy import Proxy
from .server import ProxyServer

__all__ = ["Proxy", "ProxyServer", "Statistics", "Toxic"]
