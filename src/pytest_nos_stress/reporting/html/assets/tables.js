"use strict";
/* A sentence and a table for each chart, for readers who cannot see it: pure functions of the data. */

const plural = (count, noun, many = `${noun}s`) => `${format.count(count)} ${count === 1 ? noun : many}`;

const largest = (values) =>
  values.reduce((best, value, at) => ((value ?? -1) > (values[best] ?? -1) ? at : best), 0);

/* Smaller numbers in one step of time or one cell may be chance, so sentences ignore them. */
const FEWEST_WRONG = 5;
const FEWEST_SAMPLES = 10;
const FEWEST_IN_A_CELL = 5;
const FEWEST_WRONG_IN_A_CELL = 3;

const inSentence = (name) => format.shortened(name, LONGEST_NAME);

const WRONG = ["error", "failed", "missing"];
const wrongAt = (course, names = WRONG) =>
  course.samples.map((_, step) => names.reduce((sum, name) => sum + course.counts[name][step], 0));
const totalAt = (course, step) => OUTCOMES.reduce((sum, name) => sum + course.counts[name][step], 0);

function outcomesSentence(data, { course, figures }) {
  if (!figures.total) return "No operations.";
  const parts = [
    plural(figures.total, "operation"),
    `${format.count(figures.failures)} failed (${plural(figures.error, "error")})`,
    `${format.count(figures.missing)} with missing data`,
  ];
  if (!figures.unsuccessful) return `${parts[0]}, all successful.`;
  const [noun, of] = figures.error ? ["errors", wrongAt(course, ["error"])] : ["unsuccessful operations", wrongAt(course)];
  const worst = largest(of);
  const share = of[worst] / totalAt(course, worst);
  const usual = of.reduce((sum, count) => sum + count) / figures.total;
  const standsOut = of[worst] >= FEWEST_WRONG && share > 1.5 * usual;
  const most = ` Most ${noun} from ${span(course, worst)}: ${of[worst]} of ${plural(totalAt(course, worst), "operation")}.`;
  return `${parts.join(", ")}.${standsOut ? most : ""}`;
}

function latencySentence(data, { course, figures }) {
  if (!figures.samples) return "No latency was measured: no operation called the target, or calls took no virtual time.";
  const fewest = Math.max(FEWEST_SAMPLES, figures.samples / course.steps / 2);
  const values = course.latency.p99.map((value, step) => (course.samples[step] < fewest ? null : value));
  const present = values.filter((value) => value !== null);
  const top = largest(values);
  const lasting = present.length < 3 ? "" :
    `p99 was ${format.seconds(present[0], 3)} at the start and ${format.seconds(present[present.length - 1], 3)} at the end, ` +
    `highest at ${format.seconds(course.middle(top), 3)}: ${format.seconds(values[top], 3)}. `;
  return (
    `${lasting}Whole run: p50 ${format.seconds(figures.p50)}, p99 ${format.seconds(figures.p99)}, ` +
    `longest ${format.seconds(figures.max)}.`
  );
}

function percentileSentence(data, { figures }) {
  if (!figures.samples) return "No latency was measured.";
  return (
    `50% of ${plural(figures.samples, "call")} took at most ${format.seconds(figures.p50)}, 95% at most ` +
    `${format.seconds(figures.p95)} and 99% at most ${format.seconds(figures.p99)}. The longest took ${format.seconds(figures.max)}.`
  );
}

/* Every cell of the timeline that has operations. */
const timelineCells = (rows) =>
  rows.flatMap(({ name, course }) =>
    wrongAt(course)
      .map((wrong, step) => ({ name, wrong, total: totalAt(course, step), course, step }))
      .filter(({ total }) => total));

function timelineSentence(data, { rows }) {
  const cells = timelineCells(rows);
  if (!cells.length) return "No operations.";
  const share = ({ wrong, total }) => wrong / total;
  if (!cells.some(({ wrong }) => wrong)) return "All operations were successful.";
  const telling = cells.filter(({ wrong, total }) => total >= FEWEST_IN_A_CELL && wrong >= FEWEST_WRONG_IN_A_CELL);
  if (!telling.length) return "No agent stands out: each cell has only a few unsuccessful operations.";
  const worst = telling.reduce((best, cell) =>
    share(cell) > share(best) || (share(cell) === share(best) && cell.wrong > best.wrong) ? cell : best);
  return (
    `Worst: ${inSentence(worst.name)} from ${span(worst.course, worst.step)}, ` +
    `${worst.wrong} of ${worst.total} operations unsuccessful.`
  );
}

const NOTHING = {
  unsuccessful: "All operations were successful.", error: "No errors.", p99: "No latency was measured.", total: "No operations.",
};

const HIGHEST = {
  unsuccessful: "Highest share of unsuccessful operations", error: "Most errors", p99: "Highest p99 latency", total: "Most operations",
};

