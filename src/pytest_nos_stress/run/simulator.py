"""The simulator: from settings to a verdict, without pytest.

A run is one straight line: scenario, plan, engine drives agents, target, records, statistics, thresholds,
files, verdict. ``MultiAgentSimulator`` validates and holds what a run needs; ``run`` goes down the line.
Guarantee: a run that hung, lost an agent, performed nothing, broke a threshold or could not write its files raises
an exception with what was measured.
"""

from __future__ import annotations

import functools
from asyncio import get_running_loop
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, cast

from pytest_nos_stress import engines
from pytest_nos_stress._internal.examples import current_example
from pytest_nos_stress._internal.seeding import drawn_seed
from pytest_nos_stress._internal.system import absolute
from pytest_nos_stress.config import merge, options
from pytest_nos_stress.reporting.files import paths
from pytest_nos_stress.reporting.files.log import OperationLog
from pytest_nos_stress.reporting.outputs import LOG
from pytest_nos_stress.reporting.summary import RunInfo
from pytest_nos_stress.reporting.writer import OutputRequest
from pytest_nos_stress.results.baselines.gate import BaselineGate
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.status import Progress
from pytest_nos_stress.results.threshold_parser import parse_threshold
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.scenario.operation import Task
from pytest_nos_stress.scenario.scenario import SCENARIO_OPTIONS, Scenario

from .checks import Checks
from .evaluation import evaluate_run
from .event_loop import run_in_thread
from .execution import RunExecution
from .signal_guard import SignalGuard
from .signature import BY_POSITION, NONE_IS_DEFAULT, with_defaults
from .target import bind, default_tasks, is_async

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pytest_nos_stress.market import EmbeddedExchange

P = ParamSpec("P")


_UNSET: Final[Any] = object()


