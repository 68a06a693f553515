"""--stress-shrink: find the smallest scenario with which a test fails in the same way, as a test to paste."""

from __future__ import annotations

import re
import textwrap

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

BUGGY = """
import threading
import pytest

class Orders:
    def __init__(self):
        self.booked = []
    def buy(self, operation):
        self.booked.append(operation.id)
        if operation.fault == "lost_reply":
            self.booked.append(operation.id)
    def sell(self):
        pass
    def audit(self):
        return ["an order is booked twice"] if len(self.booked) > len(set(self.booked)) else []

@pytest.fixture
def orders():
    return Orders()

"""
SETTINGS = 'tasks=["buy", "sell"], failure_mode="mixed", min_delay=0, max_delay="1ms"'
FAILING = {
    "assertion": f"""
def test_orders(stress_simulator, orders):
    stress_simulator.run(target=orders, {SETTINGS})
    assert not orders.audit()  # nothing is booked twice
""",
    "check": f"""
def test_orders(stress_simulator, orders):
    stress_simulator.run(target=orders, {SETTINGS}, checks=[orders.audit])
""",
    "error": f"""
@pytest.mark.filterwarnings("default")
@pytest.mark.stress(thresholds=["errors < 1"], agents=3)
def test_orders(stress_simulator, orders):
    def buy(operation):
        orders.buy(operation)
        assert not orders.audit()
    stress_simulator.run(target={{"buy": buy, "sell": orders.sell}}, {SETTINGS})
""",
}


def smallest_test(output: str) -> str:
    """Return the source of the test that the report prints to be pasted."""
    match = re.search(r"as a test to paste:\n\n(.*?)\n\nor repeat it with:", output, re.S)
    assert match, output
    return match[1]


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["one process", "xdist"])
@pytest.mark.parametrize("kind", FAILING)
def test_a_failure_is_shrunk_to_a_test_that_fails_the_same_way(
    pytester: pytest.Pytester, kind: str, workers: list[str]
) -> None:
    pytester.makepyfile(BUGGY + FAILING[kind])
    result = pytester.runpytest("--stress", "--stress-shrink", "--stress-seed=4", *workers)
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    assert re.search(r"\d+ operations of \d agents -> 1 of 1 agent \(\d+ attempts, [\d.]+ s\)", output), output
    test = smallest_test(output)
    assert re.search(r"operations=\[\n +\('\w+', 'buy', 'lost_reply'\),\n +\],", test), test
    pytester.makepyfile(test_pasted=BUGGY + test)
    again = pytester.runpytest("--stress", "test_pasted.py")
    again.assert_outcomes(failed=1)
    assert "audit" in again.stdout.str()


def test_the_smallest_scenario_can_be_repeated_from_its_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BUGGY + FAILING["check"])
    output = pytester.runpytest("--stress", "--stress-shrink").stdout.str()
    command = output[output.index("or repeat it with:") :].splitlines()[1].split()
    pytester.runpytest(*command[1:]).assert_outcomes(failed=1)


def test_interleaved_operations_of_two_agents_are_kept(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_no_overdraft(stress_simulator):
            balance = [100]
            def withdraw(operation):
                if balance[0] >= 100:
                    operation.sleep(0.01)
                    balance[0] -= 100
            stress_simulator.run(
                target={"withdraw": withdraw, "deposit": lambda: None},
                engine="virtual", max_delay=0, min_delay=0, checks=[lambda: balance[0] >= 0],
            )
    """)
    output = pytester.runpytest("--stress", "--stress-shrink").stdout.str()
    assert "-> 2 of 2 agents" in output
    assert len(re.findall(r"\('\w+', 'withdraw'\),", smallest_test(output))) == 2


def test_a_deadlock_is_shrunk(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import threading
        def test_transfers(stress_simulator):
            a, b = threading.Lock(), threading.Lock()
            def transfer(first, second):
                def task(operation):
                    with first:
                        operation.sleep(0.001)
                        with second:
                            pass
                return task
            stress_simulator.run(
                target={"there": transfer(a, b), "back": transfer(b, a)},
                engine="virtual", max_delay=0, min_delay=0,
            )
    """)
    result = pytester.runpytest("--stress", "--stress-shrink")
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    assert "deadlock after" in output
    assert "-> 2 of 2 agents" in output


