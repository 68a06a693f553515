"""The one table of every setting a stress run has.

Command-line flags, ini keys, marker keywords, ``run()`` keywords and the reference page are all made from
``SETTINGS``; nothing else in the package names a default or an allowed range. The module is imported by
every pytest session that has the plugin installed, so it imports nothing but a few built-in modules.

Guarantees: a value that leaves ``Setting.check`` is valid and normalised; a value that does not is a
``SettingError`` of one line which names the setting, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_nos_stress import engines
from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.errors import SettingError, UnknownSetting

if TYPE_CHECKING:
    from pytest_nos_stress._internal.validation import OptionType

UNSET = object()
"""What an ini key has that no ini file gives."""


SettingError.__module__ = "pytest_nos_stress"  # where users import it from


class Setting:
    """One row of the table.

    ``flag`` and ``ini`` are None for settings that only code can give (types, functions). ``kind`` is the
    name of what ``kinds`` says of the values; that module is imported when the first value is checked.
    """

    __slots__ = ("_kind", "default", "flag", "help", "ini", "metavar", "name", "several")

    def __init__(
        self,
        name: str,
        kind: str,
        default: Any,
        help: str,
        flag: str | None = None,
        ini: str | None = None,
        metavar: str | None = None,
        several: bool = False,
    ) -> None:
        self.name = name
        self.several = several
        self._kind = kind
        self.default = default
        self.help = help
        self.flag = flag
        self.ini = ini or (flag and flag.removeprefix("--").replace("-", "_"))
        self.metavar = metavar

    @property
    def kind(self) -> OptionType:
        from pytest_nos_stress._internal import validation
        from pytest_nos_stress.scenario import fields

        from . import validators

        homes = (validators, fields, validation)
        kind: OptionType = next(vars(home)[self._kind] for home in homes if self._kind in vars(home))
        return kind

    @property
    def dest(self) -> str:
        """The attribute under which pytest keeps the flag's value."""
        return f"nos_stress_{self.name}"

    def check(self, value: Any, label: str | None = None) -> Any:
        """The value, normalised.

        Raises ``SettingError`` where it is not allowed; ``label`` is how the user spelled the setting
        (default: its name).
        """
        from pytest_nos_stress._internal.validation import InvalidValue

        try:
            return self.kind.check(value)
        except SettingError as error:
            reason = str(error).removeprefix(f"{self.name}={safe_repr(value)}: ").removeprefix(f"{self.name}: ")
            raise _error(label or self.name, value, reason) from None
        except InvalidValue as reason:
            raise _error(label or self.name, value, f"{reason}; allowed: {self.kind.allowed}") from None
        except (TypeError, ValueError, OverflowError):
            raise _error(label or self.name, value, f"must be {self.kind.allowed}") from None

    def read(self, text: Any, label: str) -> Any:
        """The value of what stands on the command line or in an ini file (text, or a native TOML value)."""
        try:
            value = self.kind.parse(text)
        except SettingError:
            raise
        except (TypeError, ValueError, SyntaxError):
            raise _error(label, text, f"must be {self.kind.allowed}") from None
        return self.check(value, label)


