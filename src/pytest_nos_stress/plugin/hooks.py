"""Declare pytest's hooks, options, marker and fixtures. The other modules of this package do the work.

Every pytest session imports this module if the plugin is installed. It therefore imports the settings table and
nothing heavier. The first run of a stress test imports the simulator, and with it NumPy.
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
        help="run each stress test of the virtual engine twice, and fail it if the two executions differ",
    )
    group.addoption(
        "--stress-shrink",
        action="store_true",
        default=False,
        help="search, in virtual time, for the smallest scenario that still makes a failed stress test fail",
    )
    for setting in (*SETTINGS, *SESSION_SETTINGS):
        if setting.flag is None:
            continue
        action = "append" if setting.is_repeatable else "store"
        keywords: dict[str, Any] = {"action": action, "metavar": setting.metavar}
        if setting.is_switch:
            keywords = {"action": "store_true"}
        help_text = setting.help.replace("%", "%%")
        group.addoption(setting.flag, dest=setting.dest, default=None, help=help_text, **keywords)
        ini_type: Any = "linelist" if setting.is_list else "string"
        parser.addini(str(setting.ini), setting.help, type=ini_type, default=UNSET)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Replace the locks before any user code is imported.

    The virtual engine must know of every lock that its agents wait for.
    """
    if early_config.known_args_namespace.stress:
        _make_locks_cooperate(early_config)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("stress"):
        _make_locks_cooperate(config)
    if config.getoption("stress_shrink") and config.getoption("usepdb", False):
        raise pytest.UsageError(
            "--stress-shrink and --pdb: cannot be combined, because every failing attempt would stop in the "
            "debugger; remove one of them"
        )
    config.addinivalue_line(
        "markers",
        "stress(**settings): a stress test, run with --stress; if the test does not use the "
        f"{FIXTURE} fixture, its body is the task that every agent performs",
    )
    values = (config.getoption(setting.dest) for setting in (*SETTINGS, *SESSION_SETTINGS) if setting.flag)
    if config.getoption("stress") or any(value is not None for value in values):
        _session(config)
    if config.getoption("stress"):
        from .session_summary import CollectReports, SessionReports

        config.pluginmanager.register(CollectReports(_session(config)), "nos-stress-collect-reports")
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(SessionReports(_session(config)), "nos-stress-reports")


def pytest_unconfigure(config: pytest.Config) -> None:
    if _running_test_key in config.stash:
        _session(config).close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Send the controller's seed and directory to an xdist worker before it starts."""
    node.workerinput["nos_stress"] = _session(node.config).worker_input(node.gateway.id)


def pytest_report_header(config: pytest.Config) -> str | None:
    return _session(config).header() if config.getoption("stress") else None


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class,
) -> Generator[None, Any, Any]:
    """Report a wrong stress marker as a collection error."""
    collected = yield
    items = collected if isinstance(collected, list) else [collected]
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("stress"):
            _session(collector.config).check_marker(item, is_body=FIXTURE not in item.fixturenames)
    return collected


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test that uses the fixture as a stress test."""
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
        _session(session.config).select(stress_tests)
        _session(session.config).repetition.check_selection(len(stress_tests))
        if stress_tests and not session.config.getoption("collectonly"):
            from .preload import import_modules

            import_modules()


@pytest.fixture(scope="session")
def stress_simulator(pytestconfig: pytest.Config) -> StressSimulator:
    """Run stress tests: ``stress_simulator.run(target=..., **settings) -> StressResult``.

    If a threshold of a run fails, ``run()`` raises ``ThresholdsNotMet``. A test can call it several times. The
    fixture's scope is ``session``, so that tests under Hypothesis' ``@given`` can use it; its state is reset for
    each test.
    """
    if not pytestconfig.getoption("stress"):
        pytest.skip(SKIPPED)
    return _running_test(pytestconfig).simulator


@pytest.fixture(scope="session")
def stress_proxy(pytestconfig: pytest.Config) -> Generator[StressProxy, None, None]:
    """Put a seeded TCP proxy in front of a real server: ``stress_proxy("127.0.0.1:8000") -> Proxy``.

    In stress tests, the network and the fault windows of a run then act at the proxy instead of at the agents'
    calls. A proxy that a test opens is closed when the test ends. A proxy that a fixture opens is closed by
    ``proxy.close()``, or when the session ends.
    """
    from .proxy_fixture import StressProxy

    session = _session(pytestconfig)
    session.proxies = proxy = StressProxy(session)
    yield proxy
    proxy.close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a stress test several times, and report it once, if it must be verified or shrunk."""
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
    """Run a marked test that does not use the fixture as a task: every agent performs its body."""
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
    from .hypothesis_support import examples_use_argument_of

    in_call = _running_test(item.config).call() if _running_test_key in item.config.stash else nullcontext()
    with examples_use_argument_of(item), in_call:
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
        if item.config.getoption("stress"):
            _session(item.config).describe_on(report, item)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    from .session_summary import write_summary

    write_summary(terminalreporter, _session(config) if config.getoption("stress") else None, SKIPPED)


def _running_test(config: pytest.Config) -> RunningTest:
    """Return the running test and its session. The first call reads the session's settings."""
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
