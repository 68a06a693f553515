"""Verdict on a check, and the runner that calls the check's function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from pytest_nos_stress._internal.text import error_message, error_name, safe_repr, shorten
from pytest_nos_stress._internal.tracebacks import strip_internal_frames
from pytest_nos_stress.errors import Abandoned, SettingError

from .statistics_types import CheckStatistics
from .verdicts import sentence

_LONGEST_FINDING: Final = 1_000
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
CheckFunction = Callable[..., object]


class CheckVerdict(NamedTuple):
    """Verdict on one check: ``passed``, ``failed`` or ``no data`` (the run ended too early), and the reason."""

    name: str
    verdict: str
    looks: int
    """Number of evaluations of the check."""
    finding: str = ""
    error: BaseException | None = None

    def as_dict(self) -> CheckStatistics:
        return {"check": self.name, "verdict": self.verdict, "looks": self.looks, "finding": self.finding}

    def __str__(self) -> str:
        return sentence(f"check {self.name}", self.verdict, self.finding)


class CheckRunner:
    """Calls the function of a check and reads its answer."""

    def __init__(self, function: CheckFunction, subject: object, name: str | None = None) -> None:
        self.name: str = name or getattr(function, "__name__", "") or type(function).__name__
        self.evaluations = 0
        self.error: BaseException | None = None
        self._arguments = (subject,) if _takes_subject(function, self.name) else ()
        self._function = function

    def evaluate(self) -> tuple[str, BaseException | None]:
        """Call the check. Return the problem and the exception behind it, or an empty text and None."""
        self.evaluations += 1
        try:
            answer = self._function(*self._arguments)
        except (KeyboardInterrupt, Abandoned):
            raise
        except BaseException as error:
            raised = error.with_traceback(strip_internal_frames(error))
            return shorten(f"{error_name(error)}: {error_message(error)}", _LONGEST_FINDING), raised
        return _finding(answer), None

    def is_true(self) -> bool:
        """Return True if the condition is true. If it raises, keep the exception in ``error`` and return False."""
        self.evaluations += 1
        try:
            return bool(self._function(*self._arguments))
        except (KeyboardInterrupt, Abandoned):
            raise
        except BaseException as error:
            self.error = error.with_traceback(strip_internal_frames(error))
            return False


def _finding(answer: object) -> str:
    if answer is None or answer is True:
        return ""
    if isinstance(answer, Collection):
        return (
            shorten(answer if isinstance(answer, str) else safe_repr(answer), _LONGEST_FINDING)
            if len(answer)
            else ""
        )
    if answer is False or type(answer).__name__ in ("bool", "bool_"):
        return "" if answer else "it returned False"
    if inspect.iscoroutine(answer):
        answer.close()
    return f"it returned {safe_repr(answer)}; must return None, True, False or a list of problems"


def _takes_subject(function: CheckFunction, name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    required = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind in (*_POSITIONAL, parameter.KEYWORD_ONLY)
    ]
    if len(required) > 1 or any(parameter.kind is parameter.KEYWORD_ONLY for parameter in required):
        wanted = ", ".join(parameter.name for parameter in required)
        raise SettingError(f"checks: {name} requires the arguments ({wanted}); must take nothing or the target")
    if inspect.iscoroutinefunction(function):
        raise SettingError(f"checks: {name} is async def; must be a plain function")
    return bool(required)
