"use strict";
/* Texts of figures, with the same digits as in the terminal, JUnit XML and the other outputs. */

const format = (() => {
  const digits = (value, many = 4) => String(Number(value.toPrecision(many)));

  const count = (value) => value.toLocaleString("en-US");

  /* Seconds, in the unit that is easiest to read. */
  const seconds = (value, many = 4) => {
    if (value === null) return "–";
    for (const [unit, size] of [["s", 1], ["ms", 1e-3], ["us", 1e-6]])
      if (value >= size) return `${digits(value / size, many)} ${unit}`;
    return value === 0 ? "0 s" : `${digits(value * 1e9, many)} ns`;
  };

  const share = (part, whole, many = 4) => (whole ? `${digits((100 * part) / whole, many)}%` : "–");

  const bytes = (value) => {
    for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]])
      if (Math.abs(value) >= size) return `${digits(value / size)} ${unit}`;
    return `${value} B`;
  };

  /* A short text for a tick of an axis. */
  const tick = (value) =>
    value >= 1e6 ? `${digits(value / 1e6, 3)}M` : value >= 1e4 ? `${digits(value / 1e3, 3)}k` : digits(value, 3);

  const markup = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  const escaped = (text) => String(text).replace(/[&<>"']/g, (character) => markup[character]);

  const shortened = (text, longest) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text);

  return { digits, count, seconds, share, bytes, tick, escaped, shortened };
})();
