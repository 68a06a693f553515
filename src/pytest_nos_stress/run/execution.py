"""A performance: the part of a run in which agents perform, from the start of the engine to its end.

It puts engine, agents, recorder and log together, watches for agents that hang, and ends the run when one
does, when Ctrl-C comes, or when a task raises an exception that is to end it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_nos_stress import engines
from pytest_nos_stress._internal.outcome import FAILED, MISSING
from pytest_nos_stress.engines.base import CrashedAgent, EngineAgent, EngineOptions
from pytest_nos_stress.faults.client_faults import connected
from pytest_nos_stress.faults.clients import interceptor_of
from pytest_nos_stress.faults.rate_limits import RateLimits
from pytest_nos_stress.faults.settings import planned_states
from pytest_nos_stress.faults.suspension import suspended
from pytest_nos_stress.reporting.files.log import OperationLog
from pytest_nos_stress.results.hang_report import HangReport
from pytest_nos_stress.results.measurements import Measurements
from pytest_nos_stress.results.records import Records
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.status import ABORTED, COMPLETED, DEADLOCKED, HUNG, INTERRUPTED, STOPPED, Progress
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.scenario.operation import Task
from pytest_nos_stress.scenario.scenario import Scenario

from .abort import Aborted, AbortMonitor
from .agent import Agent
from .checks import Checks
from .collector import Collector
from .context import RunContext
from .process_monitor import ProcessMonitor
from .recorder import Recorder

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pytest_nos_stress.faults.proxy import Proxy

_LOOKS_IN_VIRTUAL_TIME = 10
"""Operations from one look at the clock to the next, where a run in virtual time may be aborted."""


class RunExecution:
    """One performance of a scenario, and afterwards what came of it."""

    def __init__(
        self,
        scenario: Scenario,
        tasks: Sequence[Task],
        log: OperationLog,
        checks: Checks,
        *,
        per_agent: Callable[[str], Any] | None,
        expected_errors: tuple[type[BaseException], ...],
        ending_errors: tuple[type[BaseException], ...],
        clients: Sequence[Any] = (),
        proxies: Sequence[Proxy] = (),
        loop: AbstractEventLoop | None = None,
        thresholds: Sequence[Threshold] = (),
    ) -> None:
        self.scenario = scenario
        self.log = log
        self.checks = checks
        self.engine = engines.create(
            scenario.engine, EngineOptions(scenario.own_threads, scenario.operation_timeout, loop)
        )
        self.clock = self.engine.clock
        self.records = Records(scenario.agent_names, tasks, scenario.fault_mix, self.clock.wall_offset_ns)
        self.process_monitor = ProcessMonitor(self.clock, self.records)
        one_at_a_time = self.engine.runs_one_at_a_time
        order = self.engine.completion_order if one_at_a_time else None
        self._abort = AbortMonitor(thresholds, scenario, self._evidence_so_far)
        collector = Collector(self.clock, order, scenario.fault_mix)
        self.recorder = Recorder(collector, log, self.records, backpressure=not one_at_a_time)
        self._proxies = proxies
        # A list says which operation meets what, and a proxy sees no operations.
        self._proxies_fail = bool(proxies) and not clients and scenario.planned is None
        self._met_by_proxies: Counter[str] = Counter()
        self._used_proxies = False
        self.world = RunContext(
            scenario,
            tasks,
            self.clock,
            stop=self.engine.stop,
            recovery=checks.recovery,
            per_agent=per_agent,
            expected_errors=expected_errors,
            ending_errors=ending_errors,
            faults_at_calls=not clients and not self._proxies_fail,
            network_at_calls=not proxies,
        )
        self._interceptors = list(dict.fromkeys(map(interceptor_of, clients)))
        self.agents = [
            Agent(self.world, name, number, self.recorder) for number, name in enumerate(scenario.agent_names)
        ]
        self._is_to_be_interrupted = False
        self.status = COMPLETED
        self.interrupt: KeyboardInterrupt | None = None
        self.hung: dict[str, str] = {}
        self._late: dict[Agent, int] = {}
        self._every = checks.every
        if one_at_a_time and self._abort.watches:
            self._every = self._every or _LOOKS_IN_VIRTUAL_TIME
        self.has_performed_everything = False
        """Whether the agents came to the end of their plans, so that every check can be judged."""
        self.crashed: list[CrashedAgent] = []
        self.checked_ns = 0
        """How long all agents were held for a look at the checks."""

    def run(self, progress: Callable[[Progress], None] | None) -> None:
        """Let the agents perform until they have ended or are stopped. Ctrl-C is kept in ``interrupt``."""

        def watch() -> None:
            if self._is_to_be_interrupted:
                raise KeyboardInterrupt
            self._look_for_hung_agents()
            if self.recorder.failure is not None:
                self.engine.stop()
            if progress is not None:
                progress(self._progress())

        self.log.attach(self.records, self.clock.wall_offset_ns)
        try:
            with (
                self.process_monitor.observed() as look_at_process,
                self.recorder.recording(self.agents, self._at_each_turn(look_at_process)),
                connected(self._interceptors, self.world, RateLimits.of(self.scenario.faults)),
                self._behind_proxies(),
            ):
                self.engine.run(self.agents, watch, self._between if self._every else None, self._every or 1)
        except KeyboardInterrupt as interrupt:
            self.interrupted_by(interrupt)
        finally:
            if not self.recorder.is_running:
                self.log.close()
        self.crashed = [one for one in self.engine.crashed if not self.world.ends_with(one.error)]
        if self.world.ended_by is not None:
            self.status = STOPPED
        elif self.aborted is not None and self.status == COMPLETED:
            self.status = ABORTED
        if self.engine.deadlock is not None:
            self.status = DEADLOCKED
        elif self.hung or self.engine.timed_out or self._took_too_long():
            self.status = HUNG
        elif self.status == COMPLETED and not self.crashed:
            self.has_performed_everything = True
            self._look_at_checks_after_the_run()

    def interrupt_soon(self) -> None:
        """From any thread: end the run as Ctrl-C would."""
        self._is_to_be_interrupted = True

    def fault_counts(self) -> dict[str, int]:
        """Faults that were planned for no operation: those of limits, of later attempts, of the target's
        clients.
        """
        met: Counter[str] = Counter()
        met.update(self._met_by_proxies)
        for counts in (
            *(agent.fault_counts for agent in self.agents),
            *(interceptor.fault_counts for interceptor in self._interceptors),
        ):
            met.update(counts)
        return dict(met)

    @property
    def faults_at(self) -> str:
        """Where faults of calls were met: at the agents' ``calls``, at flaky ``clients`` or at ``proxies``."""
        return "clients" if self._interceptors else "proxies" if self._proxies_fail else "calls"

    @property
    def first_faults(self) -> dict[tuple[str, int], str]:
        """What the first call of a flaky client met in each operation, by agent and index."""
        return {
            place: fault for interceptor in self._interceptors for place, fault in interceptor.first_faults.items()
        }

    def unused_boundary(self) -> str:
        """What was to meet the run's faults or its network, and was not used; empty if all is well."""
        plans_call_faults = self._calls_may_fail()
        if (
            self._interceptors
            and plans_call_faults
            and not any(interceptor.is_used for interceptor in self._interceptors)
        ):
            return "flaky client: was not called in the run, so nothing met its faults"
        uses_proxies = (self._proxies_fail and plans_call_faults) or self.scenario.network is not None
        if self._proxies and uses_proxies and not self._used_proxies:
            return "stress_proxy: nothing was sent through it in the run, so nothing met its faults or network"
        return ""

    @property
    def hang_report(self) -> HangReport:
        """The agents that hang, as far as is known by now."""
        return HangReport(
            self.scenario.operation_timeout,
            self.hung,
            self.engine.timed_out,
            self.engine.cancelled,
            self.engine.still_running,
        )

    @property
    def retries(self) -> int:
        """How often agents sent an operation again."""
        return sum(agent.retries for agent in self.agents)

    @contextmanager
    def _behind_proxies(self) -> Iterator[None]:
        if not self._proxies:
            yield
            return
        from .proxies import in_run

        before = self._sent_through_proxies()
        with in_run(self._proxies, self.world, faults_at_proxies=self._proxies_fail) as self._met_by_proxies:
            yield
        self._used_proxies = self._sent_through_proxies() > before

    def _sent_through_proxies(self) -> int:
        figures = [proxy.statistics for proxy in self._proxies]
        return sum(one.bytes_up + one.connections for one in figures)

    def _calls_may_fail(self) -> bool:
        """Whether the scenario plans any fault of a call."""
        scenario, kinds = self.scenario, self.scenario.fault_mix
        if planned_states(scenario.faults):
            return True
        if scenario.planned is None:
            return any(kind.probability for kind in kinds.call_faults)
        listed = {row.fault for row in scenario.planned}
        return any(kind.fault in listed for kind in kinds.call_faults)

    def interrupted_by(self, interrupt: KeyboardInterrupt) -> None:
        """Note Ctrl-C: it is raised once the files are written."""
        self.interrupt = interrupt
        self.status = INTERRUPTED

    def doing(self, agent: Agent) -> str:
        """What an agent is at, in words."""
        if agent.in_session_since is not None:
            return agent.in_session
        return f"task {agent.current_task()}"

    @property
    def aborted(self) -> Aborted | None:
        """Which threshold ended the run early, if one did."""
        return self._abort.aborted

    def measured(self, until_ns: int | None = None) -> Measurements:
        """What the records say so far: until a time on the engine's clock, or until the last operation's end."""
        modelled_time = self.engine.uses_virtual_time
        return Measurements(self.records, self.clock.started_ns, until_ns, modelled_time=modelled_time)

    def _evidence_so_far(self) -> RunMetrics:
        """Up to now, and not to the last operation's end: a target that stands still shows in that."""
        return RunMetrics(self.measured(self.clock.now_ns()), self.scenario, self.process_monitor.samples)

    def _at_each_turn(self, look_at_process: Callable[[float], None]) -> Callable[[float], None]:
        """What the recorder does after each turn, when its records are up to date."""
        if self.engine.runs_one_at_a_time or not self._abort.watches:
            return look_at_process

        def look(late: float) -> None:
            look_at_process(late)
            elapsed = self.world.elapsed()
            if self._abort.is_due(elapsed) and self._abort.evaluate(elapsed, in_real_time=True):
                self.engine.stop()

        return look

    def _look_whether_to_abort(self) -> None:
        """In virtual time, where the moment of a look must not depend on the recorder's turns."""
        elapsed = self.world.elapsed()
        if not self._abort.is_due(elapsed):
            return
        if self.recorder.evaluate_up_to_date(
            lambda: self._abort.evaluate(elapsed, in_real_time=not self.engine.uses_virtual_time)
        ):
            self.engine.stop()

    def _between(self, agent: EngineAgent) -> None:
        """Called by an agent after an operation, while no other one performs anything."""
        if self.engine.runs_one_at_a_time:
            self._look_whether_to_abort()
        if self.checks.every and self.aborted is None:
            self._look_at_checks(agent)

    def _look_at_checks(self, agent: EngineAgent) -> None:
        self.world.is_paused = True
        began = time.perf_counter_ns()
        try:
            with suspended():
                holds = self.checks.hold(f"after an operation of {agent.name}")
        finally:
            self.world.is_paused = False
            self.checked_ns += time.perf_counter_ns() - began
        if not holds:
            self.status = STOPPED
            self.engine.stop()

    def _look_at_checks_after_the_run(self) -> None:
        try:
            if self.checks.recovery is not None:
                self.checks.recovery.is_over(self.clock.now_ns())
            if not self.checks.hold("after the run", has_ended=True):
                self.status = STOPPED
        except KeyboardInterrupt as interrupt:
            self.interrupted_by(interrupt)

    def _look_for_hung_agents(self) -> None:
        """An agent hangs that is seen twice at the same late operation: one look may meet the recorder at
        work.
        """
        late = self.engine.overdue(self.agents, self._timeout_ns())
        for agent, since in late.items():
            if self._late.get(agent) == since:
                self.hung[agent.name] = self.doing(agent)
        self._late = late
        if self.hung:
            self.engine.stop()

    def _timeout_ns(self) -> int:
        return round(self.scenario.operation_timeout * 1e9)

    def _took_too_long(self) -> bool:
        """Whether an operation ended after its timeout, unseen by the watch."""
        limit = self._timeout_ns()
        return any(bool((latency > limit).any()) for (latency,) in self.records.chunks("latency"))

    def _progress(self) -> Progress:
        elapsed = max(0.0, (self.clock.now_ns() - self.clock.started_ns) / 1e9)
        scenario, total = self.scenario, self.records.total
        if scenario.duration is not None:
            done = elapsed / float(scenario.duration)
        else:
            done = total / (scenario.number_of_operations or 1)
        outcomes = self.records.outcome_totals
        return Progress(total, outcomes[FAILED], outcomes[MISSING], elapsed, min(1.0, done))