def test_a_marked_body_is_shrunk(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.fixture
        def rows():
            return []

        @pytest.mark.stress(agents=3, max_delay=0, min_delay=0)
        def test_body(rows):
            rows.append(1)
            if len(rows) == 4:
                raise ValueError("the fourth row")
    """)
    output = pytester.runpytest("--stress", "--stress-shrink").stdout.str()
    assert "-> 4 of 1 agent" in output
    assert "def test_body_smallest(rows):" in smallest_test(output)


def test_a_race_of_real_threads_is_reported_as_not_shrunk(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import time
        def test_race(stress_simulator):
            inside = []
            def task():
                inside.append(1)
                assert len(inside) == 1
                time.sleep(0.01)
                inside.clear()
            settings = dict(max_delay=0, min_delay=0, missing_data_prob=0, failure_prob=0)
            stress_simulator.run(target={"task": task}, operations_per_agent=3, **settings)
    """)
    result = pytester.runpytest("--stress", "--stress-shrink")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "not shrunk: the failure does not occur in virtual time*",
            "Possible causes: a race between real threads, *",
            "Try next:",
            "- for a race: more agents and operations with real threads, *",
            "- for a race at a place that you suspect: operation.sleep(0) there, and --stress-engine=virtual; *",
            "- for state that is kept: --stress-engine=virtual --stress-verify-determinism",
        ]
    )


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ('thresholds=["latency.max < 1ns"]', "the failed thresholds limit times, rates or minimums"),
        ('thresholds=["successes > 500"]', "the failed thresholds limit times, rates or minimums"),
        ('thresholds=["failure_rate < 1%"]', "the failed thresholds limit times, rates or minimums"),
        ('checks=[sometimes("never", lambda: False)]', "a state that the run never reached is not reached in a"),
    ],
)
def test_a_failure_that_every_smaller_scenario_has_too_is_not_shrunk(
    pytester: pytest.Pytester, run: str, reason: str
) -> None:
    pytester.makepyfile(f"""
        from pytest_nos_stress import sometimes
        def test_it(stress_simulator):
            stress_simulator.run({run}, max_delay=0, min_delay=0)
    """)
    result = pytester.runpytest("--stress", "--stress-shrink")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"not shrunk: {reason}*"])


def test_another_error_is_not_mistaken_for_the_original_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_it(stress_simulator):
            done = []
            def buy(operation):
                done.append(1)
                if len(done) > 5:
                    raise ValueError("the sixth")
            def sell():
                if not done:
                    raise KeyError("nothing to sell")
            stress_simulator.run(
                {"buy": buy, "sell": sell}, engine="virtual", seed=2, expected_errors=KeyError,
                max_delay=0, min_delay=0,
            )
    """)
    output = pytester.runpytest("--stress", "--stress-shrink").stdout.str()
    assert "-> 6 of 1 agent" in output


def test_a_test_method_is_printed_as_a_method_to_paste(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        class TestOrders:
            def test_it(self, stress_simulator):
                stress_simulator.run({"buy": lambda: 1 / 0}, engine="virtual")
    """)
    output = pytester.runpytest("--stress", "--stress-shrink").stdout.str()
    assert "as a test to paste into class TestOrders" in output
    assert "    def test_it_smallest(self, stress_simulator):" in output


def test_the_repeat_command_has_the_thresholds_of_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_it(stress_simulator):
            stress_simulator.run({"buy": lambda: 1 / 0}, engine="virtual", thresholds=["errors < 1000"])
    """)
    result = pytester.runpytest("--stress", "--stress-shrink", "--stress-threshold=failures < 5")
    output = result.stdout.str()
    command = output[output.index("or repeat it with:") :].splitlines()[1]
    assert "'--stress-threshold=failures < 5'" in command


def test_a_run_without_operations_is_not_shrunk(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_it(stress_simulator):
            def connect(agent):
                raise ConnectionError(agent)
            stress_simulator.run(engine="virtual", per_agent=connect)
    """)
    result = pytester.runpytest("--stress", "--stress-shrink")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["not shrunk: no operation was performed"])


def test_a_fixture_of_wider_scope_that_keeps_state_is_named_as_a_cause(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.fixture(scope="module")
        def rows():
            return []

        def test_rows(stress_simulator, rows):
            stress_simulator.run({"task": lambda: rows.append(1)}, engine="virtual", max_delay=0, min_delay=0)
            assert len(rows) != 288, len(rows)

        def test_another(rows):
            pass
    """)
    result = pytester.runpytest("--stress", "--stress-shrink", "--missing-data-prob=0.2", "--failure-prob=0.1")
    output = result.stdout.str()
    assert "INTERNALERROR" not in output


def test_a_test_that_passes_is_run_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        performed = []
        def test_passes(stress_simulator):
            performed.append(1)
            stress_simulator.run(max_delay=0, min_delay=0)
        def test_it_was_performed_once():
            assert performed == [1]
    """)
    pytester.runpytest("--stress", "--stress-shrink").assert_outcomes(passed=2)


def test_fixtures_of_every_scope_are_torn_down_after_shrinking(pytester: pytest.Pytester) -> None:
    scopes = ("function", "class", "module", "session")
    fixtures = "".join(
        textwrap.dedent(f"""
            @pytest.fixture(scope="{scope}")
            def of_{scope}():
                events.append("up {scope}")
                yield
                events.append("down {scope}")
        """)
        for scope in scopes
    )
    pytester.makeconftest(
        "import pytest\nfrom pathlib import Path\nevents = []\n"
        + fixtures
        + "\ndef pytest_unconfigure():\n    Path('events').write_text('\\n'.join(events))\n"
    )
    pytester.makepyfile("""
        def test_fails(stress_simulator, of_function, of_class, of_module, of_session):
            stress_simulator.run(engine="virtual")
            assert False

        def test_last(of_session):
            pass
    """)
    pytester.runpytest("--stress", "--stress-shrink").assert_outcomes(failed=1, passed=1)
    events = pytester.path.joinpath("events").read_text().splitlines()
    for scope in scopes:
        assert events.count(f"up {scope}") == events.count(f"down {scope}") >= 1
