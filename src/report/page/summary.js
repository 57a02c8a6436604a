// The three answers at the top, and the files with their origin.

/** The largest difference of an output as a part of its tolerance. */
const part_of_tolerance = (output) => (output.tolerance > 0 ? output.max_difference / output.tolerance
  : output.max_difference > 0 ? Infinity : 0);

/** All compared outputs with their part of the tolerance, the worst first. */
const comparisons = () => once('comparisons', () => results.validation.flatMap((check) => check.cases.flatMap((one) =>
  one.outputs.map((output) => ({ check, case: one.name, output, part: part_of_tolerance(output) }))))
  .sort((a, b) => (a.output.passed - b.output.passed) || (b.part - a.part)));

/** Outputs of quantized variants compared with the model as it was before, the furthest first. */
const drifts = () => once('drifts', () => results.validation.flatMap((check) =>
  (check.drift ?? []).map((drift) => ({ check, drift }))).sort((a, b) => a.drift.cosine - b.drift.cosine));

const largest_file = () => [...data.files].sort((a, b) =>
  sum(file_weights(b), (one) => one.bytes) - sum(file_weights(a), (one) => one.bytes))[0];
const file_of = (name) => data.files.find((file) => file.file === name) ?? null;
const has_state_name = (name) => /^(past|present)|key_values|cache|\bstate/.test(name);

function bits_in(file) {
  const kinds = group_by(file ? file_weights(file) : [], (weight) => weight.kind);
  return [...kinds].filter(([kind]) => kind.endsWith('bits')).sort((a, b) => b[1].length - a[1].length);
}

/** Why an output is not exact, as far as the data tells. */
function Reasons({ found }) {
  const { check, output } = found;
  const file = file_of(check.file);
  const reasons = [];
  if (output.non_finite !== output.reference_non_finite) {
    reasons.push(`It has ${plural(output.non_finite,
      'value')} that are infinite or not a number; the definition gives ${output.reference_non_finite}.`);
  }
  if (output.shape.join() !== output.reference_shape.join()) {
    reasons.push(`Its shape is [${output.shape.join(', ')}], expected [${output.reference_shape.join(', ')}].`);
  }
  const dtypes = new Set((file?.graph.initializers ?? []).map((one) => one.dtype));
  if (dtypes.has('float16')) {
    reasons.push('Its weights and sums are float16, which keeps 11 bits of each number (about 1 part in 2,000).');
  } else if (dtypes.has('bfloat16')) {
    reasons.push('Its weights are bfloat16, which keeps 8 bits of each number (about 1 part in 256).');
  } else {
    reasons.push('The file computes in float32, which keeps 24 bits of each number (about 1 part in 16 million). '
      + 'The comparison is with the same graph in double precision.');
  }
  const graph = file && graphs_of_file(file).find((one) => depths_of(one).has(output.name));
  if (graph) {
    const depths = [...depths_of(graph)];
    const depth = depths_of(graph).get(output.name);
    const [least, most] = [Math.min(...depths.map(([, other]) => other)),
      Math.max(...depths.map(([, other]) => other))];
    const others = least === most ? '' : depth === most ? `, the longest of all outputs (the shortest: ${least})`
      : ` (other outputs: ${least} to ${most})`;
    if (depth > 1) reasons.push(`Each operation rounds a little, and ${depth} operations follow one another on the `
      + `longest way to this output${others}.`);
  }
  const scale = check.atol > 0 ? output.tolerance / check.atol : 1;
  if (scale > 1.05)
    reasons.push(`Its values are as large as ${small(scale)}, and rounding grows with them. So does the tolerance.`);
  return html`<ul>${reasons.map((text) => html`<li>${text}</li>`)}</ul>`;
}

function BytesAnswer({ file }) {
  const weights = file_weights(file);
  const total = sum(weights, (weight) => weight.bytes);
  const places = by_place(weights).slice(0, 3).filter((group) => group.bytes > total / 100);
  if (total === 0) return html`<p>${file.file} stores no weights.</p>`;
  const tied = (group) => {
    const shared = group.weights.filter((weight) => weight.readers.length > 1 && weight.bytes > total / 20);
    const readers = [...new Set(shared.flatMap((weight) => weight.readers.slice(1)))];
    return readers.length > 0 ? html`, also read by ${listed(readers, as_path, 1)} (tied)` : '';
  };
  return html`<p>The weights of <${Path}>${file.file}<//> take <strong>${bytes(total)}</strong>. The most is in</p>
    <ol>${places.map((group) => html`<li><${Path}>${place_text(group)}<//>: <strong>${percent(group.bytes,
      total)}</strong>,
      ${' '}${bytes(group.bytes)}${group.layers.size > 1 ? ` in ${group.layers.size} layers` : ''}
      ${' '}(${kinds_of(group.weights).map(([kind]) => kind).slice(0, 2).join(' and ')})${tied(group)}</li>`)}</ol>`;
}

