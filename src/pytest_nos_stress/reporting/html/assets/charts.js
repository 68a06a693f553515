"use strict";
/* ECharts options of all charts, as pure functions of a run's data. The page and the static pictures share them. */

/* Outcomes over time: operations per second, or shares of the total. Errors and failures are at the bottom. */
function outcomesOption(data, selection, theme, settings) {
  const course = selection.course;
  const thresholds = selection.thresholds.filter(({ metric }) => !["latency", "response_time", "memory"].includes(metric));
  const total = (step) => STACK.reduce((sum, name) => sum + course.counts[name][step], 0);
  const height = (name, step) => {
    const counted = course.counts[name][step];
    return settings.shares ? (total(step) ? counted / total(step) : 0) : counted / course.width;
  };
  const drawn = settings.shares ? ["error_rate", "failure_rate"] : ["throughput"];
  const lines = thresholds
    .filter(({ limit, metric }) => limit !== null && drawn.includes(metric))
    .map(({ limit, text }) => ({ at: limit, text }));
  const most = settings.shares ? 1 : Math.max(...course.samples.map((_, step) => total(step))) / course.width;
  const { near, far } = reached(lines, most);
  const hatch = { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4, color: theme.surface };
  return {
    ...common(theme),
    grid: margins(settings),
    graphic: namedAbove(far, theme, settings),
    legend: legend(theme, settings, STACK.map((name) => OUTCOME_NAMES[name])),
    xAxis: timeAxis(data, theme),
    yAxis: valueAxis(theme, {
      ...(settings.shares ? { max: 1 } : reaching(near, most)),
      axisLabel: { formatter: (value) => (settings.shares ? `${Math.round(value * 100)}%` : format.tick(value)) },
    }),
    dataZoom: zoom(settings),
    tooltip: {
      ...common(theme).tooltip,
      trigger: "axis",
      formatter: ([first]) => {
        const step = first.dataIndex;
        const whole = total(step);
        return tip(span(course, step), [
          ...[...STACK].reverse().map((name) => [
            OUTCOME_NAMES[name],
            `${format.count(course.counts[name][step])} (${format.share(course.counts[name][step], whole, 3)})`,
            name,
          ]),
          ["operations", `${format.count(whole)} (${format.digits(whole / course.width, 4)}/s)`, ""],
        ]);
      },
    },
    series: [
      ...STACK.map((name) => ({
        name: OUTCOME_NAMES[name],
        type: "bar",
        stack: "operations",
        barCategoryGap: course.steps > 60 ? "0%" : "12%",
        large: false,
        itemStyle: { color: theme[name], decal: name === "failed" ? hatch : undefined },
        emphasis: { disabled: true },
        data: course.counts[name].map((_, step) => [course.middle(step), height(name, step)]),
      })),
      annotations(data, theme, { lines: near, windows: windowsOf(thresholds), chart: selection.isAll ? "outcomes" : "" }),
    ],
  };
}

/* True if durations differ so much that only a logarithmic axis shows them all. */
function needsLogarithm(values) {
  const positive = values.filter((value) => value > 0);
  return positive.length > 0 && positive.length === values.length && Math.max(...positive) / Math.min(...positive) > 15;
}

/* An axis from 0 that extends to the threshold lines above the data. */
const reaching = (lines, largest) => {
  const highest = Math.max(largest, ...lines.map(({ at }) => at));
  return highest > largest ? evenAxis(0, highest * 1.04) : {};
};

const isLogarithmic = (known, scale) =>
  scale === "log" ? known.every((value) => value > 0) : scale === "auto" && needsLogarithm(known);

function durationAxis(values, theme, logarithmic, near = []) {
  const known = values.filter((value) => value !== null);
  const axisLabel = { formatter: (value) => format.seconds(value, 3) };
  if (!logarithmic || !known.length) return valueAxis(theme, { min: 0, ...reaching(near, Math.max(...known)), axisLabel });
  return valueAxis(theme, {
    type: "log",
    min: below(Math.min(...known, ...near.map(({ at }) => at))),
    max: above(Math.max(...known, ...near.map(({ at }) => at))),
    axisLabel,
  });
}

