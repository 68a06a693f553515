"""Failure messages: the reason for which a run did not pass, as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pytest_nos_stress._internal.text import (
    counted,
    error_message,
    error_name,
    escape_controls,
    escape_keep_newlines,
    table,
)
from pytest_nos_stress.engines.base import DeadlockReport
from pytest_nos_stress.results.check_verdict import CheckVerdict
from pytest_nos_stress.results.error_source import place_of
from pytest_nos_stress.results.hang_report import HangReport
from pytest_nos_stress.results.judge import Verdict
from pytest_nos_stress.results.statistics_types import ErrorTypeStatistics, PhaseStatistics, Statistics
from pytest_nos_stress.results.verdicts import FAILED, sentence
from pytest_nos_stress.scenario.phases import STEADY

BOTTLENECK: Final = "the test machine was the bottleneck"
_MOST_ERROR_TYPES = 5


def thresholds_message(verdicts: Sequence[Verdict], stats: Statistics) -> str:
    """Show wanted and measured values side by side, then the error types with a traceback each."""
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
            *_proxy_hint(stats),
        ]
    )


def threshold_sentence(verdict: Verdict) -> str:
    """Return the verdict on a threshold with what was measured, as a sentence."""
    wanted, measured, word = verdict.row()
    return sentence(f"threshold {wanted}", word, measured)


def _notes(verdicts: Sequence[Verdict], stats: Statistics) -> list[str]:
    """Return notes on the figures: an abort, phases that thresholds do not judge, a bottleneck."""
    notes = []
    if stats["aborted"]:
        notes.append(f"aborted after {stats['aborted']['at']:.4g} s by {stats['aborted']['threshold']}")
    notes += [
        excluded_phase(phase) for phase in stats["phases"] if phase["name"] != STEADY and phase["total_operations"]
    ]
    of_time = any(verdict.verdict == FAILED and verdict.threshold.definition.is_timed for verdict in verdicts)
    if of_time and stats["harness"]["words"]:
        notes.append(f"{BOTTLENECK}: {stats['harness']['words']}")
    return notes


def excluded_phase(phase: PhaseStatistics) -> str:
    """Return the counts of a phase that thresholds do not judge."""
    return (
        f"thresholds do not judge the {phase['name']} (until {phase['end']:.4g} s): "
        f"{counted(phase['total_operations'], 'operation')}, {phase['failed_operations']} failed, "
        f"{counted(phase['errors'], 'error')}"
    )


def _proxy_hint(stats: Statistics) -> list[str]:
    """Suggest ``expected_errors`` if a proxy injected faults: the plugin cannot know which errors they caused."""
    met = sum(stats["faults"].values())
    if stats["faults_at"] != "proxies" or not met or not stats["errors"]:
        return []
    return [
        "",
        f"the proxy injected {met} faults; list exceptions that they cause in clients as expected_errors=(...)",
    ]


def hung_message(hang: HangReport) -> str:
    """Name the agents that hang, and show the stacks of their operations."""
    timeout = f"operation_timeout={hang.timeout:g} s"
    hanging = [
        *(f"agent {agent}, {activity}" for agent, activity in hang.activities.items()),
        *(f"agent {stuck.agent}" for stuck in hang.timed_out),
    ]
    others = f" and {len(hanging) - 1} more" if len(hanging) > 1 else ""
    parts = [
        escape_controls(f"hung: {hanging[0]}{others} took longer than {timeout}")
        if hanging
        else f"hung: an operation took longer than {timeout}"
    ]
    for agent, activity in hang.activities.items():
        parts.append(f"  agent {escape_controls(agent)}, {escape_controls(activity)}")
    for state, agents in (
        ("was waiting at", hang.timed_out),
        ("was cancelled at", hang.cancelled),
        ("is still running at", hang.still_running),
    ):
        for stuck in agents:
            parts.append(f"  agent {escape_controls(stuck.agent)} {state}")
            parts += [f"    {line}" for line in escape_keep_newlines(stuck.stack).splitlines()]
    return "\n".join(parts)


def deadlock_message(deadlock: DeadlockReport) -> str:
    """Show for each agent what it waits for, with its stack."""
    heading = f"deadlock after {deadlock.elapsed:g} s of virtual time: every agent is blocked"
    lines = [line for block in deadlock.waiting for line in escape_keep_newlines(block).rstrip().splitlines()]
    return "\n".join([heading, *(f"  {line}" for line in lines)])


def checks_message(failed: Sequence[CheckVerdict], stats: Statistics) -> str:
    """List the failed checks, one a line."""
    first, *others = map(str, failed)
    return "\n".join([escape_controls(f"{first} (seed {stats['seed']})"), *map(escape_controls, others)])


def interrupted_message(interrupt: BaseException) -> str:
    """Return by which exception a run was interrupted; ``interrupted`` alone is Ctrl-C."""
    if isinstance(interrupt, KeyboardInterrupt):
        return "interrupted"
    is_outcome_of_pytest = hasattr(interrupt, "pytrace")  # its type, Failed, adds nothing to its message
    cause = escape_controls(error_message(interrupt)) if is_outcome_of_pytest else describe(interrupt)
    return f"interrupted by {cause}"


def describe(error: BaseException) -> str:
    """Return the type and message of an exception on one line."""
    return escape_controls(f"{error_name(error)}: {error_message(error)}")


def _errors(error_types: Sequence[ErrorTypeStatistics]) -> list[str]:
    lines = []
    for error_type in error_types[:_MOST_ERROR_TYPES]:
        lines.append("")
        lines.append(
            escape_controls(
                f"{error_type['count']} x {error_type['type']}, for example "
                f"{place_of(error_type['source'], error_type['agent'], error_type['task'])}:"
            )
        )
        lines += [f"  {line}" for line in escape_keep_newlines(error_type["traceback"]).rstrip().splitlines()]
    if len(error_types) > _MOST_ERROR_TYPES:
        lines.append(f"... and {len(error_types) - _MOST_ERROR_TYPES} more error types")
    return lines
