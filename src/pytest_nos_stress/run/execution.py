"""The execution of a run: the part in which agents perform, from the start of the engine to its end.

It joins engine, agents, recorder and log. It ends the run when an agent hangs, when Ctrl-C comes, when a threshold
aborts it, when a check fails, or when a task raises an exception that ends the run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_nos_stress import engines
from pytest_nos_stress._internal.instrument import perf_counter_ns
from pytest_nos_stress._internal.outcome import FAILED, MISSING
from pytest_nos_stress.engines.base import CrashedAgent, EngineAgent, EngineOptions
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.suspension import suspended
from pytest_nos_stress.reporting.files.log import OperationLog
from pytest_nos_stress.results.background import moved_into
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
from .background_hooks import collect_earlier_garbage, finding_background_errors
from .checks import Checks
from .collector import Collector
from .context import RunContext
from .fault_boundary import FaultBoundary
from .hang_watch import HangWatch
from .process_monitor import ProcessMonitor
from .recorder import Recorder
from .signal_guard import SignalGuard

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pytest_nos_stress.faults.proxy import Proxy

_OPERATIONS_BETWEEN_ABORT_CHECKS = 10
"""Operations from one look at the clock to the next, if agents run one at a time and thresholds can abort."""


class RunExecution:
    """One execution of a scenario, and its results."""

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
        guard: SignalGuard,
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
        self.recorder = self._new_recorder(tasks)
        self.boundary = FaultBoundary(scenario, clients, proxies)
        self.context = RunContext(
            scenario,
            tasks,
            self.clock,
            stop=self.engine.stop,
            recovery=checks.recovery,
            per_agent=per_agent,
            expected_errors=expected_errors,
            ending_errors=ending_errors,
            faults_at_calls=self.boundary.faults_at == "calls",
            network_at_calls=self.boundary.network_at_calls,
        )
        self.agents = [
            Agent(self.context, name, number, self.recorder) for number, name in enumerate(scenario.agent_names)
        ]
        self.status = COMPLETED
        self.interrupt: BaseException | None = None
        """The exception that interrupted the run: Ctrl-C, or an exception that a signal handler raised."""
        self.crashed: list[CrashedAgent] = []
        self.has_performed_everything = False
        """True if the agents came to the end of their plans, so that every check can be evaluated."""
        self.checked_ns = 0
        """Nanoseconds for which all agents were paused for checks."""
        self._abort_monitor = AbortMonitor(thresholds, scenario, self._metrics_so_far)
        self._hang_watch = HangWatch(self.engine, self.agents, scenario.operation_timeout)
        self._interrupt_to_raise: BaseException | None = None
        self._guard = guard

    def _new_recorder(self, tasks: Sequence[Task]) -> Recorder:
        one_at_a_time = self.engine.runs_one_at_a_time
        order = self.engine.completion_order if one_at_a_time else None
        collector = Collector(self.clock, order, self.scenario.fault_mix, tasks)
        return Recorder(collector, self.log, self.records, backpressure=not one_at_a_time)

    def run(self, progress: Callable[[Progress], None] | None) -> None:
        """Let the agents perform until they have ended or are stopped.

        Ctrl-C and all other exceptions that interrupt this thread (an alarm, a timeout) are kept in ``interrupt``.
        ``progress`` is called about ten times a second, in this thread. Raises ``SettingError`` if the run cannot
        begin.
        """
        try:
            self._run(progress)
            self._raise_interrupt()
            self._conclude()
            self._raise_interrupt()
        except SettingError:
            raise
        except BaseException as interrupt:
            self.interrupted_by(interrupt)
            self._conclude()

    def _run(self, progress: Callable[[Progress], None] | None) -> None:
        def watch() -> None:
            self._raise_interrupt()
            if self._hang_watch.update() or self.recorder.failure is not None:
                self.engine.stop()
            if progress is not None:
                progress(self._progress())

        every = self._operations_between_calls()
        on_operation_end = None if every is None else self._on_operation_end
        background_errors = self.context.background_errors
        self.log.attach(self.records, self.clock.wall_offset_ns)
        collect_earlier_garbage()
        try:
            with (
                self.process_monitor.observed() as sample_process,
                self.recorder.recording(self.agents, self._on_flush(sample_process), background_errors),
                finding_background_errors(background_errors),
                self.process_monitor.working(),
                self.boundary.connected(self.context),
            ):
                self._raise_interrupt()
                self.engine.run(self.agents, watch, on_operation_end, every or 1)
        finally:
            if not self.recorder.is_running:
                self.log.close()

    def _conclude(self) -> None:
        """Set the status, and run the last checks if the agents performed everything."""
        measured = self.measured()
        self.records.background_errors = moved_into(
            self.records.background_errors, measured.started_ns, measured.ended_ns
        )
        self.crashed = [crash for crash in self.engine.crashed if not self.context.ends_with(crash.error)]
        if self.context.ended_by is not None:
            self.status = STOPPED
        elif self.aborted is not None and self.status == COMPLETED:
            self.status = ABORTED
        if self.engine.deadlock is not None:
            self.status = DEADLOCKED
        elif self._hang_watch.has_hung(self.records):
            self.status = HUNG
        elif self.status == COMPLETED and not self.crashed:
            self.has_performed_everything = True
            with self._guard.raising_at_once():
                self._run_last_checks()

    def _raise_interrupt(self) -> None:
        if self._interrupt_to_raise is not None:
            raise self._interrupt_to_raise

    def interrupt_soon(self, interrupt: BaseException) -> None:
        """From any thread: end the run as if this exception had interrupted it."""
        self._interrupt_to_raise = interrupt

    def interrupted_by(self, interrupt: BaseException) -> None:
        """Note the exception that interrupted the run. It is raised once the files are written."""
        self.interrupt = interrupt
        self.status = INTERRUPTED
        self.has_performed_everything = False
        self.checks.forget(interrupt)

    # Results.

    @property
    def aborted(self) -> Aborted | None:
        """The threshold that aborted the run, if one did."""
        return self._abort_monitor.aborted

    @property
    def hang_report(self) -> HangReport:
        """The agents that hang, as known so far."""
        return self._hang_watch.report()

    @property
    def retries(self) -> int:
        """Number of retries of operations, over all agents."""
        return sum(agent.retries for agent in self.agents)

    def fault_counts(self) -> dict[str, int]:
        """Count the faults that were planned for no operation, by name.

        These are faults of rate limits, of later attempts, of the target's clients and of proxies. Planned faults
        to which operations did not come are subtracted.
        """
        counts = self.boundary.fault_counts()
        for agent in self.agents:
            counts.update(agent.fault_counts)
        return dict(counts)

    def measured(self, until_ns: int | None = None) -> Measurements:
        """Return the measurements so far.

        They last until a time on the engine's clock, by default until the end of the last operation.
        """
        modelled_time = self.engine.uses_virtual_time
        return Measurements(self.records, self.clock.started_ns, until_ns, modelled_time=modelled_time)

    def _progress(self) -> Progress:
        elapsed = max(0.0, self.context.elapsed())
        scenario, total = self.scenario, self.records.total
        if scenario.duration is not None:
            done = elapsed / float(scenario.duration)
        else:
            done = total / (scenario.number_of_operations or 1)
        outcomes = self.records.outcome_totals
        return Progress(total, outcomes[FAILED], outcomes[MISSING], elapsed, min(1.0, done))

    # Aborting.

    def _metrics_so_far(self) -> RunMetrics:
        """Return metrics until now and not until the end of the last operation: they show a stalled target."""
        return RunMetrics(self.measured(self.clock.now_ns()), self.scenario, self.process_monitor.samples)

    def _on_flush(self, sample_process: Callable[[float], None]) -> Callable[[float], None]:
        """Return what the recorder calls after each flush, when its records are up to date."""
        if self.engine.runs_one_at_a_time or not self._abort_monitor.watches:
            return sample_process

        def sample_and_abort(late: float) -> None:
            sample_process(late)
            elapsed = self.context.elapsed()
            if self._abort_monitor.is_due(elapsed) and self._abort_monitor.evaluate(elapsed, in_real_time=True):
                self.engine.stop()

        return sample_and_abort

    def _abort_if_due(self) -> None:
        """Abort the run if a threshold with ``abort`` fails, at a moment that does not depend on the recorder."""
        elapsed = self.context.elapsed()
        if not self._abort_monitor.is_due(elapsed):
            return
        in_real_time = not self.engine.uses_virtual_time
        evaluate = functools.partial(self._abort_monitor.evaluate, elapsed, in_real_time=in_real_time)
        if self.recorder.evaluate_up_to_date(evaluate):
            self.engine.stop()

    # Between operations.

    def _operations_between_calls(self) -> int | None:
        """Return after how many operations to call ``_on_operation_end`` again; None for never."""
        if self.checks.every is not None:
            return self.checks.every
        aborts = self.engine.runs_one_at_a_time and self._abort_monitor.watches
        return _OPERATIONS_BETWEEN_ABORT_CHECKS if aborts else None

    def _on_operation_end(self, agent: EngineAgent) -> None:
        """Called by an agent after an operation, while all other agents are paused."""
        if self.engine.runs_one_at_a_time:
            self._abort_if_due()
        if self.checks.every and self.aborted is None:
            self._run_checks(agent)

    def _run_checks(self, agent: EngineAgent) -> None:
        self.context.is_paused = True
        began = perf_counter_ns()
        try:
            with suspended():
                all_pass = self.checks.evaluate_all(f"after an operation of {agent.name}")
        finally:
            self.context.is_paused = False
            self.checked_ns += perf_counter_ns() - began
        if not all_pass:
            self.status = STOPPED
            self.engine.stop()

    def _run_last_checks(self) -> None:
        if self.checks.recovery is not None:
            self.checks.recovery.is_over(self.clock.now_ns())
        if not self.checks.evaluate_all("after the run", has_ended=True):
            self.status = STOPPED
