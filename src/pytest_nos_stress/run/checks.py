"""Checks: what must hold of a target while agents perform and after they have.

An invariant always holds; ``sometimes`` is a state that a run must have reached at least once, or it has tested
nothing (the name is Antithesis'); ``eventually`` is liveness: once nothing goes wrong any more, the system
must come to rest. A check takes nothing, or the target. It is broken if it raises an exception, returns False,
or returns problems: a list, tuple, set, mapping or text that is not empty. So an ``audit()`` that returns its
findings is a check as it is.

Guarantee: a check that answers anything else (a coroutine, a number) is broken too, and says why.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, NamedTuple

from pytest_nos_stress._internal.text import error_message, error_name, from_target_on, one_line, shorten
from pytest_nos_stress.config.options import SettingError, shown
from pytest_nos_stress.errors import Abandoned

HELD: Final = "held"
BROKEN: Final = "broken"
NOT_JUDGED: Final = "not judged"

_ENDED_EARLY: Final = "the run was ended early"
NEVER_SEEN: Final = "never seen"
_LONGEST_FINDING: Final = 1_000
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

CheckFunction = Callable[..., object]


class CheckVerdict(NamedTuple):
    """What became of one check: ``held``, ``broken`` or ``not judged``, and why."""

    name: str
    verdict: str
    looks: int
    """How often it was looked at."""
    finding: str = ""
    error: BaseException | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"check": self.name, "verdict": self.verdict, "looks": self.looks, "finding": self.finding}

    def __str__(self) -> str:
        return f"check {self.name} is {self.verdict}: {self.finding}"


class Sometimes:
    """A state that must have been seen at least once in a run."""

    def __init__(self, name: str, condition: CheckFunction | None = None) -> None:
        self.__name__ = _name(name, "sometimes")
        self.condition = condition
        self.seen = False

    def __call__(self, condition: object = True) -> None:
        """Note that the state has been seen, if ``condition`` is true. From any thread."""
        if condition:
            self.seen = True


class Eventually:
    """What must become true in a phase without faults after a run's plan."""

    def __init__(self, name: str, condition: CheckFunction, within: float, operations: int) -> None:
        self.__name__ = _name(name, "eventually")
        self.condition = condition
        self.within = within
        self.operations = operations

    def __call__(self) -> None:
        raise TypeError(f"eventually({self.__name__!r}, ...): allowed in checks=[...] of a run")


def sometimes(name: str, condition: CheckFunction | None = None) -> Sometimes:
    """A check that a state was reached at least once: ``checks=[sometimes("book crossed", is_crossed)]``.

    ``condition`` is looked at where the other checks are, and takes nothing or the target. Without one, the code
    under test or the test's own tasks tell: ``partial = sometimes("partial fill")`` is called as
    ``partial(order.filled < order.quantity)``, and handed to ``checks`` all the same.
    """
    if condition is not None and not callable(condition):
        raise _no_function("sometimes", condition)
    return Sometimes(name, condition)


def eventually(
    name: str, condition: CheckFunction, within: float | str = 10.0, operations: int = 1_000
) -> Eventually:
    """A check that the target recovers: ``checks=[eventually("no order is pending", no_order_is_pending)]``.

    When every agent has performed its plan, they go on without faults until the condition (of nothing, or of the
    target) is true. It is broken after ``within`` (seconds of the engine's time, or text with a unit) or
    ``operations`` of an agent. These operations count and are logged as all others.
    """
    from pytest_nos_stress.config.validators import COUNT, SPAN

    if not callable(condition):
        raise _no_function("eventually", condition)
    checked = []
    for setting, value, kind in (("within", within, SPAN), ("operations", operations, COUNT)):
        try:
            checked.append(kind.check(value))
        except (TypeError, ValueError, OverflowError):
            raise SettingError(f"eventually: {setting}={shown(value)}: must be {kind.allowed}") from None
    return Eventually(name, condition, *checked)


def _no_function(of: str, given: object) -> SettingError:
    return SettingError(f"{of}: condition={shown(given)}: must be a function that takes nothing or the target")


