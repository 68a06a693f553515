"""A seeded TCP proxy on loopback that stands before a real server and makes its network bad.

All proxies of a ``ProxyServer`` live in one asyncio thread. Nothing here knows pytest or the engine: a ``Proxy``
is of use in any program.
"""

from .connections import Statistics, Toxic
from .proxy import Proxy
from .server import ProxyServer

__all__ = ["Proxy", "ProxyServer", "Statistics", "Toxic"]
