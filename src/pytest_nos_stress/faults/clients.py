"""Flaky clients: wrappers of the target's dependencies, whose calls meet the planned faults.

A flaky client wraps another object and passes every access to it; the target is unchanged. While a run is in
progress, each call of a public method meets its planned fault, if any, and the exchange's limits
(``client_faults``). Methods can be plain or ``async``. These objects are wrapped, too:

- attributes of the client that come from the same library (``client.orders``);
- the values of ``with`` and ``async with`` on the client, or on a context manager that a method returns.

Items of iterators can be lost (``lost_fill``) or duplicated (``duplicate_ack``). All other answers are unchanged.
``isinstance`` returns the same for the wrapper as for the client.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from io import IOBase
from pathlib import PurePath
from types import AsyncGeneratorType, BuiltinFunctionType, FunctionType, GeneratorType, MethodType
from typing import Any, Final, cast

from pytest_nos_stress._internal.callables import code_of_call, is_coroutine_function
from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.errors import SettingError

from .client_faults import ClientInterceptor

_FUNCTIONS: Final = (FunctionType, MethodType, BuiltinFunctionType, functools.partial)
_VALUES: Final = (str, bytes, int, float, complex, bool, type(None), dict, list, tuple, set, frozenset)
_PASSED_THROUGH: Final = (*_VALUES, type, PurePath, IOBase)


class FlakyClient:
    """Wrapper of a client, made by ``flaky``. Its attributes are those of the client."""

    def __init__(self, client: Any, interceptor: ClientInterceptor) -> None:
        object.__setattr__(self, "_flaky_client", client)
        object.__setattr__(self, "_flaky_interceptor", interceptor)
        object.__setattr__(self, "_flaky_stream", None)

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        return cast(type[Any], _client_of(self).__class__)

    def __getattr__(self, name: str) -> Any:
        client, interceptor = _client_of(self), interceptor_of(self)
        value = getattr(client, name)
        if isinstance(value, _PASSED_THROUGH) or not interceptor.is_faulty(name):
            return value
        if isinstance(value, _FUNCTIONS):
            return _method(value, interceptor)
        return _in_front_of(value, interceptor) if callable(value) or _is_part(value, client) else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_client_of(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_client_of(self), name)

    def __repr__(self) -> str:
        return f"<flaky {_client_of(self)!r}>"


class _FlakyAnswer(FlakyClient):
    """Wrapper of an answer. Only its items, and its value in a ``with`` block, are flaky."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_client_of(self), name)


def interceptor_of(client: Any) -> ClientInterceptor:
    """Return the interceptor of a flaky client. Raises ``AttributeError`` for any other object."""
    return cast(ClientInterceptor, object.__getattribute__(client, "_flaky_interceptor"))


def flaky(client: Any, methods: Iterable[str] | None = None, *, number: int = 1) -> Any:
    """Wrap a client, so that its calls meet the planned faults.

    ``methods``: names of the methods that meet faults (default: all public methods). ``number`` distinguishes the
    clients of a test. Raises ``SettingError`` for an object without methods, and for a name in ``methods`` that is
    not a method of the client.
    """
    if type(client) in _VALUES:
        raise SettingError(f"flaky: client={safe_repr(client)}: must be an object with methods, or a function")
    names = None if methods is None else _checked(client, methods)
    return _in_front_of(client, ClientInterceptor(number, names))


def _checked(client: Any, methods: Any) -> frozenset[str]:
    names = [methods] if isinstance(methods, str) else list(methods) if isinstance(methods, Iterable) else []
    if not names:
        raise SettingError(f"flaky: methods={safe_repr(methods)}: must be a list of method names")
    for name in names:
        value = getattr(client, name, None) if isinstance(name, str) else None
        if value is None:
            public = [
                attribute
                for attribute in dir(client)
                if not attribute.startswith("_") and callable(getattr(client, attribute, None))
            ]
            raise SettingError(
                f"flaky: methods={safe_repr(names)}: {type(client).__name__} has no method {safe_repr(name)}; "
                f"its methods: {', '.join(public[:10]) or 'none'}"
            )
        if not callable(value):
            raise SettingError(
                f"flaky: methods={safe_repr(names)}: {name!r} of {type(client).__name__} is {safe_repr(value)}, "
                "which cannot be called"
            )
    return frozenset(names)


def _is_part(value: Any, client: Any) -> bool:
    """Return True if an attribute is an object of the client's own library, so that its calls meet faults, too."""
    if isinstance(value, (Enum, BaseException)):
        return False
    return _library(value) == _library(client)


def _library(value: Any) -> str:
    return str(type(value).__module__).partition(".")[0]


def _in_front_of(client: Any, interceptor: ClientInterceptor, base: type[Any] = FlakyClient) -> Any:
    """Wrap a client in a new type that has the special methods of the client's type.

    Python looks up special methods in the type, not in the object.
    """
    special = {name: method for name, method in _SPECIAL.items() if getattr(type(client), name, None) is not None}
    return type("FlakyClient", (base,), special)(client, interceptor)


def _method(method: Callable[..., Any], interceptor: ClientInterceptor) -> Callable[..., Any]:
    if is_coroutine_function(method):

        @_as(method)
        async def flaky_coroutine(*args: Any, **kwargs: Any) -> Any:
            return _flaky_answer(await interceptor.call_async(method, *args, **kwargs), interceptor)

        return flaky_coroutine
    if any(map(inspect.isasyncgenfunction, code_of_call(method))):

        @_as(method)
        def flaky_stream(*args: Any, **kwargs: Any) -> Any:
            return _items_async(method(*args, **kwargs), interceptor)

        return flaky_stream

    @_as(method)
    def flaky_method(*args: Any, **kwargs: Any) -> Any:
        return _flaky_answer(interceptor.call(method, *args, **kwargs), interceptor)

    return flaky_method


