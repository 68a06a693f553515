"""The ``stress_proxy`` fixture: real TCP proxies in front of servers under test.

A proxy that a test opens is closed when the test ends. A proxy that a fixture opens stays open until the fixture
closes it or the session ends. A proxy's faults follow from the session's seed, the test, and the proxy's number in
the test, so the same connections meet the same faults in every session with that seed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.proxy import Proxy, ProxyServer

from .session import StressSession


class StressProxy:
    """The value of the ``stress_proxy`` fixture."""

    def __init__(self, session: StressSession) -> None:
        self._session = session
        self._server = ProxyServer()
        self._counts: Counter[str] = Counter()
        self._session_proxies: list[Proxy] = []
        self._test_proxies: list[Proxy] = []

    def __call__(self, upstream: Any, *, network: Any = None, host: str = "127.0.0.1", port: int = 0) -> Proxy:
        """Open a proxy in front of ``upstream``: ``"host:port"``, ``(host, port)`` or a URL.

        ``network``: the name of a network profile, or network parameters, which then apply all the time. By
        default, the network of a run's settings applies while that run is in progress. ``port``: the port to
        listen on; 0 takes any free port. Raises ``SettingError`` if the upstream refuses connections, or if the
        port is in use.
        """
        __tracebackhide__ = True
        item = self._session.item
        test = self._session.identities.of(item).name if item else ""
        self._counts[test] += 1
        name = f"{test}#{self._counts[test]}"
        seed = self._session.seed
        try:
            proxy = self._server.proxy(upstream, network=network, seed=seed, name=name, host=host, port=port)
        except SettingError as error:
            problem = error
        else:
            (self._test_proxies if self._session.is_in_call else self._session_proxies).append(proxy)
            return proxy
        raise problem.with_traceback(None)

    def open_proxies(self) -> list[Proxy]:
        """Return the open proxies of the session's fixtures and of the running test."""
        return [proxy for proxy in (*self._session_proxies, *self._test_proxies) if not proxy.is_closed]

    def end_test(self) -> None:
        """Close the proxies that the running test has opened."""
        proxies, self._test_proxies = self._test_proxies, []
        for proxy in proxies:
            proxy.close()

    def close(self) -> None:
        self._server.close()
