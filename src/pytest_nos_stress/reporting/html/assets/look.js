"use strict";
/* The common look of all charts: colours of both themes, axes, tooltips, and annotations of the time axis. */

const THEMES = {
  light: {
    text: "#1b2430", muted: "#55606e", line: "#c9d0d9", grid: "#e9edf1", surface: "#ffffff",
    success: "#5a8fbf", missing: "#c98a00", failed: "#c8501e", error: "#7a1f5c",
    p50: "#2f6fa7", p95: "#8a6a00", p99: "#c8501e", max: "#6a7480",
    series: ["#2f6fa7", "#0f7f6c", "#8a6a00", "#a3459a", "#c8501e"],
    fault: "rgba(201,138,0,0.16)", phase: "rgba(85,96,110,0.13)", failedWindow: "rgba(200,40,40,0.16)", mark: "#b3261e",
    scale: ["#eef2f6", "#fbd9a6", "#ef8e45", "#c63f1e", "#6d0f2e"], cool: ["#eef4f9", "#9fc3e0", "#4a86bb", "#123f6b"],
    empty: "#ffffff",
  },
  dark: {
    text: "#e6eaf0", muted: "#a3aebb", line: "#3b4655", grid: "#28313d", surface: "#171d26",
    success: "#5b93c6", missing: "#e0a526", failed: "#f07d4a", error: "#e08ac8",
    p50: "#6fb0e6", p95: "#e0b64a", p99: "#f58a58", max: "#98a3b0",
    series: ["#6fb0e6", "#4fc3ad", "#e0b64a", "#d79ae0", "#f58a58"],
    fault: "rgba(224,165,38,0.17)", phase: "rgba(163,174,187,0.15)", failedWindow: "rgba(240,90,80,0.22)", mark: "#ff8a80",
    scale: ["#222b37", "#6b4a2a", "#b8622c", "#ee8a52", "#ffd9c2"], cool: ["#222b37", "#2c567f", "#4f8fc9", "#c3e2fb"],
    empty: "#171d26",
  },
};

const OUTCOME_NAMES = { error: "errors", failed: "failed without error", missing: "missing data", success: "successful" };
const STACK = ["error", "failed", "missing", "success"];
const BAND_NAMES = { ramp: "ramp", warmup: "warm-up", faults: "faults" };
const MEASURES = {
  unsuccessful: "share of unsuccessful operations",
  error: "errors",
  p99: "p99 latency",
  total: "operations",
};
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const MOST_BARS = 20;
const MOST_NAMES = 32;
const MOST_ROWS = 20;
const FARTHEST_LINE = 5;
const LONGEST_NAME = 40;

/* The next 1, 2 or 5 times a power of ten. */
const rounds = (value) => [1, 2, 5, 10].map((factor) => factor * 10 ** Math.floor(Math.log10(value) + 1e-9));
const below = (value) => Math.max(...rounds(value).filter((candidate) => candidate <= value * 1.000001));
const above = (value) => Math.min(...rounds(value).filter((candidate) => candidate >= value * 0.999999));

/* Ends and steps of an axis from one value to another: 1, 2 or 5 times a power of ten. */
function evenAxis(low, high) {
  const interval = above((high - low || Math.abs(high) || 1) / 5);
  const steps = (value, round) => Number((round(value / interval) * interval).toPrecision(12));
  return {
    min: steps(low, (ratio) => Math.floor(ratio + 1e-9)), max: steps(high, (ratio) => Math.ceil(ratio - 1e-9)), interval,
  };
}

/* Threshold lines that the axis extends to (near), and those so far above the data that only a label names them (far). */
function reached(lines, largest, times = FARTHEST_LINE) {
  const isNear = ({ at }) => at <= times * largest || !largest;
  const near = lines.filter(isNear).map((line) => ({ ...line, isHighest: line.at > largest }));
  return { near, far: lines.filter((line) => !isNear(line)) };
}

/* Labels at the top edge that name the thresholds above the chart. */
const namedAbove = (far, theme, settings, edge = margins(settings).top) =>
  far.slice(0, 3).map(({ text }, number) => ({
    type: "text", silent: true, z: 90, right: margins(settings).right + (settings.still ? 20 : 6), top: edge + 3 + 17 * number,
    style: {
      text: `${format.shortened(text, settings.narrow ? 30 : 48)} (above this chart)`, fill: theme.text, font: `11px ${FONT}`,
      backgroundColor: theme.surface, padding: [2, 5], borderRadius: 3,
    },
  }));

/* Margins of charts over time, equal so that their time axes line up. `narrow`: the screen of a phone. */
const margins = (settings) => ({
  left: settings.narrow ? 52 : 72,
  right: settings.narrow ? 12 : 28,
  top: settings.still ? 46 : 16,
  bottom: 28,
  outerBoundsMode: "none",
});

