"""The words in which a run that does not pass says so."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_nos_stress._internal.text import (
    error_message,
    error_name,
    escape_controls,
    escape_keep_newlines,
    table,
)
from pytest_nos_stress.engines.base import DeadlockReport
from pytest_nos_stress.results.check_verdict import CheckVerdict
from pytest_nos_stress.results.hang_report import HangReport
from pytest_nos_stress.results.judge import Verdict
from pytest_nos_stress.results.statistics_types import ErrorTypeStatistics, PhaseStatistics, Statistics
from pytest_nos_stress.results.verdicts import FAILED, sentence
from pytest_nos_stress.scenario.phases import STEADY

_MOST_ERROR_TYPES = 5


def thresholds_message(verdicts: Sequence[Verdict], stats: Statistics) -> str:
    """Wanted and measured side by side, then the errors with a sample each."""
    missed = [verdict for verdict in verdicts if not verdict.passes]
    rows = [("wanted", "measured", "verdict"), *(verdict.row() for verdict in verdicts)]
    counted = f"{len(missed)} of {len(verdicts)} thresholds did not pass"
    heading = escape_controls(f"{threshold_sentence(missed[0])}; {counted} (seed {stats['seed']})")
    return "\n".join(
        [
            heading,
            *map(escape_controls, table(rows)),
            *map(escape_controls, _notes(verdicts, stats)),
            *_errors(stats["error_types"]),
            *_of_proxies(stats),
        ]
    )


def threshold_sentence(verdict: Verdict) -> str:
    """Return the verdict on a threshold with what was measured, as a sentence."""
    wanted, measured, word = verdict.row()
    return sentence(f"threshold {wanted}", word, measured)


def _notes(verdicts: Sequence[Verdict], stats: Statistics) -> list[str]:
    """What a reader should know beside the figures: an early end, what was left out, a harness in the way."""
    notes = []
    if stats["aborted"]:
        notes.append(f"aborted after {stats['aborted']['at']:.4g} s by {stats['aborted']['threshold']}")
    notes += [
        left_out(phase) for phase in stats["phases"] if phase["name"] != STEADY and phase["total_operations"]
    ]
    of_time = any(verdict.verdict == FAILED and verdict.threshold.definition.is_timed for verdict in verdicts)
    if of_time and stats["harness"]["words"]:
        notes.append(f"the harness was a bottleneck: {stats['harness']['words']}")
    return notes


def left_out(phase: PhaseStatistics) -> str:
    """What a phase that no gate judges had."""
    return (
        f"{phase['name']} until {phase['end']:.4g} s is left out: {phase['total_operations']} operations, "
        f"{phase['failed_operations']} failed, {phase['errors']} errors"
    )


def _of_proxies(stats: Statistics) -> list[str]:
    """A client's exceptions over faults of a proxy are not known to be planned ones."""
    met = sum(stats["faults"].values())
    if stats["faults_at"] != "proxies" or not met or not stats["errors"]:
        return []
    return [
        "",
        f"{met} faults were met at the proxy; what clients raise over them is for expected_errors=(...)",
    ]


def hung_message(hang: HangReport) -> str:
    """Name the agents that hang, and show where."""
    timeout = f"operation_timeout={hang.timeout:g} s"
    hanging = [
        *(f"agent {agent}, {activity}" for agent, activity in hang.activities.items()),
        *(f"agent {stuck.agent}" for stuck in hang.timed_out),
    ]
    others = f" and {len(hanging) - 1} more" if len(hanging) > 1 else ""
    parts = [
        escape_controls(f"hung: longer than {timeout} in {hanging[0]}{others}")
        if hanging
        else f"hung: an operation ended after {timeout}"
    ]
    for agent, activity in hang.activities.items():
        parts.append(f"  agent {escape_controls(agent)}, {escape_controls(activity)}")
    for how, agents in (
        ("waited at", hang.timed_out),
        ("was at", hang.cancelled),
        ("goes on at", hang.still_running),
    ):
        for stuck in agents:
            parts.append(f"  agent {escape_controls(stuck.agent)} {how}")
            parts += [f"    {line}" for line in escape_keep_newlines(stuck.stack).splitlines()]
    return "\n".join(parts)


def deadlock_message(deadlock: DeadlockReport) -> str:
    """Show what each agent waits for, and where."""
    heading = f"deadlock after {deadlock.elapsed:g} s of virtual time: no agent can go on"
    lines = [line for block in deadlock.waiting for line in escape_keep_newlines(block).rstrip().splitlines()]
    return "\n".join([heading, *(f"  {line}" for line in lines)])


def checks_message(failed: Sequence[CheckVerdict], stats: Statistics) -> str:
    """List the failed checks, one a line."""
    first, *others = map(str, failed)
    return "\n".join([escape_controls(f"{first} (seed {stats['seed']})"), *map(escape_controls, others)])


def describe(error: BaseException) -> str:
    """The type and message of an exception, on one line."""
    return escape_controls(f"{error_name(error)}: {error_message(error)}")


def _errors(error_types: Sequence[ErrorTypeStatistics]) -> list[str]:
    lines = []
    for error_type in error_types[:_MOST_ERROR_TYPES]:
        lines.append("")
        lines.append(
            escape_controls(
                f"{error_type['count']} x {error_type['type']}, for instance {error_type['agent']} at "
                f"{error_type['task']}:"
            )
        )
        lines += [f"  {line}" for line in escape_keep_newlines(error_type["traceback"]).rstrip().splitlines()]
    if len(error_types) > _MOST_ERROR_TYPES:
        lines.append(f"... and {len(error_types) - _MOST_ERROR_TYPES} more types of errors")
    return lines