function heatmapSentence(data, selection, measure) {
  const cells = data.agents.flatMap((agent, row) =>
    data.tasks.map((task, column) => ({
      name: `${inSentence(agent)} / ${inSentence(task)}`,
      figures: figuresOf(placeOf(data, row, column)),
    })).map(({ name, figures }) => ({ name, total: figures.total, value: measured(figures, measure) })),
  );
  const enough = cells.filter(({ total }) => total >= FEWEST_IN_A_CELL);
  const worst = (enough.length ? enough : cells).reduce((best, cell) => ((cell.value ?? -1) > (best.value ?? -1) ? cell : best));
  const left = data.agents.length > MOST_ROWS ? ` The chart shows the ${MOST_ROWS} of ${data.agents.length} agents with the highest figures.` : "";
  if (!worst.value) return `${NOTHING[measure]}${left}`;
  return `${HIGHEST[measure]}: ${worst.name}, ${measureText(worst.value, measure)}.${left}`;
}

function namesSentence(names, noun) {
  if (!names.length) return "No operations.";
  const { name, figures } = names[0];
  const left = names.length > MOST_BARS ? ` The chart shows the worst ${MOST_BARS} of ${names.length}; the table lists all.` : "";
  if (!figures.unsuccessful) return `All operations of every ${noun} were successful.${left}`;
  return (
    `Worst: ${inSentence(name)}, with ${plural(figures.error, "error")} and ` +
    `${format.count(figures.unsuccessful)} of ${format.count(figures.total)} operations unsuccessful.${left}`
  );
}

function memorySentence(data) {
  const { memory, seconds } = data.vitals;
  const top = largest(memory);
  return (
    `Memory was ${format.bytes(memory[0])} at the start and ${format.bytes(memory[memory.length - 1])} at the end, ` +
    `highest at ${format.seconds(seconds[top], 3)}: ${format.bytes(memory[top])}. This does not include the records that the plugin keeps.`
  );
}

function harnessSentence(data) {
  const { lag, cpu } = data.vitals;
  return (
    `Wake-ups in the test process were up to ${format.seconds(Math.max(...lag), 3)} late. ` +
    (cpu.length ? `The process used up to ${format.digits(Math.max(...cpu), 3)} processors.` : "")
  );
}

const stepTable = (course, heads, columns) => ({
  heads: ["From", "To", ...heads],
  rows: course.samples.map((_, step) => [
    format.seconds(course.start(step)), format.seconds(course.start(step + 1)), ...columns.map((column) => column(step)),
  ]),
});

function outcomesTable(data, { course }) {
  const names = ["success", "missing", "failed", "error"];
  return stepTable(course, names.map((name) => OUTCOME_NAMES[name]), names.map((name) => (step) =>
    format.count(course.counts[name][step])));
}

function latencyTable(data, { course }) {
  return stepTable(course, ["Samples", ...PERCENTILES], [
    (step) => format.count(course.samples[step]),
    ...PERCENTILES.map((name) => (step) => format.seconds(course.latency[name][step], 3)),
  ]);
}

const percentileTable = (data, { curves }) => ({
  heads: ["Percentile", "Series", "At most"],
  rows: curves.flatMap(({ name, curve }) =>
    curve.map(([x, seconds], at) => [
      at === curve.length - 1 ? "100" : String(Number((100 * (1 - 10 ** -x)).toPrecision(6))), name, format.seconds(seconds),
    ])),
});

const timelineTable = (data, { rows }) => ({
  heads: ["Agent or task", "From", "To", "Operations", "Unsuccessful"],
  rows: timelineCells(rows).map(({ name, wrong, total, course, step }) => [
    name, format.seconds(course.start(step)), format.seconds(course.start(step + 1)), format.count(total), format.count(wrong),
  ]),
});

const figuresRow = (name, figures) => [
  ...name, format.count(figures.total), format.count(figures.success), format.count(figures.missing),
  format.count(figures.failures), format.count(figures.error), format.seconds(figures.p50), format.seconds(figures.p99),
  format.seconds(figures.max),
];
const FIGURES_HEADS = ["Operations", "Successful", "Missing data", "Failed (incl. errors)", "Errors", "p50", "p99", "Longest"];

const namesTable = (names, noun) => ({
  heads: [noun, ...FIGURES_HEADS],
  rows: names.map(({ name, figures }) => figuresRow([name], figures)),
});

const heatmapTable = (data) => ({
  heads: ["Agent", "Task", ...FIGURES_HEADS],
  rows: data.agents.flatMap((agent, row) =>
    data.tasks.map((task, column) => figuresRow([agent, task], figuresOf(placeOf(data, row, column))))),
});

const ifMeasured = (value, formatted) => (value === undefined ? "not measured" : formatted(value));

const vitalsTable = (data) => ({
  heads: ["Time", "Memory", "Wake-up lag", "Processors used"],
  rows: data.vitals.seconds.map((at, row) => [
    format.seconds(at), ifMeasured(data.vitals.memory[row], format.bytes), format.seconds(data.vitals.lag[row]),
    ifMeasured(data.vitals.cpu[row], (used) => format.digits(used, 3)),
  ]),
});
