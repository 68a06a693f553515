"""The documented import path of the seeded TCP proxies."""

from pytest_nos_stress.faults.proxy import Proxy, ProxyServer, Statistics, Toxic

__all__ = ["Proxy", "ProxyServer", "Statistics", "Toxic"]
