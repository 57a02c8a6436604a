// The components, and how they feed each other.

const components = [...group_by(data.files, (file) => file.component)]
  .map(([name, files]) => ({ name, files, graph: files[0].graph }));

/** Components that are also in a merged file, by name, with the name of that one: it is drawn. */
const merged_parts = new Map(components.flatMap(({ name }) => parts_of(name).map((part) => [part, name]))
  .filter(([part]) => components.some((one) => one.name === part)));

/** Lines of a box: at most `most` names. */
function some_names(names, most = 5) {
  return names.length <= most + 1 ? names : [...names.slice(0, most), `and ${names.length - most} more`];
}
const grouped_names = (names) => [...group_by(names, number_pattern).values()]
  .map((list) => (list.length > 1 ? `${pattern_text(list)} (${list.length})` : list[0]));

const is_state = (tensors) => tensors.every(([output]) => has_state_name(output));
function link_text(link) {
  if (is_state(link.tensors) && link.tensors.length > 1) return `cache: ${link.tensors.length} tensors`;
  return some_names(grouped_names(link.tensors.map(([output, input]) =>
    (output === input ? output : `${output} → ${input}`))), 2).join(', ');
}

const is_of_part = (link) => merged_parts.has(link.from) || merged_parts.has(link.to);

/** Boxes and arrows for the layout. */
function make_picture() {
  const shown = components.filter((one) => !merged_parts.has(one.name));
  const links = data.links.filter((link) => !is_of_part(link));
  const boxes = [];
  const arrows = [];
  for (const one of shown) {
    const loop = links.find((link) => link.from === one.name && link.to === one.name);
    const variants = one.files.map((file) => file.variant).filter(Boolean);
    boxes.push({ id: one.name, class: 'component', lines: [one.name,
      ...(variants.length > 0 ? [`${one.files.length} precisions`] : []),
      ...(loop ? [`↻ ${is_state(loop.tensors) ? `its ${loop.tensors.length} states return`
        : link_text(loop)} in the next call`] : [])] });
    const fed = new Set(links.filter((link) => link.to === one.name).flatMap((link) =>
      link.tensors.map(([, input]) => input)));
    const given = new Set(links.filter((link) => link.from === one.name).flatMap((link) =>
      link.tensors.map(([output]) => output)));
    const inputs = grouped_names(one.graph.inputs.map((value) => value.name).filter((name) => !fed.has(name)));
    const outputs = grouped_names(one.graph.outputs.map((value) => value.name).filter((name) => !given.has(name)));
    if (inputs.length > 0) {
      boxes.push({ id: `${one.name} in`, class: 'client', lines: ['you feed', ...some_names(inputs)] });
      arrows.push({ from: `${one.name} in`, to: one.name, text: '' });
    }
    if (outputs.length > 0) {
      boxes.push({ id: `${one.name} out`, class: 'client', lines: ['you get', ...some_names(outputs)] });
      arrows.push({ from: one.name, to: `${one.name} out`, text: '' });
    }
  }
  for (const link of links) if (link.from !== link.to) arrows.push({ from: link.from, to: link.to,
    text: link_text(link) });
  return { boxes, arrows };
}

const letter = 7.3;
/** Lines of at most so many letters, if there are blanks. */
function wrapped(text, most) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last && last.length + 1 + word.length > most) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines;
}

