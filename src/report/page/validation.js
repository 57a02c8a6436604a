// Differences against tolerance, the drift of variants, and the proof of the definition.

const scale_least = -6;  // a millionth of the tolerance, and everything below
const scale_most = 1.5;

/** Outputs of a check: with the part of the tolerance in each case, the worst output first. */
function outputs_of(check) {
  const found = new Map();
  for (const one of check.cases) {
    for (const output of one.outputs) {
      if (!found.has(output.name)) found.set(output.name, { name: output.name, dots: [], worst: 0, passed: true });
      const entry = found.get(output.name);
      const part = part_of_tolerance(output);
      entry.dots.push({ part, case: one.name, output });
      entry.worst = Math.max(entry.worst, part);
      entry.passed &&= output.passed;
    }
  }
  return [...found.values()].sort((a, b) => (a.passed - b.passed) || (b.worst - a.worst));
}

const dot_text = (one, { case: name, output }) =>
  `${one.name}, ${name}: ${small(output.max_difference)} of ${small(output.tolerance)}`;

function Dots({ outputs, width }) {
  const row = 24;
  const label = Math.min(230, Math.max(110, width * 0.32));
  const right = width - 14;
  const height = outputs.length * row + 34;
  const x = (part) => {
    const log = part <= 0 ? scale_least : Math.min(scale_most, Math.max(scale_least, Math.log10(part)));
    return label + 14 + ((log - scale_least) / (scale_most - scale_least)) * (right - label - 14);
  };
  const ticks = width > 520 ? [-6, -5, -4, -3, -2, -1, 0, 1] : [-6, -4, -2, 0];
  const tick_text = { '-6': '≤ 10⁻⁶', '-5': '10⁻⁵', '-4': '10⁻⁴', '-3': '0.1 %', '-2': '1 %', '-1': '10 %',
    0: 'tolerance', 1: '10 ×' };
  const most = Math.floor((label - 4) / 6.7);
  const cut = (name) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);
  return html`<svg class="dots" width=${width} height=${height} viewBox="0 0 ${width} ${height}" role="img"
      aria-label=${`Largest differences as parts of their tolerance, on a logarithmic scale. ${outputs.map((one) =>
        `${one.name}: ${percent(one.worst, 1)}`).slice(0, 6).join('; ')}`}>
    <rect class="beyond" x=${x(1)} y="0" width=${right - x(1)} height=${height - 28} />
    ${ticks.map((tick) => html`<g><line class=${tick === 0 ? 'limit' : 'tick'} x1=${x(10 ** tick)}
      x2=${x(10 ** tick)} y1="0" y2=${height - 28} />
      <text class="axis" x=${x(10 ** tick)} y=${height - 12} text-anchor="middle">${tick_text[tick]}</text></g>`)}
    ${outputs.map((one, i) => html`<g><text class="mono" x="0"
      y=${i * row + 16}><title>${one.name}</title>${cut(one.name)}</text>
      <line class="row" x1=${label + 10} x2=${right} y1=${i * row + 12} y2=${i * row + 12} />
      ${one.dots.map((dot) => html`<circle class=${dot.output.passed ? 'good' : 'failed'} cx=${x(dot.part)}
        cy=${i * row + 12} r="5">
        <title>${dot_text(one, dot)}</title></circle>`)}</g>`)}
  </svg>`;
}

/** A merged file has a check for each of its branches. */
function number_of(check) {
  const same = results.validation.filter((other) => other.file === check.file);
  return same.length > 1 ? ` (${same.indexOf(check) + 1} of ${same.length})` : '';
}

