"use strict";
/* Selections of a run's data: all operations, or those of an agent, of a task, or of an agent and a task. Draws nothing. */

const OUTCOMES = ["success", "failed", "missing", "error"];
const PERCENTILES = ["p50", "p95", "p99", "max"];

/* The level of a selection, and its group in that level. `agent` and `task` are indices in the lists, or null for all. */
function placeOf(data, agent, task) {
  if (agent === null && task === null) return { level: data.levels.all, group: 0 };
  if (agent === null) return { level: data.levels.task, group: task };
  if (task === null) return { level: data.levels.agent, group: agent };
  return { level: data.levels.pair, group: agent * data.tasks.length + task };
}

const known = (nanoseconds) => (nanoseconds < 0 ? null : nanoseconds / 1e9);

function figuresOf({ level, group }) {
  const counts = Object.fromEntries(OUTCOMES.map((name, row) => [name, level.counts[row][group]]));
  const total = counts.success + counts.failed + counts.missing + counts.error;
  const latency = Object.fromEntries(PERCENTILES.map((name) => [name, known(level.latency[name][group])]));
  return {
    ...counts,
    total,
    failures: counts.failed + counts.error,
    unsuccessful: total - counts.success,
    samples: level.samples[group],
    mean: known(level.mean[group]),
    ...latency,
  };
}

/* The row of a group in its level's courses and curves; -1 if it has none. */
const rowOf = ({ level, group }) => (level.shown ? level.shown.indexOf(group) : group);

/* The figures of a selection in each step of time; null if the page has none. */
function courseOf(data, place) {
  const row = rowOf(place);
  if (row < 0) return null;
  const { steps, counts, samples, latency } = place.level.course;
  const of = (column) => column.slice(row * steps, (row + 1) * steps);
  const width = data.duration / steps;
  return {
    steps,
    width,
    start: (step) => step * width,
    middle: (step) => (step + 0.5) * width,
    counts: Object.fromEntries(OUTCOMES.map((name, number) => [name, of(counts[number])])),
    samples: of(samples),
    latency: Object.fromEntries(PERCENTILES.map((name) => [name, of(latency[name]).map(known)])),
  };
}

/* The distribution of a selection: points [log10(1/(1-p)), seconds]. The last point is the longest. */
function curveOf(place) {
  const row = rowOf(place);
  if (row < 0) return [];
  const { perDecade, sizes, values } = place.level.curve;
  const first = sizes.slice(0, row).reduce((sum, size) => sum + size, 0);
  const longest = Math.log10(Math.max(place.level.samples[place.group], 1));
  return values
    .slice(first, first + sizes[row])
    .map((value, number) => [number < sizes[row] - 1 ? number / perDecade : Math.max(longest, 0.01), known(value)]);
}

/* Names with their figures, worst first: most errors, then most unsuccessful operations, then longest latency. */
function worstFirst(names, placeAt) {
  return names
    .map((name, number) => ({ name, number, figures: figuresOf(placeAt(number)) }))
    .filter(({ figures }) => figures.total)
    .sort(
      (entry, other) =>
        other.figures.error - entry.figures.error ||
        other.figures.unsuccessful - entry.figures.unsuccessful ||
        (other.figures.max ?? 0) - (entry.figures.max ?? 0),
    );
}

/* The rows of the timeline: agents, or the tasks of the selected agent. */
function timelineRows(data, agent, task) {
  const places =
    agent === null
      ? data.agents.map((name, number) => ({ name, place: placeOf(data, number, task) }))
      : task === null && data.tasks.length > 1
        ? data.tasks.map((name, number) => ({ name, place: placeOf(data, agent, number) }))
        : [{ name: data.agents[agent], place: placeOf(data, agent, task) }];
  return places
    .map(({ name, place }) => ({ name, place, course: courseOf(data, place) }))
    .filter(({ course }) => course !== null);
}

/* The thresholds on exactly this selection. */
const thresholdsOf = (data, agent, task) =>
  data.thresholds.filter(
    (threshold) =>
      threshold.agent === (agent === null ? null : data.agents[agent]) &&
      threshold.task === (task === null ? null : data.tasks[task]),
  );
