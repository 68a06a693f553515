"""Seeded TCP proxies, under their documented import path."""

from pytest_nos_stress.faults.proxy import Proxy, ProxyServer, Statistics, Toxic

__all__ = ["Proxy", "ProxyServer", "Statistics", "Toxic"]
