"""Checks: conditions on a target, evaluated while agents perform and after the run.

An invariant must always hold. ``sometimes`` names a state that a run must reach at least once, or the run has not
tested it (the name is from Antithesis). ``eventually`` is a liveness condition: when no more faults are injected,
the system must recover.

A check takes nothing, or the target. It fails if it raises an exception, returns False, or returns problems: a
list, tuple, set, mapping or text that is not empty. So an ``audit()`` that returns its findings is a check without
an adapter.

Only a bool answers a condition of ``sometimes`` or ``eventually``.

Guarantee: a check that returns anything else (a coroutine, a number) fails too, and its message names the value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pytest_nos_stress._internal.answers import describe_reported, is_bool
from pytest_nos_stress._internal.text import error_message, error_name, escape_controls, safe_repr
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.results.check_verdict import CheckFunction, CheckRunner, CheckVerdict
from pytest_nos_stress.results.verdicts import FAILED, NO_DATA, PASSED

_ENDED_EARLY: Final = "the run was ended early"
NEVER_SEEN: Final = "never seen"


class Sometimes:
    """A state that must have been seen at least once in a run."""

    def __init__(self, name: str, condition: CheckFunction | None = None) -> None:
        self.__name__ = _name(name, "sometimes")
        self.condition = condition
        self.seen = False
        self.wrong_answer = ""
        """Description of the first reported condition that is not a bool; empty if there is none."""

    def __call__(self, condition: object = True) -> None:
        """Note that the state has been seen, if ``condition`` is true. From any thread.

        A condition that is not a bool fails the check, and not the operation that reported it.
        """
        if is_bool(condition):
            self.seen = self.seen or bool(condition)
        else:
            described = describe_reported(condition)
            self.wrong_answer = self.wrong_answer or described


class Eventually:
    """A condition that must become true in a phase without faults after the plan."""

    def __init__(self, name: str, condition: CheckFunction, within: float, operations: int) -> None:
        self.__name__ = _name(name, "eventually")
        self.condition = condition
        self.within = within
        self.operations = operations

    def __call__(self) -> None:
        raise TypeError(f"eventually({self.__name__!r}, ...): allowed in checks=[...] of a run")


def sometimes(name: str, condition: CheckFunction | None = None) -> Sometimes:
    """A check that a state was reached at least once: ``checks=[sometimes("book crossed", is_crossed)]``.

    ``condition`` takes nothing or the target, and is evaluated together with the other checks. Without one, the
    code under test or the test's tasks report the state: ``partial = sometimes("partial fill")`` is called as
    ``partial(order.filled < order.quantity)``, and is also passed in ``checks``.
    """
    if condition is not None and not callable(condition):
        raise _no_function("sometimes", condition)
    return Sometimes(name, condition)


def eventually(
    name: str, condition: CheckFunction, within: float | str = 10.0, operations: int = 1_000
) -> Eventually:
    """A check that the target recovers: ``checks=[eventually("no order is pending", no_order_is_pending)]``.

    When every agent has performed its plan, the agents continue without faults until the condition is true. The
    condition takes nothing or the target. The check fails after ``within`` (seconds of the engine's time, or text
    with a unit) or ``operations`` of an agent. These operations are counted and logged like all others.
    """
    from pytest_nos_stress._internal.validation import COUNT, SPAN

    if not callable(condition):
        raise _no_function("eventually", condition)
    return Eventually(
        name,
        condition,
        SPAN.check(within, "eventually: within"),
        COUNT.check(operations, "eventually: operations"),
    )


def _no_function(of: str, condition: object) -> SettingError:
    return SettingError(
        f"{of}: condition={safe_repr(condition)}: must be a function that takes nothing or the target"
    )


def _name(name: object, of: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise SettingError(f"{of}: name={safe_repr(name)}: must be a text that names the state")
    return name


class _LivenessCondition:
    """One condition of the recovery phase, with its time limit."""

    def __init__(self, check: Eventually, target: object, agents: int) -> None:
        self._runner = CheckRunner(check.condition, target, check.__name__)
        self.within_ns = round(check.within * 1e9)
        self.operations = check.operations
        self._most_evaluations = check.operations * agents
        self.has_come_true = False

    def is_open(self, elapsed_ns: int) -> bool:
        """Evaluate the condition if its time is not over. Return True if it can still become true afterwards."""
        if self.has_come_true or self._runner.wrong_answer or elapsed_ns > self.within_ns:
            return False
        if self._runner.is_true():
            self.has_come_true = True
        return not self.has_come_true and not self._runner.wrong_answer

    def verdict(self, *, judged: bool) -> CheckVerdict:
        name, evaluations, error = self._runner.name, self._runner.evaluations, self._runner.error
        if self._runner.wrong_answer:
            return CheckVerdict(name, FAILED, evaluations, escape_controls(self._runner.wrong_answer))
        if self.has_come_true:
            return CheckVerdict(name, PASSED, evaluations)
        if not judged:
            return CheckVerdict(name, NO_DATA, evaluations, _ENDED_EARLY)
        why = f" ({error_name(error)}: {error_message(error)})" if error else ""
        limit = f"{self.within_ns / 1e9:g} s"
        if evaluations >= self._most_evaluations:
            limit = f"{self.operations} operations of an agent"
        finding = f"not true within {limit} without faults{why}, evaluated {evaluations} times"
        return CheckVerdict(name, FAILED, evaluations, finding, error)


class Recovery:
    """The phase after the plan, without faults. It is over when each condition came true or ran out of time.

    Conditions are evaluated without a lock, because they may wait for the target. It is enough that one agent saw
    a condition come true.
    """

    def __init__(self, checks: list[Eventually], target: object, agents: int) -> None:
        self.deadline_ns = 0
        self._began_ns = 0
        self._conditions = [_LivenessCondition(check, target, agents) for check in checks]
        self.most_operations = max(condition.operations for condition in self._conditions)
        """Limit of operations for each agent. Agents do not share it, because a thread may get its turn late."""

    def begin(self, now: int) -> None:
        if not self.deadline_ns:
            self._began_ns = now
            self.deadline_ns = now + max(condition.within_ns for condition in self._conditions)

    @property
    def has_begun(self) -> bool:
        return bool(self.deadline_ns)

    def is_over(self, now: int) -> bool:
        still_open = [condition for condition in self._conditions if condition.is_open(now - self._began_ns)]
        return not still_open

    def verdicts(self, *, judged: bool) -> list[CheckVerdict]:
        return [condition.verdict(judged=judged) for condition in self._conditions]


class Checks:
    """The checks of one run. ``after_the_run``: invariants that are evaluated only when the run has ended."""

    def __init__(
        self,
        checks: Iterable[CheckFunction],
        target: object,
        *,
        agents: int,
        every: int | None,
        after_the_run: Iterable[CheckFunction] = (),
    ) -> None:
        checks = list(checks)
        self._after_the_run = [CheckRunner(check, target) for check in after_the_run]
        self._sometimes = [check for check in checks if isinstance(check, Sometimes)]
        self._states = [
            (check, CheckRunner(check.condition, target, check.__name__))
            for check in self._sometimes
            if check.condition is not None
        ]
        self._invariants = [
            CheckRunner(check, target) for check in checks if not isinstance(check, (Sometimes, Eventually))
        ]
        liveness = [check for check in checks if isinstance(check, Eventually)]
        self.recovery = Recovery(liveness, target, agents) if liveness else None
        self.every = every if self._invariants or self._states else None
        """Evaluate the checks once in so many operations; None if no check is evaluated during the run."""
        self._broken: dict[CheckRunner, CheckVerdict] = {}
        for check in self._sometimes:
            check.seen = False
            check.wrong_answer = ""

    def evaluate_all(self, when: str, *, has_ended: bool = False) -> bool:
        """Evaluate every check now. Return True if all invariants hold, and all conditions answered with a bool.

        A broken invariant stays broken. ``has_ended``: the run has ended, so checks that wait for that are
        evaluated too.
        """
        for state, runner in self._states:
            state.seen = state.seen or runner.is_true()
            state.wrong_answer = state.wrong_answer or runner.wrong_answer
        for runner in [*self._invariants, *(self._after_the_run if has_ended else ())]:
            finding, error = runner.evaluate()
            if finding and runner not in self._broken:
                self._broken[runner] = CheckVerdict(
                    runner.name,
                    FAILED,
                    runner.evaluations,
                    escape_controls(f"{when}: {' '.join(finding.split())}"),
                    error,
                )
        return not self._broken and not any(state.wrong_answer for state, _ in self._states)

    def forget(self, interrupt: BaseException) -> None:
        """Forget failures by an exception that interrupted a check from outside, such as that of an alarm."""
        for runner in [runner for runner, verdict in self._broken.items() if verdict.error is interrupt]:
            del self._broken[runner]

    def verdicts(self, *, judged: bool) -> list[CheckVerdict]:
        """Return the verdict on each check: invariants first, then states, then liveness.

        ``judged``: the run came to its end.
        """
        invariants = [
            self._verdict_on_invariant(runner, judged) for runner in [*self._invariants, *self._after_the_run]
        ]
        states = [self._verdict_on_state(state, judged) for state in self._sometimes]
        return invariants + states + (self.recovery.verdicts(judged=judged) if self.recovery else [])

    def _verdict_on_invariant(self, runner: CheckRunner, judged: bool) -> CheckVerdict:
        if runner in self._broken:
            return self._broken[runner]
        if not judged:
            return CheckVerdict(runner.name, NO_DATA, runner.evaluations, _ENDED_EARLY)
        return CheckVerdict(runner.name, PASSED, runner.evaluations)

    def _verdict_on_state(self, state: Sometimes, judged: bool) -> CheckVerdict:
        evaluations = sum(runner.evaluations for other, runner in self._states if other is state)
        if state.wrong_answer:
            return CheckVerdict(state.__name__, FAILED, evaluations, escape_controls(state.wrong_answer))
        if state.seen:
            return CheckVerdict(state.__name__, PASSED, evaluations)
        if not judged:
            return CheckVerdict(state.__name__, NO_DATA, evaluations, _ENDED_EARLY)
        if state.condition is None:
            how = ": the run did not reach this state"
        elif self.every is not None:
            how = f" in {evaluations} looks: the run did not reach this state"
        else:
            how = ": looked at after the run only; every=N looks during it too"
        error = next((runner.error for other, runner in self._states if other is state), None)
        why = f" (looking raised {error_name(error)}: {error_message(error)})" if error else ""
        return CheckVerdict(state.__name__, FAILED, evaluations, escape_controls(f"{NEVER_SEEN}{how}{why}"), error)
