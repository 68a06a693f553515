"""Every bad setting, from any source, is one line that names the setting, the value and what is allowed."""

from __future__ import annotations

import itertools
import os
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

Modules = Callable[[Iterable[str]], pytest.RunResult]
OUR_FILES = re.compile(r"pytest_nos_stress[/\\]\w+\.py")
QUICK = "agents=2, operations_per_agent=1, min_delay=0, max_delay=0"
TEST = f"def test_it(stress_simulator): stress_simulator.run(lambda: None, {QUICK})"

# Setting, flag, ini key, bad text, and words of what is allowed.
BAD_TEXT = [
    ("--stress-agents", "stress_agents", "0", "from 1"),
    ("--stress-agents", "stress_agents", "-3", "from 1"),
    ("--stress-agents", "stress_agents", "Ann,Ann", "duplicate agent 'Ann'"),
    ("--stress-agents", "stress_agents", ",", "there are no agents"),
    ("--stress-tasks", "stress_tasks", "buy=-1", "above 0"),
    ("--stress-tasks", "stress_tasks", "buy=many", "above 0"),
    ("--stress-tasks", "stress_tasks", "buy,buy", "duplicate task 'buy'"),
    ("--missing-data-prob", "missing_data_prob", "1.5", "from 0 to 1"),
    ("--missing-data-prob", "missing_data_prob", "nan", "from 0 to 1"),
    ("--failure-prob", "failure_prob", "-0.1", "from 0 to 1"),
    ("--failure-prob", "failure_prob", "often", "from 0 to 1"),
    ("--stress-operations", "stress_operations", "0", "from 1"),
    ("--stress-operations", "stress_operations", "2.5", "whole number"),
    ("--stress-duration", "stress_duration", "0", "above 0"),
    ("--stress-duration", "stress_duration", "5 parsecs", "unit"),
    ("--stress-min-delay", "stress_min_delay", "-1", "from 0"),
    ("--stress-max-delay", "stress_max_delay", "inf", "from 0"),
    ("--stress-failure-mode", "stress_failure_mode", "loud", "lost_request or lost_reply or mixed"),
    ("--stress-seed", "stress_seed", "lucky", "whole number"),
    ("--stress-engine", "stress_engine", "warp", "threads"),
    ("--stress-engine", "stress_engine", "explore", "threads"),
    ("--stress-operation-timeout", "stress_operation_timeout", "0", "above 0"),
    ("--stress-output-dir", "stress_output_dir", "a-file", "directory"),
    ("--stress-output-dir", "stress_output_dir", "a-file/below", "directory"),
    ("--stress-ramp", "stress_ramp", "soon", "from 0"),
    ("--stress-warmup", "stress_warmup", "-1", "from 0"),
    ("--stress-report", "stress_report", "pdf", "html, svg, png"),
    ("--stress-report", "stress_report", "none,html", "html, svg, png"),
    ("--stress-records", "stress_records", "xlsx", "csv, jsonl, parquet"),
    ("--stress-save-baseline", "stress_save_baseline", "../main", "letters"),
    ("--stress-compare", "stress_compare", ".main", "letters"),
    ("--stress-compare", "stress_compare", "x" * 101, "letters"),
    ("--stress-baseline-dir", "stress_baseline_dir", "", "directory"),
    ("--stress-live", "stress_live", "loud", "auto, plain or off"),
    ("--stress-openmetrics", "stress_openmetrics", "", "path of a file"),
    ("--stress-benchmark", "stress_benchmark", "", "path of a file"),
]
# Keyword and bad value in Python, its repr in the message, and words of what is allowed.
BAD_VALUES = [
    ("agents", "0", "from 1"),
    ("agents", "[]", "there are no agents"),
    ("agents", "['Ann', 'Ann']", "duplicate agent 'Ann'"),
    ("agents", "'Ann'", "list of unique names"),
    ("agents", "[1, 2]", "list of unique names"),
    ("agents", "2.5", "a count"),
    ("agents", "True", "a count"),
    ("missing_data_prob", "1.5", "from 0 to 1"),
    ("missing_data_prob", "float('nan')", "from 0 to 1"),
    ("failure_prob", "'0.1'", "from 0 to 1"),
    ("operations_per_agent", "0", "from 1"),
    ("operations_per_agent", "None", "from 1"),
    ("duration", "-1", "above 0"),
    ("min_delay", "'soon'", "unit"),
    ("max_delay", "-1", "from 0"),
    ("failure_mode", "'loud'", "lost_request or lost_reply or mixed"),
    ("seed", "1.5", "whole number"),
    ("engine", "'warp'", "threads"),
    ("engine", "'explore'", "threads"),
    ("operation_timeout", "0", "above 0"),
    ("output_dir", "5", "directory"),
    ("output_dir", "'a-file'", "directory"),
    ("thresholds", "'errors == 0'", "list of expressions"),
    ("thresholds", "[5]", "list of expressions"),
    ("expected_errors", "['KeyError']", "exception types"),
    ("per_agent", "5", "function"),
    ("gate", "'no'", "True or False"),
    ("ramp", "'soon'", "from 0"),
    ("warmup", "-1", "from 0"),
    ("report", "'pdf'", "html, svg, png"),
    ("report", "5", "html, svg, png"),
    ("records", "['xlsx']", "csv, jsonl, parquet"),
    ("save_baseline", "'../main'", "letters"),
    ("compare", "5", "letters"),
    ("baseline_dir", "5", "directory"),
    ("label", "5", "a name"),
    ("otel", "'yes'", "True or False"),
]


