"""Options: a setting of several named values, as a value: frozen, hashable, printed as the dict that makes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Options(Mapping[str, Any]):
    """A mapping that never changes. Mappings in it are options too, lists are tuples."""

    __slots__ = ("_hash", "_values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {str(name): _frozen(value) for name, value in values.items()}
        self._hash = hash(frozenset(self._values.items()))

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[type[Options], tuple[dict[str, Any]]]:
        return Options, (self._values,)


def plain(value: Any) -> Any:
    """Options as JSON types."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Options(value)
    if isinstance(value, (tuple, list)):
        return tuple(_frozen(one) for one in value)
    hash(value)
    return value