def _name(name: object, of: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise SettingError(f"{of}: name={shown(name)}: must be text that says what is meant")
    return name


class Question:
    """A check's function, ready to be asked."""

    def __init__(self, function: CheckFunction, subject: object, name: str | None = None) -> None:
        self.name: str = name or getattr(function, "__name__", "") or type(function).__name__
        self.looks = 0
        self.error: BaseException | None = None
        self._arguments = (subject,) if _takes_subject(function, self.name) else ()
        self._function = function

    def find(self) -> tuple[str, BaseException | None]:
        """What is wrong, and the exception that said so; the empty text where nothing is."""
        self.looks += 1
        try:
            answer = self._function(*self._arguments)
        except (KeyboardInterrupt, Abandoned):
            raise
        except BaseException as error:
            raised = error.with_traceback(from_target_on(error))
            return shorten(f"{error_name(error)}: {error_message(error)}", _LONGEST_FINDING), raised
        return _finding(answer), None

    def is_true(self) -> bool:
        """Whether a condition holds; one that raises does not, and the exception is kept in ``error``."""
        self.looks += 1
        try:
            return bool(self._function(*self._arguments))
        except (KeyboardInterrupt, Abandoned):
            raise
        except BaseException as error:
            self.error = error.with_traceback(from_target_on(error))
            return False


def _finding(answer: object) -> str:
    if answer is None or answer is True:
        return ""
    if isinstance(answer, Collection):
        return (
            shorten(answer if isinstance(answer, str) else shown(answer), _LONGEST_FINDING) if len(answer) else ""
        )
    if answer is False or type(answer).__name__ in ("bool", "bool_"):
        return "" if answer else "it returned False"
    if inspect.iscoroutine(answer):
        answer.close()
    return f"it returned {shown(answer)}; must return None, True, False or a list of problems"


def _takes_subject(function: CheckFunction, name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    required = [
        one for one in parameters if one.default is one.empty and one.kind in (*_POSITIONAL, one.KEYWORD_ONLY)
    ]
    if len(required) > 1 or any(one.kind is one.KEYWORD_ONLY for one in required):
        wanted = ", ".join(one.name for one in required)
        raise SettingError(f"checks: {name} wants the arguments ({wanted}); a check takes nothing or the target")
    if inspect.iscoroutinefunction(function):
        raise SettingError(f"checks: {name} is async def; a check is a sync function")
    return bool(required)


class _Hope:
    """One condition of the recovery phase, and how long there is for it."""

    def __init__(self, given: Eventually, target: object, agents: int) -> None:
        self.question = Question(given.condition, target, given.__name__)
        self.within_ns = round(given.within * 1e9)
        self.operations = given.operations
        self._looks_of_all = given.operations * agents
        self.has_come_true = False

    def is_open(self, elapsed_ns: int) -> bool:
        """Look, unless it has come true or cannot in time; whether it may still."""
        if self.has_come_true or elapsed_ns > self.within_ns:
            return False
        self.has_come_true = self.question.is_true()
        return not self.has_come_true

    def verdict(self, *, judged: bool) -> CheckVerdict:
        name, looks, error = self.question.name, self.question.looks, self.question.error
        if self.has_come_true:
            return CheckVerdict(name, HELD, looks)
        if not judged:
            return CheckVerdict(name, NOT_JUDGED, looks, _ENDED_EARLY)
        why = f" ({error_name(error)}: {error_message(error)})" if error else ""
        limit = f"{self.within_ns / 1e9:g} s"
        if looks >= self._looks_of_all:
            limit = f"{self.operations} operations of an agent"
        finding = f"not true within {limit} without faults{why}, looked at {looks} times"
        return CheckVerdict(name, BROKEN, looks, finding, error)


class Recovery:
    """The phase after the plan in which nothing goes wrong; over when every condition has come true or cannot.

    No lock is held while a condition, which may wait for the target, is looked at: that it was true once is
    enough, whichever agent saw it.
    """

    def __init__(self, given: list[Eventually], target: object, agents: int) -> None:
        self.deadline_ns = 0
        self._began_ns = 0
        self._hopes = [_Hope(one, target, agents) for one in given]
        self.most_operations = max(one.operations for one in self._hopes)
        """How many operations an agent performs at most. Each has as many: real threads may be long in turn."""

    def begin(self, now: int) -> None:
        if not self.deadline_ns:
            self._began_ns = now
            self.deadline_ns = now + max(one.within_ns for one in self._hopes)

    @property
    def has_begun(self) -> bool:
        return bool(self.deadline_ns)

    def is_over(self, now: int) -> bool:
        still_open = [one for one in self._hopes if one.is_open(now - self._began_ns)]
        return not still_open

    def verdicts(self, *, judged: bool) -> list[CheckVerdict]:
        return [one.verdict(judged=judged) for one in self._hopes]


class Checks:
    """The checks of one run. ``after_the_run``: invariants that are looked at then alone."""

    def __init__(
        self,
        given: Iterable[CheckFunction],
        target: object,
        *,
        agents: int,
        every: int | None,
        after_the_run: Iterable[CheckFunction] = (),
    ) -> None:
        given = list(given)
        self._last = [Question(one, target) for one in after_the_run]
        self._seen = [one for one in given if isinstance(one, Sometimes)]
        self._states = [
            (one, Question(one.condition, target, one.__name__)) for one in self._seen if one.condition is not None
        ]
        self._invariants = [Question(one, target) for one in given if not isinstance(one, (Sometimes, Eventually))]
        lively = [one for one in given if isinstance(one, Eventually)]
        self.recovery = Recovery(lively, target, agents) if lively else None
        self.every = every if self._invariants or self._states else None
        """Operations from one look to the next during the run; None where there is nothing to look at then."""
        self._broken: dict[Question, CheckVerdict] = {}
        for one in self._seen:
            one.seen = False

    def hold(self, when: str, *, has_ended: bool = False) -> bool:
        """Look at every check now; whether all invariants hold. A broken one stays broken.

        ``has_ended``: whether the run has, so that those are looked at too that wait for that.
        """
        for state, question in self._states:
            state.seen = state.seen or question.is_true()
        for question in [*self._invariants, *(self._last if has_ended else ())]:
            finding, error = question.find()
            if finding and question not in self._broken:
                self._broken[question] = CheckVerdict(
                    question.name, BROKEN, question.looks, one_line(f"{when}: {' '.join(finding.split())}"), error
                )
        return not self._broken

    def verdicts(self, *, judged: bool) -> list[CheckVerdict]:
        """The verdict on each check, in the kinds' order; ``judged`` is whether the run came to its end."""
        invariants = [self._of_invariant(one, judged) for one in [*self._invariants, *self._last]]
        states = [self._of_state(one, judged) for one in self._seen]
        return invariants + states + (self.recovery.verdicts(judged=judged) if self.recovery else [])

    def _of_invariant(self, question: Question, judged: bool) -> CheckVerdict:
        if question in self._broken:
            return self._broken[question]
        if not judged:
            return CheckVerdict(question.name, NOT_JUDGED, question.looks, _ENDED_EARLY)
        return CheckVerdict(question.name, HELD, question.looks)

    def _of_state(self, state: Sometimes, judged: bool) -> CheckVerdict:
        looks = sum(question.looks for one, question in self._states if one is state)
        if state.seen:
            return CheckVerdict(state.__name__, HELD, looks)
        if not judged:
            return CheckVerdict(state.__name__, NOT_JUDGED, looks, _ENDED_EARLY)
        if state.condition is None:
            how = ": the run did not reach this state"
        elif self.every is not None:
            how = f" in {looks} looks: the run did not reach this state"
        else:
            how = ": looked at after the run only; every=N looks during it too"
        error = next((question.error for one, question in self._states if one is state), None)
        why = f" (looking raised {error_name(error)}: {error_message(error)})" if error else ""
        return CheckVerdict(state.__name__, BROKEN, looks, one_line(f"{NEVER_SEEN}{how}{why}"), error)