def _error(label: str, value: Any, reason: str) -> SettingError:
    return SettingError(f"{label}={safe_repr(value)}: {reason}")


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "agents",
        "AGENTS",
        ("StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D"),
        "agents: a count (Agent_1, Agent_2, ...) or names, comma-separated",
        "--stress-agents",
        metavar="N|NAMES",
        several=True,
    ),
    Setting(
        "tasks",
        "TASKS",
        None,
        "tasks, comma-separated, with weights where wanted: buy=3,sell=1 "
        "(default: buy,sell,hedge,rebalance, or the keys of a target that is a mapping)",
        "--stress-tasks",
        metavar="NAMES",
        several=True,
    ),
    Setting(
        "missing_data_prob",
        "PROBABILITY",
        0.2,
        "probability that an operation is handed missing data, drawn first",
        "--missing-data-prob",
        metavar="P",
    ),
    Setting(
        "failure_prob",
        "PROBABILITY",
        0.1,
        "probability that the call of any other operation fails",
        "--failure-prob",
        metavar="P",
    ),
    Setting(
        "operations_per_agent",
        "COUNT",
        100,
        "operations each agent performs",
        "--stress-operations",
        metavar="N",
    ),
    Setting(
        "duration",
        "SPAN_OR_NONE",
        None,
        "seconds (or 500ms, 2m, 1h) a run takes, in place of a number of operations",
        "--stress-duration",
        metavar="TIME",
    ),
    Setting(
        "ramp",
        "DELAY",
        0.0,
        "time over which the agents start, one after another; left out of the gate",
        "--stress-ramp",
        metavar="TIME",
    ),
    Setting(
        "warmup",
        "DELAY",
        0.0,
        "time after the ramp in which the target may warm up; left out of the gate",
        "--stress-warmup",
        metavar="TIME",
    ),
    Setting(
        "min_delay",
        "DELAY",
        0.05,
        "shortest think time before an operation, in seconds or with a unit; not above max_delay",
        "--stress-min-delay",
        metavar="TIME",
    ),
    Setting(
        "max_delay",
        "DELAY",
        0.15,
        "longest think time before an operation, in seconds or with a unit; below 50ms, give min_delay too",
        "--stress-max-delay",
        metavar="TIME",
    ),
    Setting(
        "failure_mode",
        "FAILURE_MODE",
        "lost_request",
        "what a planned failure is: lost_request (the target is not called), "
        "lost_reply (it is called, its answer is lost) or mixed",
        "--stress-failure-mode",
        metavar="MODE",
    ),
    Setting(
        "missing_data",
        "MISSING_DATA",
        None,
        "kinds of missing data with weights, such as stale=3,gap=1 (default: the feed gives nothing)",
        "--stress-missing-data",
        metavar="KINDS",
    ),
    Setting(
        "faults",
        "FAULTS",
        None,
        "what a planned failure is, in place of failure_mode: a broker (binance, alpaca, ib), or faults with "
        "weights, such as lost_reply=3,reject=1",
        "--stress-faults",
        metavar="PROFILE|FAULTS",
    ),
    Setting(
        "fault_windows",
        "FAULT_WINDOWS",
        None,
        "when planned faults take place: 5s-10s, 60s- or EVENT+10s, comma-separated (default: all the time)",
        "--stress-fault-windows",
        metavar="SPANS",
    ),
    Setting(
        "retries",
        "RETRIES",
        0,
        "how often an agent sends an operation again, under the same id, when its call has failed as planned",
        "--stress-retries",
        metavar="N",
    ),
    Setting(
        "network",
        "NETWORK",
        None,
        "network between agents and target: colo, same-region, cross-continent, retail, or parameters such as "
        "latency=80ms,loss=1%",
        "--stress-network",
        metavar="PROFILE",
    ),
    Setting(
        "market",
        "MARKET",
        None,
        "prices that agents see: a model (equity, gjr, bates), an event (crash, flash_crash), or a mapping",
        "--stress-market",
        metavar="NAME",
    ),
    Setting(
        "seed",
        "WHOLE",
        None,
        "decides every random choice of a run (default: drawn once a session and printed)",
        "--stress-seed",
        metavar="N",
    ),
    Setting(
        "engine",
        "ENGINE",
        engines.DEFAULT,
        f"what runs the agents: {engines.help_text()}",
        "--stress-engine",
        metavar="NAME",
    ),
    Setting(
        "scenario",
        "SCENARIO",
        None,
        "everything that decides a run, as one value in place of the settings above; on the command line a "
        "file that a run has written, which repeats that run in the one test that is selected",
        "--stress-scenario",
        metavar="FILE",
    ),
    Setting(
        "own_threads",
        "SWITCH",
        True,
        "virtual engine: a thread for each agent; False performs operations one after another in one thread, "
        "faster, for targets that keep nothing in thread-local variables",
    ),
    Setting(
        "operation_timeout",
        "SPAN",
        30.0,
        "an operation that takes longer (seconds or with a unit) makes the run hung, which fails",
        "--stress-operation-timeout",
        metavar="TIME",
    ),
    Setting(
        "output_dir",
        "DIRECTORY",
        "stress_test_output",
        "directory for the files of runs; under pytest each test has its own directory in it",
        "--stress-output-dir",
        metavar="DIR",
    ),
    Setting(
        "thresholds",
        "EXPRESSIONS",
        (),
        "expression that must hold, such as 'latency.p99 < 50ms'; may be given several times",
        "--stress-threshold",
        ini="stress_thresholds",
        metavar="EXPR",
        several=True,
    ),
    Setting(
        "report",
        "REPORTS",
        ("html",),
        "what shows a run: html, and as pictures svg or png (extra [pictures]), comma-separated; none for nothing",
        "--stress-report",
        metavar="KINDS",
        several=True,
    ),
    Setting(
        "records",
        "RECORD_FORMATS",
        (),
        "files with a row for each operation: csv, jsonl or parquet (extra [parquet]), comma-separated",
        "--stress-records",
        metavar="FORMATS",
        several=True,
    ),
    Setting(
        "save_baseline",
        "BASELINE_NAME",
        None,
        "keep what the run measured under this name, to compare later runs with",
        "--stress-save-baseline",
        metavar="NAME",
    ),
    Setting(
        "compare",
        "COMPARED",
        None,
        "compare the run with the baseline of this name (extra [compare]); a run that is worse beyond noise fails",
        "--stress-compare",
        metavar="NAME",
    ),
    Setting(
        "baseline_dir",
        "DIRECTORY",
        ".stress-baselines",
        "directory for baselines; under pytest relative to the root directory",
        "--stress-baseline-dir",
        metavar="DIR",
    ),
    Setting(
        "label",
        "LABEL",
        "stress_test",
        "what a run is called in baselines and reports (under pytest the test's id)",
    ),
    Setting(
        "otel",
        "OTEL",
        False,
        "export spans and metrics by OpenTelemetry (extra [otel]) to where its standard variables say",
        "--stress-otel",
    ),
    Setting(
        "expected_errors",
        "EXCEPTION_TYPES",
        (),
        "exceptions of the target that are answers: such an operation failed, but is no error",
    ),
    Setting(
        "per_agent",
        "AGENT_CONTEXT",
        None,
        "context manager entered and left in each agent's own thread; its value is operation.context",
    ),
    Setting(
        "checks",
        "CHECKS",
        (),
        "functions that must hold after the run, and during it between operations: invariants, sometimes(...), "
        "eventually(...)",
    ),
    Setting(
        "every",
        "COUNT_OR_NONE",
        None,
        "operations from one look at the checks to the next (default: 1 in virtual time; otherwise checks are "
        "looked at after the run only)",
    ),
    Setting(
        "clients",
        "CLIENTS",
        (),
        "clients of the target, made by flaky(client), whose calls meet the planned faults in place of the "
        "agents'; under pytest stress_simulator.flaky(client) names them",
    ),
    Setting(
        "proxies",
        "PROXIES",
        (),
        "proxies before servers that the target calls, at which network and faults act in place of the agents' "
        "calls; under pytest the stress_proxy fixture names them",
    ),
    Setting(
        "gate",
        "SWITCH",
        True,
        "whether broken thresholds raise ThresholdsNotMet; False leaves the judgement to the test",
    ),
)

