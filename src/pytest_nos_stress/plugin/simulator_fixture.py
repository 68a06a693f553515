"""The ``stress_simulator`` fixture: run the simulator for a test, and add the results to the test's report."""

from __future__ import annotations

import _thread
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_nos_stress._internal.examples import current_example
from pytest_nos_stress.config import options
from pytest_nos_stress.engines.virtual import engine  # noqa: F401 - imported here, not during a test's first run
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.faults.client_faults import a_run_goes_on
from pytest_nos_stress.faults.clients import flaky
from pytest_nos_stress.reporting.outputs import SCENARIO
from pytest_nos_stress.reporting.progress import Live
from pytest_nos_stress.reporting.summary import RunInfo, with_failure_outside, with_note
from pytest_nos_stress.results.result import RunFailed, StressResult
from pytest_nos_stress.results.status import INTERRUPTED
from pytest_nos_stress.results.summary_types import Summary
from pytest_nos_stress.run.checks import eventually, sometimes
from pytest_nos_stress.run.event_loop import run_on_current_loop
from pytest_nos_stress.run.simulator import MultiAgentSimulator

from .body import body_arguments
from .example_overlap import OverlapOfExamples
from .failure import BodyFailed, FailureSignature, failure_behind
from .repeat_command import repeat_command
from .run_reports import add_run, failed_by, outcomes
from .session import StressSession

_ENDING_ERRORS: Final = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception)