function Check({ check, width, open }) {
  const outputs = outputs_of(check);
  const shown = outputs.slice(0, 8);
  const cases = check.cases.length;
  return html`<details open=${open} class="check"><summary><${Path}>${check.file}<//>${number_of(check)} <span
    class=${check.passed ? 'pass' : 'bad'}>
      ${check.passed ? '✓ passed' : '✗ failed'}</span> <span
        class="muted">${plural(outputs.length, 'output')}, ${plural(cases, 'case')}${outputs.length > 0
          ? outputs[0].worst === 0 ? ', exact' : `, at most ${percent(outputs[0].worst, 1)} of the tolerance`
            : ''}</span></summary>
    ${check.problems.length > 0 && html`<ul class="bad">${check.problems.map((text) => html`<li>${text}</li>`)}</ul>`}
    ${outputs.length > 0 && html`<${Dots} outputs=${shown} width=${width - 26} />
      <p class="muted">A dot is a case: its largest difference as a part of the tolerance, <${Small}
        value=${check.atol} /> × the largest value (at least 1).
        ${' '}Left is better.${outputs.length > shown.length
          ? ` ${outputs.length - shown.length} more outputs are nearer.` : ''}</p>
      <${Later} summary="All numbers">${() => html`<${Table}
        label=${`Differences in ${check.file}${number_of(check)}`} numbers=${[2, 3, 4]}
        heads=${['Output', 'Case', 'Difference', 'Tolerance', 'Part', 'Result']}
        rows=${outputs.flatMap((one) => one.dots.map((dot) => [html`<${Path}>${one.name}<//>`, dot.case,
    html`<${Small} value=${dot.output.max_difference} />`, html`<${Small} value=${dot.output.tolerance} />`,
      percent(dot.part, 1),
    dot.output.passed ? '✓' : html`<strong class="bad">✗</strong>`]))} />`}<//>`}</details>`;
}

function DriftTable() {
  const rows = drifts();
  if (rows.length === 0) return null;
  const make = (list, label) => html`<${Table} label=${label} numbers=${[2, 3, 4, 5]}
    heads=${['Output', 'File', '1 − cosine', 'accepted', 'mean difference', 'same best token', 'Result']}
    rows=${list.map(({ check, drift }) => [html`<${Path}>${drift.name}<//>`, html`<${Path}>${check.file}<//>`,
    html`<${DriftBar} drift=${drift} />`, html`<${Small} value=${1 - drift.smallest_cosine} />`,
      html`<${Small} value=${drift.mean_difference} />`,
    drift.agreement === undefined ? '–' : percent(drift.agreement, 1), drift.passed ? '✓'
      : html`<strong class="bad">✗</strong>`])} />`;
  return html`<h3>Drift of quantized variants</h3>
    <p>How far the outputs of a quantized file are from the model as it was before: 0 is the same, and a file passes
      up to the accepted value. The bars are on a logarithmic scale.</p>
    ${make(rows.slice(0, 8), 'Drift of the outputs that are the furthest')}
    ${rows.length > 8 && html`<${Later} summary=${`${rows.length - 8} more outputs, which are nearer`}>${() =>
      make(rows.slice(8), 'Drift of the other outputs')}<//>`}`;
}

function DriftBar({ drift }) {
  const value = Math.max(0, 1 - drift.cosine);
  const most = Math.max(1e-9, 1 - drift.smallest_cosine);
  const log = (number) => Math.min(1, Math.max(0, (Math.log10(Math.max(number, 1e-7)) + 7) / (Math.log10(most) + 7)));
  return html`<span class="drift"><span class="bar" aria-hidden="true"><span class=${drift.passed ? 'k5' : 'failed'}
    style=${`width:${100 * log(value)}%`}></span></span><span class="value"><${Small}
      value=${value < 1e-12 ? 0 : value} /></span></span>`;
}

function ProofText() {
  const proof = exported?.proof ?? results.validation.find((check) => check.proof)?.proof;
  if (!proof) return null;
  const list = (title, values) => values.length > 0 && html`<p>${title}: ${listed(values, as_code)}</p>`;
  return html`<h3>Proof of the definition</h3>
    <p>${proof.fixtures === 0 ? 'No fixture: nobody compared this definition with the original model.'
    : html`The reference of these comparisons is onnxport’s own definition of the
      model. <strong>${plural(proof.fixtures, 'fixture')}</strong> prove it: tiny
      checkpoints with outputs that the original model gave (transformers ${proof.transformers.join(', ')}).`}</p>
    ${list('Values of this configuration that no fixture of the type has', proof.not_covered)}
    ${list('Values that only fixtures of other tasks have', proof.covered_elsewhere)}
    ${proof.fixtures > 0 && proof.not_covered.length === 0
      && html`<p>They cover every value of this configuration that the graphs depend on.</p>`}`;
}

function Validation() {
  const [ref, width] = useWidth(800);
  const checks = results.validation;
  if (checks.length === 0) {
    const onnx = data.files.length === 1 ? data.files[0].file : 'OUT';
    const commands = `onnxport validate MODEL ${onnx} --json > validation.json\n`
      + `onnxport report ${onnx} --data validation.json`;
    return html`<div ref=${ref}><p>This page was made without results of a validation, so nothing here says how exact
      the files are. To get them:</p>
      <pre tabindex="0">${commands}</pre>
      <p>MODEL is the checkpoint that was exported; give <code>validate</code> the same flags as the export. An
        export with
        ${' '}<code>--report</code> has all of it in its page.</p><${ProofText} /></div>`;
  }
  const failed = checks.filter((check) => !check.passed).length;
  const worst = comparisons()[0]?.check;
  return html`<div ref=${ref}><p>${failed === 0 ? html`<strong
    class="pass">All ${plural(checks.length, 'check')} passed.</strong>`
    : html`<strong class="bad">${failed} of ${plural(checks.length, 'check')} failed: do not rely on these
      files.</strong>`}
      ${' '}Each runs a file in ONNX Runtime, and its graph in double precision, on the same inputs.</p>
    ${checks.map((check, i) => html`<${Check} key=${i} check=${check} width=${width}
      open=${check === worst || !check.passed} />`)}
    <${DriftTable} /><${ProofText} /></div>`;
}
