"""Verdict on a check, and the runner that calls the check's function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, NamedTuple

from pytest_nos_stress._internal.answers import WrongAnswer, read_condition, read_problems
from pytest_nos_stress._internal.callables import code_of_call, is_coroutine_function
from pytest_nos_stress._internal.text import error_message, error_name, shorten
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
        self.wrong_answer = ""
        """Description of the first answer of a condition that is not a bool; empty if there is none."""
        self._arguments = (subject,) if _takes_subject(function, self.name) else ()
        self._function = function

    def evaluate(self) -> tuple[str, BaseException | None]:
        """Call the check. Return the problem and the exception behind it, or an empty text and None."""
        self.evaluations += 1
        try:
            return read_problems(self._function(*self._arguments)), None
        except (KeyboardInterrupt, Abandoned):
            raise
        except WrongAnswer as error:
            return str(error), None
        except BaseException as error:
            raised = error.with_traceback(strip_internal_frames(error))
            return shorten(f"{error_name(error)}: {error_message(error)}", _LONGEST_FINDING), raised

    def is_true(self) -> bool:
        """Return True if the condition is true.

        If it raises, keep the exception in ``error`` and return False. If its answer is not a bool, describe the
        answer in ``wrong_answer`` and return False.
        """
        self.evaluations += 1
        try:
            return read_condition(self._function(*self._arguments))
        except (KeyboardInterrupt, Abandoned):
            raise
        except WrongAnswer as error:
            self.wrong_answer = self.wrong_answer or str(error)
        except BaseException as error:
            self.error = error.with_traceback(strip_internal_frames(error))
        return False


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
    if is_coroutine_function(function):
        raise SettingError(f"checks: {name} is async def; must be a plain function")
    if any(map(_yields, code_of_call(function))):
        raise SettingError(f"checks: {name} is a generator function; must be a function without yield")
    return bool(required)


def _yields(function: object) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
