"""Virtual time under pytest: locks of user code, the fixture's scope, threads, and failure messages."""

from __future__ import annotations

import threading

import pytest

SERVICE = """
import threading

module_lock = threading.Lock()


class Transfers:
    def __init__(self):
        self.lock = threading.RLock()
        self.inside = []

    def transfer(self, operation):
        with module_lock, self.lock:
            self.inside.append(operation.agent)
            operation.sleep(0.01)
            assert self.inside == [operation.agent]
            self.inside.clear()
"""
CALM = "missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0"


TRANSFERS = f"""
import pytest

@pytest.mark.parametrize("own_threads", [True, False])
def test_transfers(stress_simulator, own_threads):
    result = stress_simulator.run(
        Transfers(), tasks=["transfer"], engine="virtual", own_threads=own_threads, agents=4,
        operations_per_agent=5, {CALM},
    )
    assert result.stats["duration"] == 0.2
"""


def test_locks_created_anywhere_under_stress_let_other_agents_run(pytester: pytest.Pytester) -> None:
    pytester.syspathinsert()
    pytester.makeconftest("import a_conftest_imports")
    pytester.makepyfile(
        a_conftest_imports=SERVICE,
        a_test_imports=SERVICE,
        test_a_module_a_conftest_imports=f"from a_conftest_imports import Transfers\n{TRANSFERS}",
        test_a_module_the_test_imports=f"from a_test_imports import Transfers\n{TRANSFERS}",
        test_the_test_itself=SERVICE + TRANSFERS,
    )
    pytester.runpytest_subprocess("--stress").assert_outcomes(passed=6)


def test_without_stress_locks_are_untouched(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import _thread, threading
        def test_lock():
            assert type(threading.Lock()) is type(_thread.allocate_lock())
            assert type(threading.RLock()) is _thread.RLock
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_session_leaves_threading_as_it_was(pytester: pytest.Pytester) -> None:
    before = (threading.Lock, threading.RLock)
    pytester.makepyfile("def test_trades(stress_simulator): stress_simulator.run(engine='virtual')")
    pytester.runpytest("--stress").assert_outcomes(passed=1)
    assert (threading.Lock, threading.RLock) == before


@pytest.mark.parametrize("source", ["option", "ini", "marker"])
def test_the_engine_can_be_chosen_from_everywhere(pytester: pytest.Pytester, source: str) -> None:
    pytester.makeini("[pytest]\nstress_engine = virtual" if source == "ini" else "[pytest]")
    marker = '@pytest.mark.stress(engine="virtual")' if source == "marker" else ""
    pytester.makepyfile(f"""
        import pytest
        {marker}
        def test_trades(stress_simulator):
            assert stress_simulator.run().scenario.engine == "virtual"
    """)
    options = ["--stress-engine=virtual"] if source == "option" else []
    pytester.runpytest("--stress", *options).assert_outcomes(passed=1)


def test_a_marked_body_runs_in_virtual_time(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        @pytest.mark.stress(engine="virtual", operations_per_agent=50)
        def test_body():
            pass
    """)
    result = pytester.runpytest("--stress")
    result.assert_outcomes(passed=1)


def test_a_deadlock_fails_the_test_and_names_the_waiting_agents(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        import threading
        def test_transfers(stress_simulator):
            locks = {{"Agent_1": threading.Lock(), "Agent_2": threading.Lock()}}
            def transfer(operation):
                with locks[operation.agent]:
                    operation.sleep(0.01)
                    other = next(name for name in locks if name != operation.agent)
                    with locks[other]:
                        pass
            stress_simulator.run(transfer, tasks=["transfer"], agents=2, engine="virtual", {CALM})
        def test_the_next_one_is_not_touched(stress_simulator):
            stress_simulator.run(engine="virtual")
    """)
    result = pytester.runpytest("--stress")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "E*Deadlock: deadlock after 0.01 s of virtual time: every agent is blocked",
            "E*Agent_1 waits for a lock that Agent_2 holds",
            "E*with locks?other?:",
            "E*Agent_2 waits for a lock that Agent_1 holds",
            "E*with locks?other?:",
        ]
    )
    result.stdout.re_match_lines([r"deadlocked +2 +.*::test_transfers"])


def test_a_failed_check_shows_the_assertion_of_the_user(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        def test_limit(stress_simulator):
            orders = []
            def limit_holds():
                assert len(orders) < 3, "too many"
            def buy():
                orders.append(1)
            stress_simulator.run({{"buy": buy}}, engine="virtual", checks=[limit_holds], {CALM})
    """)
    result = pytester.runpytest("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*AssertionError: too many",
            "*The above exception was the direct cause of the following exception:*",
            "E*CheckFailed: check limit_holds failed: after an operation of *: AssertionError: too many*",
        ]
    )
    result.stdout.re_match_lines([r"failed +3 +3/0/0 .*"])


def test_checks_of_marker_and_run_add_up(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        evaluated = []
        @pytest.mark.stress(checks=[lambda: evaluated.append("marker")])
        def test_trades(stress_simulator):
            result = stress_simulator.run(max_delay=0, min_delay=0, checks=[lambda: evaluated.append("run")])
            assert evaluated == ["marker", "run"]
            verdicts = [(check.name, check.verdict) for check in result.checks]
            assert [verdict for _, verdict in verdicts] == ["passed"] * 3
            assert verdicts[-1] == ("audit", "passed")  # the embedded exchange is audited after each run
    """)
    pytester.runpytest("--stress").assert_outcomes(passed=1)