def nothing_ran(project: Path) -> bool:
    """Return True if no run has made a directory. The index of the session tells of the tests that failed."""
    return [path.name for path in (project / "stress_test_output").iterdir()] == ["stress_test_index.html"]


def value_shown(text: str) -> str:
    """Return a value as a message shows it, for a value in Python or as text."""
    return {"float('nan')": "nan"}.get(text, text.strip("'\""))


def names_of(text: str) -> str:
    """Return the part of a bad text that a message must show: the first name of a list, otherwise all of it."""
    return re.split("[,=]", text)[0]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a project with a stress test, and with a file that is not usable as a directory."""
    pytester.makepyfile(TEST)
    (pytester.path / "a-file").touch()
    return pytester


@pytest.fixture
def modules(pytester: pytest.Pytester) -> Modules:
    """Return a function that runs pytest on modules with these contents, beside the file ``a-file``."""
    (pytester.path / "a-file").touch()

    def run(codes: Iterable[str]) -> pytest.RunResult:
        for number, code in enumerate(codes):
            (pytester.path / f"test_{number:02}.py").write_text(textwrap.dedent(code))
        return pytester.runpytest_inprocess("--stress")

    return run


def refused_at_start(result: pytest.RunResult) -> str:
    """Return the single line with which pytest refused to start."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    everything = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in everything
    assert "Traceback" not in everything
    assert not OUR_FILES.search(everything)
    (line,) = [line for line in result.errlines if line.strip()]
    assert line.startswith("ERROR: ")
    return line


def refused_at_collection(result: pytest.RunResult, name: str) -> str:
    """Return the single line with which pytest refused to collect."""
    assert_is_clean(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1)
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    return line_with(name, section(result, "ERRORS"))


def refused_in_the_test(result: pytest.RunResult, name: str) -> str:
    """Return the single line of the error that ``run()`` raised."""
    assert_is_clean(result)
    result.assert_outcomes(failed=1)
    return line_of_error(name, section(result, "FAILURES"))


def all_refused_at_collection(result: pytest.RunResult, count: int) -> list[list[str]]:
    """Return the lines about each of ``count`` modules, all of which pytest refused to collect."""
    assert_is_clean(result)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=count)
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    return parts(section(result, "ERRORS"), count)


def all_refused_in_tests(result: pytest.RunResult, count: int) -> list[list[str]]:
    """Return the lines about each of ``count`` tests, in all of which ``run()`` raised an error."""
    assert_is_clean(result)
    result.assert_outcomes(failed=count)
    return parts(section(result, "FAILURES"), count)


def assert_is_clean(result: pytest.RunResult) -> None:
    everything = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in everything
    assert not OUR_FILES.search(everything)


def line_with(name: str, lines: list[str]) -> str:
    (line,) = {line for line in lines if name in line}
    return line


def line_of_error(name: str, lines: list[str]) -> str:
    (line,) = {line for line in lines if line.startswith("E ")}
    assert name in line
    return line


def parts(lines: list[str], count: int) -> list[list[str]]:
    """Split a section at its headings. There is a heading for each test or module, in order."""
    starts = [at for at, line in enumerate(lines) if re.match(r"_+ .*[^_ ] _+$", line)]
    assert len(starts) == count
    return [lines[start:end] for start, end in itertools.pairwise([*starts, len(lines)])]