class MultiAgentSimulator:
    """Put many concurrent agents on a target.

    The parameters are the seed document's, then by keyword ``target`` (default: an embedded exchange) and every
    other setting; their defaults are in the signature, their meaning is in the reference of settings. Times are in
    seconds, or text with a unit. ``agents=None`` and ``tasks=None`` are the defaults. A ``seed`` of None is drawn
    for each run. A ``scenario`` replaces all settings that decide the plan.

    Raises ``SettingError`` (a ``ValueError``) for a setting that is not allowed, and ``UnknownSetting`` (also a
    ``TypeError``) for a keyword that is not a setting. A simulator can run more than once; each run starts from
    zero.
    """

    def __init__(
        self,
        agents: int | Iterable[str] | None = _UNSET,
        tasks: Iterable[str] | Mapping[str, float] | None = _UNSET,
        missing_data_prob: float = _UNSET,
        failure_prob: float = _UNSET,
        operations_per_agent: int = _UNSET,
        min_delay: float | str = _UNSET,
        max_delay: float | str = _UNSET,
        output_dir: str | Path = _UNSET,
        *,
        target: object = None,
        **settings: Any,
    ) -> None:
        given = locals()
        values = {
            name: given[name]
            for name in BY_POSITION
            if given[name] is not _UNSET and not (given[name] is None and name in NONE_IS_DEFAULT)
        }
        values |= settings
        checked = options.check_all(values)
        if checked.get("scenario") is not None:
            _refuse_beside_scenario(values, target)
        self._set_up(target, checked)

    @classmethod
    def of_checked(cls, target: object, settings: Mapping[str, Any]) -> MultiAgentSimulator:
        """Make a simulator of settings that ``config`` has checked, without checking each value again."""
        simulator = cls.__new__(cls)
        simulator._set_up(target, settings)
        return simulator

    def _set_up(self, target: object, settings: Mapping[str, Any]) -> None:
        values = {**_defaults(), **settings}
        self._target = target
        self._output_dir = Path(values["output_dir"])
        self._gate: bool = values["gate"]
        self._per_agent = values["per_agent"]
        self._expected_errors = values["expected_errors"]
        self._checks = values["checks"]
        self._every = values["every"]
        self._proxies = values["proxies"]
        self._clients = values["clients"]
        self._reports = values["report"]
        self._records = values["records"]
        self._exports: bool = values["otel"]
        if self._exports:
            from pytest_nos_stress.reporting.otel import check_available

            check_available()
        self._baselines = BaselineGate(
            absolute(values["baseline_dir"]),
            save=values["save_baseline"],
            compare=values["compare"],
            label=values["label"],
        )
        self._thresholds = _parsed(values["thresholds"])
        self._thresholds += self._baselines.thresholds(self._thresholds)
        self.about = RunInfo(values["label"])
        """Identifies the run in reports."""
        self.result: StressResult | None = None
        """The result of the last run that ended, even if that run raised; None before the first."""
        self._execution: RunExecution | None = None
        self._interrupt: BaseException | None = None
        self._scenario: Scenario = values["scenario"] or _scenario(target, settings)
        self._draws_seed = values["scenario"] is None and settings.get("seed") is None
        self._has_run = False
        engines.engine_class(self._scenario.engine)
        self._bind(_embedded_exchange() if target is None else target, self._scenario)
        Checks(self._checks, target, agents=1, every=self._every)

    def run_simulation(self) -> dict[str, Any]:
        """Run once and return the content of ``simulation_statistics.json``. Raises as ``run`` does."""
        return cast("dict[str, Any]", self.run().stats)

    def run(
        self,
        *,
        progress: Callable[[Progress], None] | None = None,
        ending_errors: tuple[type[BaseException], ...] = (),
        loop: AbstractEventLoop | None = None,
    ) -> StressResult:
        """Run once.

        ``loop`` is a running event loop in another thread, for the tasks of the asyncio engine. ``progress`` is
        called about ten times a second, in this thread. If a task raises one of ``ending_errors``, the run ends
        and the exception is raised here.

        Raises ``ThresholdsNotMet`` if a threshold fails, and ``CheckFailed`` if a check fails (unless
        ``gate=False``). Raises ``Deadlock`` if no agent could continue. Raises ``RunFailed`` if the run hung,
        performed no operation, never called the target or could not write its files. Raises
        ``KeyboardInterrupt`` on Ctrl-C, and the exception of a signal handler (an alarm, a timeout). All of these
        are raised after the files are written. Raises ``SettingError`` before the run if its directory cannot be
        written, or if another run uses it.
        """
        __tracebackhide__ = True  # pytest then ends a traceback in the test's own line
        guard = SignalGuard(self._interrupt_execution)
        try:
            with guard:
                result, ending = self._run(guard, progress, ending_errors, loop)
        finally:
            if guard.raised is not None:
                raise guard.raised
        if ending is not None:
            raise ending
        return result

    def _run(
        self,
        guard: SignalGuard,
        progress: Callable[[Progress], None] | None,
        ending_errors: tuple[type[BaseException], ...],
        loop: AbstractEventLoop | None,
    ) -> tuple[StressResult, BaseException | None]:
        scenario = self._next_scenario()
        target, audits = self._target, []
        if target is None:
            target = exchange = _embedded_exchange()
            audits = [exchange.audit]
        tasks = self._bind(target, scenario)
        engine = engines.engine_class(scenario.engine)
        every = self._every or (1 if engine.runs_one_at_a_time else None)
        agents = len(scenario.agent_names)
        checks = Checks(self._checks, target, agents=agents, every=every, after_the_run=audits)
        directory = absolute(self._output_dir)
        request = OutputRequest(directory, self.about, self._reports, self._records, self._exports)
        with paths.prepared(directory, self.about.test):
            execution = RunExecution(
                scenario,
                tasks,
                OperationLog(directory / LOG.filename),
                checks,
                per_agent=self._per_agent,
                expected_errors=self._expected_errors,
                ending_errors=ending_errors,
                guard=guard,
                clients=self._clients,
                proxies=self._proxies if engine.supports_proxies else (),
                loop=loop,
                thresholds=self._thresholds,
            )
            return self._execute(execution, request, guard, progress)

    def _execute(
        self,
        execution: RunExecution,
        request: OutputRequest,
        guard: SignalGuard,
        progress: Callable[[Progress], None] | None,
    ) -> tuple[StressResult, BaseException | None]:
        """Let the agents perform, and write the files. Return the result, and the exception to raise, if any."""
        self._execution = execution
        if (interrupt := self._interrupt or guard.raised) is not None:
            execution.interrupt_soon(interrupt)
        execution.run(progress)
        self._interrupt = self._execution = None
        try:
            result, ending = self._conclude(execution, request)
        except BaseException as error:
            execution.interrupted_by(error)
            result, ending = self._conclude(execution, request)
        if guard.raised is not None and execution.interrupt is None:  # while the files were written
            execution.interrupted_by(guard.raised)
            result, ending = self._conclude(execution, request)
        self.result = result
        return result, ending

    @property
    def engine(self) -> str:
        """The name of the engine that runs the agents."""
        return self._scenario.engine

    @property
    def awaits(self) -> bool:
        """True if the agents' tasks are awaited on an event loop."""
        return engines.engine_class(self.engine).awaits_tasks

    async def run_async(self, **options: Any) -> StressResult:
        """Run once as ``run`` does, with the agents on the current event loop."""
        run = functools.partial(self.run, loop=get_running_loop(), **options)
        try:
            return await run_in_thread(run, self.interrupt)
        finally:
            self._interrupt = None  # it can have come too late for this run

    def announce(self, event: str) -> None:
        """Report an event, at which fault windows that wait for it begin. Can be called from any thread."""
        if self._execution is not None:
            self._execution.context.announce(event)

    def interrupt(self, interrupt: BaseException) -> None:
        """End the run in progress, or the next run, as if this exception had interrupted it. From any thread."""
        self._interrupt = interrupt
        self._interrupt_execution(interrupt)

    def _interrupt_execution(self, interrupt: BaseException) -> None:
        if self._execution is not None:
            self._execution.interrupt_soon(interrupt)

    @property
    def requires_calls(self) -> bool:
        """True if a run must not pass without a call: the target is the user's own, and is meant to be called."""
        return self._target is not None and not any(threshold.forbids_calls for threshold in self._thresholds)

    def _conclude(
        self, execution: RunExecution, request: OutputRequest
    ) -> tuple[StressResult, BaseException | None]:
        # Under @given, an example may be one planned fault. The whole search must call the target.
        requires_calls = self.requires_calls and current_example() is None
        return evaluate_run(
            execution, self._thresholds, request, self._baselines, gate=self._gate, requires_calls=requires_calls
        )

    def _next_scenario(self) -> Scenario:
        """Return the scenario of the next run. Draw a new seed for each run unless a seed is given."""
        if self._has_run and self._draws_seed:
            self._scenario = self._scenario.with_seed(drawn_seed())
        self._has_run = True
        return self._scenario

    def _bind(self, target: object, scenario: Scenario) -> list[Task]:
        return bind(target, scenario.task_names, scenario.engine)


