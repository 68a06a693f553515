"""The ``stress_proxy`` fixture: real TCP proxies before servers under test.

A proxy that a test makes is closed when the test has ended; one that a fixture makes lives as long as the
session, or until the fixture closes it. Seed and name of a proxy are those of the run and of its place in the
test, so that the same connections meet the same faults in every session of a seed.
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
        self._count_of_test: Counter[str] = Counter()
        self._of_session: list[Proxy] = []
        self._of_test: list[Proxy] = []

    def __call__(self, upstream: Any, *, network: Any = None, host: str = "127.0.0.1", port: int = 0) -> Proxy:
        """A proxy before ``upstream``: ``"host:port"``, ``(host, port)`` or a URL.

        ``network``: a profile's name or parameters, at any time; default: what a run's settings say, while it
        goes on. ``port``: 0 is any free one. Raises ``SettingError`` where the upstream refuses, or the port
        is in use.
        """
        __tracebackhide__ = True
        item = self._session.item
        test = item.nodeid if item else ""
        self._count_of_test[test] += 1
        name = f"{test}#{self._count_of_test[test]}"
        seed = self._session.seed
        try:
            proxy = self._server.proxy(upstream, network=network, seed=seed, name=name, host=host, port=port)
        except SettingError as error:
            problem = error
        else:
            (self._of_test if self._session.is_in_call else self._of_session).append(proxy)
            return proxy
        raise problem.with_traceback(None)

    def open_proxies(self) -> list[Proxy]:
        """The proxies of the session's fixtures and of the running test."""
        return [proxy for proxy in (*self._of_session, *self._of_test) if not proxy.is_closed]

    def end_test(self) -> None:
        """Close the proxies that the running test has made."""
        proxies, self._of_test = self._of_test, []
        for proxy in proxies:
            proxy.close()

    def close(self) -> None:
        self._server.close()