def section(result: pytest.RunResult, title: str) -> list[str]:
    """Return the lines of pytest's output between a title and the next title."""
    titles = [at for at, line in enumerate(result.outlines) if re.match(r"=+ .* =+$", line)]
    start = next(at for at in titles if f" {title} " in result.outlines[at])
    return result.outlines[start + 1 : next(at for at in titles if at > start)]


@pytest.mark.parametrize(("flag", "key", "text", "allowed"), BAD_TEXT)
def test_a_bad_flag_is_a_usage_error(
    project: pytest.Pytester, flag: str, key: str, text: str, allowed: str
) -> None:
    line = refused_at_start(project.runpytest_inprocess("--stress", f"{flag}={text}"))
    assert flag in line
    assert names_of(text) in line
    assert allowed in line


@pytest.mark.parametrize(("flag", "key", "text", "allowed"), BAD_TEXT)
def test_a_bad_ini_key_is_a_usage_error(
    project: pytest.Pytester, flag: str, key: str, text: str, allowed: str
) -> None:
    project.makeini(f"[pytest]\n{key} = {text}\n")
    line = refused_at_start(project.runpytest_inprocess("--stress"))
    assert key in line
    assert names_of(text) in line
    assert allowed in line


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("stress_agents", "0", "from 1"),
        ("stress_agents", "2.5", "a count"),
        ("stress_agents", "[]", "there are no agents"),
        ("stress_agents", '["Ann", "Ann"]', "duplicate agent 'Ann'"),
        ("stress_agents", "[1, 2]", "list of unique names"),
        ("stress_agents", "true", "a count"),
        ("stress_tasks", "{buy = 0}", "above 0"),
        ("stress_tasks", '{buy = "often"}', "above 0"),
        ("stress_tasks", "{}", "there are no tasks"),
        ("stress_tasks", "[]", "there are no tasks"),
        ("stress_tasks", "5", "list of unique names"),
        ("missing_data_prob", "1.5", "from 0 to 1"),
        ("missing_data_prob", "true", "from 0 to 1"),
        ("failure_prob", "[0.1]", "from 0 to 1"),
        ("stress_operations", "2.5", "whole number"),
        ("stress_operations", "false", "whole number"),
        ("stress_duration", "-1", "above 0"),
        ("stress_min_delay", "nan", "from 0"),
        ("stress_max_delay", "{a = 1}", "from 0"),
        ("stress_seed", "1.5", "whole number"),
        ("stress_engine", "5", "threads"),
        ("stress_output_dir", '["out"]', "directory"),
        ("stress_output_dir", '"a-file"', "directory"),
        ("stress_thresholds", "5", "list of expressions"),
        ("stress_thresholds", "[5]", "list of expressions"),
        ("stress_ramp", "true", "from 0"),
        ("stress_report", "5", "html, svg, png"),
        ("stress_records", '["xlsx"]', "csv, jsonl, parquet"),
        ("stress_compare", "5", "letters"),
        ("stress_otel", '"maybe"', "True or False"),
        ("stress_live", "true", "auto, plain or off"),
        ("stress_openmetrics", "5", "path of a file"),
    ],
)
@pytest.mark.parametrize("file", ["pytest.toml", "pyproject.toml"])
def test_a_bad_value_in_native_toml_is_a_usage_error(
    project: pytest.Pytester, file: str, key: str, value: str, allowed: str
) -> None:
    table = "pytest" if file == "pytest.toml" else "tool.pytest"
    (project.path / file).write_text(f"[{table}]\n{key} = {value}\n")
    line = refused_at_start(project.runpytest_inprocess("--stress"))
    assert key in line
    assert allowed in line


def test_a_bad_override_is_a_usage_error(project: pytest.Pytester) -> None:
    line = refused_at_start(project.runpytest_inprocess("--stress", "-o", "stress_agents=0"))
    assert "stress_agents" in line


def test_an_empty_list_of_agents_on_the_command_line_is_a_usage_error(project: pytest.Pytester) -> None:
    assert "--stress-agents" in refused_at_start(project.runpytest_inprocess("--stress", "--stress-agents="))


def test_a_bad_flag_is_a_usage_error_without_stress(project: pytest.Pytester) -> None:
    refused_at_start(project.runpytest_inprocess("--failure-prob=1.5"))


