"""pytest's hooks: options, marker, fixture, report. Nothing else is here.

Every pytest session that has the plugin installed imports this module, so it imports the settings table and
nothing heavier; the simulator, and with it NumPy, is imported by the first run of a stress test.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_nos_stress.config.options import SESSION_SETTINGS, SETTINGS, UNSET

if TYPE_CHECKING:
    from .proxy_fixture import StressProxy
    from .session import StressSession
    from .simulator_fixture import StressSimulator

FIXTURE = "stress_simulator"
SKIPPED = "stress test: run it with --stress"

_session_key = pytest.StashKey[Any]()
_cooperating_key = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nos-stress", "stress tests")
    group.addoption("--stress", action="store_true", default=False, help="run stress tests (skipped otherwise)")
    group.addoption(
        "--stress-verify-determinism",
        action="store_true",
        default=False,
        help="run each stress test of the virtual engine twice, and fail it where its runs differ",
    )
    group.addoption(
        "--stress-shrink",
        action="store_true",
        default=False,
        help="reduce the scenario of a stress test that fails to the smallest one that fails, in virtual time",
    )
    for setting in (*SETTINGS, *SESSION_SETTINGS):
        if setting.flag is None:
            continue
        how: dict[str, Any] = {"action": "append" if setting.name == "thresholds" else "store"}
        how = {"action": "store_true"} if setting.default is False else how | {"metavar": setting.metavar}
        group.addoption(setting.flag, dest=setting.dest, default=None, help=setting.help.replace("%", "%%"), **how)
        ini_type: Any = "linelist" if setting.several else "string"
        parser.addini(str(setting.ini), setting.help, type=ini_type, default=UNSET)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before anything of the user's is imported: the locks it makes are to know the virtual engine's agents."""
    if early_config.known_args_namespace.stress:
        _make_locks_cooperate(early_config)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("stress"):
        _make_locks_cooperate(config)
    if config.getoption("stress_shrink") and config.getoption("usepdb", False):
        raise pytest.UsageError("--stress-shrink and --pdb: each of many runs would stop; give one or the other")
    config.addinivalue_line(
        "markers",
        "stress(**settings): a stress test, run with --stress; a test that does not use the "
        f"{FIXTURE} fixture is itself the task that every agent performs",
    )
    given = (config.getoption(setting.dest) for setting in (*SETTINGS, *SESSION_SETTINGS) if setting.flag)
    if config.getoption("stress") or any(value is not None for value in given):
        _session(config)
    if config.getoption("stress") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reports(config), "nos-stress-reports")


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(_session_key, None)
    if session is not None:
        session.close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Before an xdist worker starts: every worker uses the controller's seed and directory."""
    node.workerinput["nos_stress"] = _session(node.config).for_workers()