class StressSimulator:
    """The value of the ``stress_simulator`` fixture. One object serves the session; its state is per test."""

    eventually = staticmethod(eventually)
    sometimes = staticmethod(sometimes)

    def __init__(self, session: StressSession) -> None:
        self._session = session
        self._lock = _thread.allocate_lock()
        """Held for moments: a test may call ``run`` in several threads."""
        self.begin()

    def begin(self) -> None:
        """Reset the state for the test that begins."""
        self._runs = 0
        """The number of runs that have begun."""
        self._problem: BaseException | None = None
        """The exception with which the last failed run ended."""
        self._clients: list[Any] = []
        """The test's flaky clients."""
        self._ignored_settings: list[str] = []
        """Names of settings that were set but do not work under Hypothesis."""
        self._current: MultiAgentSimulator | None = None
        """The simulator of the last run that began."""
        self.directory_of_last_run = self._session.directory
        self._example: object = None
        self._examples = 0
        """The number of Hypothesis examples so far."""
        self._uncalled_examples = 0
        """The number of runs in Hypothesis examples that should have called their target and did not."""
        self._has_called = False
        """True if a run in a Hypothesis example called its target."""
        self._overlap = OverlapOfExamples()
        self._reported = 0
        """The number of results that are on a report."""
        self._failed_by = ""
        self._before_examples = (0, 0, 0)
        """Numbers of user properties, report sections and flaky clients before the first Hypothesis example."""
        self.results: list[StressResult] = []
        """Results of the test's runs so far, including runs that did not pass."""
        self._summaries: list[Summary] = []
        """The summary of each result, with notes about this test."""

    def __repr__(self) -> str:
        return "<stress_simulator>"

    @property
    def has_run(self) -> bool:
        """True if the test has begun a run."""
        return bool(self._runs)

    @property
    def has_unreported_results(self) -> bool:
        """True if there are results that are not on a report yet."""
        return len(self.results) > self._reported

    def run(self, target: object = None, **settings: Any) -> StressResult:
        """Run agents on a target.

        ``target``: an object with a method for each task, a mapping of tasks to functions, a function for every
        task, or None for the embedded exchange. Keywords are the settings of ``MultiAgentSimulator``. A setting
        that is not a keyword comes from the command line, the marker or the ini file, in this order of
        precedence, or has its default.

        Raises ``ThresholdsNotMet`` if a threshold fails and ``CheckFailed`` if a check fails (neither with
        ``gate=False``), ``RunFailed`` if the run hangs or cannot write its files, and ``SettingError``, a
        ``ValueError``, if a setting is not allowed.
        """
        __tracebackhide__ = True
        return self._run(target, settings, {})

    async def run_async(self, target: object = None, **settings: Any) -> StressResult:
        """Run agents as ``run`` does, but on the event loop that awaits this call: that of the test's fixtures."""
        __tracebackhide__ = True
        simulator = None
        live = self._session.live()
        number = self._next_number()
        try:
            simulator = self._simulator(target, settings, {}, number)
            return await simulator.run_async(progress=live, ending_errors=_ENDING_ERRORS)
        except (SettingError, RunFailed) as error:
            self._problem = problem = self._with_source(error, number)
        finally:
            self._end_run(simulator, live, number)
        raise problem.with_traceback(None)

    def flaky(self, client: Any, methods: Iterable[str] | None = None) -> Any:
        """Wrap a client (of a broker, a feed, a database) so that the test's planned faults act on its calls.

        The faults then do not act on the agents' calls of the target. ``methods``: names of the methods with
        faults (default: all public methods). Raises ``SettingError`` if the client has no such method.
        """
        __tracebackhide__ = True
        self._forget_earlier_examples()
        if a_run_goes_on():
            raise SettingError("flaky: called during a run; must be called before run()")
        try:
            wrapped = flaky(client, methods, number=len(self._clients) + 1)
        except SettingError as error:
            problem = error
        else:
            self._clients.append(wrapped)
            return wrapped
        raise problem.with_traceback(None)

    def announce(self, event: str) -> None:
        """Report an event: fault windows that wait for it begin. Can be called from any thread."""
        if self._current is not None:
            self._current.announce(event)

    def run_body(self, item: pytest.Function) -> None:
        """Run with the test's body as the only task. The task has the name of the test function."""
        arguments = body_arguments(item)
        body = item.obj

        def task() -> object:
            return body(**arguments)

        try:
            self._run(task, {}, {"tasks": (item.originalname,)})
        except (RunFailed, SettingError) as error:
            failure = str(error)
        else:
            return
        raise BodyFailed(failure, False)

    def require_calls(self) -> None:
        """Fail a test under ``@given`` if no example called the target."""
        if self._uncalled_examples and not self._has_called:
            pytest.fail(
                f"the target was never called in {self._uncalled_examples} examples; lower failure_prob or "
                "missing_data_prob, or draw more operations",
                pytrace=False,
            )

    def add_to_report(self, report: pytest.TestReport) -> None:
        """Add the runs to a report: as built-in types for the summary, and as extras for pytest-html."""
        if report.failed:
            self._failed_by = self._failed_by or failed_by(report)
        all_passed = all(result.passed for result in self.results)
        if self._failed_by and all_passed and self.results:
            self._summaries[-1] = with_failure_outside(self._summaries[-1], self._failed_by)
        if self._examples and self._summaries:
            self._summaries[-1] = self._overlap.applied_to(self._summaries[-1])
        self._reported = len(self.results)
        with_outcomes = outcomes(self._summaries, self.results, report.outcome, bool(self._failed_by))
        report.stress_runs = with_outcomes  # type: ignore[attr-defined]
        if self._item.config.pluginmanager.hasplugin("html"):
            from .integrations import html_extras

            report.extras = [*getattr(report, "extras", []), *html_extras(self.results)]  # type: ignore[attr-defined]

    def failure_behind(self, excinfo: pytest.ExceptionInfo[BaseException]) -> FailureSignature:
        """Return the failure of the running test: that of its last run, or that of the test's own code."""
        return failure_behind(excinfo, self._problem)

    @property
    def _item(self) -> pytest.Item:
        item = self._session.item
        if item is None:
            raise RuntimeError("stress_simulator: used outside of a test; must be used while a test runs")
        return item

    def _run(self, target: object, settings: dict[str, Any], fixed: dict[str, Any]) -> StressResult:
        __tracebackhide__ = True
        simulator = None
        live = self._session.live()
        number = self._next_number()
        try:
            simulator = self._simulator(target, settings, fixed, number)
            return run_on_current_loop(simulator, progress=live, ending_errors=_ENDING_ERRORS)
        except (SettingError, RunFailed) as error:
            self._problem = problem = self._with_source(error, number)
        finally:
            self._end_run(simulator, live, number)
        raise problem.with_traceback(None)

    def _next_number(self) -> int:
        """Return the number of the run that begins, from 1. Runs that begin in threads have different numbers."""
        with self._lock:
            self._forget_earlier_examples()
            self._runs += 1
            return self._runs

    def _simulator(
        self, target: object, settings: dict[str, Any], fixed: dict[str, Any], number: int
    ) -> MultiAgentSimulator:
        values = self._session.merged_settings(self._item, settings, number)
        if values.get("scenario") is None:
            values |= options.check_all(fixed)
        values["output_dir"] = self.directory_of_last_run = self._directory(values.pop("output_dir", None), number)
        values |= self._baseline_settings(values, number)
        if self._session.rerun is not None:
            values |= {"report": (), "records": (), "save_baseline": None, "otel": False}
        if self._session.proxies is not None and _uses_proxy(self._item):
            values["proxies"] = (*values.get("proxies", ()), *self._session.proxies.open_proxies())
        values["clients"] = (*values.get("clients", ()), *self._clients)
        self._current = simulator = MultiAgentSimulator.of_checked(target, values)
        simulator.about = self._about(number)
        return simulator

    def _baseline_settings(self, values: dict[str, Any], number: int) -> dict[str, Any]:
        """Return directory and label of the run's baseline.

        Under ``@given``, baselines are turned off, because each example is a different scenario.
        """
        root, run = self._item.config.rootpath, "" if number == 1 else f" run {number}"
        baseline = {
            "baseline_dir": root / values.get("baseline_dir", options.BY_NAME["baseline_dir"].default),
            "label": values.get("label", f"{self._session.identities.of(self._item).name}{run}"),
        }
        if self._example is None:
            return baseline
        self._ignored_settings = [name for name in ("compare", "save_baseline") if values.get(name) is not None]
        return baseline | {"save_baseline": None, "compare": None}

    def _about(self, number: int) -> RunInfo:
        file, line, _ = self._item.location
        return RunInfo(
            test=self._session.identities.of(self._item).row,
            run=number,
            file=file,
            line=(line or 0) + 1,
            note=f" (last of {self._examples} examples)" if self._examples else "",
            directory=self._session.directory,
            repeat=self._repeat_command_of,
        )

    def _repeat_command_of(self, result: StressResult) -> str:
        path = None if result.scenario.planned is None else result.output_dir / SCENARIO.filename
        return self.repeat_command(result.seed, path)

    def _with_source(self, error: SettingError | RunFailed, number: int) -> BaseException:
        """Return the exception for the test, with the scenario file or the command that repeats the run."""
        if isinstance(error, SettingError):
            return self._session.with_source(error, number)
        if isinstance(error.__cause__, pytest.exit.Exception):
            return error.__cause__
        problem = type(error)(f"{error}{self._how_to_repeat(error.result)}", error.result)
        problem.__cause__ = error.__cause__
        return problem

    def _end_run(self, simulator: MultiAgentSimulator | None, live: Live | None, number: int) -> None:
        if live is not None:
            live.clear()
        if simulator is None or simulator.result is None:
            return
        with self._lock:
            if self._examples and simulator.requires_calls:
                has_called = simulator.result.stats["calls"] > 0
                self._has_called |= has_called
                self._uncalled_examples += not has_called
            self._report(simulator.result, number)

    def _forget_earlier_examples(self) -> None:
        """Discard what earlier examples have left, if Hypothesis has begun a new example.

        Under ``@given``, files and figures are those of the last example. If the test fails, that is the failing
        example.
        """
        example = current_example()
        if example is None or example is self._example:  # None in a thread that an example has started, too
            return
        item = self._item
        if self._example is None:
            self._before_examples = (len(item.user_properties), len(item._report_sections), len(self._clients))
        properties, sections, clients = self._before_examples
        del self._clients[clients:]
        del item.user_properties[properties:]
        del item._report_sections[sections:]
        self._example = example
        self._examples += 1
        self._runs = 0
        self.results.clear()
        self._summaries.clear()

    def _directory(self, output_dir: str | None, number: int) -> Path:
        base = options.BY_NAME["output_dir"].default if output_dir is None else output_dir
        directory: Path = self._session.directory / base / self._session.identities.of(self._item).directory
        if self._session.rerun is not None:
            directory /= self._session.rerun.directory
        return directory if number == 1 else directory / f"run-{number}"

    def _report(self, result: StressResult, number: int) -> None:
        """Add a run to the results of the test and to its reports."""
        summary = result.summary
        for name in () if self._session.rerun is not None else self._ignored_settings:
            summary = with_note(summary, f"{name} is ignored under @given: each example is a different scenario")
        self._overlap.add(result)
        self.results.append(result)
        self._summaries.append(summary)
        if self._session.rerun is not None:
            return
        if result.status == INTERRUPTED:
            self._session.interrupted.append(summary)
        problem = add_run(self._item, result, summary, number, self._session.directory)
        if problem:
            self._summaries[-1] = with_note(summary, problem)

    def _how_to_repeat(self, result: StressResult) -> str:
        if self._examples:  # Hypothesis prints an @example to paste, and replays failures from its own database
            return ""
        return f"\n\nrepeat this run with:\n  {self._repeat_command_of(result)}"

    def repeat_command(self, seed: int, scenario_file: Path | None = None) -> str:
        """Return a command that performs the same plan again: by seed, or from a scenario file."""
        return repeat_command(self._item, self._session.directory, seed, scenario_file)


def _uses_proxy(item: pytest.Item) -> bool:
    """Return True if a test, or one of its fixtures, uses the ``stress_proxy`` fixture."""
    return "stress_proxy" in getattr(item, "fixturenames", ())
