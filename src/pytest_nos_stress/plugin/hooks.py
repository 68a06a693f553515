"""Declare pytest's hooks, options, marker and fixtures. The modules beside this one do the work.

Every pytest session that has the plugin installed imports this module, so it imports the settings table and
nothing heavier; the simulator, and with it NumPy, is imported by the first run of a stress test.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_nos_stress.config import UNSET
from pytest_nos_stress.config.options import SESSION_SETTINGS, SETTINGS

if TYPE_CHECKING:
    from .proxy_fixture import StressProxy
    from .running_test import RunningTest
    from .session import StressSession
    from .simulator_fixture import StressSimulator

FIXTURE = "stress_simulator"
SKIPPED = "stress test: run it with --stress"

_running_test_key = pytest.StashKey[Any]()
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
        how: dict[str, Any] = {"action": "append" if setting.is_repeatable else "store"}
        how = {"action": "store_true"} if setting.is_switch else how | {"metavar": setting.metavar}
        group.addoption(setting.flag, dest=setting.dest, default=None, help=setting.help.replace("%", "%%"), **how)
        ini_type: Any = "linelist" if setting.is_list else "string"
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
    values = (config.getoption(setting.dest) for setting in (*SETTINGS, *SESSION_SETTINGS) if setting.flag)
    if config.getoption("stress") or any(value is not None for value in values):
        _session(config)
    if config.getoption("stress") and not hasattr(config, "workerinput"):
        from .session_summary import SessionReports

        config.pluginmanager.register(SessionReports(_session(config)), "nos-stress-reports")


def pytest_unconfigure(config: pytest.Config) -> None:
    if _running_test_key in config.stash:
        _session(config).close()


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
        _session(session.config).repetition.check_selection(len(stress_tests))


@pytest.fixture(scope="session")
def stress_simulator(pytestconfig: pytest.Config) -> StressSimulator:
    """Runs stress tests: ``stress_simulator.run(target=..., **settings) -> StressResult``.

    A run that breaks a threshold raises ``ThresholdsNotMet``; a test may run several times. The scope is the
    session's, so that it can be used under Hypothesis' ``@given``; each test begins with it anew.
    """
    if not pytestconfig.getoption("stress"):
        pytest.skip(SKIPPED)
    return _running_test(pytestconfig).simulator


@pytest.fixture(scope="session")
def stress_proxy(pytestconfig: pytest.Config) -> Generator[StressProxy, None, None]:
    """Puts a seeded TCP proxy before a real server: ``stress_proxy("127.0.0.1:8000") -> Proxy``.

    In stress tests the network and the fault windows of a run act there, in place of the agents' calls. A
    proxy that a test makes is closed at its end, one that a fixture makes with the session, or by
    ``proxy.close()``.
    """
    from .proxy_fixture import StressProxy

    session = _session(pytestconfig)
    session.proxies = proxy = StressProxy(session)
    yield proxy
    proxy.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A stress test that is to be verified or shrunk is run several times, and reported once."""
    config = item.config
    if not config.getoption("stress_verify_determinism") and not config.getoption("stress_shrink"):
        return None
    if not config.getoption("stress") or not item.get_closest_marker("stress"):
        return None
    from .replay import run_and_replay

    run_and_replay(item, nextitem, _running_test(config))
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """The body of a marked test that does not use the fixture is the task."""
    if not _is_active_body(pyfuncitem):
        return None
    _running_test(pyfuncitem.config).simulator.run_body(pyfuncitem)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.getoption("stress"):
        _running_test(item.config).begin(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    if _is_active_body(item):
        from .body import refuse_unfit_body

        refuse_unfit_body(item)
    from .hypothesis_support import scenarios_shown_as_argument

    in_call = _running_test(item.config).call() if _running_test_key in item.config.stash else nullcontext()
    with scenarios_shown_as_argument(item), in_call:
        outcome = yield
    if _is_stress_test(item):
        _running_test(item.config).require_run()
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _running_test_key in item.config.stash:
        _running_test(item.config).record_outcome(item, call, report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    from .session_summary import write_summary

    write_summary(terminalreporter, _session(config) if config.getoption("stress") else None, SKIPPED)


def _running_test(config: pytest.Config) -> RunningTest:
    """The running test and its session, whose settings are read when they are first asked for."""
    if _running_test_key not in config.stash:
        from .running_test import RunningTest
        from .session import StressSession

        config.stash[_running_test_key] = RunningTest(StressSession(config))
    test: RunningTest = config.stash[_running_test_key]
    return test


def _session(config: pytest.Config) -> StressSession:
    return _running_test(config).session


def _make_locks_cooperate(config: pytest.Config) -> None:
    if _cooperating_key in config.stash:
        return
    from pytest_nos_stress.engines.virtual.locks import switch_off, switch_on

    config.stash[_cooperating_key] = True
    switch_on()
    config.add_cleanup(switch_off)


def _is_stress_test(item: pytest.Item) -> bool:
    return item.config.getoption("stress") is True and item.get_closest_marker("stress") is not None


def _is_active_body(item: pytest.Item) -> bool:
    return _is_stress_test(item) and FIXTURE not in getattr(item, "fixturenames", ())