const LINE_STYLES = { p50: "solid", p95: [7, 3], p99: "solid", max: [2, 3] };

/* Latency over time: percentiles of each step, and the longest. */
function latencyOption(data, selection, theme, settings) {
  const course = selection.course;
  const thresholds = selection.thresholds.filter(({ metric }) => metric === "latency");
  const lines = thresholds
    .filter(({ limit }) => limit !== null)
    .map(({ limit, text }) => ({ at: limit, text }));
  const values = PERCENTILES.flatMap((name) => course.latency[name]).filter((value) => value !== null);
  const logarithmic = isLogarithmic(values, settings.scale || "auto");
  const { near, far } = reached(lines, Math.max(0, ...values), logarithmic ? FARTHEST_LINE ** 2 : FARTHEST_LINE);
  const alone = course.samples.map((_, step) => {
    const has = (at) => course.latency.p50[at] !== null && course.latency.p50[at] !== undefined;
    return has(step) && !has(step - 1) && !has(step + 1);
  });
  return {
    ...common(theme),
    grid: margins(settings),
    graphic: namedAbove(far, theme, settings),
    legend: legend(theme, settings, PERCENTILES),
    xAxis: timeAxis(data, theme),
    yAxis: durationAxis(values, theme, logarithmic, near),
    dataZoom: zoom(settings),
    tooltip: {
      ...common(theme).tooltip,
      trigger: "axis",
      formatter: ([first]) =>
        tip(span(course, first.dataIndex), [
          ...[...PERCENTILES].reverse().map((name) => [
            name, format.seconds(course.latency[name][first.dataIndex], 3), name,
          ]),
          ["samples", format.count(course.samples[first.dataIndex]), ""],
        ]),
    },
    series: [
      ...PERCENTILES.map((name) => ({
        name,
        type: "line",
        showSymbol: true,
        showAllSymbol: true,
        symbol: "circle",
        symbolSize: (_, { dataIndex }) => (alone[dataIndex] ? 5 : 0),
        lineStyle: { color: theme[name], width: name === "p99" ? 2.2 : 1.5, type: LINE_STYLES[name] },
        itemStyle: { color: theme[name] },
        emphasis: { disabled: true },
        data: course.latency[name].map((value, step) => [course.middle(step), value]),
      })),
      annotations(data, theme, { lines: near, windows: windowsOf(thresholds), chart: selection.isAll ? "latency" : "" }),
    ],
  };
}

const PERCENTILE_TICKS = [[0, "0%"], [Math.log10(2), "50%"], ...[..."123456"].map((nines) => [
  Number(nines), nines === "1" ? "90%" : nines === "2" ? "99%" : `99.${"9".repeat(nines - 2)}%`,
])];