def _as(method: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return ``functools.wraps(method)``. Also works for mocks, whose ``__name__`` is not a string."""
    has_name = isinstance(getattr(method, "__name__", None), str)
    return functools.wraps(method, () if not has_name else functools.WRAPPER_ASSIGNMENTS, ())


def _flaky_answer(answer: Any, interceptor: ClientInterceptor) -> Any:
    """Wrap an answer that is an iterator or a context manager. Return any other answer unchanged."""
    if (
        isinstance(answer, _PASSED_THROUGH)
        or issubclass(type(answer), FlakyClient)
        or not interceptor.is_faulty("__iter__")
    ):
        return answer
    if isinstance(answer, GeneratorType):
        return _items(answer, interceptor)
    if isinstance(answer, AsyncGeneratorType):
        return _items_async(answer, interceptor)
    if any(hasattr(type(answer), name) for name in ("__next__", "__anext__", "__enter__", "__aenter__")):
        return _in_front_of(answer, interceptor, _FlakyAnswer)
    return answer


def _items(stream: Iterator[Any], interceptor: ClientInterceptor) -> Iterator[Any]:
    for item in stream:
        yield from itertools.repeat(item, interceptor.delivery_count())


async def _items_async(stream: Any, interceptor: ClientInterceptor) -> Any:
    async for item in stream:
        for _ in range(interceptor.delivery_count()):
            yield item


def _client_of(flaky_client: Any) -> Any:
    return object.__getattribute__(flaky_client, "_flaky_client")


def _stream_of(flaky_client: Any, items: Callable[[Any, ClientInterceptor], Any]) -> Any:
    """Return the stream of items of a client that is an iterator. It is made once per client."""
    stream = object.__getattribute__(flaky_client, "_flaky_stream")
    if stream is None:
        stream = items(_client_of(flaky_client), interceptor_of(flaky_client))
        object.__setattr__(flaky_client, "_flaky_stream", stream)
    return stream


def _iterate(self: Any) -> Any:
    client, interceptor = _client_of(self), interceptor_of(self)
    if not interceptor.is_faulty("__iter__"):
        return iter(client)
    return self if hasattr(type(client), "__next__") else _items(iter(client), interceptor)


def _iterate_async(self: Any) -> Any:
    client, interceptor = _client_of(self), interceptor_of(self)
    if not interceptor.is_faulty("__aiter__"):
        return client.__aiter__()
    return self if hasattr(type(client), "__anext__") else _items_async(client, interceptor)


def _call(self: Any, *args: Any, **kwargs: Any) -> Any:
    client, interceptor = _client_of(self), interceptor_of(self)
    if not interceptor.is_faulty("__call__"):
        return client(*args, **kwargs)
    if is_coroutine_function(client):
        return interceptor.call_async(client, *args, **kwargs)
    return _flaky_answer(interceptor.call(client, *args, **kwargs), interceptor)


def _entered(flaky_client: Any, value: Any) -> Any:
    """Wrap the value of a ``with`` block, so that its calls meet faults."""
    if isinstance(value, _PASSED_THROUGH):
        return value
    return _in_front_of(value, interceptor_of(flaky_client))


async def _enter_async(self: Any) -> Any:
    return _entered(self, await _client_of(self).__aenter__())


_SPECIAL: Final[dict[str, Any]] = {
    "__enter__": lambda self: _entered(self, _client_of(self).__enter__()),
    "__exit__": lambda self, *error: _client_of(self).__exit__(*error),
    "__aenter__": _enter_async,
    "__aexit__": lambda self, *error: _client_of(self).__aexit__(*error),
    "__await__": lambda self: _client_of(self).__await__(),
    "__call__": _call,
    "__iter__": _iterate,
    "__next__": lambda self: next(_stream_of(self, _items)),
    "__aiter__": _iterate_async,
    "__anext__": lambda self: _stream_of(self, _items_async).__anext__(),
    "__str__": lambda self: str(_client_of(self)),
    "__format__": lambda self, how: format(_client_of(self), how),
    "__dir__": lambda self: dir(_client_of(self)),
    "__len__": lambda self: len(_client_of(self)),
    "__bool__": lambda self: bool(_client_of(self)),
    "__int__": lambda self: int(_client_of(self)),
    "__float__": lambda self: float(_client_of(self)),
    "__index__": lambda self: operator.index(_client_of(self)),
    "__contains__": lambda self, item: item in _client_of(self),
    "__getitem__": lambda self, key: _client_of(self)[key],
    "__setitem__": lambda self, key, value: operator.setitem(_client_of(self), key, value),
    "__delitem__": lambda self, key: operator.delitem(_client_of(self), key),
    "__eq__": lambda self, other: _client_of(self) == _without_front(other),
    "__ne__": lambda self, other: _client_of(self) != _without_front(other),
    "__lt__": lambda self, other: _client_of(self) < _without_front(other),
    "__le__": lambda self, other: _client_of(self) <= _without_front(other),
    "__gt__": lambda self, other: _client_of(self) > _without_front(other),
    "__ge__": lambda self, other: _client_of(self) >= _without_front(other),
    "__hash__": lambda self: hash(_client_of(self)),
}


def _without_front(value: Any) -> Any:
    return _client_of(value) if issubclass(type(value), FlakyClient) else value
