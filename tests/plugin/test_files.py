"""The directories of a test's files under pytest, and the treatment of existing files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_nos_stress._internal.text import safe_name

QUICK = "agents=2, operations_per_agent=3, min_delay=0, max_delay=0, missing_data_prob=0, failure_prob=0"
OURS = [
    "agent_memory_snapshot.json",
    "scenario.json",
    "simulation_statistics.json",
    "stress_test_report.html",
    "stress_test_results.log",
]

INDEX = "stress_test_index.html"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def directories(output: Path) -> list[Path]:
    """Return the directories of the tests. The session's index is beside them."""
    assert (output / INDEX).is_file()
    return sorted(path for path in output.iterdir() if path.name != INDEX)


def write_test(path: Path, arguments: str = QUICK, runs: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = f"    stress_simulator.run(lambda: None, {arguments})\n" * runs
    path.write_text(f"def test_it(stress_simulator):\n{body}")


def test_each_test_has_its_own_readable_directory(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_orders=f"""
        import pytest

        @pytest.mark.stress({QUICK})
        class TestExchange:
            def test_buy(self):
                pass

            def test_sell(self, stress_simulator):
                stress_simulator.run(lambda: None)
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=2)
    output = pytester.path / "stress_test_output"
    buy, sell = (path.name for path in directories(output))
    assert "test_orders" in buy
    assert "TestExchange" in buy
    assert "test_buy" in buy
    assert "test_sell" in sell
    assert names(output / buy) == names(output / sell) == OURS


def test_the_second_run_of_a_test_has_a_directory_inside_the_first_runs(pytester: pytest.Pytester) -> None:
    write_test(pytester.path / "test_twice.py", runs=3)
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    (first,) = directories(pytester.path / "stress_test_output")
    assert names(first) == sorted([*OURS, "run-2", "run-3"])
    assert names(first / "run-2") == names(first / "run-3") == OURS


def test_files_go_to_the_directory_in_which_pytest_was_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\n")
    write_test(pytester.path / "tests" / "unit" / "test_it.py")
    monkeypatch.chdir(pytester.path / "tests")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert len(directories(pytester.path / "tests" / "stress_test_output")) == 1
    assert not (pytester.path / "stress_test_output").exists()


def test_a_test_that_changes_directory_does_not_move_the_files(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        def test_it(stress_simulator, tmp_path, monkeypatch):
            monkeypatch.chdir(tmp_path)
            result = stress_simulator.run(lambda: None, {QUICK})
            assert list(tmp_path.iterdir()) == []
            assert (result.output_dir / "simulation_statistics.json").exists()
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert len(directories(pytester.path / "stress_test_output")) == 1


def test_an_output_directory_is_absolute_or_relative_to_where_pytest_was_started(
    pytester: pytest.Pytester,
) -> None:
    write_test(pytester.path / "test_it.py")
    absolute = pytester.path / "absolute" / "path"
    pytester.runpytest_inprocess("--stress", "--stress-output-dir=made/by us").assert_outcomes(passed=1)
    pytester.runpytest_inprocess("--stress", f"--stress-output-dir={absolute}").assert_outcomes(passed=1)
    assert names(pytester.path / "made" / "by us") == names(absolute)


def test_an_output_directory_from_run_or_marker_has_a_subdirectory_for_the_test(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        def test_run(stress_simulator):
            stress_simulator.run(lambda: None, output_dir="mine", {QUICK})

        @pytest.mark.stress(output_dir="mine", {QUICK})
        def test_marker():
            pass
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=2)
    assert ["test_marker" in names(pytester.path / "mine")[0], len(names(pytester.path / "mine"))] == [True, 2]


def test_files_of_the_plugin_are_replaced_and_others_kept(pytester: pytest.Pytester) -> None:
    write_test(pytester.path / "test_it.py")
    pytester.runpytest_inprocess("--stress", "--stress-seed=1").assert_outcomes(passed=1)
    (directory,) = directories(pytester.path / "stress_test_output")
    (directory / "notes.txt").write_text("mine")
    (directory / "stress_test_results.log.1").write_text("mine")
    (directory / "older").mkdir()
    (directory / "older" / "simulation_statistics.json").write_text("mine")
    (pytester.path / "stress_test_output" / "baseline.json").write_text("mine")
    pytester.runpytest_inprocess("--stress", "--stress-seed=2").assert_outcomes(passed=1)
    stats: dict[str, Any] = json.loads((directory / "simulation_statistics.json").read_text())
    assert stats["seed"] == 2
    assert len((directory / "stress_test_results.log").read_text().splitlines()) == 6
    assert names(directory) == sorted([*OURS, "notes.txt", "older", "stress_test_results.log.1"])
    foreign = ["notes.txt", "stress_test_results.log.1", "older/simulation_statistics.json", "../baseline.json"]
    assert [(directory / name).read_text() for name in foreign] == ["mine"] * 4


def test_a_refused_run_leaves_the_files_of_an_earlier_run(pytester: pytest.Pytester) -> None:
    write_test(pytester.path / "test_it.py")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    write_test(pytester.path / "test_it.py", "agents=0")
    pytester.runpytest_inprocess("--stress").assert_outcomes(failed=1)
    (directory,) = directories(pytester.path / "stress_test_output")
    assert names(directory) == OURS


ODD_IDS = [
    "plain",
    "a/b",
    "a-b",
    "a--b",
    "a::b",
    "a//b",
    "a:b",
    "a_b",
    "a b",
    "a  b",
    "a\\b",
    "..",
    "../..",
    "../../../etc/passwd",
    "/etc/passwd",
    "[x]",
    "(x)",
    "<x>",
    "x|y?*",
    "ünï",
    "日本",
    "日木",
    "x" * 300,
    "x" * 301,
    "nul\\x00",
    "con",
    "~",
    "run-2",
    ".",
    "a.",
    "a ",
]


@pytest.mark.parametrize("escaping", [True, False], ids=["ids as pytest escapes them", "raw ids"])
def test_every_test_id_gives_its_own_directory_inside_the_output_directory(
    pytester: pytest.Pytester, escaping: bool
) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("name", {ODD_IDS!r})
        def test_it(stress_simulator, name):
            stress_simulator.run(agents=1, operations_per_agent=1, min_delay=0, max_delay=0)
        """
    )
    if not escaping:
        name = "disable_test_id_escaping_and_forfeit_all_rights_to_community_support"
        pytester.makeini(f"[pytest]\n{name} = true\n")
    before = {path for path in pytester.path.parent.rglob("*") if "stress_test_output" not in str(path)}
    pytester.runpytest_inprocess("--stress", "-p", "no:cacheprovider").assert_outcomes(passed=len(ODD_IDS))
    made = directories(pytester.path / "stress_test_output")
    assert [path for path in made if names(path) != OURS] == []
    assert len(made) == len(ODD_IDS), "two tests share a directory"
    after = {path for path in pytester.path.parent.rglob("*") if "stress_test_output" not in str(path)}
    assert {path for path in after - before if path.suffix in (".json", ".log", ".html")} == set()


def test_tests_of_the_same_name_in_several_directories_do_not_share_files(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib\n")
    paths = ["a/b/test_it.py", "a-b/test_it.py", "a_b/test_it.py", "a b/test_it.py", "a/b-test_it/test_it.py"]
    for path in paths:
        write_test(pytester.path / path)
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=len(paths))
    assert len(directories(pytester.path / "stress_test_output")) == len(paths)


TEST_IDS = st.builds(
    "{}.py::{}[{}]".format,
    st.text("ab/-_ .", min_size=1, max_size=8),
    st.sampled_from(["test_a", "TestA::test_a", "test_a-b"]),
    st.text(st.characters() | st.sampled_from("/:-_. []"), max_size=9) | st.text("a", min_size=150, max_size=180),
)


@given(TEST_IDS)
def test_a_safe_name_is_a_single_name_that_every_file_system_accepts(test_id: str) -> None:
    name = safe_name(test_id)
    assert name not in ("", ".", "..")
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set('/\\:*?"<>| ')
    assert len(name) <= 200


@given(TEST_IDS, TEST_IDS)
def test_different_test_ids_have_different_safe_names(first: str, second: str) -> None:
    assert (safe_name(first) == safe_name(second)) == (first == second)


@given(st.lists(st.sampled_from(["/", "::", ":", "-", "--", "_", " ", "a"]), max_size=6))
def test_ids_that_differ_only_in_replaced_characters_have_different_safe_names(parts: list[str]) -> None:
    test_id = f"test_a.py::test_a[{''.join(parts)}]"
    replaced = {test_id.replace(*pair) for pair in [("//", "::"), ("/", "-"), (" ", "_"), (":", "_")]}
    for other in replaced - {test_id}:
        assert safe_name(test_id) != safe_name(other)
