from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator
from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.reporting.failure_message import excluded_phase
from pytest_nos_stress.reporting.html import page
from pytest_nos_stress.reporting.html.markup import ASSETS
from pytest_nos_stress.reporting.summary import RunInfo, formatted, summarise
from pytest_nos_stress.results.summary_types import Summary

Burst = tuple[Any, Summary]


class Reader(HTMLParser):
    """A page as a browser parses it: elements, addresses, and the text outside scripts and styles."""

    def __init__(self, written: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.shown = ""
        self._hidden = 0
        self.feed(written)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._hidden += tag in ("script", "style")
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.shown += data


def rendered(run: Any, summary: Summary) -> str:
    return b"".join(page.render(run, summary)).decode()


@pytest.fixture(scope="module")
def burst_page(burst: Burst) -> str:
    return rendered(*burst)


def test_the_charting_library_is_the_published_one_with_its_licence() -> None:
    library = gzip.decompress((ASSETS / "echarts.min.js.gz").read_bytes())
    assert (
        hashlib.sha256(library).hexdigest() == "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
    )
    assert "Apache License" in (ASSETS / "LICENSE").read_text()
    assert "Apache ECharts" in (ASSETS / "NOTICE").read_text()
    assert "Mike Bostock" in (ASSETS / "licenses/LICENSE-d3").read_text()


def test_without_scripts_verdict_reasons_figures_and_errors_can_be_read(burst: Burst, burst_page: str) -> None:
    text = Reader(burst_page).shown
    figures = formatted(burst[1])
    for expected in (
        "Failed",
        "Errors began at 54 s: all 30 came in the last 5.96 s, all of agent MM_2 / task buy.",
        "latency.p99 < 20ms over 10s failed: 90 ms",
        "pytest --stress --stress-seed=7",
        "the venue refused",
        "ConnectionError: the venue refused",
        "memory.growth < 70MiB",
        *(figures[name] for name in ("operations", "failures", "throughput", "latency p50", "latency p99")),
    ):
        assert expected in text
    assert text.index("Failed") < text.index("Errors began") < text.index("Charts need JavaScript")


def test_failed_thresholds_come_before_passed_ones(burst_page: str) -> None:
    text = Reader(burst_page).shown
    gate = text[text.index("Thresholds and checks") : text.index("Repeat this run")]
    assert gate.index("errors == 0") < gate.index("memory.growth")


def test_ramp_and_warm_up_are_both_named_as_not_judged(burst: Burst) -> None:
    phases: Any = [
        {"name": name, "end": end, "total_operations": 250, "failed_operations": errors, "errors": errors}
        for name, end, errors in (("ramp", 5.0, 1), ("warmup", 10.0, 0), ("steady", 60.0, 0))
    ]
    summary: Summary = {**burst[1], "phases": phases, "notes": [excluded_phase(phases[0])]}
    text = Reader(rendered(burst[0], summary)).shown
    assert text.count("thresholds do not judge the ramp (until 5 s): 250 operations") == 1
    assert text.count("thresholds do not judge the warmup (until 10 s): 250 operations") == 1
    assert "judge the steady" not in text


def test_a_page_refers_to_nothing_outside_of_itself(burst_page: str) -> None:
    reader = Reader(burst_page)
    assert set(reader.addresses) == {"data:,", "#charts", "stress_test_results.log"}
    assert reader.handlers == []
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', burst_page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy[1]
    assert "script-src 'unsafe-inline'" not in policy[1]


def test_the_data_of_the_charts_is_in_the_page(burst_page: str) -> None:
    packed = re.search('id="data-packed">([^<]+)<', burst_page)
    assert packed is not None
    data = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    assert data["agents"] == ["MM_1", "MM_2", "Arb_1", "Hedge_1", "Retail_1"]
    assert [one["kind"] for one in data["bands"]] == ["warmup", "faults", "faults"]


def test_hostile_names_are_text_and_nothing_else(hostile: tuple[Any, Summary, str], burst_page: str) -> None:
    run, summary, name = hostile
    written = rendered(run, summary)
    reader, usual = Reader(written), Reader(burst_page)
    assert "img" not in reader.tags
    assert reader.tags.count("script") == usual.tags.count("script")
    assert reader.handlers == []
    assert not any(one.startswith("javascript:") for one in reader.addresses)
    assert escape_controls(name) in reader.shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\ud800-\udfff]", written)
    assert html.escape(escape_controls(name)) in written


@pytest.mark.parametrize("name", ['id="data-packed">', "</script>", "$title", "{packed data}", "&lt;"])
def test_a_name_that_looks_like_a_part_of_the_page_is_a_name(burst: Burst, name: str) -> None:
    written = rendered(burst[0], {**burst[1], "test": name, "repeat": name})
    packed = re.search('id="data-packed">([^<]+)<', written)
    assert packed is not None
    assert json.loads(gzip.decompress(base64.b64decode(packed[1])))["tasks"] == ["buy", "sell"]
    assert Reader(written).shown.count(name) == 3


def test_a_page_of_a_million_operations_of_many_agents_stays_small(
    draw_run: Callable[..., Any], make_summary: Callable[..., Summary]
) -> None:
    run = draw_run(1_000_000, 512, 20)
    assert sum(map(len, page.render(run, make_summary(run)))) < 1_500_000


def test_the_page_of_a_real_run_agrees_with_its_summary(tmp_path: Path) -> None:
    simulator = MultiAgentSimulator(
        agents=3, operations_per_agent=40, min_delay=0, max_delay=0, seed=5, output_dir=str(tmp_path), gate=False
    )
    result = simulator.run()
    summary = summarise(result, RunInfo(test="test_real", directory=tmp_path))
    text = Reader(rendered(result, summary)).shown
    for name in ("operations", "successes", "failures", "missing_data", "latency p99"):
        assert formatted(summary)[name] in text
    assert "Seed 5 decides" in text


def test_a_run_without_operations_has_a_page_too(
    make_run: Callable[..., Any], make_summary: Callable[..., Summary]
) -> None:
    run = make_run([], [], [], [], [], agents=["A"], tasks=["buy"], duration=0.5)
    summary = make_summary(run, verdict="failed", passed=False, failure="no operation was performed")
    assert "no operation was performed" in Reader(rendered(run, summary)).shown