/* The latency distribution as HdrHistogram plots it: 90%, 99%, 99.9% and so on are equally far apart. */
function percentileOption(data, selection, theme, settings) {
  const named = selection.curves.slice(0, settings.still ? 5 : undefined).map((curve, number) => ({ ...curve, color: theme.series[number % theme.series.length] }));
  const limits = selection.thresholds
    .filter((threshold) => threshold.metric === "latency" && threshold.percentile !== null && threshold.limit !== null && threshold.percentile < 1)
    .map((threshold) => ({ value: [-Math.log10(1 - threshold.percentile), threshold.limit], at: threshold.limit, text: threshold.text }));
  const values = named.flatMap(({ curve }) => curve.map(([, value]) => value));
  const logarithmic = isLogarithmic(values, settings.scale || "auto");
  const { near: points, far } = reached(limits, Math.max(0, ...values), logarithmic ? FARTHEST_LINE ** 2 : FARTHEST_LINE);
  const top = settings.still ? (named.length > 3 ? 78 : 60) : 16;
  const end = Math.max(0.5, ...named.flatMap(({ curve }) => curve.map(([x]) => x)), ...points.map(({ value }) => value[0]));
  const ticks = PERCENTILE_TICKS.filter(([x]) => x <= end + 0.01);
  const percentile = (x) => (100 * (1 - 10 ** -x)).toFixed(x < 1 ? 0 : Math.ceil(x) - 1 || 1);
  return {
    ...common(theme),
    grid: { ...margins(settings), top, right: settings.narrow ? 20 : 32 },
    graphic: namedAbove(far, theme, settings, top),
    legend: {
      ...legend(theme, settings, named.map(({ name }) => name)),
      top: 26, right: "auto", left: 60, formatter: (name) => format.shortened(name, 22),
    },
    xAxis: {
      ...timeAxis(data, theme),
      max: end,
      axisTick: { customValues: ticks.map(([x]) => x), lineStyle: { color: theme.line } },
      axisLabel: {
        ...label(theme),
        customValues: ticks.map(([x]) => x),
        formatter: (x) => (ticks.find(([at]) => Math.abs(at - x) < 1e-6) || [0, ""])[1],
        hideOverlap: true,
      },
    },
    yAxis: durationAxis(values, theme, logarithmic, points),
    tooltip: {
      ...common(theme).tooltip,
      trigger: "axis",
      axisPointer: { type: "line" },
      formatter: (items) =>
        tip(
          `Percentile ${percentile(items[0].value[0])}`,
          items
            .filter(({ seriesIndex }) => seriesIndex < named.length)
            .map(({ seriesName, value, seriesIndex }) => [
              seriesName, format.seconds(value[1], 4), `series-${seriesIndex % theme.series.length}`,
            ]),
        ),
    },
    series: [
      ...named.map(({ name, curve, color }, number) => ({
        name,
        type: "line",
        showSymbol: curve.length < 3,
        symbolSize: 6,
        lineStyle: { color, width: number ? 1.4 : 2.4, type: ["solid", [7, 3], [2, 3], [9, 3, 2, 3], "solid"][number % 5] },
        itemStyle: { color },
        emphasis: { disabled: true },
        data: curve,
      })),
      {
        name: "thresholds",
        type: "scatter",
        symbol: "diamond",
        symbolSize: 11,
        silent: true,
        itemStyle: { color: theme.text },
        label: {
          show: true, position: "left", color: theme.text, fontSize: 11, backgroundColor: theme.surface,
          padding: [2, 9, 2, 5], borderRadius: 3, formatter: ({ data: point }) => format.shortened(point.text, 40),
        },
        data: points,
      },
    ],
  };
}

const colorScale = (theme, colors, max) => ({
  show: false,
  min: 0,
  max: max || 1,
  inRange: { color: theme[colors] },
});

const categories = (names, theme, more = {}) => ({
  type: "category",
  data: names,
  axisLine: { show: false },
  axisTick: { show: false },
  splitLine: { show: false },
  ...more,
  axisLabel: { ...label(theme), formatter: (name) => format.shortened(name, more.longest || 14), ...more.axisLabel },
});

/* Names beside a chart; the end of a long name is cut off. */
const namesAxis = (names, theme, room, more = {}) =>
  categories(names, theme, {
    inverse: true,
    longest: LONGEST_NAME,
    axisLabel: { width: room - 12, overflow: "truncate", ellipsis: "…", ...more },
  });

const worstShare = (cells) => Math.max(...cells.map(([, , share]) => share), 0.05);

