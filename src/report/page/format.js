// Numbers, sizes and small pieces of the page.
'use strict';

const { html, render, useEffect, useMemo, useRef, useState } = htmPreact;

const plural = (count, word, words = `${word}s`) => `${count.toLocaleString('en')} ${count === 1 ? word : words}`;

/** Decimal units, as disks have them. */
function bytes(count) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = count;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function percent(part, whole) {
  if (!whole || !part) return '0 %';
  const value = (100 * part) / whole;
  if (value < 0.1) return '< 0.1 %';
  return `${value >= 10 ? Math.round(value) : value.toFixed(1)} %`;
}

/** A difference or a tolerance. */
function small(value) {
  if (value === 0) return '0';
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'not a number';
  if (value >= 0.001 && value < 10000) return String(Number(value.toPrecision(3)));
  return value.toExponential(1).replace('e', ' × 10^');
}

/** The same, with the exponent set high. */
function Small({ value }) {
  const [digits, exponent] = small(value).split('^');
  const high = exponent?.replace('-', '−').replace('+', '');
  return high ? html`<span class="number">${digits}<sup>${high}</sup></span>`
    : html`<span class="number">${digits}</span>`;
}

function seconds(value) {
  if (value >= 100) return `${Math.round(value)} s`;
  if (value >= 1) return `${value.toFixed(2)} s`;
  if (value >= 1e-3) return `${(value * 1e3).toFixed(2)} ms`;
  return `${(value * 1e6).toFixed(1)} µs`;
}

const tensor_type = (value) => `${value.dtype}[${value.shape.join(', ')}]`;

function sum(list, of) {
  return list.reduce((total, one) => total + of(one), 0);
}

function group_by(list, key) {
  const groups = new Map();
  for (const one of list) {
    const name = key(one);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(one);
  }
  return groups;
}

/** A table that scrolls by itself where it is too wide; keys can scroll it, too. */
function Table({ label, heads, rows, numbers = [] }) {
  return html`<div class="scroll" role="region" aria-label=${label} tabindex="0"><table>
    <thead><tr>${heads.map((head, i) => html`<th scope="col" class=${numbers.includes(i) ? 'right' : ''}>${head}</th>`)}
    </tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((cell, i) => (i === 0
      ? html`<th scope="row">${cell}</th>`
      : html`<td class=${numbers.includes(i) ? 'right' : ''}>${cell}</td>`))}</tr>`)}</tbody></table></div>`;
}

/** A table whose rows are only made when it is opened. */
function Later({ summary, children }) {
  const [open, set_open] = useState(false);
  return html`<details onToggle=${(event) => set_open(event.currentTarget.open)}>
    <summary>${summary}</summary>${open && children()}</details>`;
}

/** A choice of one of several; nothing if there is only one. */
function Choice({ label, options, value, on_change }) {
  if (options.length < 2) return null;
  return html`<label class="choice">${label}
    <select value=${value} onChange=${(event) => on_change(event.currentTarget.value)}>
      ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
    </select></label>`;
}

/** Long names may break after their dots. */
function Path({ children }) {
  const parts = String(children).split(/(?<=[._/])/);
  return html`<code>${parts.map((part, i) => (i === 0 ? part : html`<wbr />${part}`))}</code>`;
}

/** Things in a row: at most `most` of them, and how many more there are. */
function listed(list, show, most = list.length, between = ', ') {
  return html`${list.slice(0, most).map((one, i) => html`${i > 0 ? between : ''}${show(one)}`)}${list.length > most
    ? ` and ${list.length - most} more` : ''}`;
}
const as_code = (text) => html`<code>${text}</code>`;
const as_path = (text) => html`<${Path}>${text}<//>`;

/** The width of an element, also after it changed. */
function useWidth(fallback) {
  const ref = useRef(null);
  const [width, set_width] = useState(fallback);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => set_width(Math.max(240, Math.floor(entry.contentRect.width))));
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}