function lay_out({ boxes, arrows }, narrow) {
  const lines_of = (text) => (narrow ? wrapped(text, 24) : [text]);
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({ rankdir: narrow ? 'TB' : 'LR', nodesep: 18, ranksep: narrow ? 34 : 44, marginx: 4, marginy: 4 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const box of boxes) {
    const lines = box.lines.flatMap(lines_of);
    graph.setNode(box.id, { ...box, lines, width: Math.max(...lines.map((line) => line.length)) * letter + 22,
      height: lines.length * 17 + 14 });
  }
  arrows.forEach((arrow, i) => {
    const lines = arrow.text ? lines_of(arrow.text) : [];
    graph.setEdge(arrow.from, arrow.to, { lines, labelpos: 'c', height: lines.length * 17,
      width: lines.length > 0 ? Math.max(...lines.map((line) => line.length)) * letter + 8 : 0 }, String(i));
  });
  dagre.layout(graph);
  return graph;
}

function Picture() {
  const [ref, width] = useWidth(800);
  const picture = useMemo(make_picture, []);
  const wide = useMemo(() => lay_out(picture, false), []);
  const fits = wide.graph().width <= width;
  const graph = useMemo(() => (fits ? wide : lay_out(picture, true)), [fits]);
  const size = graph.graph();
  const first_from_other = (link) => data.links.some((other) => other.to === link.to && other.from !== link.to
    && other.tensors.some(([, input]) => input === link.tensors[0][1]));
  const writes_rows = (link) => link.tensors.some(([output, input]) =>
    output.endsWith('_features') && input === 'inputs_embeds');
  const sentence = (link) => (link.from === link.to
    ? html`<li><${Path}>${link.from}<//> takes ${plural(link.tensors.length, 'output')} of its call before
      (<${Path}>${link.tensors[0][0]}<//>${' as '}<${Path}>${link.tensors[0][1]}<//>${link.tensors.length > 1 ? ', …'
        : ''})${first_from_other(link) ? '' : '; in the first call, they are empty'}</li>`
    : html`<li><${Path}>${link.from}<//> gives <${Path}>${link.to}<//>: ${link_text(link)}${writes_rows(link)
      ? ' (the client writes its rows over the vectors of the placeholder tokens)' : ''}</li>`);
  const text = data.links.filter((link) => !is_of_part(link)).map(sentence);
  const separate = data.links.filter(is_of_part);
  const points = (list) => `M${list.map((point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`).join('L')}`;
  return html`<div ref=${ref}><div class="scroll picture" role="region" aria-label="Picture of the components"
    tabindex="0">
    <svg width=${size.width} height=${size.height} viewBox="0 0 ${size.width} ${size.height}" role="img"
      aria-label=${`${plural(components.length, 'component')} and the tensors between them, as the list below says.`}>
      <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
        orient="auto-start-reverse">
        <path d="M0 0L8 4L0 8z" class="tip" /></marker></defs>
      ${graph.edges().map((edge) => {
    const arrow = graph.edge(edge);
    return html`<path class="arrow" d=${points(arrow.points)} marker-end="url(#tip)" />`;
  })}
      ${graph.edges().map((edge) => {
    const arrow = graph.edge(edge);
    const top = arrow.y - arrow.height / 2;
    return arrow.lines.length > 0 && html`<g><rect class="label" x=${arrow.x - arrow.width / 2} y=${top}
      width=${arrow.width} height=${arrow.height} />
          ${arrow.lines.map((line, i) => html`<text class="mono" x=${arrow.x} y=${top + 13 + i * 17}
            text-anchor="middle">${line}</text>`)}</g>`;
  })}
      ${graph.nodes().map((id) => {
    const box = graph.node(id);
    return html`<g transform="translate(${box.x - box.width / 2},${box.y - box.height / 2})">
          <rect class=${box.class} width=${box.width} height=${box.height} rx="6" />
          ${box.lines.map((line, i) => html`<text class="mono ${i === 0 ? 'head' : ''}" x="11"
            y=${19 + i * 17}>${line}</text>`)}</g>`;
  })}</svg></div>
    ${text.length > 0 && html`<ul>${text}</ul>`}
    ${[...group_by([...merged_parts], ([, whole]) => whole)].map(([whole, list]) => html`<p><${Path}>${whole}<//> has
      ${' '}${listed(list, ([part]) => as_path(part), list.length, ' and ')} in one file, for clients
        that load only one. Use either.</p>`)}
    ${separate.length > 0 && html`<${Later} summary="How the separate files feed each other">${() =>
      html`<ul>${separate.map(sentence)}</ul>`}<//>`}
  </div>`;
}
