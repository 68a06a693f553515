"""The one table of every setting a stress run has.

Command-line flags, ini keys, marker keywords, ``run()`` keywords and the reference page are all made from
``SETTINGS``; nothing else in the package names a default or an allowed range. The module is imported by
every pytest session that has the plugin installed, so it imports nothing but a few built-in modules.

Guarantees: a value that leaves ``Setting.check`` is valid and normalised; a value that does not is a
``SettingError`` of one line which names the setting, the value and what is allowed.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

DEFAULT_AGENTS = ("StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D")
DEFAULT_TASKS = ("buy", "sell", "hedge", "rebalance")
ENGINES = ("threads", "asyncio", "virtual", "explore")
FAILURE_MODES = ("lost_request", "lost_reply", "mixed")
MOST_TASKS = 10_000
MOST_AGENTS = 1_000_000
LONGEST_SECONDS = 366 * 86_400.0
SECONDS_PER_UNIT = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class SettingError(ValueError):
    """A setting that is not allowed: one line with the setting, the value and what is allowed."""


class UnknownSetting(SettingError, TypeError):
    """A keyword that is no setting. Also a ``TypeError``, which is what Python raises for one."""


class Refused(ValueError):
    """Why a check refuses a value, where the kind's own words do not say it."""


class Kind:
    """What values a setting takes: how text becomes a value, which values hold, and the words for both."""

    __slots__ = ("allowed", "check", "parse", "several")

    def __init__(
        self,
        allowed: str,
        check: Callable[[Any], Any],
        parse: Callable[[Any], Any] = str,
        several: bool = False,
    ) -> None:
        self.allowed = allowed
        self.check = check
        self.parse = parse
        self.several = several


