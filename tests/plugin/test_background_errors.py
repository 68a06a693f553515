"""A test whose target leaves an exception behind fails, and other tests do not."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

QUICK = (
    "agents=2, operations_per_agent=3, missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0, "
    "report='none'"
)
TESTS = f"""
    import asyncio
    import threading

    import pytest
    from hypothesis import given, settings
    from hypothesis import strategies as st


    def fails():
        raise LookupError("no fill")


    @pytest.mark.stress({QUICK})
    def test_body():
        threading.Thread(target=fails, name="feed").start()


    @pytest.mark.stress({QUICK})
    def test_fixture(stress_simulator):
        stress_simulator.run(lambda: threading.Thread(target=fails, name="feed").start())


    @given(st.integers(0, 3))
    @settings(max_examples=20, database=None, derandomize=True)
    def test_search(stress_simulator, number):
        def buy():
            if number == 3:
                threading.Thread(target=fails, name="feed").start()

        stress_simulator.run(buy, engine="virtual", {QUICK})


    def test_own_loop(stress_simulator):
        async def buy():
            asyncio.get_running_loop().call_soon(fails)

        async def main():
            await stress_simulator.run_async(buy, {QUICK})

        asyncio.run(main())


    def test_exit_on_a_loop_that_is_set(stress_simulator):
        async def buy():
            asyncio.get_running_loop().call_soon(exit, 3)
            await asyncio.sleep(0.01)

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            stress_simulator.run(buy, {QUICK})
        finally:
            asyncio.set_event_loop(None)
            loop.close()


    @pytest.mark.stress({QUICK})
    def test_quiet(stress_simulator):
        stress_simulator.run(lambda: None)


    def test_loop_of_the_test(stress_simulator):
        async def buy():
            await asyncio.sleep(0.001)

        async def own():
            fails()

        async def main():
            task = asyncio.create_task(own())
            await stress_simulator.run_async(buy, {QUICK})
            with pytest.raises(LookupError):
                await task

        asyncio.run(main())
"""


@pytest.mark.parametrize("arguments", [(), ("-W", "error"), ("-p", "no:threadexception")], ids=" ".join)
def test_a_test_with_an_exception_in_the_background_fails_whatever_its_form(
    arguments: tuple[str, ...], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_inprocess("--stress", "--junit-xml=results.xml", *arguments)

    result.assert_outcomes(failed=5, passed=2)
    result.stdout.fnmatch_lines(["*6 x LookupError, for example thread 'feed' of agent Agent_?, task test_body:"])
    result.stdout.fnmatch_lines(["*why: threshold errors == 0 failed: 6"])
    result.stdout.no_fnmatch_line("*PytestUnhandledThreadExceptionWarning*")
    case = ElementTree.parse(pytester.path / "results.xml").find(".//testcase[@name='test_fixture']/properties")
    assert case is not None
    properties = {item.get("name"): item.get("value") for item in case}
    assert properties["stress_errors"] == "6"
    assert properties["stress_failed"] == "0"


def test_it_is_the_same_in_workers_of_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = pytester.runpytest("--stress", "-n", "1")

    result.assert_outcomes(failed=5, passed=2)
    result.stdout.fnmatch_lines(["*why: threshold errors == 0 failed: 6"])


def test_exceptions_of_other_threads_of_the_session_are_pytests_as_before(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import threading

        def fails():
            raise LookupError("not of a run")

        def test_run_then_thread(stress_simulator):
            stress_simulator.run(lambda: None, {QUICK})
            thread = threading.Thread(target=fails)
            thread.start()
            thread.join()
        """
    )
    result = pytester.runpytest_inprocess("--stress", "-W", "default")

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*PytestUnhandledThreadExceptionWarning*", "*LookupError: not of a run*"])
