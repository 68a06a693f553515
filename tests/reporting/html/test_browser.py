"""The report in headless Chromium: charts, keyboard, accessibility."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress.reporting.html import index, page
from pytest_nos_stress.results.summary_types import Summary
from pytest_nos_stress.results.threshold_parser import parse_threshold

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHARTS = ["outcomes", "latency", "timeline", "percentiles", "heatmap", "agents", "tasks", "memory", "harness"]


def missing(what: str) -> NoReturn:
    """Skip the tests, or fail in continuous integration that must have a browser."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed: the report is not tested in a browser")
    pytest.skip(f"{what} is not installed: the report is tested in a browser where it is")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


class Visit:
    """A visit of a page, with its requests and its error messages."""

    def __init__(self, browser: Browser, path: Path, **how: Any) -> None:
        self.context = browser.new_context(**how)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def drawn(self) -> Page:
        self.page.wait_for_selector("html[data-drawn]", timeout=30_000)
        return self.page


Look = Callable[..., Visit]


@pytest.fixture(scope="module")
def look(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    directory = tmp_path_factory.mktemp("report")
    visits: list[Visit] = []

    def visit(run: Any, summary: Summary, **how: Any) -> Visit:
        path = directory / f"report-{len(visits)}.html"
        path.write_bytes(b"".join(page.render(run, summary)))
        visits.append(Visit(browser, path, **how))
        return visits[-1]

    yield visit
    for one in visits:
        one.context.close()


@pytest.fixture(scope="module")
def visit(look: Look, burst: tuple[Any, Summary]) -> Visit:
    """The report of the run with a burst of errors, drawn."""
    visit = look(*burst, viewport={"width": 1280, "height": 900})
    visit.drawn()
    return visit


@pytest.fixture
def report(visit: Visit) -> Page:
    """The drawn report without filters and zoom."""
    drawn = visit.page
    if drawn.is_enabled("#everything"):
        drawn.click("#everything")
    if "time shown" in drawn.inner_text("#selected"):
        drawn.click("#zoom-reset")
    return drawn


def settle(report: Page) -> None:
    """Wait until changes are drawn: the browser paints charts in its next frame."""
    report.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def drawn_text(report: Page, chart: str) -> str:
    settle(report)
    return report.inner_text(f"#plot-{chart}")


def painted(report: Page, chart: str) -> int:
    """Return the size of a chart's drawing: shapes of an SVG, or pixels of a canvas that are not transparent."""
    settle(report)
    return int(
        report.evaluate(
            """name => {
              const place = document.getElementById("plot-" + name);
              const shapes = place.querySelectorAll("svg path, svg text").length;
              return [...place.querySelectorAll("canvas")].reduce((sum, one) => {
                const pixels = one.getContext("2d").getImageData(0, 0, one.width, one.height).data;
                return sum + pixels.filter((value, at) => at % 4 === 3 && value > 0).length;
              }, shapes);
            }""",
            chart,
        )
    )


def first_time_label(report: Page, chart: str) -> str:
    settle(report)
    texts = report.eval_on_selector_all(f"#plot-{chart} svg text", "all => all.map(one => one.textContent)")
    return str(next(text for text in texts if text.endswith(" s")))


def assert_accessible(report: Page) -> None:
    axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    report.wait_for_timeout(50)
    results = axe_playwright.Axe().run(report)
    assert results.violations_count == 0, results.generate_report()


def test_every_chart_is_drawn_without_errors_and_without_requests(visit: Visit) -> None:
    assert visit.page.is_hidden("#charts-need")
    for chart in CHARTS:
        assert painted(visit.page, chart) > 8, chart
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [visit.page.url]


def test_charts_and_their_accessible_labels_name_the_problem(report: Page) -> None:
    label = report.get_attribute("#plot-latency", "aria-label") or ""
    assert label.startswith("Latency over time. p99 was ")
    assert "errors began" in drawn_text(report, "outcomes")
    assert "warm-up" in drawn_text(report, "outcomes")
    assert "latency.p99 < 20ms over 10s" in drawn_text(report, "latency")
    assert "MM_2" in (report.get_attribute("#plot-timeline", "aria-label") or "")


def test_filters_by_agent_and_task_change_the_figures(report: Page, burst: tuple[Any, Summary]) -> None:
    measured = burst[0].measured
    assert report.inner_text("#selected").startswith("3,000 operations")
    for agent, task in (("MM_2", None), ("MM_2", "buy"), (None, "sell")):
        report.select_option("#agent", label=agent or "All 5")
        report.select_option("#task", label=task or "All 2")
        counts = measured.counts(agent, task)
        selected = report.inner_text("#selected")
        assert selected.startswith(f"{counts.total:,} operations · {counts.successes:,} successful")
        assert f"{counts.errors} errors" in selected
    report.click("#everything")
    assert report.inner_text("#selected").startswith("3,000 operations")


def test_a_threshold_of_a_task_is_drawn_if_the_task_is_selected(report: Page) -> None:
    assert "task=buy" not in drawn_text(report, "latency")
    report.select_option("#task", label="buy")
    assert "latency{task=buy}.p95 < 1s" in drawn_text(report, "latency")


def test_a_threshold_above_the_data_has_a_line_or_is_named_at_the_edge(
    look: Look, make_run: Callable[..., Any], make_summary: Callable[..., Any]
) -> None:
    number = np.arange(200)
    wanted = ["latency.p99 < 4ms", "latency.p99 < 50ms", "throughput > 400/s"]
    run = make_run(
        number % 2,
        number % 2,
        np.where(number == 7, 1, 0),
        (number + 1) / 100,
        1e-3 + number * 1e-6,
        agents=["long" * 75, "B"],
        tasks=["buy", "sell"],
        verdicts=[
            SimpleNamespace(
                threshold=parse_threshold(one), verdict="passed", windows=(), row=lambda: ("", "", "passed")
            )
            for one in wanted
        ],
        vitals=SimpleNamespace(
            seconds=np.arange(4) / 2, memory=169_000_000 + np.arange(4), lag=np.zeros(4), cpu=np.full(4, 0.975)
        ),
    )
    report = look(run, make_summary(run), viewport={"width": 1280, "height": 900}).drawn()
    latency = drawn_text(report, "latency").splitlines()
    assert {"5 ms", "latency.p99 < 4ms", "latency.p99 < 50ms (above this chart)"} <= set(latency)
    assert "throughput > 400/s" in drawn_text(report, "outcomes").splitlines()
    assert {"155 MiB", "160 MiB", "165 MiB"} <= set(drawn_text(report, "memory").splitlines())
    captions = report.locator(".caption").all_inner_texts()
    assert not any("long" * 11 in one or "Most unsuccessful" in one for one in captions)
    assert "No agent stands out" in report.inner_text("#chart-timeline .caption")


def test_zoom_works_by_keyboard_and_for_all_charts_over_time(report: Page) -> None:
    assert first_time_label(report, "outcomes") == "0 s"
    report.focus("#zoom-in")
    report.keyboard.press("Enter")
    report.keyboard.press("Enter")
    report.keyboard.press("Tab")
    report.keyboard.press("Tab")
    assert report.evaluate("document.activeElement.id") == "zoom-left"
    assert "shown: 22.5 s to 37.5 s" in report.inner_text("#selected")
    for chart in ("outcomes", "latency", "memory"):
        assert first_time_label(report, chart) != "0 s"
    report.keyboard.press("Tab")
    report.keyboard.press("Enter")
    assert "shown: 30 s to 45 s" in report.inner_text("#selected")


def test_points_of_a_chart_can_be_read_by_keyboard(report: Page) -> None:
    report.focus("#plot-outcomes")
    report.keyboard.press("ArrowRight")
    report.keyboard.press("ArrowRight")
    report.locator("#pointed", has_text="operations").wait_for(state="attached")
    tooltip = report.inner_text("#pointed")
    assert "successful" in tooltip
    assert " to " in tooltip


def test_a_chart_has_its_data_as_a_table(report: Page) -> None:
    report.click("#chart-agents summary")
    report.locator("#chart-agents tbody tr").first.wait_for()
    rows = report.eval_on_selector_all(
        "#chart-agents tbody tr", "all => all.map(row => [...row.children].map(cell => cell.textContent))"
    )
    assert len(rows) == 5
    assert rows[0][0] == "MM_2"
    assert rows[0][1] == "600"


def test_a_legend_hides_and_shows_a_part_of_a_chart(report: Page) -> None:
    button = report.locator("#chart-latency button.legend", has_text="max")
    line = report.locator("#plot-latency path[stroke='#6a7480']")
    assert line.count() == 1
    button.press("Enter")
    settle(report)
    assert button.get_attribute("aria-pressed") == "false"
    assert line.count() == 0
    button.press("Enter")
    settle(report)
    assert line.count() == 1


def test_outcomes_are_shown_as_shares_too(report: Page) -> None:
    report.select_option("#choice-shares", "yes")
    assert "100%" in drawn_text(report, "outcomes")
    assert "failure_rate < 10%" in drawn_text(report, "outcomes")
    report.select_option("#choice-shares", "")


def test_the_report_is_accessible_in_both_themes(report: Page) -> None:
    assert_accessible(report)
    before = report.evaluate("getComputedStyle(document.body).backgroundColor")
    report.click("#theme")
    assert report.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert_accessible(report)
    report.click("#theme")
    assert report.evaluate("getComputedStyle(document.body).backgroundColor") == before


def test_a_phone_shows_the_whole_report_in_its_preferred_theme(look: Look, burst: tuple[Any, Summary]) -> None:
    visit = look(*burst, viewport={"width": 360, "height": 740}, color_scheme="dark")
    report = visit.drawn()
    assert report.evaluate("document.documentElement.scrollWidth") == 360
    assert report.inner_text("#theme") == "Light theme"
    assert painted(report, "outcomes") > 8
    assert visit.complaints == []


def test_hostile_names_are_shown_as_text_and_run_nothing(look: Look, hostile: tuple[Any, Summary, str]) -> None:
    run, summary, name = hostile
    visit = look(run, summary, viewport={"width": 1280, "height": 900})
    report = visit.drawn()
    report.focus("#plot-heatmap")
    report.keyboard.press("ArrowRight")
    report.locator("#pointed:not(:empty)").wait_for(state="attached")
    assert escape_controls(name) in report.inner_text("#pointed")
    report.click("#chart-agents summary")
    assert report.evaluate("window.harmed") is None
    assert report.locator("img").count() == 0
    assert escape_controls(name) in report.inner_text("#chart-agents tbody tr >> nth=0")
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [report.url]


def test_without_scripts_the_report_has_the_verdict_and_states_what_charts_need(
    look: Look, burst: tuple[Any, Summary]
) -> None:
    report = look(*burst, java_script_enabled=False).page
    assert "Failed" in report.inner_text("h1")
    assert report.is_visible("#charts-need")
    assert "JavaScript" in report.inner_text("#charts-need")
    assert report.is_hidden("#drawn")


def test_a_browser_that_cannot_decompress_shows_what_charts_need(visit: Visit) -> None:
    report = visit.context.new_page()
    report.add_init_script("delete window.DecompressionStream")
    report.goto(visit.page.url)
    assert report.is_visible("#charts-need")
    assert report.is_hidden("#drawn")
    assert "Failed" in report.inner_text("h1")
    report.close()


def test_the_command_that_repeats_the_run_is_copied(report: Page) -> None:
    report.click("#copy")
    report.locator("#copy", has_text="Copied").wait_for()


def test_many_agents_can_be_searched(
    look: Look, draw_run: Callable[..., Any], make_summary: Callable[..., Any]
) -> None:
    run = draw_run(4_000, 40, 2)
    visit = look(run, make_summary(run))
    report = visit.drawn()
    report.fill("#agent-search", "agent_3")
    assert report.locator("#agent option").count() == 1 + 11
    report.select_option("#agent", label="Agent_39")
    assert report.inner_text("#selected").startswith(f"{run.measured.counts('Agent_39').total} operations")
    assert visit.complaints == []


def test_the_index_is_accessible(browser: Browser, burst: tuple[Any, Summary], tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_bytes(index.render([burst[1], {**burst[1], "passed": True, "verdict": "passed", "failure": ""}]))
    for scheme in ("light", "dark"):
        visit = Visit(browser, path, viewport={"width": 360, "height": 740}, color_scheme=scheme)
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
        assert_accessible(visit.page)
        assert visit.complaints == []
        visit.context.close()


def test_a_figure_of_the_process_that_was_not_measured_has_no_chart(
    look: Look, make_run: Callable[..., Any], make_summary: Callable[..., Summary]
) -> None:
    vitals = {"seconds": [0.0, 0.5, 1.0], "memory": [], "lag": [0.0, 0.001, 0.0], "cpu": []}
    run = make_run(
        np.zeros(4, int),
        np.zeros(4, int),
        np.zeros(4, int),
        np.arange(1, 5) / 4,
        np.full(4, 1e-3),
        agents=["A"],
        tasks=["buy"],
        vitals=SimpleNamespace(**{name: np.asarray(column) for name, column in vitals.items()}),
    )
    report = look(run, make_summary(run)).drawn()
    shown = report.inner_text("body")
    assert "Memory of the process" not in shown
    assert "Wake-ups in the test process were up to" in shown
    assert "The process used up to" not in shown


def test_a_run_without_operations_has_no_empty_charts(
    look: Look, make_run: Callable[..., Any], make_summary: Callable[..., Summary]
) -> None:
    nothing = np.zeros(0, int)
    run = make_run(nothing, nothing, nothing, nothing / 1, nothing / 1, agents=["A"], tasks=["buy"], duration=0.0)
    visit = look(run, make_summary(run))
    report = visit.drawn()
    assert "No operation was performed, so there is nothing to draw." in report.inner_text("#charts")
    assert "by 1 agent\n" in report.inner_text("body")
    assert report.locator(".plot").count() == 0
    assert visit.complaints == []