/* Timeline: a row for an agent, a cell for a step of time, coloured by the share of unsuccessful operations. */
function timelineOption(data, selection, theme, settings) {
  const rows = selection.rows;
  const steps = rows.length ? rows[0].course.steps : 1;
  const cells = rows.flatMap(({ course }, row) =>
    Array.from({ length: steps }, (_, step) => {
      const counted = STACK.map((name) => course.counts[name][step]);
      const total = counted.reduce((sum, count) => sum + count);
      return total ? [course.middle(step), row, 1 - counted[3] / total, step] : null;
    }).filter(Boolean),
  );
  const width = data.duration / steps;
  const drawCell = (_, api) => {
    const [row, step] = [api.value(1), api.value(3)];
    const [left, middle] = api.coord([step * width, row]).map(Math.round);
    const right = Math.round(api.coord([(step + 1) * width, row])[0]);
    const height = Math.max(api.size([0, 1])[1], 1);
    const shape = { x: left, y: middle - Math.round(height / 2), width: Math.max(right - left, 1), height: Math.ceil(height) };
    return { type: "rect", shape, style: { fill: api.visual("color") } };
  };
  return {
    ...common(theme),
    grid: { ...margins(settings), top: 6 },
    visualMap: { ...colorScale(theme, "scale", worstShare(cells)), dimension: 2 },
    xAxis: timeAxis(data, theme),
    yAxis: namesAxis(rows.map(({ name }) => name), theme, margins(settings).left, {
      interval: Math.ceil(rows.length / MOST_NAMES) - 1,
    }),
    dataZoom: [{ type: "inside", disabled: true, filterMode: "none" }],
    tooltip: {
      ...common(theme).tooltip,
      formatter: ({ value: [, row, , step] }) => {
        const { name, course } = rows[row];
        return tip(`${name}, ${span(course, step)}`, [...STACK].reverse().map((outcome) => [
          OUTCOME_NAMES[outcome], format.count(course.counts[outcome][step]), outcome,
        ]));
      },
    },
    series: [
      {
        name: "timeline", type: "custom", data: cells, renderItem: drawCell, clip: true, encode: { x: 0, y: 1 },
        emphasis: { disabled: true }, progressive: 0,
      },
    ],
  };
}

/* The figure of a cell of the heatmap, and its text. */
function measured(figures, measure) {
  if (measure === "unsuccessful") return figures.total ? figures.unsuccessful / figures.total : null;
  return measure === "p99" ? figures.p99 : figures[measure];
}

function measureText(value, measure, many = 3) {
  if (value === null) return "–";
  if (measure === "unsuccessful") return `${format.digits(100 * value, many)}%`;
  return measure === "p99" ? format.seconds(value, many) : format.count(value);
}

/* The agents of the heatmap: those with the highest figures, in the order of the run. */
function heatmapAgents(data, measure) {
  const all = data.agents.map((name, number) => ({ name, number, figures: figuresOf(placeOf(data, number, null)) }));
  if (all.length <= MOST_ROWS) return all;
  const chosen = [...all].sort((agent, other) => (measured(other.figures, measure) ?? 0) - (measured(agent.figures, measure) ?? 0));
  return chosen.slice(0, MOST_ROWS).sort((agent, other) => agent.number - other.number);
}