def test_a_bad_flag_is_a_usage_error_under_xdist(project: pytest.Pytester) -> None:
    refused_at_start(project.runpytest_subprocess("--stress", "-n", "2", "--failure-prob=1.5"))


@pytest.mark.parametrize(
    ("flags", "ini", "named"),
    [
        (["--stress-min-delay=2", "--stress-max-delay=1"], "", ["--stress-min-delay=2", "--stress-max-delay=1"]),
        ([], "stress_min_delay = 2\nstress_max_delay = 1", ["stress_min_delay", "stress_max_delay"]),
        (["--stress-min-delay=2"], "stress_max_delay = 1", ["--stress-min-delay=2", "stress_max_delay"]),
        (["--stress-min-delay=2"], "", ["--stress-min-delay=2", "max-delay", "0.15"]),
        (["--stress-duration=1", "--stress-operations=5"], "", ["--stress-duration=1", "--stress-operations=5"]),
        ([], "stress_duration = 1\nstress_operations = 5", ["stress_duration", "stress_operations"]),
    ],
)
def test_settings_that_conflict_are_a_usage_error_that_names_both(
    project: pytest.Pytester, flags: list[str], ini: str, named: list[str]
) -> None:
    project.makeini(f"[pytest]\n{ini}\n")
    line = refused_at_start(project.runpytest_inprocess("--stress", *flags))
    assert [name for name in named if name not in line] == []


def unwritable(path: Path) -> str:
    """Return a directory that cannot be created, not even by root."""
    if os.geteuid() == 0:
        return "/proc/nos-stress"
    (path / "locked").mkdir(mode=0o500)
    return "locked"


def test_an_unwritable_directory_is_a_usage_error(project: pytest.Pytester) -> None:
    directory = unwritable(project.path)
    line = refused_at_start(project.runpytest_inprocess("--stress", f"--stress-output-dir={directory}"))
    assert "--stress-output-dir" in line
    assert directory in line
    assert "writable directory" in line


def test_an_unwritable_directory_is_a_value_error_of_run(project: pytest.Pytester) -> None:
    directory = unwritable(project.path)
    project.makepyfile(f"def test_it(stress_simulator): stress_simulator.run(output_dir={directory!r}, {QUICK})")
    line = refused_in_the_test(project.runpytest_inprocess("--stress"), "output_dir")
    assert directory in line
    assert "writable directory" in line


def test_a_bad_marker_is_a_collection_error(modules: Modules) -> None:
    result = modules(
        f"""
        import pytest

        @pytest.mark.stress({name}={value})
        def test_it(stress_simulator):
            stress_simulator.run({QUICK})
        """
        for name, value, _ in BAD_VALUES
    )
    for (name, value, allowed), lines in zip(
        BAD_VALUES, all_refused_at_collection(result, len(BAD_VALUES)), strict=True
    ):
        line = line_with(f"{name}=", lines)
        assert "test_it" in line
        assert value_shown(value) in line
        assert allowed in line


def test_a_bad_argument_of_run_is_a_value_error(modules: Modules) -> None:
    result = modules(
        f"def test_it(stress_simulator): stress_simulator.run(None, {name}={value})"
        for name, value, _ in BAD_VALUES
    )
    for (name, value, allowed), lines in zip(
        BAD_VALUES, all_refused_in_tests(result, len(BAD_VALUES)), strict=True
    ):
        line = line_of_error(f"{name}=", lines)
        assert "SettingError" in line
        assert value_shown(value) in line
        assert allowed in line


def test_run_raises_a_value_error_that_a_test_can_catch(project: pytest.Pytester) -> None:
    project.makepyfile(
        f"""
        import pytest

        def test_it(stress_simulator):
            with pytest.raises(ValueError, match="agents=0"):
                stress_simulator.run(agents=0)
            stress_simulator.run({QUICK})
        """
    )
    project.runpytest_inprocess("--stress").assert_outcomes(passed=1)


@pytest.mark.parametrize("style", ["auto", "long", "short", "line"])
def test_no_style_of_traceback_shows_the_plugins_code(project: pytest.Pytester, style: str) -> None:
    project.makepyfile("def test_it(stress_simulator): stress_simulator.run(agents=0)")
    result = project.runpytest_inprocess("--stress", f"--tb={style}")
    result.assert_outcomes(failed=1)
    assert not OUR_FILES.search(result.stdout.str())
    assert "agents=0" in result.stdout.str()


