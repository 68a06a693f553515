"""A marked test without the fixture is itself the task that every agent performs."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from typing import Any

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

CALM = "missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0"
QUICK = f"agents=3, operations_per_agent=4, {CALM}"


def statistics(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    files = sorted(pytester.path.rglob("simulation_statistics.json"))
    return [json.loads(file.read_text()) for file in files]


def test_every_agent_performs_the_body_and_the_task_has_the_functions_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import threading
        import pytest

        seen = []

        @pytest.mark.stress({QUICK})
        def test_orders():
            seen.append(threading.current_thread().name)

        def test_afterwards():
            assert len(seen) == 12
            assert len(set(seen)) == 3
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=2)
    (stats,) = statistics(pytester)
    assert list(stats["tasks"]) == ["test_orders"]
    assert stats["successful_operations"] == 12


def test_the_body_is_not_called_for_planned_faults(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        calls = []

        @pytest.mark.stress(agents=2, operations_per_agent=50, min_delay=0, max_delay=0, seed=1)
        def test_orders():
            calls.append(1)

        def test_afterwards():
            print("calls:", len(calls))
        """
    )
    result = pytester.runpytest_inprocess("--stress", "-s")
    result.assert_outcomes(passed=2)
    (stats,) = statistics(pytester)
    assert 0 < stats["successful_operations"] < 100
    result.stdout.fnmatch_lines([f"*calls: {stats['successful_operations']}"])


def test_fixtures_are_set_up_once_and_torn_down_after_the_last_operation(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        events = []

        @pytest.fixture
        def exchange():
            events.append("up")
            yield "the exchange"
            events.append("down")

        @pytest.fixture(autouse=True)
        def around():
            events.append("around")

        @pytest.mark.stress({QUICK})
        def test_orders(exchange):
            assert exchange == "the exchange"
            events.append("operation")

        def test_afterwards():
            events.pop()
            assert events == ["around", "up", *["operation"] * 12, "down"]
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=2)


def test_each_parameter_has_its_own_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress({QUICK})
        @pytest.mark.parametrize("price", [1, 2])
        def test_orders(price):
            assert price == 1, "price was two"
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(passed=1, failed=1)
    good, bad = statistics(pytester)
    assert [good["errors"], bad["errors"]] == [0, 12]
    assert list(good["tasks"]) == list(bad["tasks"]) == ["test_orders"]
    result.stdout.fnmatch_lines(["*AssertionError: price was two*"])


def test_tmp_path_monkeypatch_and_request_work_in_a_body(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import os
        import pytest

        @pytest.mark.stress({QUICK})
        def test_orders(tmp_path, monkeypatch, request):
            (tmp_path / "order").write_text("one")
            monkeypatch.setenv("ORDER", "one")
            assert os.environ["ORDER"] == "one"
            assert request.node.name == "test_orders"
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert statistics(pytester)[0]["successful_operations"] == 12


@pytest.mark.parametrize(
    "method",
    [
        "def test_orders(self, tmp_path): assert isinstance(self, TestExchange) and tmp_path",
        "@staticmethod\n    def test_orders(tmp_path): assert tmp_path",
        "@classmethod\n    def test_orders(cls, tmp_path): assert cls is TestExchange and tmp_path",
    ],
    ids=["method", "static method", "class method"],
)
def test_methods_of_plain_classes_can_be_bodies(pytester: pytest.Pytester, method: str) -> None:
    pytester.makepyfile(f"import pytest\n\n@pytest.mark.stress({QUICK})\nclass TestExchange:\n    {method}\n")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    (stats,) = statistics(pytester)
    assert stats["successful_operations"] == 12
    assert list(stats["tasks"]) == ["test_orders"]


def test_setup_method_runs_once_for_a_body(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        class TestExchange:
            def setup_method(self):
                self.operations = []

            def teardown_method(self):
                assert len(self.operations) == 12

            @pytest.mark.stress({QUICK})
            def test_orders(self):
                self.operations.append(1)
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)


def test_a_failing_assertion_in_a_body_fails_the_test_with_pytests_explanation(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress({QUICK})
        def test_orders():
            balance = -5
            assert balance >= 0
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*errors == 0*12*",
            "*12 x AssertionError*Agent_?*test_orders*",
            "*assert balance >= 0*",
            "*assert -5 >= 0*",
        ],
    )
    result.stdout.no_re_match_line(r".*pytest_nos_stress/\w+\.py")


def test_pytest_fail_in_a_body_fails_the_test_with_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress({QUICK})
        def test_orders():
            pytest.fail("the book is crossed")
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the book is crossed*"])


