"use strict";
/* The page: unpacks the data and the charting library, then draws, filters and zooms. Everything works by keyboard too. */

(() => {
  const element = (id) => document.getElementById(id);
  const make = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const state = { agent: null, task: null, from: 0, to: 100, shares: false, scale: "auto", measure: "unsuccessful" };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  let printing = false;
  let data = null;
  let selection = null;

  const choice = (name, label, options) => ({ name, label, options });
  const distributionHeight = () => Math.max(Math.min(data.agents.length, MOST_ROWS) * 22, 250) + 70;
  const namesHeight = () =>
    Math.max(...[selection.agents, selection.tasks].map((names) => Math.min(names.length, MOST_BARS) * 24), 60) + 34;
  const outcomesLegend = () => [...STACK].reverse().map((name) => ({ name: OUTCOME_NAMES[name], kind: name }));

  const PLOTS = [
    {
      id: "outcomes", title: "Outcomes over time", unit: "operations per second", overTime: true, group: "time",
      option: outcomesOption, sentence: outcomesSentence, table: outcomesTable, legend: outcomesLegend,
      choice: choice("shares", "Show", [["", "per second"], ["yes", "share of total"]]), height: () => 240, needs: "course",
    },
    {
      id: "latency", title: "Latency over time", unit: "service time of calls", overTime: true, group: "time",
      option: latencyOption, sentence: latencySentence, table: latencyTable, needs: "course",
      legend: () => PERCENTILES.map((name) => ({ name, kind: name })),
      choice: choice("scale", "Axis", [["auto", "automatic"], ["log", "logarithmic"], ["linear", "linear"]]),
      height: () => 260, if: () => data.levels.all.samples[0] > 0,
    },
    {
      id: "timeline", title: "Timeline of agents", unit: "share of unsuccessful operations", overTime: true,
      option: timelineOption, sentence: timelineSentence, table: timelineTable, canvas: true,
      ends: (most) => ["0%", `${format.digits(100 * most, 3)}%`],
      height: () => Math.min(Math.max(selection.rows.length * 20, 60), 520) + 40, needs: "rows",
    },
    {
      id: "percentiles", title: "Latency distribution", unit: "by percentile; response time includes late starts", half: true,
      option: percentileOption, sentence: percentileSentence, table: percentileTable, height: distributionHeight,
      legend: () => selection.curves.map(({ name }, number) => ({ name, kind: `series-${number % 5}` })),
      if: () => data.levels.all.samples[0] > 0,
    },
    {
      id: "heatmap", title: "Agent × task", unit: "", half: true, canvas: true,
      option: heatmapOption, sentence: (run, chosen) => heatmapSentence(run, chosen, state.measure), table: heatmapTable,
      choice: choice("measure", "Colour", Object.entries(MEASURES)),
      ends: (most) => ["0", measureText(most, state.measure)],
      height: distributionHeight,
      if: () => data.agents.length > 1 || data.tasks.length > 1,
    },
    {
      id: "agents", title: "Outcomes by agent", unit: "operations", half: true, legend: outcomesLegend,
      option: (run, chosen, theme, settings) => namesOption(run, chosen.agents, theme, settings),
      sentence: () => namesSentence(selection.agents, "agent"), table: () => namesTable(selection.agents, "Agent"),
      height: namesHeight, needs: "agents",
      if: () => data.agents.length > 1,
    },
    {
      id: "tasks", title: "Outcomes by task", unit: "operations", half: true, legend: outcomesLegend,
      option: (run, chosen, theme, settings) => namesOption(run, chosen.tasks, theme, settings),
      sentence: () => namesSentence(selection.tasks, "task"), table: () => namesTable(selection.tasks, "Task"),
      height: namesHeight, needs: "tasks",
      if: () => data.tasks.length > 1,
    },
    {
      id: "memory", title: "Memory of the process", unit: "", half: true, overTime: true, group: "time", option: memoryOption,
      sentence: memorySentence, table: vitalsTable, height: () => 220, if: () => data.vitals.memory.length > 1,
    },
    {
      id: "harness", title: "Was the test machine the bottleneck?", unit: "wake-up lag and processors used", half: true, overTime: true,
      group: "time", option: harnessOption, sentence: harnessSentence, table: vitalsTable, height: () => 220,
      legend: () => [
        { name: "wake-up lag", kind: "p99" },
        ...(data.vitals.cpu.length ? [{ name: "processors used", kind: "p50" }] : []),
      ],
      if: () => data.vitals.seconds.length > 1,
    },
  ];

  /* The theme button and the copy button work without charts. */

  function startTheme(redraw) {
    const button = element("theme");
    const show = () => {
      button.textContent = isDark() ? "Light theme" : "Dark theme";
      redraw();
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      show();
    });
    dark.addEventListener("change", show);
    show();
  }

  function startCopying() {
    const button = element("copy");
    const select = () => getSelection().selectAllChildren(element("command"));
    const copied = () => {
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      const old = () => {
        select();
        if (document.execCommand("copy")) copied();
      };
      if (navigator.clipboard) navigator.clipboard.writeText(element("command").textContent).then(copied, old);
      else old();
    });
  }

  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(element(id).textContent.trim()), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  /* Cards. */

  function makeCard(plot) {
    plot.hidden = new Set();
    plot.place = make("div", { class: "plot", role: "img", tabindex: "0", id: `plot-${plot.id}` });
    plot.caption = make("p", { class: "caption" });
    plot.missing = make("p", { class: "note", hidden: "" });
    plot.keys = make("div", { class: "keys", role: "group", "aria-label": `Legend of ${plot.title}` });
    plot.rows = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Data of ${plot.title}` });
    plot.details = make("details", {}, make("summary", {}, "Data as a table"), plot.rows);
    const head = make("div", { class: "card-head" }, make("h3", {}, plot.title, " ", make("small", {}, plot.unit)));
    if (plot.choice) head.append(makeChoice(plot.choice));
    plot.card = make(
      "section", { class: `card chart${plot.half ? " half" : ""}`, "aria-label": plot.title, id: `chart-${plot.id}` },
      head, plot.caption, plot.keys, plot.place, plot.missing, plot.details,
    );
    plot.details.addEventListener("toggle", () => fillTable(plot));
    plot.place.addEventListener("keydown", (event) => point(plot, event));
    plot.place.addEventListener("blur", () => plot.chart.dispatchAction({ type: "hideTip" }));
    element("plots").append(plot.card);
    plot.chart = echarts.init(plot.place, null, { renderer: plot.canvas ? "canvas" : "svg" });
    if (plot.group) plot.chart.on("datazoom", () => zoomedBy(plot));
    if (plot.group) plot.chart.group = plot.group;
    if (plot.id === "heatmap") plot.chart.on("click", ({ value }) => choose(heatmapAgents(data, state.measure)[value[1]].number, value[0]));
  }

  function makeChoice({ name, label, options }) {
    const select = make("select", { id: `choice-${name}` }, ...options.map(([value, text]) => make("option", { value }, text)));
    select.addEventListener("change", () => {
      state[name] = name === "shares" ? select.value === "yes" : select.value;
      redraw();
    });
    return make("label", { class: "choice" }, `${label} `, select);
  }

  function showKeys(plot) {
    const keys = plot.legend ? plot.legend() : [];
    plot.keys.replaceChildren(
      ...keys.map(({ name, kind }) => {
        const button = make(
          "button", { type: "button", class: "legend", "aria-pressed": String(!plot.hidden.has(name)) },
          make("span", { class: `key ${kind}`, "aria-hidden": "true" }), format.shortened(name, LONGEST_NAME),
        );
        if (name.length > LONGEST_NAME) button.title = name;
        button.addEventListener("click", () => {
          if (!plot.hidden.delete(name)) plot.hidden.add(name);
          button.setAttribute("aria-pressed", String(!plot.hidden.has(name)));
          draw(plot);
        });
        return button;
      }),
    );
    if (plot.ends) {
      const cool = plot.id === "heatmap" && state.measure === "total";
      const [least, most] = plot.ends(plot.chart.getOption().visualMap[0].max);
      plot.keys.append(
        make("span", { class: "gradient-label" }, least),
        make("span", { class: `gradient${cool ? " cool" : ""}`, "aria-hidden": "true" }),
        make("span", { class: "gradient-label" }, most),
      );
    }
    plot.keys.hidden = !plot.keys.childElementCount;
  }

  function fillTable(plot) {
    if (!plot.details.open || !hasData(plot)) return;
    const { heads, rows } = plot.table(data, selection);
    const most = 2000;
    const body = rows.slice(0, most).map((row) =>
      make("tr", {}, ...row.map((cell, column) => (column ? make("td", {}, cell) : make("th", { scope: "row" }, cell)))));
    const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col" }, name)));
    plot.rows.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
    if (rows.length > most) plot.rows.append(make("p", { class: "note" }, `Only the first ${most} of ${rows.length} rows. Filter by agent or task to see the others.`));
  }

  /* Drawing. */

  const hasData = (plot) => {
    const needed = plot.needs ? selection[plot.needs] : true;
    return Boolean(Array.isArray(needed) ? needed.length : needed);
  };

  function draw(plot) {
    const shows = hasData(plot);
    const filteredOut = !shows && (plot.id === "agents" || plot.id === "tasks");
    plot.card.hidden = filteredOut;
    for (const part of [plot.place, plot.keys, plot.details]) part.hidden = !shows;
    plot.missing.hidden = shows;
    plot.missing.textContent = shows ? "" : "This run is too large to keep every selection over time, so the page has only the worst ones. The figures of this selection are above.";
    plot.caption.textContent = shows ? plot.sentence(data, selection) : "";
    if (!shows) return;
    plot.place.setAttribute("aria-label", `${plot.title}. ${plot.caption.textContent}`);
    plot.place.style.height = `${plot.height()}px`;
    const narrow = document.documentElement.clientWidth < 640;
    const theme = THEMES[isDark() && !printing ? "dark" : "light"];
    const option = plot.option(data, selection, theme, { ...state, narrow });
    if (option.dataZoom) option.dataZoom = option.dataZoom.map((range) => ({ ...range, start: state.from, end: state.to }));
    if (option.legend) option.legend.selected = Object.fromEntries([...plot.hidden].map((name) => [name, false]));
    plot.chart.resize(printing ? { width: plot.half ? 330 : 690 } : { width: "auto" });
    plot.chart.setOption(option, { notMerge: true });
    showKeys(plot);
    fillTable(plot);
  }

  const shown = () => PLOTS.filter((plot) => plot.chart);

  function redraw() {
    if (!data) return;
    selection = select(data, state.agent, state.task);
    shown().forEach(draw);
    const halves = shown().filter((plot) => plot.half && !plot.card.hidden);
    for (const plot of halves) plot.card.classList.toggle("alone", halves.length % 2 === 1 && plot === halves[halves.length - 1]);
    showSelected();
  }

  /* Filters. */

  function choose(agent, task) {
    state.agent = data.agents.length > 1 ? agent : null;
    state.task = data.tasks.length > 1 ? task : null;
    element("agent").value = state.agent === null ? "" : String(state.agent);
    element("task").value = state.task === null ? "" : String(state.task);
    redraw();
  }

  function showSelected() {
    const { figures, isAll } = selection;
    const parts = [
      plural(figures.total, "operation"), `${format.count(figures.success)} successful`,
      `${format.count(figures.missing)} missing data`, `${format.count(figures.failures)} failed`, plural(figures.error, "error"),
    ];
    if (figures.samples) parts.push(`p50 ${format.seconds(figures.p50)}`, `p99 ${format.seconds(figures.p99)}`);
    const zoomed = state.from > 0 || state.to < 100;
    const at = (percent) => format.seconds((data.duration * percent) / 100, 3);
    element("selected").textContent = parts.join(" · ") + (zoomed ? ` · time shown: ${at(state.from)} to ${at(state.to)}` : "");
    element("everything").disabled = isAll;
  }

  function fillOptions(select, names, all, wanted = "") {
    const found = names.map((name, number) => [name, number]).filter(([name, number]) =>
      name.toLowerCase().includes(wanted.toLowerCase()) || select.value === String(number));
    const value = select.value;
    select.replaceChildren(make("option", { value: "" }, all), ...found.map(([name, number]) =>
      make("option", { value: String(number) }, format.shortened(name, 60))));
    select.value = value;
  }

  function startFilters() {
    const [agent, task, search] = [element("agent"), element("task"), element("agent-search")];
    const unlisted = data.agentsInAll - data.agents.length;
    const all = unlisted ? `All ${data.agentsInAll} (only the worst ${data.agents.length} are listed)` : `All ${data.agents.length}`;
    fillOptions(agent, data.agents, all);
    fillOptions(task, data.tasks, `All ${data.tasks.length}`);
    element("agent-filter").hidden = data.agents.length < 2;
    element("task-filter").hidden = data.tasks.length < 2;
    element("everything").hidden = data.agents.length < 2 && data.tasks.length < 2;
    search.hidden = data.agents.length <= 15;
    search.addEventListener("input", () => fillOptions(agent, data.agents, all, search.value));
    const indexOf = (select) => (select.value === "" ? null : Number(select.value));
    for (const select of [agent, task]) select.addEventListener("change", () => choose(indexOf(agent), indexOf(task)));
    element("everything").addEventListener("click", () => choose(null, null));
    document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  }

  /* Zoom: one range of the time axis for all charts over time, in percent. */

  function zoomTo(from, to) {
    const length = Math.min(Math.max(to - from, 1), 100);
    state.from = Math.min(Math.max(from, 0), 100 - length);
    state.to = state.from + length;
    for (const plot of shown())
      if (plot.id === "timeline") draw(plot);
      else if (plot.overTime && hasData(plot)) plot.chart.dispatchAction({ type: "dataZoom", start: state.from, end: state.to });
    showSelected();
  }

  function zoomedBy(plot) {
    const [{ start, end }] = plot.chart.getOption().dataZoom;
    const moved = Math.abs(start - state.from) > 0.01 || Math.abs(end - state.to) > 0.01;
    if (moved) zoomTo(start, end);
  }

  function startZoom() {
    const by = (factor) => {
      const [middle, half] = [(state.from + state.to) / 2, ((state.to - state.from) / 2) * factor];
      zoomTo(middle - half, middle + half);
    };
    const move = (share) => zoomTo(state.from + (state.to - state.from) * share, state.to + (state.to - state.from) * share);
    element("zoom-in").addEventListener("click", () => by(0.5));
    element("zoom-out").addEventListener("click", () => by(2));
    element("zoom-left").addEventListener("click", () => move(-0.5));
    element("zoom-right").addEventListener("click", () => move(0.5));
    element("zoom-reset").addEventListener("click", () => zoomTo(0, 100));
  }

  /* Arrow keys move from point to point of the focused chart; a screen reader reads the tooltip of each point. */
  function point(plot, event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (event.key === "Escape") plot.chart.dispatchAction({ type: "hideTip" });
    if (!(event.key in steps)) return;
    event.preventDefault();
    const points = plot.chart.getOption().series[0].data.length;
    const [from, to] = plot.group ? [state.from, state.to] : [0, 100];
    const [first, last] = [Math.floor((points * from) / 100), Math.ceil((points * to) / 100) - 1];
    const next = (plot.at ?? (steps[event.key] > 0 ? first - 1 : last + 1)) + steps[event.key];
    plot.at = Math.min(Math.max(next, first), last);
    plot.chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: plot.at });
    const tooltip = plot.place.querySelector(".tip");
    element("pointed").textContent = tooltip ? tooltip.innerText.replace(/\s*\n\s*/g, ", ") : "";
  }

  async function startCharts() {
    const [library, text] = await Promise.all([unpacked("echarts-packed"), unpacked("data-packed")]);
    document.head.append(make("script", {}, library));
    data = JSON.parse(text);
    selection = select(data, null, null);
    if (!selection.figures.total) {
      element("charts-need").textContent = "No operation was performed, so there is nothing to draw.";
      document.documentElement.dataset.drawn = "yes";
      return;
    }
    element("charts-need").hidden = true;
    element("drawn").hidden = false;
    startFilters();
    startZoom();
    PLOTS.filter((plot) => !plot.if || plot.if()).forEach(makeCard);
    redraw();
    echarts.connect("time");
    let width = element("plots").clientWidth;
    new ResizeObserver(() => {
      if (element("plots").clientWidth === width || printing) return;
      width = element("plots").clientWidth;
      redraw();
    }).observe(element("plots"));
    const print = (on) => () => {
      printing = on;
      redraw();
    };
    addEventListener("beforeprint", print(true));
    addEventListener("afterprint", print(false));
    document.documentElement.dataset.drawn = "yes";
  }

  startTheme(redraw);
  startCopying();
  if ("DecompressionStream" in window)
    startCharts().catch((error) => {
      element("drawn").hidden = true;
      element("charts-need").hidden = false;
      element("charts-need").append(` Drawing the charts failed: ${error.message}`);
      console.error(error);
    });
})();
