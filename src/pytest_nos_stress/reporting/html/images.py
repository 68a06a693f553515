"""Static pictures of a run's main charts, SVG and PNG, for viewers that cannot show HTML.

The verdict and the findings are above the charts. The charts are those of the HTML report: the same JavaScript
functions make their options, and Apache ECharts renders them to SVG in V8. V8 comes from ``mini-racer``, and
``resvg`` converts SVG to PNG; both are in the extra ``pytest-nos-stress[pictures]``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.results.summary_types import Summary

from .chart_data import chart_data
from .markup import chart_script, echarts, text

_WIDTH: Final = 1200
_MARGIN: Final = 24
_FONT: Final = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
_INK: Final = "#1b2430"
_LONGEST_LINE: Final = 118
_MEMORY: Final = 256 << 20
_TIMEOUT: Final = 60.0


class _Chart(NamedTuple):
    """A chart of the picture: the JavaScript function that makes its options, and its box in pixels.

    ``top`` counts from the end of the heading.
    """

    title: str
    option: str
    left: int
    top: int
    width: int
    height: int


_HALF: Final = (_WIDTH - 3 * _MARGIN) // 2
_WHOLE: Final = _WIDTH - 2 * _MARGIN
_CHARTS: Final = (
    _Chart("Outcomes over time, operations per second", "outcomesOption", _MARGIN, 0, _WHOLE, 250),
    _Chart("Latency over time", "latencyOption", _MARGIN, 275, _WHOLE, 260),
    _Chart("Latency distribution by percentile", "percentileOption", _MARGIN, 565, _HALF, 350),
    _Chart(
        "Agent by task: share of unsuccessful operations", "heatmapOption", 2 * _MARGIN + _HALF, 565, _HALF, 350
    ),
)
_CHARTS_WITHOUT_LATENCY: Final = (
    _CHARTS[0],
    _CHARTS[3]._replace(left=_MARGIN, top=290, width=_WHOLE),
)
_BELOW: Final = 25


def render_svg(result: StressResult) -> list[bytes]:
    """Render the main charts of a run as the parts of an SVG file."""
    return [svg(result, result.summary).encode()]


def render_png(result: StressResult) -> list[bytes]:
    """Render the main charts of a run as the parts of a PNG file."""
    return [png(result, result.summary)]


def svg(result: StressResult, summary: Summary) -> str:
    """Render the verdict and the main charts of a run as SVG. Needs ``mini-racer``."""
    data = chart_data(result)
    charts = _CHARTS if data["levels"]["all"]["samples"][0] else _CHARTS_WITHOUT_LATENCY
    heading, top = _heading(summary, data["findings"])
    drawn = zip(charts, _draw(data, charts), strict=True)
    placed = "".join(_placed(chart, top, picture) for chart, picture in drawn)
    height = top + max(chart.top + chart.height for chart in charts) + _BELOW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{_WIDTH}" '
        f'height="{height}" viewBox="0 0 {_WIDTH} {height}" font-family="{text(_FONT)}" role="img" '
        f'aria-label="{text(_label(summary, data))}"><rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
        f"{heading}{placed}</svg>"
    )


def png(result: StressResult, summary: Summary) -> bytes:
    """Render the verdict and the main charts of a run as PNG. Needs ``mini-racer`` and ``resvg-py``."""
    resvg = import_module("resvg_py")
    return bytes(resvg.svg_to_bytes(svg_string=svg(result, summary), sans_serif_family="DejaVu Sans"))


def _draw(data: dict[str, Any], charts: Sequence[_Chart]) -> list[str]:
    """Render each chart as a separate SVG."""
    with import_module("py_mini_racer").MiniRacer() as v8:
        v8.set_hard_memory_limit(_MEMORY)
        v8.eval(f"{echarts()};0", timeout_sec=_TIMEOUT)
        v8.eval(f"{chart_script()}\n{_DRAWING};0", timeout_sec=_TIMEOUT)
        v8.eval(f"data = {json.dumps(data)};0", timeout_sec=_TIMEOUT)
        wanted = json.dumps([[chart.option, chart.width, chart.height] for chart in charts])
        drawn: list[str] = json.loads(v8.eval(f"JSON.stringify(drawAll({wanted}))", timeout_sec=_TIMEOUT))
        return drawn


_DRAWING: Final = """
var data;
function drawAll(wanted) {
  const options = { outcomesOption, latencyOption, percentileOption, heatmapOption };
  const selection = select(data, null, null);
  return wanted.map(([name, width, height]) => {
    const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
    chart.setOption(options[name](data, selection, THEMES.light, { still: true }));
    const picture = chart.renderToSVGString();
    chart.dispose();
    return picture;
  });
}
"""


def _placed(chart: _Chart, top: int, picture: str) -> str:
    at = top + chart.top
    return (
        f'<text x="{chart.left}" y="{at + 16}" font-size="15" font-weight="600" fill="{_INK}">{chart.title}</text>'
        f'<g transform="translate({chart.left} {at})">{picture}</g>'
    )


def _heading(summary: Summary, findings: Sequence[str]) -> tuple[str, int]:
    """Render the verdict, the test, the findings and the reason. Also return where the charts begin."""
    color = "#17663a" if summary["passed"] else "#a8201a"
    sign = "✓" if summary["passed"] else "✕"
    test = text(_shortened(str(summary["test"]), _LONGEST_LINE - 20))
    lines = [
        f'<text x="{_MARGIN}" y="46" font-size="24" font-weight="700" fill="{color}">{sign} '
        f"{text(str(summary['verdict']).capitalize())}"
        f'<tspan dx="14" font-size="17" font-weight="400" fill="{_INK}">'
        f"{test}</tspan></text>"
    ]
    y = 46
    reason = str(summary["failure"]).splitlines()[:1]
    for number, line in enumerate([*findings, *reason]):
        y += 26
        weight = 600 if number == 0 else 400
        sentence = text(_shortened(line, _LONGEST_LINE))
        lines.append(
            f'<text x="{_MARGIN}" y="{y}" font-size="16" font-weight="{weight}" fill="{_INK}">{sentence}</text>'
        )
    return "".join(lines), y + 28


def _label(summary: Summary, data: dict[str, Any]) -> str:
    return " ".join([f"{summary['verdict']}: {summary['test']}.", *data["findings"]])


def _shortened(line: str, longest: int) -> str:
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
