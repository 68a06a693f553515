"""OpenMetrics: the parsers of Prometheus and GitLab read the figures of the runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.reporting.ci import openmetrics
from pytest_nos_stress.results.summary_types import Summary

Make = Callable[..., Summary]


def families(text: str) -> list[Any]:
    """Parse the text with the reference parser. Raises if the text is not OpenMetrics."""
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def samples(text: str) -> dict[tuple[str, str, str, str], float]:
    """Return the values that the reference parser reads, by name, test, run and statistic."""
    values = {}
    for family in families(text):
        for sample in family.samples:
            labels = sample.labels
            values[sample.name, labels["test"], labels["run"], labels.get("statistic", "")] = sample.value
    return values


def read_as_gitlab(text: str) -> dict[str, str]:
    """Return values by name like ``Gitlab::Ci::Parsers::Metrics::Generic``. Raises if it fails the report."""
    values = {}
    for line in text.split("\n"):
        words = shlex.split(re.sub(r"#.*$", "", line))
        if len(words) > 1:
            assert words[0] not in values, "a name is there twice"
            values[words[0]] = words[1]
    return values


def test_every_figure_is_read_back_as_it_was_measured(summary: Make) -> None:
    run = summary(latency={"p50": 0.1 + 0.2, "p95": 1e-7, "p99": 12345.678, "max": 2e10, "mean": None})
    read = samples(openmetrics.render([run]))
    test = run["test"]
    assert read["stress_latency_seconds", test, "1", "p50"] == 0.1 + 0.2
    assert read["stress_latency_seconds", test, "1", "p95"] == 1e-7
    assert read["stress_latency_seconds", test, "1", "p99"] == 12345.678
    assert read["stress_latency_seconds", test, "1", "max"] == 2e10
    assert ("stress_latency_seconds", test, "1", "mean") not in read
    assert read["stress_response_time_seconds", test, "1", "mean"] == 0.0015
    expected = {
        "stress_passed": 1,
        "stress_operations": 400,
        "stress_calls": 160,
        "stress_successes": 300,
        "stress_failures": 60,
        "stress_missing_data": 40,
        "stress_errors": 0,
        "stress_success_ratio": 0.75,
        "stress_failure_ratio": 0.15,
        "stress_error_ratio": 0.0,
        "stress_missing_data_ratio": 0.1,
        "stress_duration_seconds": 2.5,
        "stress_throughput": 160.0,
        "stress_fairness": 0.98,
        "stress_memory_growth_bytes": 2000,
        "stress_memory_peak_bytes": 4000,
    }
    assert {name: value for (name, _, _, statistic), value in read.items() if not statistic} == expected


def test_a_run_that_did_not_pass_says_so(failed: Make) -> None:
    run = failed()
    assert samples(openmetrics.render([run]))["stress_passed", run["test"], "1", ""] == 0


def test_figures_that_a_run_does_not_have_are_left_out(summary: Make) -> None:
    nothing: dict[str, None] = dict.fromkeys(("p50", "p95", "p99", "max", "mean"))
    run = summary(
        operations=0, failure_rate=None, latency=nothing, response_time=nothing, memory={}, throughput=float("inf")
    )
    text = openmetrics.render([run])
    names = {name for name, *_ in samples(text)}
    assert "stress_operations" in names
    assert not names & {
        "stress_failure_ratio",
        "stress_latency_seconds",
        "stress_response_time_seconds",
        "stress_memory_peak_bytes",
        "stress_throughput",
    }
    assert "latency" not in text


def test_families_have_help_and_units_and_no_timestamps(summary: Make) -> None:
    read = families(openmetrics.render([summary(), summary(run=2)]))
    assert {family.type for family in read} == {"gauge"}
    assert all(family.documentation for family in read)
    units = {family.name: family.unit for family in read}
    assert units["stress_latency_seconds"] == "seconds"
    assert units["stress_memory_peak_bytes"] == "bytes"
    assert units["stress_failure_ratio"] == "ratio"
    assert units["stress_operations"] == ""
    assert all(sample.timestamp is None for family in read for sample in family.samples)


def test_several_runs_of_a_test_are_told_apart_and_stay_in_order(summary: Make) -> None:
    text = openmetrics.render(
        [summary(operations=1), summary(run=2, operations=2), summary(test="b", operations=3)]
    )
    operations = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("stress_operations{")]
    assert operations == ["1", "2", "3"]
    assert len(samples(text)) == len(re.findall("^stress_", text, re.M))


def test_a_hostile_test_id_is_a_label_and_nothing_else(hostile: str, summary: Make) -> None:
    text = openmetrics.render([summary(test=hostile), summary(test="plain")])
    text.encode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
    tests = {test for _, test, _, _ in samples(text)}
    assert len(tests) == 2
    (read,) = tests - {"plain"}
    assert read.replace("\\x23", "#") == escape_controls(hostile)


def test_gitlab_reads_every_line_whatever_the_tests_are_called(hostile_runs: list[Summary]) -> None:
    text = openmetrics.render(hostile_runs)
    read = read_as_gitlab(text)
    assert len(read) == len(samples(text)) == len(re.findall("^stress_", text, re.M))
    assert [value for name, value in read.items() if name.startswith("stress_operations{")] == ["400"] * len(
        hostile_runs
    )


def test_tests_whose_names_differ_only_in_what_is_escaped_are_kept_apart(summary: Make) -> None:
    text = openmetrics.render([summary(test="a#"), summary(test="a\\x23"), summary(test="a#", run=2)])
    assert len(samples(text)) == len(re.findall("^stress_", text, re.M))
    assert len(read_as_gitlab(text)) == len(samples(text))


def test_two_renderings_are_the_same_text(hostile_runs: list[Summary]) -> None:
    assert openmetrics.render(hostile_runs) == openmetrics.render(hostile_runs)


def test_no_runs_are_an_empty_exposition() -> None:
    assert openmetrics.render([]) == "# EOF\n"
    assert families(openmetrics.render([])) == []


@pytest.mark.parametrize("number", [0, 1])
def test_the_end_is_marked_once(summary: Make, number: int) -> None:
    text = openmetrics.render([summary()] * number)
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