SESSION_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "live",
        "LIVE",
        "auto",
        "how a run that goes on is shown: auto (a line on a terminal), plain (a line every few seconds) or off",
        "--stress-live",
        metavar="auto|plain|off",
    ),
    Setting(
        "openmetrics",
        "FILE",
        None,
        "file for the session's figures as OpenMetrics text, which GitLab's metrics reports and Prometheus read",
        "--stress-openmetrics",
        metavar="FILE",
    ),
    Setting(
        "benchmark",
        "FILE",
        None,
        "file for the session's figures as benchmarks, which github-action-benchmark and Bencher read",
        "--stress-benchmark",
        metavar="FILE",
    ),
)
"""Settings of a whole session of pytest, which no marker and no ``run()`` has."""

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}


def check_all(values: Mapping[str, Any]) -> dict[str, Any]:
    """Every value normalised. Raises ``SettingError``, also for a name that is no setting."""
    return {name: find(name).check(value) for name, value in values.items()}


def find(name: str) -> Setting:
    """The setting of that name. Raises ``UnknownSetting``, with the nearest name there is."""
    if name in BY_NAME:
        return BY_NAME[name]
    if any(setting.name == name for setting in SESSION_SETTINGS):
        raise UnknownSetting(f"{name}: is of the whole session; allowed on the command line and in ini files")
    import difflib

    near = difflib.get_close_matches(name, BY_NAME, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(BY_NAME)}"
    raise UnknownSetting(f"{safe_repr(name)[1:-1]}: no such setting; {hint}")
