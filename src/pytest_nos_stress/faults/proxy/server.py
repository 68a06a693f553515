"""Server of all proxies: one thread with an event loop.

Guarantees: the first proxy starts the thread. After ``close()`` no thread, socket, task or timer is left, in
whatever state the connections were. A second ``close()`` does nothing. The interpreter's exit closes a server that
is still open. ``close()`` raises the first exception of the thread, so no exception is lost.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Coroutine
from typing import Any, Final, Self, TypeVar

from pytest_nos_stress._internal.instrument import Lock, Thread, current_thread
from pytest_nos_stress._internal.loops import new_loop
from pytest_nos_stress.faults.network import Network

from .addresses import listening, parsed, resolved
from .proxy import Proxy

T = TypeVar("T")

_LONGEST_END: Final = 10.0


class ProxyServer:
    """Runs proxies, all in one daemon thread. The end of a ``with`` block closes it."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self._thread: Thread | None = None
        self._lock = Lock()
        self._is_closed = False
        self._proxies: list[Proxy] = []
        self._errors: list[BaseException] = []
        self._made = 0

    def proxy(
        self,
        upstream: Any,
        *,
        network: Any = None,
        seed: int = 0,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> Proxy:
        """Return a new proxy in front of a server. Raises ``SettingError``.

        To test the address, the method opens one connection to the server and closes it at once.

        - ``upstream``: the server, as ``"host:port"``, ``(host, port)`` or a URL.
        - ``network``: as for ``Network.of``; None adds no network.
        - ``seed`` and ``name`` determine all draws. The default names are ``proxy-1``, ``proxy-2``, ...
        - ``host`` and ``port``: the address to listen on; port 0 is any free port.
        """
        address = parsed(upstream)
        conditions = Network.of(network)
        server = resolved(address)
        listener = listening(host, port)
        try:
            self._start()
            self._made += 1
            proxy = Proxy(self, address, server, conditions, seed, name or f"proxy-{self._made}")
            proxy.listen(listener)
        except BaseException:
            listener.close()
            raise
        self._proxies = [earlier for earlier in self._proxies if not earlier.is_closed] + [proxy]
        return proxy

    def close(self) -> None:
        """Cut all connections, close all sockets and end the thread."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        if self._thread is None:
            return
        atexit.unregister(self.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_LONGEST_END)
        for proxy in self._proxies:
            proxy.close()
        if self._errors:
            raise self._errors[0]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the proxies' thread, or in this thread after ``close()``, and return its result."""
        if current_thread() is self._thread:
            work.close()
            raise RuntimeError("a proxy cannot be changed from the proxies' own thread")
        with self._lock:
            result = None if self._is_closed else asyncio.run_coroutine_threadsafe(work, self.loop)
        if result is not None:
            return result.result()
        if self._thread is not None:
            self._thread.join(_LONGEST_END)
        return _done_at_once(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self) -> None:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the proxy server is closed")
            if self._thread is not None:
                return
            # Not the loop of the event loop policy: proxies need transports that expose their sockets.
            self.loop = new_loop(asyncio.SelectorEventLoop)  # noqa: TID251
            self.loop.set_exception_handler(self._note)
            self._thread = Thread(target=self._live, name="stress proxies")
            self._thread.start()
            atexit.register(self.close)

    def _live(self) -> None:
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._shut())
        except BaseException as error:
            self._errors.append(error)
        finally:
            self.loop.close()

    async def _shut(self) -> None:
        for proxy in self._proxies:
            await proxy.shut()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._errors.append(context.get("exception") or RuntimeError(context["message"]))


def _done_at_once(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that ends without waiting. Raises ``RuntimeError`` if it waits."""
    try:
        work.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    work.close()
    raise RuntimeError("the proxy server is closed")