const common = (theme) => ({
  animation: false,
  backgroundColor: "transparent",
  textStyle: { fontFamily: FONT, color: theme.text },
  tooltip: {
    confine: true,
    className: "tip",
    backgroundColor: theme.surface,
    borderColor: theme.line,
    padding: [8, 10],
    textStyle: { color: theme.text, fontSize: 12, fontFamily: FONT },
    transitionDuration: 0,
  },
});

const label = (theme) => ({ color: theme.muted, fontSize: 11, fontFamily: FONT });

const valueAxis = (theme, more = {}) => ({
  type: "value",
  axisLine: { show: false },
  axisTick: { show: false },
  splitLine: { lineStyle: { color: theme.grid } },
  splitNumber: 4,
  ...more,
  axisLabel: { ...label(theme), ...more.axisLabel },
});

const timeAxis = (data, theme) => ({
  type: "value",
  min: 0,
  max: data.duration,
  containShape: false,
  axisLine: { lineStyle: { color: theme.line } },
  axisTick: { show: true, lineStyle: { color: theme.line } },
  splitLine: { show: false },
  axisLabel: { ...label(theme), formatter: (value) => format.seconds(value, 3), hideOverlap: true, showMaxLabel: false },
  axisPointer: { label: { show: false }, lineStyle: { color: theme.muted, type: "dashed" } },
});

const zoom = (settings) =>
  settings.still
    ? []
    : [
        {
          type: "inside",
          disabled: Boolean(settings.narrow),
          zoomOnMouseWheel: "ctrl",
          moveOnMouseWheel: false,
          preventDefaultMouseMove: false,
        },
      ];

const legend = (theme, settings, names) => ({
  show: Boolean(settings.still),
  top: 0,
  right: 24,
  itemGap: 24,
  itemWidth: 12,
  itemHeight: 10,
  textStyle: label(theme),
  data: names,
});

const tip = (heading, rows) =>
  `<strong>${format.escaped(heading)}</strong>` +
  rows
    .map(
      ([name, value, kind]) =>
        `<div class="tip-row"><span class="key ${kind || ""}"></span><span>${format.escaped(name)}</span>` +
        `<b>${format.escaped(value)}</b></div>`,
    )
    .join("");

const span = (course, step) =>
  `${format.seconds(course.start(step), 4)} to ${format.seconds(course.start(step + 1), 4)}`;

/* Annotations of the time axis: bands of phases and faults, windows that failed a threshold, and marked moments. */
function annotations(data, theme, { lines = [], windows = [], chart = "" }) {
  const seen = new Set();
  const bands = data.bands.map(({ kind, start, end }) => {
    const name = seen.has(kind) ? "" : BAND_NAMES[kind];
    seen.add(kind);
    return [
      {
        xAxis: start,
        itemStyle: { color: kind === "faults" ? theme.fault : theme.phase },
        label: { show: Boolean(name), formatter: name, position: "insideTopLeft", color: theme.muted, fontSize: 10 },
      },
      { xAxis: end },
    ];
  });
  const failed = windows.map(([start, end], number) => [
    {
      xAxis: start,
      itemStyle: { color: theme.failedWindow },
      label: {
        show: number === 0, formatter: "threshold failed", position: "insideBottomLeft", color: theme.mark, fontSize: 10,
      },
    },
    { xAxis: end },
  ]);
  const moments = data.marks.filter((mark) => mark.chart === chart).map(({ at, text }) => ({
    xAxis: at,
    lineStyle: { color: theme.mark, type: "dashed", width: 1.5 },
    label: {
      formatter: text, color: theme.mark, fontSize: 11, fontWeight: 600,
      position: "insideEndTop", rotate: 0, align: at > data.duration * 0.5 ? "right" : "left",
      padding: at > data.duration * 0.5 ? [0, 6, 0, 0] : [0, 0, 0, 6], backgroundColor: "transparent",
    },
  }));
  const limits = lines.map(({ at, text, isHighest }) => ({
    yAxis: at,
    lineStyle: { color: theme.text, type: [6, 3], width: 1.2 },
    label: {
      formatter: format.shortened(text, 48), color: theme.text, fontSize: 11,
      position: isHighest ? "insideStartBottom" : "insideStartTop",
      backgroundColor: theme.surface, padding: [2, 9, 2, 5], borderRadius: 3,
    },
  }));
  return {
    name: "annotations", type: "line", data: [], silent: true, tooltip: { show: false },
    markArea: { silent: true, data: [...bands, ...failed] },
    markLine: { silent: true, symbol: "none", precision: 12, data: [...limits, ...moments] },
  };
}

const windowsOf = (thresholds) => thresholds.flatMap(({ failedWindows }) => failedWindows);
