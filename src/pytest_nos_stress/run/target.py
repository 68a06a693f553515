"""The target as agents see it: a function to call for each task.

A target is an object with a method for each task, a mapping of tasks to functions, or one function for every task.
Errors are raised before anything runs: for a task that the target cannot perform, a signature that does not fit,
or a coroutine function under an engine that cannot await it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_nos_stress import engines
from pytest_nos_stress._internal.callables import code_of_call, is_coroutine_function
from pytest_nos_stress._internal.text import escape_controls, safe_repr
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.scenario.fields import DEFAULT_TASKS
from pytest_nos_stress.scenario.operation import Task, TaskFunction

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OPERATION_NAMES = ("operation", "op")


def default_tasks(target: object) -> tuple[str, ...]:
    """Return the default tasks: the keys of a mapping, otherwise buy, sell, hedge and rebalance."""
    if isinstance(target, Mapping):
        return tuple(target)
    return DEFAULT_TASKS


def is_async(target: object, names: Iterable[str]) -> bool:
    """Return True if one of the tasks is ``async def``. Raises as ``bind`` does."""
    functions = _functions(target, list(names))
    return any(map(is_coroutine_function, functions.values()))


def bind(target: object, names: Iterable[str], engine: str = engines.DEFAULT) -> list[Task]:
    """Return the named tasks, ready to be called under an engine. Raises ``SettingError``."""
    names = list(names)
    functions = _functions(target, names)
    return [_task(name, functions[name], engine) for name in names]


def _functions(target: object, names: list[str]) -> Mapping[str, Any]:
    if isinstance(target, Mapping):
        return _named(dict(target), names, target)
    methods = {name: getattr(target, name) for name in names if _has(target, name)}
    if callable(target) and len(methods) < len(names):
        return dict.fromkeys(names, target)
    return _named(methods, names, target)


def _has(target: object, name: str) -> bool:
    try:
        return callable(getattr(target, name, None))
    except Exception as error:
        raise SettingError(f"target: reading {name!r} raised {type(error).__name__}") from error


def _named(functions: dict[str, Any], names: list[str], target: object) -> Mapping[str, Any]:
    missing = [name for name in names if name not in functions]
    if not missing:
        return functions
    able = (
        ", ".join(escape_controls(str(name)) for name in functions)
        if isinstance(target, Mapping)
        else _offers(target)
    )
    raise SettingError(
        f"tasks={names!r}: {_describe(target)} cannot perform {', '.join(map(repr, missing))}; it has {able}"
    )


def _offers(target: object) -> str:
    public = [name for name in dir(target) if not name.startswith("_") and _has(target, name)]
    return ", ".join(public[:10]) or "no public method"


def _describe(target: object) -> str:
    return "the mapping" if isinstance(target, Mapping) else f"a target of type {type(target).__name__}"


def _task(name: str, function: Any, engine: str) -> Task:
    if not callable(function):
        raise SettingError(f"target: task {name!r} is {safe_repr(function)}, which cannot be called")
    code = code_of_call(function)
    if any(map(inspect.isasyncgenfunction, code)):
        raise SettingError(
            f"target: task {name!r} is an async generator function, so a call would not run its body; "
            "must be a function without yield"
        )
    is_async = is_coroutine_function(function)
    if is_async and not engines.engine_class(engine).awaits_tasks:
        able = engines.name_of_first(lambda engine: engine.awaits_tasks)
        raise SettingError(
            f"target: task {name!r} is async def, which engine {engine!r} cannot run; "
            f"must be a sync function, or run with engine={able!r}"
        )
    if any(map(inspect.isgeneratorfunction, code)):
        raise SettingError(
            f"target: task {name!r} is a generator function, so a call would not run its body; "
            "must be a function without yield"
        )
    return Task(name, function, _takes_operation(name, function), is_async)


def _takes_operation(name: str, function: TaskFunction) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return True
    required = [parameter for parameter in parameters if parameter.default is parameter.empty]
    positional = [parameter for parameter in required if parameter.kind in _POSITIONAL]
    keywords = [parameter.name for parameter in required if parameter.kind is parameter.KEYWORD_ONLY]
    if len(positional) > 1 or keywords:
        wanted = ", ".join([parameter.name for parameter in positional] + keywords)
        raise SettingError(
            f"target: task {name!r} wants the arguments ({wanted}); a task takes the Operation or nothing"
        )
    if positional:
        return True
    first = parameters[0] if parameters else None
    return first is not None and (
        first.kind is first.VAR_POSITIONAL or (first.kind in _POSITIONAL and first.name in _OPERATION_NAMES)
    )
