"""Answers of users' functions: decide what a function answered, and describe an answer that is not allowed.

Only a bool is an answer to a yes-or-no question. Nearly every other object is true in Python: a coroutine that
nobody awaited, a method that nobody called, a future. Such a value would let a check pass without an evaluation.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Collection
from typing import Any, Final, TypeGuard

from .text import safe_repr, shorten

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_LONGEST_PROBLEMS: Final = 1_000
_MUST_BE_BOOL: Final = "must return True or False"
_MUST_BE_PROBLEMS: Final = "must return None, True, False or a list of problems"


class WrongAnswer(TypeError):
    """A function returned a value that is not an answer. The message is one line with value, type and remedy."""


def read_condition(answer: object) -> bool:
    """Return the answer of a condition. Raise ``WrongAnswer`` unless it is a bool, NumPy's included."""
    if not is_bool(answer):
        raise WrongAnswer(describe(answer, _MUST_BE_BOOL))
    return bool(answer)


def read_problems(answer: object) -> str:
    """Return the problems that an invariant found; empty if it holds.

    None, True and an empty collection mean that it holds. False, and a collection or text that is not empty, mean
    that it does not hold. Raise ``WrongAnswer`` for any other value.
    """
    if answer is None:
        return ""
    if is_bool(answer):
        return "" if answer else "it returned False"
    if not _lists_problems(answer):
        raise WrongAnswer(describe(answer, _MUST_BE_PROBLEMS))
    if not len(answer):
        return ""
    if isinstance(answer, str):
        return shorten(answer, _LONGEST_PROBLEMS)
    text = safe_repr(answer)
    for item in answer:
        _close(item)
    return text


def is_bool(answer: object) -> bool:
    """Return True for a bool or a ``numpy.bool_``. A mock of a bool is neither of them."""
    numpy = sys.modules.get("numpy")
    return type(answer) is bool or (numpy is not None and type(answer) is numpy.bool_)


def describe(answer: object, rule: str, *, generator: str = "remove yield") -> str:
    """Describe a value that a function should not have returned, and close it if it is an unused coroutine.

    For example ``it returned <coroutine object audit> (coroutine): await it; must return True or False``.
    ``generator`` is the remedy if the value is a generator.
    """
    return f"it returned {_described(answer, generator)}; {rule}"


def describe_reported(condition: object) -> str:
    """Describe a condition that is not a bool, in the same words as ``describe``."""
    return f"it was called with {_described(condition, 'call a function without yield')}; must be True or False"


def _described(answer: object, generator: str) -> str:
    is_generator = inspect.isgenerator(answer) or inspect.isasyncgen(answer)
    remedy = generator if is_generator else _remedy(answer)
    text = f"{_ADDRESS.sub('', safe_repr(answer))} ({type(answer).__name__})"
    _close(answer)
    return f"{text}: {remedy}" if remedy else text


def _remedy(answer: object) -> str:
    if inspect.isawaitable(answer):
        return "await it"
    if _is_mock(answer):
        return "give the mock a return_value"
    if callable(answer):
        return "call it"
    if hasattr(answer, "add_done_callback"):
        return "call its result()"
    return "add return" if answer is None else ""


def _lists_problems(answer: object) -> TypeGuard[Collection[object]]:
    """Return True for collections. A mock is not one, although it has a length of 0."""
    is_usable = not callable(answer) and not inspect.isawaitable(answer) and not _is_mock(answer)
    return is_usable and isinstance(answer, Collection)


def _is_mock(answer: object) -> bool:
    return any(base.__module__ in ("unittest.mock", "mock.mock") for base in type(answer).__mro__)


def _close(answer: Any) -> None:
    """Close a coroutine that nobody has started, so that Python does not warn that it was never awaited."""
    if inspect.iscoroutine(answer) and inspect.getcoroutinestate(answer) == inspect.CORO_CREATED:
        answer.close()
