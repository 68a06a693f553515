"""FrozenDict: an immutable, hashable mapping for settings with several values. Its ``repr`` is that of a dict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .reading import MOST_NESTED, is_nested_too_deeply


class FrozenDict(Mapping[str, Any]):
    """An immutable mapping. Its values are made immutable, too: mappings become ``FrozenDict``, lists tuples.

    Raises ``TypeError`` for a value that cannot be hashed, and ``ValueError`` for values nested too deeply.
    """

    __slots__ = ("_hash", "_values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        if is_nested_too_deeply(values):
            raise ValueError(f"nested more than {MOST_NESTED} levels deep")
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

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (self._values,)


def to_json_types(value: Any) -> Any:
    """Return a value with its mappings as dicts and its sequences as lists, as in JSON."""
    if isinstance(value, Mapping):
        return {name: to_json_types(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json_types(item) for item in value]
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return FrozenDict(value)
    if isinstance(value, (tuple, list)):
        return tuple(_frozen(item) for item in value)
    hash(value)
    return value
