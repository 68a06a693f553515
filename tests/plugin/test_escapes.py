"""Names and messages from user code never reach a terminal or a file's path unescaped."""

from __future__ import annotations

import json
from typing import Any

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

CALM = "missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0, operations_per_agent=3"
RED = "\x1b[31mred"
FORGED = "one\nERROR - forged \x9b31m\x07\r\u202eline"
RAW_IDS = "disable_test_id_escaping_and_forfeit_all_rights_to_community_support"


def assert_clean(pytester: pytest.Pytester, result: pytest.RunResult) -> None:
    """Check that neither the output nor a path has a control character."""
    output = result.stdout.str() + result.stderr.str()
    assert [line for line in output.split("\n") if not set(line).isdisjoint("\x1b\x07\r\x9b\u202e")] == []
    assert [line for line in output.split("\n") if line.startswith("ERROR - forged")] == []
    assert "INTERNALERROR" not in output
    paths = [path.relative_to(pytester.path) for path in pytester.path.rglob("*")]
    assert [path for path in paths if not str(path).isprintable() or not str(path).isascii()] == []


def run_clean(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    result = pytester.runpytest_inprocess("--stress", "--color=no", "-rA", "-p", "no:cacheprovider", *options)
    assert_clean(pytester, result)
    return result


def statistics(pytester: pytest.Pytester) -> dict[str, Any]:
    (file,) = pytester.path.rglob("simulation_statistics.json")
    stats: dict[str, Any] = json.loads(file.read_text())
    return stats


NAMES = [RED, FORGED]
NAME_IDS = ["ANSI escape", "line ends and controls"]


@pytest.mark.parametrize("name", NAMES, ids=NAME_IDS)
@pytest.mark.parametrize("outcome", ["passes", "fails a threshold", "raises"])
def test_names_of_agents_and_tasks_are_escaped(pytester: pytest.Pytester, name: str, outcome: str) -> None:
    raising = f"raise ValueError({name!r})" if outcome == "raises" else "pass"
    thresholds = [f'operations{{agent="{name}"}} > 1000'] if outcome == "fails a threshold" else []
    pytester.makepyfile(
        f"""
        def test_it(stress_simulator):
            def perform(operation):
                {raising}
            stress_simulator.run(perform, agents=[{name!r}], tasks=[{name!r}], thresholds={thresholds!r}, {CALM})
        """
    )
    result = run_clean(pytester)
    result.assert_outcomes(passed=int(outcome == "passes"), failed=int(outcome != "passes"))
    stats = statistics(pytester)
    assert list(stats["agent_stats"]) == list(stats["tasks"]) == [name]
    (log,) = pytester.path.rglob("stress_test_results.log")
    text = log.read_text()
    assert len(text.splitlines()) == 3
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", NAMES, ids=NAME_IDS)
@pytest.mark.parametrize(
    "run",
    [
        "agents=[NAME], per_agent=fail",
        "agents=[NAME, NAME]",
        "tasks=[NAME]",
        "agents=[NAME], thresholds=['operations{agent=Eve} > 0']",
        "thresholds=['operations{agent=\"' + NAME + '\"} > 0']",
        "thresholds=['operations > 0 ' + NAME]",
        "failure_mode=NAME",
        "**{NAME: 1}",
    ],
)
def test_names_in_the_message_of_a_refused_or_failed_run_are_escaped(
    pytester: pytest.Pytester, run: str, name: str
) -> None:
    pytester.makepyfile(
        f"""
        NAME = {name!r}

        def fail(agent):
            raise ConnectionError("no route")

        def test_it(stress_simulator):
            stress_simulator.run({{"buy": lambda: None}}, {CALM}, {run})
        """
    )
    run_clean(pytester).assert_outcomes(failed=1)


@pytest.mark.usefixtures("short_grace")
def test_the_name_of_a_hung_agent_is_escaped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import threading

        released = threading.Event()

        def test_it(stress_simulator):
            try:
                stress_simulator.run(lambda operation: released.wait(60), agents=[{FORGED!r}], tasks=[{RED!r}],
                    operation_timeout="100ms", {CALM})
            finally:
                released.set()
        """
    )
    run_clean(pytester).assert_outcomes(failed=1)


@pytest.mark.parametrize(
    "error",
    [
        "ValueError(TEXT)",
        "type(TEXT.replace('.', ''), (Exception,), {})('fine')",
        "KeyError(TEXT)",
        "ExceptionGroup(TEXT, [ValueError(TEXT)])",
        "pytest.fail.Exception(TEXT)",
    ],
)
@pytest.mark.parametrize("kind", ["fixture", "body"])
def test_messages_of_errors_are_escaped(pytester: pytest.Pytester, kind: str, error: str) -> None:
    fixture = kind == "fixture"
    pytester.makepyfile(
        f"""
        import pytest

        TEXT = {FORGED + RED!r}

        @pytest.mark.stress({CALM}, agents=2)
        def test_it({"stress_simulator" if fixture else ""}):
            def perform():
                raise {error}
            {"stress_simulator.run(perform)" if fixture else "perform()"}
        """
    )
    run_clean(pytester).assert_outcomes(failed=1)
    assert statistics(pytester)["errors"] == 6


def test_names_from_the_command_line_are_escaped_in_messages_and_in_the_command_to_repeat(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(f"def test_it(stress_simulator): stress_simulator.run(lambda: None, {CALM})")
    result = run_clean(pytester, f"--stress-agents={RED}", "--stress-threshold=operations > 1000")
    result.assert_outcomes(failed=1)
    bad = pytester.runpytest_inprocess("--stress", f"--stress-threshold=operations > {RED}")
    assert bad.ret == pytest.ExitCode.USAGE_ERROR
    assert_clean(pytester, bad)
    bad = pytester.runpytest_inprocess("--stress", f"--stress-agents={RED},{RED}")
    assert bad.ret == pytest.ExitCode.USAGE_ERROR
    assert_clean(pytester, bad)


@pytest.mark.parametrize("name", [RED, FORGED], ids=NAME_IDS)
@pytest.mark.parametrize("raw", [False, True], ids=["ids as pytest escapes them", "raw ids"])
@pytest.mark.parametrize("threshold", ["operations > 0", "operations > 1000"], ids=["passes", "fails"])
def test_a_test_id_is_escaped_in_the_plugins_output(
    pytester: pytest.Pytester, name: str, raw: bool, threshold: str
) -> None:
    pytester.makepyfile(
        test_it=f"""
        import pytest

        @pytest.mark.parametrize("name", [{name!r}])
        def test_it(stress_simulator, name):
            stress_simulator.run(lambda: None, thresholds=[{threshold!r}], {CALM})
        """
    )
    options = ["-o", f"{RAW_IDS}=true"] if raw else []
    result = pytester.runpytest_inprocess("--stress", "--color=no", "-p", "no:cacheprovider", *options)
    # With raw ids, pytest itself prints the unescaped id in its titles. Only the plugin's lines are checked.
    at = next(number for number, line in enumerate(result.outlines) if " stress tests =" in line)
    ours = [line for line in result.outlines if line.startswith("E ")] + result.outlines[at:]
    ours = ours[: next((n for n, line in enumerate(ours) if " short test summary info " in line), len(ours))]
    assert [line for line in ours if not set(line).isdisjoint("\x1b\x07\r\x9b\u202e")] == []
    assert [line for line in ours if line.startswith("ERROR - forged")] == []
    paths = [path.relative_to(pytester.path) for path in pytester.path.rglob("*")]
    assert [path for path in paths if not str(path).isprintable() or not str(path).isascii()] == []
    assert len(list(pytester.path.rglob("simulation_statistics.json"))) == 1


def test_names_in_a_bad_marker_are_escaped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress(agents=[{RED!r}, {RED!r}])
        def test_a():
            pass
        """,
        test_keyword=f"import pytest\n\n@pytest.mark.stress(**{{{RED!r}: 1}})\ndef test_a():\n    pass\n",
        test_threshold=f"import pytest\n\n@pytest.mark.stress(thresholds=[{RED!r}])\ndef test_a():\n    pass\n",
    )
    result = run_clean(pytester)
    result.assert_outcomes(errors=3)