def pytest_report_header(config: pytest.Config) -> str | None:
    return _session(config).header() if config.getoption("stress") else None


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class,
) -> Generator[None, Any, Any]:
    """A stress marker that says something wrong is a collection error."""
    collected = yield
    items = collected if isinstance(collected, list) else [collected]
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("stress"):
            _session(collector.config).check_marker(item, is_body=FIXTURE not in item.fixturenames)
    return collected


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that uses the fixture is a stress test, marked or not."""
    if FIXTURE in getattr(item, "fixturenames", ()) and not item.get_closest_marker("stress"):
        item.add_marker("stress")


def pytest_collection_modifyitems(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    if config.getoption("stress"):
        return
    for item in items:
        if item.get_closest_marker("stress"):
            item.add_marker(pytest.mark.skip(reason=SKIPPED))


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.getoption("stress"):
        stress_tests = [item for item in session.items if item.get_closest_marker("stress")]
        _session(session.config).check_selection(stress_tests)


@pytest.fixture(scope="session")
def stress_simulator(pytestconfig: pytest.Config) -> StressSimulator:
    """Runs stress tests: ``stress_simulator.run(target=..., **settings) -> StressResult``.

    A run that breaks a threshold raises ``ThresholdsNotMet``; a test may run several times. The scope is the
    session's, so that it can be used under Hypothesis' ``@given``; each test begins with it anew.
    """
    if not pytestconfig.getoption("stress"):
        pytest.skip(SKIPPED)
    return _session(pytestconfig).simulator


@pytest.fixture(scope="session")
def stress_proxy(pytestconfig: pytest.Config) -> Generator[StressProxy, None, None]:
    """Puts a seeded TCP proxy before a real server: ``stress_proxy("127.0.0.1:8000") -> Proxy``.

    In stress tests the network and the fault windows of a run act there, in place of the agents' calls. A
    proxy that a test makes is closed at its end, one that a fixture makes with the session, or by
    ``proxy.close()``.
    """
    from .proxy_fixture import StressProxy

    session = _session(pytestconfig)
    session.proxy = StressProxy(session)
    yield session.proxy
    session.proxy.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A stress test that is to be verified or shrunk is run several times, and reported once."""
    config = item.config
    if not config.getoption("stress_verify_determinism") and not config.getoption("stress_shrink"):
        return None
    if not config.getoption("stress") or not item.get_closest_marker("stress"):
        return None
    from .replay import run_and_replay

    run_and_replay(item, nextitem, _session(config))
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """The body of a marked test that does not use the fixture is the task."""
    if not _is_active_body(pyfuncitem):
        return None
    _session(pyfuncitem.config).simulator.run_body(pyfuncitem)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.getoption("stress"):
        _session(item.config).begin(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    if _is_active_body(item):
        _refuse_unfit_body(item)
    in_call = _session(item.config).call() if _session_key in item.config.stash else nullcontext()
    with _scenarios_shown_as_argument(item), in_call:
        outcome = yield
    if _is_stress_test(item) and not _session(item.config).simulator.results:
        pytest.fail(f"stress test never ran the simulator: call {FIXTURE}.run(...)", pytrace=False)
    if _is_stress_test(item):
        _session(item.config).require_repetition()
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _session_key in item.config.stash:
        _session(item.config).look_at(item, call, report)
    return report


class _Reports:
    """Sees every report, under xdist those of the workers: their runs are the session's."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        runs = getattr(report, "stress_runs", ())
        if runs:
            _session(self._config).note(runs)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Before the summary: what the session writes of all its runs. A file that cannot be written fails it."""
        stress = _session(self._config)
        stress.problems = stress.write_outputs()
        if not self._config.pluginmanager.hasplugin("terminalreporter"):
            print(*stress.problems, sep="\n", end="\n" * bool(stress.problems), file=sys.stderr)
        if stress.problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [one for group in terminalreporter.stats.values() for one in group]
    session = _session(config) if config.getoption("stress") else None
    if session is not None and session.runs:
        from pytest_nos_stress._internal.text import escape_controls
        from pytest_nos_stress.reporting.terminal import summary

        terminalreporter.write_sep("=", "stress tests")
        for line in summary(session.runs, encoding=_encoding(terminalreporter)):
            terminalreporter.write_line(line)
        for text in session.nowhere_applicable():
            line = (
                f"threshold {escape_controls(text)}: applies to none of the runs; "
                "is there such an agent, task or phase?"
            )
            terminalreporter.write_line(line, yellow=True)
        for line in session.workflow_commands():
            terminalreporter.write_line(line)
    for line in session.problems if session is not None else ():
        terminalreporter.write_line(line, red=True)
    replayed = [what for one in reports for what in getattr(one, "stress_replay", ())]
    if replayed:
        from pytest_nos_stress.reporting.terminal import replay_summary

        terminalreporter.write_line(replay_summary(replayed))
    skipped = sum(
        SKIPPED in str(getattr(one, "longrepr", "")) for one in terminalreporter.stats.get("skipped", ())
    )
    if skipped:
        tests = "1 stress test was" if skipped == 1 else f"{skipped} stress tests were"
        terminalreporter.write_line(f"{tests} skipped: run with pytest --stress")


def _encoding(terminalreporter: pytest.TerminalReporter) -> str:
    return getattr(terminalreporter._tw._file, "encoding", None) or "ascii"


def _session(config: pytest.Config) -> StressSession:
    """The session's settings, read when they are first asked for."""
    from .session import StressSession

    if _session_key not in config.stash:
        config.stash[_session_key] = StressSession(config)
    session: StressSession = config.stash[_session_key]
    return session


def _make_locks_cooperate(config: pytest.Config) -> None:
    if _cooperating_key in config.stash:
        return
    from pytest_nos_stress.engines.virtual.locks import switch_off, switch_on

    config.stash[_cooperating_key] = True
    switch_on()
    config.add_cleanup(switch_off)


def _scenarios_shown_as_argument(item: pytest.Item) -> AbstractContextManager[None]:
    """Under ``@given``, failures show a scenario under the name of the test's argument.

    What a test draws by ``data()``, or beside other arguments, cannot be pasted alone.
    """
    strategies = sys.modules.get("pytest_nos_stress.search.strategies")
    given = getattr(getattr(getattr(item, "obj", None), "hypothesis", None), "_given_kwargs", {})
    if strategies is None or not given:
        return nullcontext()
    name, strategy = next(iter(given.items()))
    can_be_pasted = len(given) == 1 and repr(strategy) != "data()"
    shown: AbstractContextManager[None] = strategies.shown_as(name if can_be_pasted else "")
    return shown


def _is_stress_test(item: pytest.Item) -> bool:
    return item.config.getoption("stress") is True and item.get_closest_marker("stress") is not None


def _is_active_body(item: pytest.Item) -> bool:
    return _is_stress_test(item) and FIXTURE not in getattr(item, "fixturenames", ())


def _refuse_unfit_body(item: pytest.Item) -> None:
    import inspect

    from .session import is_under_given

    if not isinstance(item, pytest.Function) or _is_unittest(item):
        pytest.fail("a stress marker needs a test function: unittest methods cannot be the task", pytrace=False)
    if is_under_given(item):
        pytest.fail(
            f"a stress marker needs a plain test function: a test under @given uses the {FIXTURE} fixture",
            pytrace=False,
        )
    if inspect.iscoroutinefunction(item.obj) or inspect.isasyncgenfunction(item.obj):
        pytest.fail(
            "a stress marker needs a sync test function, for instance one that calls asyncio.run", pytrace=False
        )


def _is_unittest(item: pytest.Function) -> bool:
    import unittest

    return isinstance(item.cls, type) and issubclass(item.cls, unittest.TestCase)