function ExactAnswer() {
  const [worst] = comparisons();
  if (!worst) {
    return html`<p>Unknown: this page was made without results of a validation. <a href="#validation">How to get
      them</a></p>`;
  }
  const [drift] = drifts();
  const kinds = drift && bits_in(file_of(drift.check.file));
  const { output } = worst;
  return html`<p><code>${output.name}</code> of <${Path}>${worst.check.file}<//>: it differs by at most
      ${' '}<strong><${Small} value=${output.max_difference} /></strong>, ${Number.isFinite(worst.part)
    ? html`${percent(worst.part, 1)} of the tolerance <${Small} value=${output.tolerance} />`
      : 'where equality is expected'}
      ${' '}(case: ${worst.case}).${output.passed ? '' : html` <strong class="bad">It failed.</strong>`}</p>
    <${Reasons} found=${worst} />
    ${drift && html`<p>That compares each file with its own weights. Quantizing changed the weights themselves:
      ${' '}<code>${drift.drift.name}</code> of <${Path}>${drift.check.file}<//> is the furthest from the model
        before, with a cosine of
      ${' '}<strong>${drift.drift.cosine.toFixed(5)}</strong> (1: the same; accepted
        from ${drift.drift.smallest_cosine})${kinds.length > 0
    ? html`, because ${kinds.map(([kind, weights], i) =>
      `${i > 0 ? ' and ' : ''}${plural(weights.length, 'tensor')} of its weights keep${weights.length === 1 ? 's'
        : ''} ${kind} of each value`)}` : ''}.
      ${drift.drift.passed ? '' : html` <strong class="bad">It failed.</strong>`}</p>`}`;
}

function FeedAnswer({ files }) {
  const linked = new Set(data.links.flatMap((link) => link.tensors.map(([, input]) => `${link.to} ${input}`)));
  return html`<ul>${files.map((file) => {
    const inputs = file.graph.inputs.filter((input) => !linked.has(`${file.component} ${input.name}`));
    const fed = file.graph.inputs.length - inputs.length;
    return html`<li><${Path}>${file.component}<//>: ${inputs.length > 0
      ? listed(inputs, (input) => html`<code>${input.name}</code> (${input.dtype})`, 6)
        : 'nothing from outside'}${fed > 0
        ? `; ${plural(fed, 'more input')} ${fed === 1 ? 'is an output'
          : 'are outputs'} of ${data.links.every((link) => link.to !== file.component || link.from === link.to)
            ? 'its call before' : 'the files'}` : ''}</li>`;
  })}</ul><p><a href="#interface">All inputs and outputs, with dtypes and axes</a></p>`;
}

/** The stored tensors that the graphs read: one entry for each. */
function sources() {
  const found = new Map();
  for (const graph of data.graphs) {
    for (const node of graph.nodes) {
      for (const source of node.weight?.from ?? []) found.set(`${source.file} ${source.key}`, source);
    }
  }
  return [...found.values()];
}

function About() {
  const stored = sources();
  const by_file = [...group_by(stored, (source) => source.file ?? 'in memory')];
  const dtypes = [...group_by(stored, (source) => source.dtype)]
    .map(([dtype, list]) => `${bytes(sum(list, (source) => source.bytes))} ${dtype}`);
  const rows = [];
  if (data.model) rows.push(['Checkpoint', html`<${Path}>${data.model}<//>`]);
  if (exported) {
    rows.push(['Model type', `${exported.model_type} (${exported.library})`], ['Task', exported.task],
      ['Parameters', exported.parameters.toLocaleString('en')]);
  }
  if (stored.length > 0) {
    rows.push(['Read from', html`${listed(by_file, ([file, list]) =>
      html`<code>${file}</code> (${plural(list.length, 'tensor')})`, by_file.length, '; ')}, ${dtypes.join(', ')}`]);
  }
  const opsets = new Set(data.files.map((file) => Object.entries(file.opsets).map(([domain, version]) =>
    `${domain} ${version}`).join(', ')));
  if (data.files.length > 0) rows.push(['Operators', [...opsets].join('; ')],
    ['Written by', [...new Set(data.files.map((file) => file.producer || 'unknown'))].join('; ')]);
  for (const one of exported?.quantization ?? []) {
    rows.push([one.variant === 'default' ? 'Quantized' : `Quantized: ${one.variant}`,
      one.layers === 0 ? 'no layer is large enough'
        : `${plural(one.layers, 'layer')} with ${one.parameters.toLocaleString('en')} parameters: `
          + `${bytes(one.bytes_after)} instead of ${bytes(one.bytes_before)}`
          + (one.tied === 0 ? '' : `; ${one.tied} of them ${one.tied === 1 ? 'shares' : 'share'} a weight with another`)]);
  }
  return html`<dl class="facts">${rows.map(([name, value]) =>
    html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Files() {
  const rows = [];
  for (const file of data.files) {
    let nodes = 0;
    each_node(file.graph, () => { nodes += 1; });
    const tied = tied_weights(file).length;
    rows.push([html`<${Path}>${file.file}<//>`, bytes(file.bytes), plural(nodes, 'node'),
      kinds_of(file_weights(file)).map(([kind, size]) => `${bytes(size)} ${kind}`).slice(0, 4).join(', '),
      tied > 0 ? plural(tied, 'weight') : '–']);
    for (const [name, { model, size }] of data_files) {
      if (model === file)
        rows.push([html`<${Path}>${name}<//>`, bytes(size), 'weights', 'data of the files above and below', '–']);
    }
  }
  const others = (exported?.files ?? []).filter((one) => !data.files.some((file) => file.file === one.path)
    && !data_files.has(one.path));
  return html`<${Table} label="Files" heads=${['File', 'Size', 'Content', 'Weights by type', 'Tied']} numbers=${[1]}
    rows=${rows} />
    ${others.length > 0 && html`<${Later} summary=${`${plural(others.length,
      'other file')} beside the models`}>${() => html`
      <${Table} label="Other files" heads=${['File', 'Size']} numbers=${[1]}
        rows=${others.map((one) => [html`<${Path}>${one.path}<//>`, bytes(one.bytes)])} />`}<//>`}`;
}
