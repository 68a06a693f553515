"""--stress-verify-determinism: a test of the virtual engine is executed twice, with the same results."""

from __future__ import annotations

from pathlib import Path

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

NOT_DETERMINISTIC = {
    "an unseeded random": "if random.random() < 0.05: raise KeyError(random.random())",
    "the wall clock": "operation.sleep(time.time() % 0.001)",
    "id()": "raise LookupError(f'no order {object()} {id(object())} {time.perf_counter_ns()}')",
    "state that outlives the test": "seen.append(1); operation.sleep(len(seen) / 1000)",
    "a thread that the target starts": (
        "event = threading.Event(); threading.Timer(random.random() / 500, event.set).start();"
        " operation.sleep(0 if event.wait(5) else 0.001); operation.sleep(time.time_ns() % 1000 / 1e6)"
    ),
}


@pytest.mark.parametrize("cause", NOT_DETERMINISTIC)
def test_if_two_executions_differ_the_first_different_operation_is_named(
    pytester: pytest.Pytester, cause: str
) -> None:
    pytester.makepyfile(f"""
        import random, threading, time

        seen = []

        def test_trades(stress_simulator):
            def buy(operation):
                {NOT_DETERMINISTIC[cause]}

            stress_simulator.run({{"buy": buy}}, engine="virtual", expected_errors=LookupError, max_delay=0.2)
    """)
    result = pytester.runpytest("--stress", "--stress-verify-determinism")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"not deterministic: operation \d+ differs \(the first difference, in order of end\)",
            r"  first time:  \w+ operation \d+ \(buy\) .*, ended .*, took .*",
            r"  second time: \w+ operation \d+ \(buy\) .*, ended .*, took .*",
            r"Usual causes: the wall clock .*",
        ],
        consecutive=True,
    )


def test_a_deterministic_test_passes_and_its_report_has_the_hash_under_xdist_too(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("""
        def test_trades(stress_simulator):
            stress_simulator.run(engine="virtual")
            stress_simulator.run(engine="virtual", own_threads=False)
    """)
    hashes = []
    for workers in ([], [], ["-n", "1"]):
        result = pytester.runpytest(
            "--stress", "--stress-verify-determinism", "--stress-seed=6", "--junitxml=report.xml", *workers
        )
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["1 test verified: two executions gave the same results"])
        lines = Path(pytester.path, "report.xml").read_text().split("<")
        hashes.append([line for line in lines if "stress_trace" in line])
    assert len(hashes[0]) == 2
    assert hashes[0][0] == hashes[0][1]
    assert hashes[0] == hashes[1] == hashes[2]


def test_a_run_of_real_threads_is_reported_as_not_verified(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        performed = []
        def test_trades(stress_simulator):
            performed.append(1)
            stress_simulator.run(max_delay=0, min_delay=0)
        def test_it_was_performed_once():
            assert performed == [1]
    """)
    result = pytester.runpytest("--stress", "--stress-verify-determinism")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["1 test not verified: in real time, under @given, or without a run"])


def test_a_test_that_runs_more_often_the_second_time_is_not_deterministic(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        times = []
        def test_trades(stress_simulator):
            times.append(1)
            for _ in times:
                stress_simulator.run(engine="virtual", operations_per_agent=1)
    """)
    result = pytester.runpytest("--stress", "--stress-verify-determinism")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["not deterministic: 1 runs the first time, 2 the second time"])


def test_the_files_of_the_first_run_are_kept(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_trades(stress_simulator):
            stress_simulator.run(engine="virtual", operations_per_agent=3)
    """)
    pytester.runpytest("--stress", "--stress-verify-determinism").assert_outcomes(passed=1)
    directory = next(Path(pytester.path, "stress_test_output").iterdir())
    assert (directory / "simulation_statistics.json").exists()
    assert (directory / "second run" / "simulation_statistics.json").exists()


def test_a_test_that_fails_the_second_time_only_is_not_deterministic(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        times = []
        def test_trades(stress_simulator):
            stress_simulator.run(engine="virtual")
            times.append(1)
            assert len(times) == 1
    """)
    result = pytester.runpytest("--stress", "--stress-verify-determinism")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["not deterministic: the first time the test passed, the second time it failed: AssertionError: *"]
    )


def test_a_scenario_from_a_file_can_be_verified(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_trades(stress_simulator): stress_simulator.run(engine='virtual')")
    pytester.path.joinpath("one.json").write_text('{"version": 1, "engine": "virtual", "agents": 2, "seed": 9}')
    result = pytester.runpytest("--stress", "--stress-verify-determinism", "--stress-scenario=one.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 test verified: two executions gave the same results"])