const luminance = (color) => {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

/* Black or white, whichever has more contrast at a point of a colour scale. */
function inkOn(colors, place) {
  const at = Math.min(Math.max(place, 0), 1) * (colors.length - 1);
  const low = Math.floor(at);
  const mix = (index) =>
    luminance(colors[index]) * (1 - (at - low)) + luminance(colors[Math.min(index + 1, colors.length - 1)]) * (at - low);
  return mix(low) > 0.2 ? "#10151c" : "#ffffff";
}

/* Agent by task: the selected figure of each pair, as a colour and, if there is room, as text. */
function heatmapOption(data, selection, theme, settings) {
  const measure = settings.measure || "unsuccessful";
  const agents = heatmapAgents(data, measure);
  const colors = measure === "total" ? "cool" : "scale";
  const cells = agents.flatMap(({ number }, row) =>
    data.tasks.map((_, task) => {
      const figures = figuresOf(placeOf(data, number, task));
      return [task, row, figures.total ? measured(figures, measure) : null];
    }),
  );
  const max = Math.max(...cells.map(([, , value]) => value ?? 0), measure === "unsuccessful" ? 0.05 : 0);
  const roomy = data.tasks.length <= (settings.narrow ? 4 : 10) && agents.length <= 16;
  return {
    ...common(theme),
    grid: { left: settings.narrow ? 64 : 96, right: 12, top: settings.still ? 30 : 8, bottom: data.tasks.length > 6 ? 64 : 30, outerBoundsMode: "none" },
    visualMap: colorScale(theme, colors, max),
    xAxis: categories(data.tasks, theme, {
      longest: 12, axisLabel: { rotate: data.tasks.length > 6 ? 40 : 0, interval: 0, hideOverlap: false },
    }),
    yAxis: namesAxis(agents.map(({ name }) => name), theme, settings.narrow ? 64 : 96),
    tooltip: {
      ...common(theme).tooltip,
      formatter: ({ value: [task, row] }) => {
        const figures = figuresOf(placeOf(data, agents[row].number, task));
        return tip(`${agents[row].name}, ${data.tasks[task]}`, [
          ["operations", format.count(figures.total), ""],
          ["unsuccessful", `${format.count(figures.unsuccessful)} (${format.share(figures.unsuccessful, figures.total, 3)})`, ""],
          ["errors", format.count(figures.error), "error"],
          ["p99 latency", format.seconds(figures.p99), "p99"],
        ]);
      },
    },
    series: [
      {
        name: MEASURES[measure],
        type: "heatmap",
        itemStyle: { borderColor: theme.surface, borderWidth: agents.length > 60 ? 0 : 2 },
        emphasis: { disabled: true },
        label: { show: roomy, fontSize: 11, formatter: ({ value }) => measureText(value[2], measure) },
        data: cells
          .filter(([, , value]) => value !== null)
          .map((value) => ({ value, label: { color: inkOn(theme[colors], value[2] / (max || 1)) } })),
      },
    ],
  };
}

/* Outcomes of each agent or task, worst first. */
function namesOption(data, names, theme, settings) {
  const rows = names.slice(0, MOST_BARS);
  const hatch = { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4, color: theme.surface };
  return {
    ...common(theme),
    grid: { left: settings.narrow ? 76 : 108, right: 20, top: 4, bottom: 26, outerBoundsMode: "none" },
    legend: legend(theme, settings, STACK.map((name) => OUTCOME_NAMES[name])),
    xAxis: valueAxis(theme, { minInterval: 1, axisLabel: { formatter: format.tick, hideOverlap: true } }),
    yAxis: namesAxis(rows.map(({ name }) => name), theme, settings.narrow ? 76 : 108),
    tooltip: {
      ...common(theme).tooltip,
      trigger: "axis",
      axisPointer: { type: "shadow", shadowStyle: { opacity: 0.1 } },
      formatter: ([{ dataIndex }]) => {
        const { name, figures } = rows[dataIndex];
        return tip(name, [
          ...[...STACK].reverse().map((outcome) => [
            OUTCOME_NAMES[outcome], `${format.count(figures[outcome])} (${format.share(figures[outcome], figures.total, 3)})`, outcome,
          ]),
          ["operations", format.count(figures.total), ""],
          ["p99 latency", format.seconds(figures.p99), "p99"],
        ]);
      },
    },
    series: STACK.map((name) => ({
      name: OUTCOME_NAMES[name],
      type: "bar",
      stack: "operations",
      barCategoryGap: "28%",
      barMaxWidth: 26,
      itemStyle: { color: theme[name], decal: name === "failed" ? hatch : undefined },
      emphasis: { disabled: true },
      data: rows.map(({ figures }) => figures[name]),
    })),
  };
}

const vitalsLine = (name, color, points, more = {}) => ({
  name, type: "line", showSymbol: points.length < 3, symbolSize: 5, emphasis: { disabled: true },
  lineStyle: { color, width: 1.8 }, itemStyle: { color }, data: points, ...more,
});

/* Smallest range of the axis, as a share of the memory in use: otherwise the noise of the allocator fills the chart. */
const LEAST_SPAN_OF_MEMORY = 0.1;

function memoryOption(data, selection, theme, settings) {
  const { seconds, memory } = data.vitals;
  const unit = Math.max(...memory) >= 2 ** 30 ? 2 ** 30 : 2 ** 20;
  const name = unit === 2 ** 30 ? "GiB" : "MiB";
  const lines = data.thresholds
    .filter((threshold) => threshold.metric === "memory" && threshold.limit !== null)
    .map((threshold) => ({ at: (threshold.limit + (threshold.aggregation === "growth" ? memory[0] : 0)) / unit, text: threshold.text }));
  const [lowest, highest] = [Math.min(...memory) / unit, Math.max(...memory) / unit];
  const { near, far } = reached(lines, highest);
  const top = Math.max(highest, ...near.map(({ at }) => at * 1.01));
  const spare = Math.max(LEAST_SPAN_OF_MEMORY * highest, 2 ** 20 / unit, top - lowest) - (top - lowest);
  return {
    ...common(theme),
    grid: { ...margins(settings), left: settings.narrow ? 64 : 76 },
    graphic: namedAbove(far, theme, settings),
    xAxis: timeAxis(data, theme),
    yAxis: valueAxis(theme, {
      ...evenAxis(Math.max(lowest - spare / 2, 0), top + spare / 2),
      axisLabel: { formatter: (value) => `${format.digits(value, 6)} ${name}` },
    }),
    dataZoom: zoom(settings),
    tooltip: {
      ...common(theme).tooltip,
      trigger: "axis",
      formatter: ([{ value }]) => tip(format.seconds(value[0], 4), [["memory", format.bytes(value[1] * unit), "p50"]]),
    },
    series: [
      vitalsLine("memory", theme.p50, seconds.map((at, row) => [at, memory[row] / unit]), { areaStyle: { opacity: 0.12 } }),
      annotations(data, theme, { lines: near }),
    ],
  };
}

/* Delay of wake-ups in the test process, and the number of processors that the process used. */
function harnessOption(data, selection, theme, settings) {
  const { seconds, lag, cpu } = data.vitals;
  return {
    ...common(theme),
    grid: { ...margins(settings), left: settings.narrow ? 64 : 76, right: 40 },
    legend: legend(theme, settings, ["wake-up lag", "processors used"]),
    xAxis: timeAxis(data, theme),
    yAxis: [
      valueAxis(theme, {
        ...evenAxis(0, Math.max(...lag) || 0.001),
        axisLabel: { formatter: (value) => format.seconds(value, 3) },
      }),
      valueAxis(theme, {
        ...evenAxis(0, Math.max(...cpu) || 1), splitLine: { show: false }, axisLabel: { formatter: format.tick },
      }),
    ],
    dataZoom: zoom(settings),
    tooltip: {
      ...common(theme).tooltip,
      trigger: "axis",
      formatter: ([{ dataIndex }]) =>
        tip(format.seconds(seconds[dataIndex], 4), [
          ["wake-up lag", format.seconds(lag[dataIndex]), "p99"],
          ...(cpu.length ? [["processors used", format.digits(cpu[dataIndex], 3), "p50"]] : []),
        ]),
    },
    series: [
      vitalsLine("wake-up lag", theme.p99, seconds.map((at, number) => [at, lag[number]])),
      vitalsLine("processors used", theme.p50, cpu.map((used, number) => [seconds[number], used]), {
        yAxisIndex: 1, lineStyle: { color: theme.p50, width: 1.4, type: [6, 3] },
      }),
      annotations(data, theme, {}),
    ],
  };
}

/* Everything that charts draw, for one choice of agent and task: their indices in the lists, or null for all. */
function select(data, agent, task) {
  const place = placeOf(data, agent, task);
  const isAll = agent === null && task === null;
  const everything = { name: "latency", curve: curveOf(placeOf(data, null, null)) };
  const byTask = isAll && data.tasks.length > 1 ? worstFirst(data.tasks, (number) => placeOf(data, null, number)) : [];
  const chosen = isAll
    ? byTask.slice(0, 3).map(({ name, number }) => ({ name: `latency of ${name}`, curve: curveOf(placeOf(data, null, number)) }))
    : [{ name: [agent === null ? null : data.agents[agent], task === null ? null : data.tasks[task]].filter(Boolean).join(", "), curve: curveOf(place) }];
  const responseTimes = isAll ? [{ name: "response time", curve: curveOf({ level: data.responseTimes, group: 0 }) }] : [];
  return {
    agent, task, isAll,
    figures: figuresOf(place),
    course: courseOf(data, place),
    curves: [everything, ...responseTimes, ...chosen].filter(({ curve }) => curve.length),
    rows: timelineRows(data, agent, task),
    agents: agent === null ? worstFirst(data.agents, (number) => placeOf(data, number, task)) : [],
    tasks: task === null ? worstFirst(data.tasks, (number) => placeOf(data, agent, number)) : [],
    thresholds: thresholdsOf(data, agent, task),
  };
}