class Setting:
    """One row of the table.

    ``flag`` and ``ini`` are None for settings that only code can give (types, functions).
    """

    __slots__ = ("default", "flag", "help", "ini", "kind", "metavar", "name")

    def __init__(
        self,
        name: str,
        kind: Kind,
        default: Any,
        help: str,
        flag: str | None = None,
        ini: str | None = None,
        metavar: str | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help
        self.flag = flag
        self.ini = ini or (flag and flag.removeprefix("--").replace("-", "_"))
        self.metavar = metavar

    @property
    def dest(self) -> str:
        """The attribute under which pytest keeps the flag's value."""
        return f"nos_stress_{self.name}"

    def check(self, value: Any, label: str | None = None) -> Any:
        """The value, normalised.

        Raises ``SettingError`` where it is not allowed; ``label`` is how the user spelled the setting
        (default: its name).
        """
        try:
            return self.kind.check(value)
        except Refused as reason:
            raise _error(label or self.name, value, f"{reason}; allowed: {self.kind.allowed}") from None
        except (TypeError, ValueError, OverflowError):
            raise _error(label or self.name, value, f"must be {self.kind.allowed}") from None

    def read(self, text: Any, label: str) -> Any:
        """The value of what stands on the command line or in an ini file (text, or a native TOML value)."""
        try:
            value = self.kind.parse(text)
        except (TypeError, ValueError):
            raise _error(label, text, f"must be {self.kind.allowed}") from None
        return self.check(value, label)


def _error(label: str, value: Any, reason: str) -> SettingError:
    return SettingError(f"{label}={_shown(value)}: {reason}")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def _number(value: Any) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise ValueError(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(value)
    return operator.index(value)


def _probability(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(value)
    return number


def seconds(value: Any) -> float:
    """Seconds of a number or of text with a unit (``"500ms"``, ``"2m"``). Raises ``ValueError``."""
    if not isinstance(value, str):
        return _number(value)
    text = value.strip()
    number = text.rstrip("nusmh")
    return _number(float(number)) * SECONDS_PER_UNIT[text[len(number) :].strip() or "s"]


def _seconds_from_zero(value: Any) -> float:
    try:
        number = seconds(value)
    except KeyError:
        raise ValueError(value) from None
    if not 0 <= number <= LONGEST_SECONDS:
        raise ValueError(value)
    return number


def _seconds_above_zero(value: Any) -> float:
    number = _seconds_from_zero(value)
    if number == 0:
        raise ValueError(value)
    return number


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _count(value: Any) -> int:
    number = _whole(value)
    if number < 1:
        raise ValueError(value)
    return number


def _one_of(names: Sequence[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in names:
            raise ValueError(value)
        return str(value)

    return check


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    if not value.strip():
        raise Refused("a name is empty")
    return value


def _names(values: Iterable[Any], what: str) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)):
        raise Refused("this is one string")
    names = tuple(_name(value) for value in values)
    if not names:
        raise Refused(f"there are no {what}s")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"{what} {twice!r} is there twice")
    return names


def _agents(value: Any) -> tuple[str, ...]:
    if hasattr(value, "__index__"):
        count = _count(value)
        if count > MOST_AGENTS:
            raise ValueError(value)
        return tuple(f"Agent_{number}" for number in range(1, count + 1))
    return _names(value, "agent")


def _tasks(value: Any) -> dict[str, float]:
    """Tasks with their weights, in order."""
    names = _names(value, "task")
    if len(names) > MOST_TASKS:
        raise Refused(f"{len(names)} tasks")
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, 1.0)
    weights = {name: _number(value[name]) for name in names}
    for name, weight in weights.items():
        if weight <= 0:
            raise Refused(f"the weight of {name!r} is {weight:g}, not above 0")
    return weights


def _split(text: Any) -> list[str]:
    """Names of comma-separated text, or of a list of such texts."""
    texts = [text] if isinstance(text, str) else list(text)
    if not all(isinstance(one, str) for one in texts):
        raise ValueError(text)
    return [name.strip() for part in texts for name in part.split(",") if name.strip()]


def _read_agents(text: Any) -> Any:
    if not isinstance(text, (str, list, tuple)):
        return text
    names = _split(text)
    if len(names) == 1 and names[0].lstrip("+-").isdecimal():
        return int(names[0])
    return names


def _read_tasks(text: Any) -> Any:
    if isinstance(text, Mapping):
        return text
    names = _split(text)
    if not any("=" in name for name in names):
        return names
    pairs = [name.partition("=") for name in names]
    if len({name for name, _, _ in pairs}) < len(pairs):
        return [name for name, _, _ in pairs]
    return {name.strip(): float(weight or 1) for name, _, weight in pairs}


def _read_number(text: Any) -> Any:
    return float(text) if isinstance(text, str) else text


def _read_whole(text: Any) -> Any:
    return int(text) if isinstance(text, str) else text


def _read_lines(text: Any) -> Any:
    return [text] if isinstance(text, str) else list(text)


def _directory(value: Any) -> str:
    if isinstance(value, bytes) or not (isinstance(value, str) or hasattr(value, "__fspath__")):
        raise ValueError(value)
    path = value if isinstance(value, str) else value.__fspath__()
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError(value)
    return path


def _expressions(value: Any) -> tuple[Any, ...]:
    """Thresholds are parsed where they are judged; here they only have to be a list of them."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes, Mapping)):
        raise Refused("this is one value")
    expressions = tuple(value)
    if not all(isinstance(one, str) or hasattr(one, "metric") for one in expressions):
        raise ValueError(value)
    return expressions


def _exception_types(value: Any) -> tuple[type[BaseException], ...]:
    types = (value,) if isinstance(value, type) else tuple(value)
    if not all(isinstance(one, type) and issubclass(one, BaseException) for one in types):
        raise ValueError(value)
    return types


def _callable(value: Any) -> Any:
    if not callable(value):
        raise ValueError(value)
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


PROBABILITY = Kind("a number from 0 to 1", _probability, _read_number)
DELAY = Kind("seconds from 0 up, or text with a unit such as '50ms'", _seconds_from_zero)
SPAN = Kind("seconds above 0, or text with a unit such as '30s'", _seconds_above_zero)
SPAN_OR_NONE = Kind(SPAN.allowed, _optional(_seconds_above_zero))
AGENTS = Kind("a count from 1 up, or a list of names that differ", _agents, _read_agents, several=True)
TASKS = Kind("a list of names that differ, or names with weights above 0", _tasks, _read_tasks, several=True)

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "agents",
        AGENTS,
        DEFAULT_AGENTS,
        "agents: a count (Agent_1, Agent_2, ...) or names, comma-separated",
        "--stress-agents",
        metavar="N|NAMES",
    ),
    Setting(
        "tasks",
        TASKS,
        None,
        "tasks, comma-separated, with weights where wanted: buy=3,sell=1 "
        f"(default: {','.join(DEFAULT_TASKS)}, or the keys of a target that is a mapping)",
        "--stress-tasks",
        metavar="NAMES",
    ),
    Setting(
        "missing_data_prob",
        PROBABILITY,
        0.2,
        "probability that an operation is handed missing data, drawn first",
        "--missing-data-prob",
        metavar="P",
    ),
    Setting(
        "failure_prob",
        PROBABILITY,
        0.1,
        "probability that the call of any other operation fails",
        "--failure-prob",
        metavar="P",
    ),
    Setting(
        "operations_per_agent",
        Kind("a whole number from 1 up", _count, _read_whole),
        100,
        "operations each agent performs",
        "--stress-operations",
        metavar="N",
    ),
    Setting(
        "duration",
        SPAN_OR_NONE,
        None,
        "seconds (or 500ms, 2m, 1h) a run takes, in place of a number of operations",
        "--stress-duration",
        metavar="TIME",
    ),
    Setting(
        "min_delay",
        DELAY,
        0.05,
        "shortest think time before an operation, in seconds or with a unit",
        "--stress-min-delay",
        metavar="TIME",
    ),
    Setting(
        "max_delay",
        DELAY,
        0.15,
        "longest think time before an operation, in seconds or with a unit",
        "--stress-max-delay",
        metavar="TIME",
    ),
    Setting(
        "failure_mode",
        Kind(" or ".join(FAILURE_MODES), _one_of(FAILURE_MODES)),
        "lost_request",
        "what a planned failure is: lost_request (the target is not called), "
        "lost_reply (it is called, its answer is lost) or mixed",
        "--stress-failure-mode",
        metavar="MODE",
    ),
    Setting(
        "seed",
        Kind("a whole number", _optional(_whole), _read_whole),
        None,
        "decides every random choice of a run (default: drawn once a session and printed)",
        "--stress-seed",
        metavar="N",
    ),
    Setting(
        "engine",
        Kind(" or ".join(ENGINES), _one_of(ENGINES)),
        "threads",
        "what runs the agents: threads",
        "--stress-engine",
        metavar="NAME",
    ),
    Setting(
        "operation_timeout",
        SPAN,
        30.0,
        "an operation that takes longer (seconds or with a unit) makes the run hung, which fails",
        "--stress-operation-timeout",
        metavar="TIME",
    ),
    Setting(
        "output_dir",
        Kind("the path of a directory", _directory),
        "stress_test_output",
        "directory for the files of runs; under pytest each test has its own directory in it",
        "--stress-output-dir",
        metavar="DIR",
    ),
    Setting(
        "thresholds",
        Kind("a list of expressions such as 'failure_rate < 10%'", _expressions, _read_lines, several=True),
        (),
        "expression that must hold, such as 'latency.p99 < 50ms'; may be given several times",
        "--stress-threshold",
        ini="stress_thresholds",
        metavar="EXPR",
    ),
    Setting(
        "expected_errors",
        Kind("exception types", _exception_types),
        (),
        "exceptions of the target that are answers: such an operation failed, but is no error",
    ),
    Setting(
        "per_agent",
        Kind("a function of the agent's name that returns a context manager", _optional(_callable)),
        None,
        "context manager entered and left in each agent's own thread; its value is operation.context",
    ),
    Setting(
        "gate",
        Kind("True or False", _flag),
        True,
        "whether broken thresholds raise ThresholdsNotMet; False leaves the judgement to the test",
    ),
)

BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}


def check_all(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Every value normalised. Raises ``SettingError``, also for a name that is no setting."""
    return {name: find(name, where).check(value) for name, value in values.items()}


def find(name: str, where: str = "") -> Setting:
    """The setting of that name. Raises ``UnknownSetting``, with the nearest name there is."""
    if name in BY_NAME:
        return BY_NAME[name]
    import difflib

    near = difflib.get_close_matches(name, BY_NAME, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(BY_NAME)}"
    raise UnknownSetting(f"{name}: no such setting{where}; {hint}")


def merge(levels: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The levels' settings, a later level before an earlier one.

    Thresholds add up. A level that gives a duration takes the place of a number of operations below it,
    and the other way round.
    """
    merged: dict[str, Any] = {}
    for level in levels:
        if level.get("duration") is not None:
            merged.pop("operations_per_agent", None)
        if "operations_per_agent" in level:
            merged.pop("duration", None)
        thresholds = (*merged.get("thresholds", ()), *level.get("thresholds", ()))
        merged.update(level)
        merged["thresholds"] = thresholds
    return merged


def check_together(values: Mapping[str, Any], label: Callable[[str], str] = str) -> None:
    """Raise ``SettingError`` where settings that hold alone do not hold together."""
    if values.get("duration") is not None and "operations_per_agent" in values:
        raise SettingError(
            f"{label('duration')}={values['duration']:g} and "
            f"{label('operations_per_agent')}={values['operations_per_agent']}: give one or the other"
        )
    shortest = values.get("min_delay", BY_NAME["min_delay"].default)
    longest = values.get("max_delay", BY_NAME["max_delay"].default)
    if shortest > longest:
        raise SettingError(
            f"{label('min_delay')}={shortest:g}: must not be above {label('max_delay')}={longest:g}"
        )