def _defaults() -> dict[str, Any]:
    """Return the defaults of the settings that are not fields of the scenario."""
    return {setting.name: setting.default for setting in options.SETTINGS if not setting.is_of_scenario}


def _scenario(target: object, settings: Mapping[str, Any]) -> Scenario:
    """Return the scenario of checked settings.

    Tasks and engine that are not given come from the target. A seed that is not given is drawn.
    """
    values = {name: value for name, value in settings.items() if name in SCENARIO_OPTIONS}
    if "tasks" not in values:
        values["tasks"] = options.find("tasks").check(default_tasks(target))
    if "engine" not in values and target is not None and is_async(target, values["tasks"]):
        values["engine"] = engines.name_of_first(lambda engine: engine.awaits_tasks)
    if values.get("seed") is None:
        values["seed"] = drawn_seed()
    return Scenario.of_checked(values)


def _refuse_beside_scenario(values: Mapping[str, Any], target: object) -> None:
    """Raise ``SettingError`` for a setting that the scenario decides, unless its value is the default."""
    defaults = {name: option.default for name, option in SCENARIO_OPTIONS.items()}
    defaults["tasks"] = default_tasks(target)
    merge.refuse_beside_scenario(
        name for name, default in defaults.items() if name in values and values[name] != default
    )


MultiAgentSimulator.__init__.__dict__["__signature__"] = with_defaults(MultiAgentSimulator.__init__)


def _embedded_exchange() -> EmbeddedExchange:
    from pytest_nos_stress.market import EmbeddedExchange

    return EmbeddedExchange()


def _parsed(expressions: Iterable[str | Threshold]) -> list[Threshold]:
    return [
        parse_threshold(expression) if isinstance(expression, str) else expression for expression in expressions
    ]


def _as_function(simulator: Callable[P, MultiAgentSimulator]) -> Callable[P, dict[str, Any]]:
    @functools.wraps(simulator, updated=())
    def run_stress_test(*args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        return simulator(*args, **kwargs).run_simulation()

    run_stress_test.__name__ = run_stress_test.__qualname__ = "run_stress_test"
    run_stress_test.__doc__ = (
        "Run one stress test and return its statistics.\n\n"
        "The parameters are those of ``MultiAgentSimulator``, and so are the exceptions; see there."
    )
    return run_stress_test


run_stress_test = _as_function(MultiAgentSimulator)
"""``MultiAgentSimulator(...).run_simulation()`` in one call."""