@pytest.mark.parametrize(
    ("marker", "named"),
    [
        ("agnets=3", ["agnets", "did you mean 'agents'?"]),
        ("wibble=3", ["wibble", "agents", "thresholds"]),
        ("target=print", ["target"]),
        ("8", ["8", "positional argument", "agents=8"]),
        ("duration=1, operations_per_agent=5", ["duration=1", "operations_per_agent=5"]),
        ("min_delay=2, max_delay=1", ["min_delay=2", "max_delay=1"]),
        ("min_delay=2", ["min_delay=2", "max_delay=0.15"]),
        ("live='plain'", ["live"]),
        ("openmetrics='metrics.txt'", ["openmetrics"]),
        ("benchmark='benchmark.json'", ["benchmark"]),
    ],
)
@pytest.mark.parametrize("stress", [["--stress"], []], ids=["with --stress", "plain"])
def test_a_wrong_marker_is_a_collection_error(
    project: pytest.Pytester, marker: str, named: list[str], stress: list[str]
) -> None:
    project.makepyfile(f"import pytest\n\n@pytest.mark.stress({marker})\ndef test_it():\n    pass\n")
    line = refused_at_collection(project.runpytest_inprocess(*stress), "test_it: ")
    assert [name for name in named if name not in line] == []


def test_a_bad_marker_of_a_class_or_module_is_a_collection_error(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_class="import pytest\n@pytest.mark.stress(agents=0)\nclass TestIt:\n    def test_it(self): pass",
        test_module="import pytest\npytestmark = pytest.mark.stress(failure_prob=2)\ndef test_it(): pass",
    )
    result = project.runpytest_inprocess("--stress")
    result.assert_outcomes(errors=2)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not OUR_FILES.search(result.stdout.str())
    result.stdout.fnmatch_lines(["*agents=0: must be*", "*failure_prob=2: must be*"])


def test_tasks_in_the_marker_of_a_body_are_a_collection_error(project: pytest.Pytester) -> None:
    project.makepyfile("import pytest\n\n@pytest.mark.stress(tasks=['buy'])\ndef test_it():\n    pass\n")
    line = refused_at_collection(project.runpytest_inprocess("--stress"), "marker: tasks")
    assert "body" in line


