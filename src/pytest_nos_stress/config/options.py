"""Table of the settings: one row for each, in the order of the reference page.

Flags, ini keys, the keywords of markers, ``run()`` and ``MultiAgentSimulator``, and the reference page are made
from these rows. A setting of the scenario has its type and default in the field of the same name in ``Scenario``.
Any other setting has them in its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import Setting


def _engine_help() -> str:
    from pytest_nos_stress import engines

    return f"engine that runs the agents: {engines.help_text()}"


def _report_help() -> str:
    return f"reports to write for a run: {_choices('report')}, comma-separated; none writes no report"


def _records_help() -> str:
    return f"formats of files with one row per operation: {_choices('records')}, comma-separated"


def _choices(group: str) -> str:
    from pytest_nos_stress.reporting.outputs import choices

    return choices(group)


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "agents",
        "number of agents (named Agent_1, Agent_2, ...), or their names, comma-separated",
        "--stress-agents",
        metavar="N|NAMES",
        is_list=True,
    ),
    Setting(
        "tasks",
        "tasks, comma-separated, optionally with weights: buy=3,sell=1 "
        "(default: buy,sell,hedge,rebalance, or the keys of a target that is a mapping)",
        "--stress-tasks",
        metavar="NAMES",
        is_list=True,
    ),
    Setting(
        "missing_data_prob",
        "probability that an operation gets missing data; decided before failure_prob",
        "--missing-data-prob",
        metavar="P",
    ),
    Setting(
        "failure_prob",
        "probability that the call of an operation without missing data gets a planned failure",
        "--failure-prob",
        metavar="P",
    ),
    Setting(
        "operations_per_agent",
        "number of operations that each agent performs",
        "--stress-operations",
        metavar="N",
    ),
    Setting(
        "duration",
        "length of the run in place of a number of operations, in seconds or with a unit (500ms, 2m, 1h)",
        "--stress-duration",
        metavar="TIME",
    ),
    Setting(
        "ramp",
        "time over which the agents start, one after another; thresholds do not judge this phase",
        "--stress-ramp",
        metavar="TIME",
    ),
    Setting(
        "warmup",
        "time after the ramp in which the target warms up; thresholds do not judge this phase",
        "--stress-warmup",
        metavar="TIME",
    ),
    Setting(
        "min_delay",
        "shortest think time before an operation, in seconds or with a unit; at most max_delay",
        "--stress-min-delay",
        metavar="TIME",
    ),
    Setting(
        "max_delay",
        "longest think time before an operation, in seconds or with a unit; if below 50ms, set min_delay too",
        "--stress-max-delay",
        metavar="TIME",
    ),
    Setting(
        "failure_mode",
        "kind of planned failure: lost_request (the target is not called), "
        "lost_reply (the target is called, but its reply is lost) or mixed",
        "--stress-failure-mode",
        metavar="MODE",
    ),
    Setting(
        "missing_data",
        "kinds of missing data with weights, such as stale=3,gap=1 (default: unavailable, no data at all)",
        "--stress-missing-data",
        metavar="KINDS",
    ),
    Setting(
        "faults",
        "planned failures in place of failure_mode: a broker's profile (binance, alpaca, ib), or faults with "
        "weights, such as lost_reply=3,reject=1",
        "--stress-faults",
        metavar="PROFILE|FAULTS",
    ),
    Setting(
        "fault_windows",
        "times in which planned faults take effect: 5s-10s, 60s- or EVENT+10s, comma-separated "
        "(default: the whole run)",
        "--stress-fault-windows",
        metavar="SPANS",
    ),
    Setting(
        "retries",
        "number of retries of an operation, under the same id, if its call fails because of a fault",
        "--stress-retries",
        metavar="N",
    ),
    Setting(
        "network",
        "network between agents and target: a profile (colo, same-region, cross-continent, retail), or parameters "
        "such as latency=80ms,loss=1%",
        "--stress-network",
        metavar="PROFILE",
    ),
    Setting(
        "market",
        "prices that agents see: a model (equity, gjr, bates), an event (crash, flash_crash), or a mapping of "
        "parameters",
        "--stress-market",
        metavar="NAME",
    ),
    Setting(
        "seed",
        "number from which every random choice of a run is derived (default: drawn once per session and printed)",
        "--stress-seed",
        metavar="N",
    ),
    Setting(
        "engine",
        _engine_help,
        "--stress-engine",
        metavar="NAME",
    ),
    Setting(
        "scenario",
        "everything that decides a run, in place of the settings above: a Scenario in code; on the command line, "
        "the scenario.json of a run to repeat (select exactly one test)",
        "--stress-scenario",
        metavar="FILE",
        type="SCENARIO",
        default=None,
    ),
    Setting(
        "own_threads",
        "virtual engine: run each agent in its own thread; False performs all operations in one thread, which is "
        "faster, but unsuitable for targets with thread-local variables",
    ),
    Setting(
        "operation_timeout",
        "time after which an unfinished operation counts as hung and fails the run, in seconds or with a unit",
        "--stress-operation-timeout",
        metavar="TIME",
    ),
    Setting(
        "output_dir",
        "directory for the files of runs; under pytest, each test gets its own subdirectory",
        "--stress-output-dir",
        metavar="DIR",
        type="DIRECTORY",
        default="stress_test_output",
    ),
    Setting(
        "thresholds",
        "expression that must hold, such as 'latency.p99 < 50ms'; can be given several times",
        "--stress-threshold",
        ini="stress_thresholds",
        metavar="EXPR",
        is_list=True,
        is_repeatable=True,
        type="EXPRESSIONS",
        default=(),
    ),
    Setting(
        "report",
        _report_help,
        "--stress-report",
        metavar="KINDS",
        is_list=True,
        type="REPORTS",
        default=("html",),
    ),
    Setting(
        "records",
        _records_help,
        "--stress-records",
        metavar="FORMATS",
        is_list=True,
        type="RECORD_FORMATS",
        default=(),
    ),
    Setting(
        "save_baseline",
        "save the run's figures as a baseline of this name, with which later runs can be compared",
        "--stress-save-baseline",
        metavar="NAME",
        type="BASELINE_NAME",
        default=None,
    ),
    Setting(
        "compare",
        "compare the run with the baseline of this name (extra [compare]); the run fails if it is worse by more "
        "than noise",
        "--stress-compare",
        metavar="NAME",
        type="COMPARED",
        default=None,
    ),
    Setting(
        "baseline_dir",
        "directory of baselines; under pytest, relative to the root directory",
        "--stress-baseline-dir",
        metavar="DIR",
        type="DIRECTORY",
        default=".stress-baselines",
    ),
    Setting(
        "label",
        "name of the run in baselines and reports (under pytest: the test's id)",
        type="LABEL",
        default="stress_test",
    ),
    Setting(
        "otel",
        "export spans and metrics with OpenTelemetry (extra [otel]), configured by its standard variables OTEL_*",
        "--stress-otel",
        is_switch=True,
        type="OTEL",
        default=False,
    ),
    Setting(
        "expected_errors",
        "exception types that the target is expected to raise; counted as failures, not errors",
        type="EXCEPTION_TYPES",
        default=(),
    ),
    Setting(
        "per_agent",
        "function that takes an agent's name and returns a context manager, entered and left in the agent's own "
        "thread; its value is operation.context",
        type="AGENT_CONTEXT",
        default=None,
    ),
    Setting(
        "checks",
        "functions that must hold after the run, and during it every N operations (see every): invariants, "
        "sometimes(...), eventually(...)",
        type="CHECKS",
        default=(),
    ),
    Setting(
        "every",
        "run the checks every N operations (default: 1 in virtual time, otherwise only after the run)",
        type="COUNT_OR_NONE",
        default=None,
    ),
    Setting(
        "clients",
        "clients of the target, wrapped by flaky(client): their calls meet the planned faults in place of the "
        "agents' calls; under pytest, stress_simulator.flaky(client) registers them",
        type="CLIENTS",
        default=(),
    ),
    Setting(
        "proxies",
        "proxies in front of servers that the target calls: network and planned faults act there in place of the "
        "agents' calls; under pytest, the stress_proxy fixture registers them",
        type="PROXIES",
        default=(),
    ),
    Setting(
        "gate",
        "raise ThresholdsNotMet if a threshold fails; False leaves the decision to the test",
        type="SWITCH",
        default=True,
    ),
)

SESSION_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "live",
        "progress display: auto (one line on a terminal), plain (a line every few seconds) or off",
        "--stress-live",
        metavar="auto|plain|off",
        type="LIVE",
        default="auto",
    ),
    Setting(
        "openmetrics",
        "file for the session's figures as OpenMetrics text, for GitLab metrics reports and Prometheus",
        "--stress-openmetrics",
        metavar="FILE",
        type="FILE",
        default=None,
    ),
    Setting(
        "benchmark",
        "file for the session's figures as benchmark results, for github-action-benchmark and Bencher",
        "--stress-benchmark",
        metavar="FILE",
        type="FILE",
        default=None,
    ),
)
"""Settings of a whole pytest session. Markers and ``run()`` do not have them."""

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}


def check_all(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all values, normalised. Raises ``SettingError`` for a bad value or an unknown name."""
    return {name: find(name).check(value) for name, value in values.items()}


def find(name: str) -> Setting:
    """Return the setting of that name. Raises ``UnknownSetting``, which suggests the most similar name."""
    if name in BY_NAME:
        return BY_NAME[name]
    import difflib

    from pytest_nos_stress._internal.text import safe_repr
    from pytest_nos_stress.errors import UnknownSetting

    if any(setting.name == name for setting in SESSION_SETTINGS):
        raise UnknownSetting(f"{name}: applies to the whole session; set it on the command line or in an ini file")
    near = difflib.get_close_matches(name, BY_NAME, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(BY_NAME)}"
    raise UnknownSetting(f"{safe_repr(name)[1:-1]}: no such setting; {hint}")
