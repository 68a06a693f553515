"""Read JSON and Python literals that others have written. Whatever the text, the only error is ``ValueError``.

Guarantee: a value is nested at most ``MOST_NESTED`` levels deep, so that code which walks through it cannot exceed
Python's limit of recursion.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any, Final

MOST_NESTED: Final = 32


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text, with or without a byte order mark.

    Raises ``ValueError`` for text that is not UTF-8 or not JSON (``NaN`` is not), that is nested too deeply, or
    that has a key twice in one object.
    """
    import json

    if not isinstance(text, (str, bytes)):
        raise ValueError(f"not a text ({type(text).__name__})")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        value = json.loads(
            decoded, object_pairs_hook=_distinct, parse_constant=_refuse_constant, parse_int=_whole_number
        )
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error})") from None
    return _checked(value)


def read_literal(text: str) -> Any:
    """Return the value of a Python literal. Raises ``ValueError`` for any other text."""
    try:
        value = ast.literal_eval(text)
    except (RecursionError, MemoryError):
        raise _too_deep() from None
    except (SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"not a literal ({type(error).__name__})") from None
    return _checked(value)


def is_nested_too_deeply(value: Any) -> bool:
    """Return True if mappings and lists are nested more than ``MOST_NESTED`` levels deep."""
    level = [value]
    for _ in range(MOST_NESTED + 1):
        # Each container once: a list that contains itself twice would double the level.
        level = [*{id(child): child for container in level for child in _children(container)}.values()]
        if not level:
            return False
    return True


def _children(container: Any) -> Iterable[Any]:
    items = container.values() if isinstance(container, Mapping) else container
    return [item for item in items if isinstance(item, (Mapping, list, tuple))]


def _checked(value: Any) -> Any:
    if isinstance(value, (dict, list, tuple)) and is_nested_too_deeply(value):
        raise _too_deep()
    return value


def _too_deep() -> ValueError:
    return ValueError(f"nested more than {MOST_NESTED} levels deep")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"duplicate key {next(name for name in names if names.count(name) > 1)!r}")
    return values


def _whole_number(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ValueError(f"a number has {len(digits)} digits") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