@pytest.mark.parametrize("exception", ["SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()"])
def test_a_base_exception_is_an_error_of_the_operation(pytester: pytest.Pytester, exception: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress({QUICK})
        def test_orders():
            raise {exception}

        def test_next():
            pass
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([f"*12 x {exception.partition('(')[0]}*"])
    assert statistics(pytester)[0]["errors"] == 12


CALLERS = ["body", "target"]


def ending_test(caller: str, statement: str) -> str:
    """Return the source of a stress test that performs a statement in its body or in its target."""
    if caller == "body":
        return f"import pytest\n\n@pytest.mark.stress({QUICK})\ndef test_orders():\n    {statement}\n"
    return (
        f"import pytest\n\ndef test_orders(stress_simulator):\n    def buy():\n        {statement}\n"
        f"    stress_simulator.run(target={{'buy': buy}}, {QUICK})\n"
    )


@pytest.mark.parametrize("caller", CALLERS)
def test_pytest_skip_ends_the_run_and_skips_the_test(pytester: pytest.Pytester, caller: str) -> None:
    pytester.makepyfile(ending_test(caller, "pytest.skip('market closed')"))
    result = pytester.runpytest_inprocess("--stress", "-rs")
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.re_match_lines([r"SKIPPED \[1\] .*\.py:\d+: market closed"])
    result.stdout.no_re_match_line(r".*pytest_nos_stress/\w+\.py")
    result.stdout.no_fnmatch_line("*run with pytest --stress")
    (stats,) = statistics(pytester)
    assert stats["status"] == "stopped"
    assert stats["total_operations"] < 12


@pytest.mark.parametrize("caller", CALLERS)
def test_pytest_xfail_ends_the_run_and_xfails_the_test(pytester: pytest.Pytester, caller: str) -> None:
    pytester.makepyfile(ending_test(caller, "pytest.xfail('known bug')"))
    result = pytester.runpytest_inprocess("--stress", "-rx")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL *known bug*"])


@pytest.mark.parametrize("caller", CALLERS)
def test_pytest_exit_ends_the_session(pytester: pytest.Pytester, caller: str) -> None:
    ending = ending_test(caller, "pytest.exit('the lights are out', returncode=42)")
    pytester.makepyfile(f"{ending}\ndef test_next(): pass")
    # Needs its own process: CPython 3.13.0 crashes when pytest reads the arguments of a dead generator's frame.
    result = pytester.runpytest_subprocess("--stress")
    assert result.ret == 42
    result.stdout.fnmatch_lines(["*the lights are out*"])
    assert result.parseoutcomes().get("passed", 0) == 0


def test_importorskip_in_a_body_skips_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ending_test("body", "pytest.importorskip('no_such_broker_api')"))
    pytester.runpytest_inprocess("--stress").assert_outcomes(skipped=1)


def test_the_markers_xfail_and_skip_apply_to_a_body(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        pytestmark = pytest.mark.stress({QUICK})

        @pytest.mark.xfail
        def test_known():
            assert False

        @pytest.mark.xfail(strict=True)
        def test_fixed():
            pass

        @pytest.mark.skipif("True", reason="not here")
        def test_not_here():
            pass
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(xfailed=1, failed=1, skipped=1)


def refusal(result: pytest.RunResult) -> str:
    """Return the single line with which a test was refused."""
    (line,) = [line for line in result.outlines if line.startswith("stress marker: ")]
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_re_match_line(r".*pytest_nos_stress/\w+\.py")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    return line


def test_a_unittest_method_is_refused_in_one_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import unittest
        import pytest

        class TestOrders(unittest.TestCase):
            @pytest.mark.stress({QUICK})
            def test_orders(self):
                pass

            def test_ordinary(self):
                pass
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1, passed=1)
    assert "unittest" in refusal(result)
    pytester.runpytest_inprocess().assert_outcomes(skipped=1, passed=1)


@pytest.mark.parametrize("body", ["pass", "yield"], ids=["coroutine", "async generator"])
def test_an_async_body_is_refused_in_one_line(pytester: pytest.Pytester, body: str) -> None:
    pytester.makepyfile(f"import pytest\n\n@pytest.mark.stress({QUICK})\nasync def test_orders():\n    {body}\n")
    result = pytester.runpytest_inprocess("--stress", "-W", "error")
    result.assert_outcomes(failed=1)
    assert "coroutine" in refusal(result) or "async" in refusal(result)