def test_sometimes_and_eventually_are_attributes_of_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest_nos_stress
        def test_trades(stress_simulator):
            assert stress_simulator.sometimes is pytest_nos_stress.sometimes
            assert stress_simulator.eventually is pytest_nos_stress.eventually
            stress_simulator.run(engine="virtual")
    """)
    pytester.runpytest("--stress").assert_outcomes(passed=1)


def test_an_async_target_is_refused_with_a_remedy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_trades(stress_simulator):
            async def buy(operation):
                pass
            stress_simulator.run({"buy": buy}, engine="virtual")
    """)
    result = pytester.runpytest("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*task 'buy' is async def, which engine 'virtual' cannot run; must be a sync*"])


def test_pools_thread_locals_and_thread_counts_in_virtual_time(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a_pools_answer_comes_before_a_timeout_of_virtual_time=f"""
            import time
            from concurrent.futures import ThreadPoolExecutor
            import pytest

            @pytest.mark.parametrize("own_threads", [True, False])
            def test_trades(stress_simulator, own_threads):
                with ThreadPoolExecutor(2) as pool:
                    def buy():
                        assert pool.submit(lambda: time.sleep(0.002) or 8).result(timeout=60) == 8
                    result = stress_simulator.run(
                        {{"buy": buy}}, engine="virtual", own_threads=own_threads, operations_per_agent=10, {CALM}
                    )
                assert result.stats["duration"] == 0
        """,
        test_every_run_begins_without_thread_local_variables="""
            import threading
            local = threading.local()

            def test_trades(stress_simulator):
                def buy(operation):
                    if operation.index == 0:
                        assert not hasattr(local, "session")
                    local.session = operation.agent
                for _ in range(3):
                    stress_simulator.run({"buy": buy}, engine="virtual", operations_per_agent=3, failure_prob=0,
                                         missing_data_prob=0)
        """,
        test_no_thread_of_a_run_outlives_its_test="""
            import threading
            before = threading.active_count()
            def test_trades(stress_simulator):
                stress_simulator.run(engine="virtual", agents=20, operations_per_agent=3)
            def test_no_thread_is_left():
                assert threading.active_count() == before
        """,
    )
    pytester.runpytest_subprocess("--stress").assert_outcomes(passed=5)


@pytest.mark.parametrize(
    "run", ["per_agent=connect", "checks=[holds]"], ids=["an agent that is lost", "a check that failed"]
)
def test_tracebacks_begin_in_the_users_code(pytester: pytest.Pytester, run: str) -> None:
    pytester.makepyfile(f"""
        import contextlib

        @contextlib.contextmanager
        def connect(agent):
            raise ConnectionError(agent)
            yield

        def holds():
            assert 1 == 2

        def test_it(stress_simulator):
            stress_simulator.run(engine="virtual", {run})
    """)
    result = pytester.runpytest("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*src/pytest_nos_stress/*.py:*")


LOST_UPDATE = """
class Counter:
    count = 0

    def add(self, operation):
        before = self.count
        {between}
        self.count = before + 1

def test_no_update_is_lost(stress_simulator):
    counter = Counter()
    result = stress_simulator.run(
        counter, tasks=["add"], agents=4, own_threads={own_threads}, min_delay=0, max_delay=0, failure_prob=0,
        missing_data_prob=0, operations_per_agent=5,
    )
    assert counter.count == result.operations
"""
NOTE = (
    "no two operations overlapped, so the run could not show a race: in virtual time, agents switch only while an "
    "operation sleeps or waits"
)


@pytest.mark.parametrize("own_threads", [True, False])
def test_a_lost_update_that_virtual_time_cannot_show_is_noted(
    pytester: pytest.Pytester, own_threads: bool
) -> None:
    pytester.makepyfile(LOST_UPDATE.format(between="pass", own_threads=own_threads))
    blind = pytester.runpytest("--stress", "--stress-engine=virtual")
    blind.assert_outcomes(passed=1)
    assert f"  {NOTE}" in blind.outlines
    (report,) = pytester.path.rglob("stress_test_report.html")
    assert NOTE in report.read_text(encoding="utf-8")
    pytester.makepyfile(LOST_UPDATE.format(between="operation.sleep(0)", own_threads=own_threads))
    shown = pytester.runpytest("--stress", "--stress-engine=virtual")
    shown.assert_outcomes(failed=1)
    assert "no two operations overlapped" not in shown.stdout.str()
