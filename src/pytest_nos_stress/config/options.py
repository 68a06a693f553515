"""The settings: one row for each, in the order of the reference page.

Flags, ini keys, the keywords of markers, ``run()`` and ``MultiAgentSimulator``, and the reference page are made
from these rows. A setting of the scenario has its type and default in the field of its name in ``Scenario``; any
other setting has them in its row. Every pytest session that has the plugin installed imports this module, so
that it imports only a few built-in modules; types and the scenario's defaults are read when they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import Setting


def _engine_help() -> str:
    from pytest_nos_stress import engines

    return f"what runs the agents: {engines.help_text()}"


def _report_help() -> str:
    return f"what shows a run: {_choices('report')}, comma-separated; none for nothing"


def _records_help() -> str:
    return f"files with a row for each operation: {_choices('records')}, comma-separated"


def _choices(group: str) -> str:
    from pytest_nos_stress.reporting.outputs import choices

    return choices(group)


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "agents",
        "agents: a count (Agent_1, Agent_2, ...) or names, comma-separated",
        "--stress-agents",
        metavar="N|NAMES",
        is_list=True,
    ),
    Setting(
        "tasks",
        "tasks, comma-separated, with weights where wanted: buy=3,sell=1 "
        "(default: buy,sell,hedge,rebalance, or the keys of a target that is a mapping)",
        "--stress-tasks",
        metavar="NAMES",
        is_list=True,
    ),
    Setting(
        "missing_data_prob",
        "probability that an operation is handed missing data, drawn first",
        "--missing-data-prob",
        metavar="P",
    ),
    Setting(
        "failure_prob",
        "probability that the call of any other operation fails",
        "--failure-prob",
        metavar="P",
    ),
    Setting(
        "operations_per_agent",
        "operations each agent performs",
        "--stress-operations",
        metavar="N",
    ),
    Setting(
        "duration",
        "seconds (or 500ms, 2m, 1h) a run takes, in place of a number of operations",
        "--stress-duration",
        metavar="TIME",
    ),
    Setting(
        "ramp",
        "time over which the agents start, one after another; left out of the gate",
        "--stress-ramp",
        metavar="TIME",
    ),
    Setting(
        "warmup",
        "time after the ramp in which the target may warm up; left out of the gate",
        "--stress-warmup",
        metavar="TIME",
    ),
    Setting(
        "min_delay",
        "shortest think time before an operation, in seconds or with a unit; not above max_delay",
        "--stress-min-delay",
        metavar="TIME",
    ),
    Setting(
        "max_delay",
        "longest think time before an operation, in seconds or with a unit; below 50ms, give min_delay too",
        "--stress-max-delay",
        metavar="TIME",
    ),
    Setting(
        "failure_mode",
        "what a planned failure is: lost_request (the target is not called), "
        "lost_reply (it is called, its answer is lost) or mixed",
        "--stress-failure-mode",
        metavar="MODE",
    ),
    Setting(
        "missing_data",
        "kinds of missing data with weights, such as stale=3,gap=1 (default: the feed gives nothing)",
        "--stress-missing-data",
        metavar="KINDS",
    ),
    Setting(
        "faults",
        "what a planned failure is, in place of failure_mode: a broker (binance, alpaca, ib), or faults with "
        "weights, such as lost_reply=3,reject=1",
        "--stress-faults",
        metavar="PROFILE|FAULTS",
    ),
    Setting(
        "fault_windows",
        "when planned faults take place: 5s-10s, 60s- or EVENT+10s, comma-separated (default: all the time)",
        "--stress-fault-windows",
        metavar="SPANS",
    ),
    Setting(
        "retries",
        "how often an agent sends an operation again, under the same id, when its call has failed as planned",
        "--stress-retries",
        metavar="N",
    ),
    Setting(
        "network",
        "network between agents and target: colo, same-region, cross-continent, retail, or parameters such as "
        "latency=80ms,loss=1%",
        "--stress-network",
        metavar="PROFILE",
    ),
    Setting(
        "market",
        "prices that agents see: a model (equity, gjr, bates), an event (crash, flash_crash), or a mapping",
        "--stress-market",
        metavar="NAME",
    ),
    Setting(
        "seed",
        "decides every random choice of a run (default: drawn once a session and printed)",
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
        "everything that decides a run, as one value in place of the settings above; on the command line a "
        "file that a run has written, which repeats that run in the one test that is selected",
        "--stress-scenario",
        metavar="FILE",
        type="SCENARIO",
        default=None,
    ),
    Setting(
        "own_threads",
        "virtual engine: a thread for each agent; False performs operations one after another in one thread, "
        "faster, for targets that keep nothing in thread-local variables",
    ),
    Setting(
        "operation_timeout",
        "an operation that takes longer (seconds or with a unit) makes the run hung, which fails",
        "--stress-operation-timeout",
        metavar="TIME",
    ),
    Setting(
        "output_dir",
        "directory for the files of runs; under pytest each test has its own directory in it",
        "--stress-output-dir",
        metavar="DIR",
        type="DIRECTORY",
        default="stress_test_output",
    ),
    Setting(
        "thresholds",
        "expression that must hold, such as 'latency.p99 < 50ms'; may be given several times",
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
        "keep what the run measured under this name, to compare later runs with",
        "--stress-save-baseline",
        metavar="NAME",
        type="BASELINE_NAME",
        default=None,
    ),
    Setting(
        "compare",
        "compare the run with the baseline of this name (extra [compare]); a run that is worse beyond noise fails",
        "--stress-compare",
        metavar="NAME",
        type="COMPARED",
        default=None,
    ),
    Setting(
        "baseline_dir",
        "directory for baselines; under pytest relative to the root directory",
        "--stress-baseline-dir",
        metavar="DIR",
        type="DIRECTORY",
        default=".stress-baselines",
    ),
    Setting(
        "label",
        "what a run is called in baselines and reports (under pytest the test's id)",
        type="LABEL",
        default="stress_test",
    ),
    Setting(
        "otel",
        "export spans and metrics by OpenTelemetry (extra [otel]) to where its standard variables say",
        "--stress-otel",
        is_switch=True,
        type="OTEL",
        default=False,
    ),
    Setting(
        "expected_errors",
        "exceptions of the target that are answers: such an operation failed, but is no error",
        type="EXCEPTION_TYPES",
        default=(),
    ),
    Setting(
        "per_agent",
        "context manager entered and left in each agent's own thread; its value is operation.context",
        type="AGENT_CONTEXT",
        default=None,
    ),
    Setting(
        "checks",
        "functions that must hold after the run, and during it between operations: invariants, sometimes(...), "
        "eventually(...)",
        type="CHECKS",
        default=(),
    ),
    Setting(
        "every",
        "operations from one look at the checks to the next (default: 1 in virtual time; otherwise checks are "
        "looked at after the run only)",
        type="COUNT_OR_NONE",
        default=None,
    ),
    Setting(
        "clients",
        "clients of the target, made by flaky(client), whose calls meet the planned faults in place of the "
        "agents'; under pytest stress_simulator.flaky(client) names them",
        type="CLIENTS",
        default=(),
    ),
    Setting(
        "proxies",
        "proxies before servers that the target calls, at which network and faults act in place of the agents' "
        "calls; under pytest the stress_proxy fixture names them",
        type="PROXIES",
        default=(),
    ),
    Setting(
        "gate",
        "whether failed thresholds raise ThresholdsNotMet; False leaves the judgement to the test",
        type="SWITCH",
        default=True,
    ),
)

SESSION_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "live",
        "how a run that goes on is shown: auto (a line on a terminal), plain (a line every few seconds) or off",
        "--stress-live",
        metavar="auto|plain|off",
        type="LIVE",
        default="auto",
    ),
    Setting(
        "openmetrics",
        "file for the session's figures as OpenMetrics text, which GitLab's metrics reports and Prometheus read",
        "--stress-openmetrics",
        metavar="FILE",
        type="FILE",
        default=None,
    ),
    Setting(
        "benchmark",
        "file for the session's figures as benchmarks, which github-action-benchmark and Bencher read",
        "--stress-benchmark",
        metavar="FILE",
        type="FILE",
        default=None,
    ),
)
"""Settings of a whole session of pytest, which no marker and no ``run()`` has."""

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}


def check_all(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return every value, normalised. Raises ``SettingError``, also for a name that is no setting."""
    return {name: find(name).check(value) for name, value in values.items()}


def find(name: str) -> Setting:
    """Return the setting of that name. Raises ``UnknownSetting``, with the nearest name there is."""
    if name in BY_NAME:
        return BY_NAME[name]
    import difflib

    from pytest_nos_stress._internal.text import safe_repr
    from pytest_nos_stress.errors import UnknownSetting

    if any(setting.name == name for setting in SESSION_SETTINGS):
        raise UnknownSetting(f"{name}: is of the whole session; allowed on the command line and in ini files")
    near = difflib.get_close_matches(name, BY_NAME, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(BY_NAME)}"
    raise UnknownSetting(f"{safe_repr(name)[1:-1]}: no such setting; {hint}")