def test_a_body_that_returns_a_coroutine_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        async def order():
            pass

        @pytest.mark.stress({QUICK})
        def test_orders():
            return order()
        """
    )
    result = pytester.runpytest_inprocess("--stress", "-W", "error")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*coroutine*"])


def test_a_test_with_the_fixture_that_never_runs_the_simulator_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        def test_forgetful(stress_simulator):
            pass

        def test_skips_itself(stress_simulator):
            pytest.skip("market closed")

        def test_fails_before(stress_simulator):
            assert 1 == 2
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=2, skipped=1)
    never_ran = [line for line in result.outlines if line.startswith("stress test never ran the simulator")]
    assert len(never_ran) == 1
    result.stdout.fnmatch_lines(["*assert 1 == 2"])
    result.stdout.no_re_match_line(r".*pytest_nos_stress/\w+\.py")


def test_per_agent_and_expected_errors_of_the_marker_apply_to_a_body(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import contextlib
        import pytest

        entered = []

        @contextlib.contextmanager
        def session(agent):
            entered.append(agent)
            yield

        class InsufficientFunds(Exception):
            pass

        @pytest.mark.stress({QUICK}, per_agent=session, expected_errors=InsufficientFunds)
        def test_orders():
            raise InsufficientFunds

        def test_afterwards():
            assert sorted(entered) == ["Agent_1", "Agent_2", "Agent_3"]
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=2)
    (stats,) = statistics(pytester)
    assert (stats["failed_operations"], stats["errors"]) == (12, 0)


def test_errors_before_a_skip_fail_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import itertools, pytest
        QUIET = dict(missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0)

        @pytest.fixture
        def calls():
            return itertools.count()

        @pytest.mark.stress(**QUIET)
        @pytest.mark.parametrize("end", [pytest.skip, pytest.xfail])
        def test_orders(calls, end):
            if next(calls) < 8:
                raise RuntimeError("real bug")
            end("later")
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*RuntimeError: real bug*"])


@pytest.mark.parametrize("end", ["skip", "xfail"])
@pytest.mark.parametrize("engine", ["threads", "virtual"])
@pytest.mark.parametrize(
    ("settings", "failure"),
    [
        ("checks=[lambda: len(calls) < 5], every=1", "*check <lambda>* failed: after an operation *"),
        ("thresholds=['failures < 2'], expected_errors=LookupError", "*threshold failures < 2 failed: *"),
        (
            "thresholds=['failure_rate < 1%'], expected_errors=LookupError",
            "*threshold failure_rate < 1% failed: *",
        ),
        ("thresholds=['operations < 5']", "*threshold operations < 5 failed: *"),
    ],
)
def test_what_has_failed_before_a_skip_fails_the_test(
    pytester: pytest.Pytester, settings: str, failure: str, engine: str, end: str
) -> None:
    pytester.makepyfile(
        f"""
        import itertools, pytest

        def test_orders(stress_simulator):
            numbers, calls = itertools.count(), []

            def buy():
                number = next(numbers)
                if number >= 30:
                    pytest.{end}("later")
                calls.append(number)
                if number % 3 == 0 and "LookupError" in {settings!r}:
                    raise LookupError

            stress_simulator.run({{"buy": buy}}, agents=2, operations_per_agent=100, missing_data_prob=0,
                                 failure_prob=0, min_delay=0, max_delay=0, engine={engine!r}, {settings})
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([failure])
    (stats,) = statistics(pytester)
    assert fnmatch(f" {stats['reason']} ", failure)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_skip_is_no_failure_of_a_threshold(pytester: pytest.Pytester, caller: str) -> None:
    """The operations that the skip ended do not count, and neither do those that it prevented."""
    pytester.makepyfile(ending_test(caller, "pytest.skip('market closed')"))
    thresholds = ["failure_rate < 1%", "failures == 0", "operations == 12", "successes >= 1", "fairness > 0.9"]
    options = [f"--stress-threshold={threshold}" for threshold in thresholds]
    pytester.runpytest_inprocess("--stress", *options).assert_outcomes(skipped=1)


def test_a_body_that_was_never_called_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.stress(missing_data_prob=1, operations_per_agent=3, min_delay=0, max_delay=0)
        def test_orders():
            assert 0
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the target was never called: faults came first in 12 operations (0 failed, *"])


def test_xfail_with_assertion_error_matches_a_body_that_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.xfail(raises=AssertionError, strict=True)
        @pytest.mark.stress(operations_per_agent=9, min_delay=0, max_delay=0)
        def test_orders():
            assert 0
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(xfailed=1)


def test_a_marker_cannot_switch_the_gate_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.stress(gate=False)\ndef test_orders(): assert 0")
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*gate=False: allowed in run() only*"])
