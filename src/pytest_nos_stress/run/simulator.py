"""The simulator: from settings to a verdict, without pytest.

A run is one straight line: scenario, plan, engine drives agents, target, records, statistics, thresholds,
files, verdict. ``MultiAgentSimulator`` validates and holds what a run needs; ``run`` goes down the line.

Guarantee: a run that hung, lost an agent, performed nothing, broke a threshold or could not write its files
raises, and what was measured is in the exception's ``result``.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from pytest_nos_stress import engines
from pytest_nos_stress.config import options as settings
from pytest_nos_stress.reporting.files import paths
from pytest_nos_stress.reporting.files.log import OperationLog
from pytest_nos_stress.reporting.outputs import Outputs
from pytest_nos_stress.reporting.summary import RunInfo
from pytest_nos_stress.results.baselines.gate import BaselineGate
from pytest_nos_stress.results.check_verdict import CheckFunction
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.status import Progress
from pytest_nos_stress.results.threshold_parser import parse_threshold
from pytest_nos_stress.results.thresholds import Threshold
from pytest_nos_stress.scenario import fields
from pytest_nos_stress.scenario.operation import Task
from pytest_nos_stress.scenario.scenario import Scenario

from .checks import Checks
from .evaluation import evaluate_run
from .event_loop import run_in_thread
from .execution import RunExecution
from .target import bind, default_tasks, is_async

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pytest_nos_stress.faults.network import Network
    from pytest_nos_stress.market import EmbeddedExchange

P = ParamSpec("P")


class _Default(int):
    """A default that can be told from the same number given by the user."""


class _DefaultName(str):
    """A default that can be told from the same name given by the user."""


_NOT_GIVEN = _Default(settings.BY_NAME["operations_per_agent"].default)
_NO_ENGINE = _DefaultName(settings.BY_NAME["engine"].default)


class MultiAgentSimulator:
    """Puts many concurrent agents on a target.

    Parameters and defaults are the seed document's, then by keyword: ``target`` (default: an embedded exchange),
    ``seed`` (default: drawn for each run), ``engine``, ``duration`` (in place of ``operations_per_agent``),
    ``ramp``, ``warmup``, ``failure_mode``, ``missing_data``, ``faults``, ``fault_windows``, ``retries``,
    ``network``, ``market``, ``clients``, ``proxies``, ``operation_timeout``, ``own_threads``, ``per_agent``,
    ``thresholds``, ``checks``, ``every``, ``expected_errors``, ``gate``, ``report``, ``records``,
    ``save_baseline``, ``compare``, ``baseline_dir``, ``label``, ``otel``. Times are in seconds, or text with a
    unit. A ``scenario`` takes the place of all that decides the plan. Raises ``SettingError`` (a ``ValueError``)
    for what is not allowed. A simulator can run more than once; each run starts from zero.
    """

    def __init__(
        self,
        agents: int | Iterable[str] | None = None,
        tasks: Iterable[str] | Mapping[str, float] | None = None,
        missing_data_prob: float = 0.2,
        failure_prob: float = 0.1,
        operations_per_agent: int = _NOT_GIVEN,
        min_delay: float | str = 0.05,
        max_delay: float | str = 0.15,
        output_dir: str | Path = "stress_test_output",
        *,
        target: object = None,
        seed: int | None = None,
        engine: str = _NO_ENGINE,
        duration: float | str | None = None,
        ramp: float | str = 0.0,
        warmup: float | str = 0.0,
        failure_mode: str = "lost_request",
        missing_data: Mapping[str, Any] | str | None = None,
        faults: Mapping[str, Any] | str | None = None,
        fault_windows: Sequence[Any] | Mapping[str, Any] | None = None,
        retries: int | Mapping[str, Any] = 0,
        network: Mapping[str, Any] | str | Network | None = None,
        market: Mapping[str, Any] | str | None = None,
        operation_timeout: float | str = 30.0,
        own_threads: bool = True,
        scenario: Scenario | None = None,
        per_agent: Callable[[str], AbstractContextManager[Any]] | None = None,
        thresholds: Sequence[str | Threshold] = (),
        checks: CheckFunction | Sequence[CheckFunction] = (),
        every: int | None = None,
        expected_errors: type[BaseException] | Sequence[type[BaseException]] = (),
        gate: bool = True,
        clients: Sequence[Any] = (),
        proxies: Sequence[Any] = (),
        report: str | Sequence[str] = ("html",),
        records: str | Sequence[str] = (),
        save_baseline: str | None = None,
        compare: str | None = None,
        baseline_dir: str | Path = ".stress-baselines",
        label: str = "stress_test",
        otel: bool = False,
        **unknown: object,
    ) -> None:
        for name in unknown:
            settings.find(name)
        plan = {
            "agents": fields.DEFAULT_AGENTS if agents is None else agents,
            "tasks": default_tasks(target) if tasks is None else tasks,
            "missing_data_prob": missing_data_prob,
            "failure_prob": failure_prob,
            "operations_per_agent": operations_per_agent,
            "min_delay": min_delay,
            "max_delay": max_delay,
            "engine": engine,
            "duration": duration,
            "ramp": ramp,
            "warmup": warmup,
            "failure_mode": failure_mode,
            "missing_data": missing_data,
            "faults": faults,
            "fault_windows": fault_windows,
            "retries": retries,
            "network": network,
            "market": market,
            "operation_timeout": operation_timeout,
            "own_threads": own_threads,
        }
        if duration is not None and operations_per_agent is _NOT_GIVEN:
            del plan["operations_per_agent"]
        self._plan = settings.check_all(plan)
        self._seed: int | None = settings.BY_NAME["seed"].check(seed)
        self._scenario: Scenario | None = settings.BY_NAME["scenario"].check(scenario)
        self._output_dir = Path(settings.BY_NAME["output_dir"].check(output_dir))
        self._gate: bool = settings.BY_NAME["gate"].check(gate)
        self._per_agent = settings.BY_NAME["per_agent"].check(per_agent)
        self._expected_errors = settings.BY_NAME["expected_errors"].check(expected_errors)
        self._thresholds = _parsed(settings.BY_NAME["thresholds"].check(thresholds))
        self._checks = settings.BY_NAME["checks"].check(checks)
        self._every = settings.BY_NAME["every"].check(every)
        self._proxies = settings.BY_NAME["proxies"].check(proxies)
        self._clients = settings.BY_NAME["clients"].check(clients)
        self._reports = settings.BY_NAME["report"].check(report)
        self._records = settings.BY_NAME["records"].check(records)
        self._exports: bool = settings.BY_NAME["otel"].check(otel)
        if self._exports:
            from pytest_nos_stress.reporting.otel import check_available

            check_available()
        self._baselines = BaselineGate(
            Path(settings.BY_NAME["baseline_dir"].check(baseline_dir)).absolute(),
            save=settings.BY_NAME["save_baseline"].check(save_baseline),
            compare=settings.BY_NAME["compare"].check(compare),
            label=settings.BY_NAME["label"].check(label),
        )
        self._thresholds += self._baselines.thresholds(self._thresholds)
        self.about = RunInfo(label)
        """Which run its reports say it is."""
        self._performance: RunExecution | None = None
        self._is_to_be_interrupted = False
        self._target = target
        self.result: StressResult | None = None
        """The result of the last run that came to its end, also of one that raised."""
        if self._scenario is not None:
            defaults = {setting.name: setting.default for setting in settings.SETTINGS} | {
                "tasks": default_tasks(target)
            }
            given = {**plan, "seed": seed}
            fields.refuse_beside_scenario(name for name, value in given.items() if value != defaults[name])
        if (
            engine is _NO_ENGINE
            and scenario is None
            and target is not None
            and is_async(target, self._plan["tasks"])
        ):
            self._plan["engine"] = engines.name_of_first(lambda engine: engine.awaits_tasks)
        tried = self._scenario or Scenario(**self._plan)
        engines.engine_class(tried.engine)
        self._bind(_embedded_exchange() if target is None else target, tried)
        Checks(self._checks, target, agents=1, every=self._every)

    def run_simulation(self) -> dict[str, Any]:
        """Run once and return the content of ``simulation_statistics.json``. Raises as ``run`` does."""
        return self.run().stats

    def run(
        self,
        *,
        progress: Callable[[Progress], None] | None = None,
        ending_errors: tuple[type[BaseException], ...] = (),
        loop: AbstractEventLoop | None = None,
    ) -> StressResult:
        """Run once.

        ``loop`` is a running event loop, in another thread than this one, for the tasks of the asyncio engine.

        ``progress`` is called some ten times a second, in this thread. An exception of ``ending_errors`` that a
        task raises ends the run and is raised here. Raises ``ThresholdsNotMet`` where a threshold and
        ``CheckFailed`` where a check does not hold (unless ``gate=False``), ``Deadlock`` where no agent could
        go on, ``RunFailed`` where the run hung, performed nothing or could not write its files,
        ``SettingError`` where its directory cannot be written, and ``KeyboardInterrupt`` on Ctrl-C, all but
        the second last once the files are written.
        """
        scenario = self._scenario or self._drawn_scenario()
        target, audits = self._target, []
        if target is None:
            target = exchange = _embedded_exchange()
            audits = [exchange.audit]
        tasks = self._bind(target, scenario)
        engine = engines.engine_class(scenario.engine)
        every = self._every or (1 if engine.runs_one_at_a_time else None)
        agents = len(scenario.agent_names)
        checks = Checks(self._checks, target, agents=agents, every=every, after_the_run=audits)
        directory = self._output_dir.absolute()
        outputs = Outputs(directory, self.about, self._reports, self._records, self._exports)
        paths.prepare(directory)
        log = OperationLog(directory / paths.LOG_NAME)
        performance = RunExecution(
            scenario,
            tasks,
            log,
            checks,
            per_agent=self._per_agent,
            expected_errors=self._expected_errors,
            ending_errors=ending_errors,
            clients=self._clients,
            proxies=self._proxies if engine.supports_proxies else (),
            loop=loop,
            thresholds=self._thresholds,
        )
        self._performance = performance
        if self._is_to_be_interrupted:
            performance.interrupt_soon()
        performance.run(progress)
        self._is_to_be_interrupted, self._performance = False, None
        try:
            self.result, ending = self._conclude(performance, outputs)
        except KeyboardInterrupt as interrupt:
            performance.interrupted_by(interrupt)
            self.result, ending = self._conclude(performance, outputs)
        if ending is not None:
            raise ending
        return self.result

    @property
    def engine(self) -> str:
        """The name of the engine that runs the agents."""
        return str(self._scenario.engine if self._scenario else self._plan["engine"])

    @property
    def awaits(self) -> bool:
        """Whether the agents' tasks are awaited on an event loop."""
        return engines.engine_class(self.engine).awaits_tasks

    async def run_async(self, **options: Any) -> StressResult:
        """Run once, with the agents on the event loop that this is awaited on; otherwise as ``run``."""
        return await run_in_thread(
            functools.partial(self.run, loop=asyncio.get_running_loop(), **options), self.interrupt
        )

    def announce(self, event: str) -> None:
        """Say that an event has taken place: fault windows that wait for it begin. From any thread."""
        if self._performance is not None:
            self._performance.world.announce(event)

    def interrupt(self) -> None:
        """End the run that goes on, or that is about to, as Ctrl-C would. From any thread."""
        self._is_to_be_interrupted = True
        if self._performance is not None:
            self._performance.interrupt_soon()

    def _conclude(self, performance: RunExecution, outputs: Outputs) -> tuple[StressResult, BaseException | None]:
        return evaluate_run(performance, self._thresholds, outputs, self._baselines, gate=self._gate)

    def _drawn_scenario(self) -> Scenario:
        seed = random.SystemRandom().getrandbits(32) if self._seed is None else self._seed
        return Scenario(**self._plan, seed=seed)

    def _bind(self, target: object, scenario: Scenario) -> list[Task]:
        return bind(target, scenario.task_names, scenario.engine)


def _embedded_exchange() -> EmbeddedExchange:
    from pytest_nos_stress.market import EmbeddedExchange

    return EmbeddedExchange()


def _parsed(given: Iterable[str | Threshold]) -> list[Threshold]:
    return [one if isinstance(one, Threshold) else parse_threshold(one) for one in given]


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