def test_tasks_in_the_marker_are_allowed_with_the_fixture(project: pytest.Pytester) -> None:
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress(tasks=["quote"], failure_prob=0, missing_data_prob=0)
        def test_it(stress_simulator):
            assert stress_simulator.run(lambda: None, {QUICK}).scenario.tasks == ("quote",)
        """
    )
    project.runpytest_inprocess("--stress").assert_outcomes(passed=1)


def test_an_unknown_keyword_of_run_is_refused_with_a_hint(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(stress_simulator): stress_simulator.run(agnets=3)")
    line = refused_in_the_test(project.runpytest_inprocess("--stress"), "agnets")
    assert "did you mean 'agents'?" in line


@pytest.mark.parametrize(
    ("target", "tasks", "named"),
    [
        ("None", "['fly']", "'fly'"),
        ("{'buy': print}", "['buy', 'fly']", "'fly'"),
        ("object()", "['buy']", "'buy'"),
        ("5", "['buy']", "'buy'"),
        ("{'buy': 5}", "None", "'buy'"),
        ("lambda first, second: None", "None", "first, second"),
    ],
)
def test_a_task_that_the_target_cannot_perform_is_an_error_before_anything_runs(
    project: pytest.Pytester, target: str, tasks: str, named: str
) -> None:
    arguments = f"{target}, {QUICK}" + (f", tasks={tasks}" if tasks != "None" else "")
    project.makepyfile(f"def test_it(stress_simulator): stress_simulator.run({arguments})")
    line = refused_in_the_test(project.runpytest_inprocess("--stress"), "task")
    assert named in line
    assert nothing_ran(project.path)


def test_an_unknown_task_from_the_command_line_is_one_line_in_the_test(project: pytest.Pytester) -> None:
    project.makepyfile(f"def test_it(stress_simulator): stress_simulator.run({QUICK})")
    line = refused_in_the_test(project.runpytest_inprocess("--stress", "--stress-tasks=fly"), "tasks")
    assert "'fly'" in line
    assert "buy" in line


def test_an_async_target_is_refused_in_one_line(project: pytest.Pytester) -> None:
    project.makepyfile(
        f"""
        async def buy():
            pass

        def test_it(stress_simulator):
            stress_simulator.run({{"buy": buy}}, engine="threads", {QUICK})
        """
    )
    assert "async" in refused_in_the_test(project.runpytest_inprocess("--stress", "-W", "error"), "buy")


@pytest.mark.parametrize("name", ["live", "openmetrics", "benchmark"])
def test_a_setting_of_the_session_is_refused_in_run(project: pytest.Pytester, name: str) -> None:
    project.makepyfile(f"def test_it(stress_simulator): stress_simulator.run({name}='plain', {QUICK})")
    line = refused_in_the_test(project.runpytest_inprocess("--stress"), "UnknownSetting")
    assert f": {name}: applies to the whole session; set it on the command line" in line


def test_a_switch_takes_no_value_on_the_command_line(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--stress", "--stress-otel=true")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if "--stress-otel" in line and "true" in line]


def test_a_switch_in_an_ini_file_is_true_or_false(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nstress_otel = maybe\n")
    line = refused_at_start(project.runpytest_inprocess("--stress"))
    assert "stress_otel (ini)='maybe'" in line
    assert "True or False" in line


BAD_THRESHOLDS = [
    ("errors == banana", "banana"),
    ("banana == 0", "banana"),
    ("latency < 50ms", "<"),
    ("latency.p101 < 50ms", "p101"),
    ("latency.p99 < 50", ""),
    ("failure_rate < 150%", "150%"),
    ("errors{colour=red} == 0", "colour"),
    ("errors == 0 over 10", ""),
    ("errors{phase=hot} == 0", "hot"),
    ("latency.p99 <= 1.2x basline", "basline"),
    ("errors == 0 banana", "banana"),
    ("errors", ""),
]


def has_caret_under(lines: list[str], text: str, mistake: str) -> bool:
    """Return True if the lines show the expression, with a caret under the mistake in the next line."""
    for line, below in itertools.pairwise(lines):
        if line.endswith(text) and below.replace("E ", "").strip() == "^":
            at = line.rindex(text) + (text.rindex(mistake) if mistake else len(text))
            return below.index("^") == at
    return False


@pytest.mark.parametrize("source", ["flag", "ini", "toml"])
@pytest.mark.parametrize(("text", "mistake"), BAD_THRESHOLDS)
def test_a_bad_threshold_at_the_start_is_shown_with_a_caret_under_the_mistake(
    project: pytest.Pytester, text: str, mistake: str, source: str
) -> None:
    flags = [f"--stress-threshold={text}"] if source == "flag" else []
    if source == "ini":
        project.makeini(f"[pytest]\nstress_thresholds =\n    operations > 0\n    {text}\n")
    if source == "toml":
        (project.path / "pytest.toml").write_text(f'[pytest]\nstress_thresholds = ["{text}"]\n')
    result = project.runpytest_inprocess("--stress", *flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert "Traceback" not in result.stderr.str()
    assert ("--stress-threshold" if source == "flag" else "stress_thresholds") in result.errlines[0]
    assert has_caret_under(result.errlines, text, mistake)


def test_a_bad_threshold_in_a_marker_is_a_collection_error_with_a_caret(modules: Modules) -> None:
    result = modules(
        f"import pytest\n\n@pytest.mark.stress(thresholds=[{text!r}])\ndef test_it():\n    pass\n"
        for text, _ in BAD_THRESHOLDS
    )
    for (text, mistake), lines in zip(
        BAD_THRESHOLDS, all_refused_at_collection(result, len(BAD_THRESHOLDS)), strict=True
    ):
        assert any(re.search("test_it.*thresholds", line) for line in lines)
        assert has_caret_under(lines, text, mistake)


def test_a_bad_threshold_of_run_is_a_value_error_with_a_caret(modules: Modules, pytester: pytest.Pytester) -> None:
    result = modules(
        f"def test_it(stress_simulator): stress_simulator.run(thresholds=[{text!r}], {QUICK})"
        for text, _ in BAD_THRESHOLDS
    )
    for (text, mistake), lines in zip(
        BAD_THRESHOLDS, all_refused_in_tests(result, len(BAD_THRESHOLDS)), strict=True
    ):
        assert any(re.search("^E .*thresholds", line) for line in lines)
        assert has_caret_under(lines, text, mistake)
    assert nothing_ran(pytester.path)
