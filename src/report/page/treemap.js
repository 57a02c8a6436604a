// Bytes by module: a map, and the same as a table.

const kind_classes = { float32: 'k1', float16: 'k2', bfloat16: 'k3', '8 bits': 'k4', '4 bits': 'k5', '2 bits': 'k6' };
const kind_class = (kind) => kind_classes[kind] ?? 'k7';

/** The tree for d3: a module that is too small to be opened is one leaf for each kind. */
function map_of(tree, is_large) {
  const at = joined(tree);
  const node = { name: at.name, path: at.path, children: [] };
  const kinds = new Map();
  const add = (one) => {
    for (const weight of one.items) {
      const entry = kinds.get(weight.kind) ?? { kind: weight.kind, value: 0, path: at.path, name: at.name };
      entry.value += weight.bytes;
      kinds.set(weight.kind, entry);
    }
  };
  add(at);
  if (!is_large(at)) {
    const all = (one) => one.children.forEach((child) => {
      add(child);
      all(child);
    });
    all(at);
  } else {
    for (const child of at.children.values()) if (child.bytes > 0) node.children.push(map_of(child, is_large));
  }
  node.children.push(...[...kinds.values()].filter((entry) => entry.value > 0));
  return node;
}

function Rectangles({ tree, width, height, on_open }) {
  const total = tree.bytes;
  const root = d3.hierarchy(map_of(tree, (one) => one === tree
    || (one.bytes / total) * width * height > 5000)).sum((one) => one.value ?? 0).sort((a, b) => b.value - a.value);
  d3.treemap().size([width, height]).round(true).paddingInner(1).paddingOuter((one) => (one.depth === 0 ? 0 : 1))
    .paddingTop((one) => (one.depth === 0 ? 0 : one.x1 - one.x0 > 30 && one.y1 - one.y0 > 30 ? 15 : 1))(root);
  const visible = root.descendants().filter((one) => one.depth > 0 && one.x1 - one.x0 >= 1 && one.y1 - one.y0 >= 1);
  const fits = (text, room) => (text.length * 6.6 <= room ? text : room < 26 ? ''
    : `${text.slice(0, Math.floor(room / 6.6) - 1)}…`);
  return html`<svg class="map" width=${width} height=${height} viewBox="0 0 ${width} ${height}" role="img"
      aria-label=${`Map of ${bytes(total)} of weights by module. The table below has the same numbers.`}>
    ${visible.map((one) => {
    const [w, h] = [one.x1 - one.x0, one.y1 - one.y0];
    const leaf = !one.children;
    const label = leaf && one.parent && one.parent.children.length === 1 ? '' : leaf ? one.data.kind : one.data.name;
    const text = h >= 13 ? fits(label, w - 6) : '';
    return html`<g transform="translate(${one.x0},${one.y0})" onClick=${() => on_open(one.data.path)}>
      <title>${`${one.data.path || 'top'}${leaf ? ` · ${one.data.kind}`
        : ''}: ${bytes(one.value)}, ${percent(one.value, total)}`}</title>
      <rect width=${w} height=${h} class=${leaf ? kind_class(one.data.kind) : 'group'} />
      ${text && html`<text x="3" y="11">${text}</text>`}</g>`;
  })}</svg>`;
}

/** All weights of a module. */
function weights_below(tree) {
  return [...tree.items, ...[...tree.children.values()].flatMap(weights_below)];
}

function Kinds({ weights, total }) {
  const list = kinds_of(weights);
  return html`<span class="bar" aria-hidden="true">${list.map(([kind, size]) => html`<span class=${kind_class(kind)}
    style=${`width:${(100 * size) / total}%`}></span>`)}</span><span
      class="kinds">${list.map(([kind]) => kind).join(', ')}</span>`;
}

function TiedWeights({ file }) {
  const tied = tied_weights(file).sort((a, b) => b.bytes - a.bytes);
  if (tied.length === 0) return null;
  return html`<h3>Tied weights: stored once, read by several modules</h3>
    <ul>${tied.slice(0, 12).map((weight) => html`<li><${Path}>${weight.name}<//>, ${bytes(weight.bytes)}: read by
      ${' '}${listed(weight.readers, (reader) => as_path(module_text(reader)), 4)}</li>`)}</ul>
    ${tied.length > 12 && html`<p>${tied.length - 12} more are smaller.</p>`}`;
}

const bytes_tree = (name) => once(`bytes ${name}`, () =>
  make_tree(file_weights(file_of(name)), (weight) => weight.module, 'bytes', (weight) => weight.bytes));

/** Where the map begins: below modules that have nearly everything, and not between layers. */
function start_path(name) {
  let at = bytes_tree(name);
  for (;;) {
    const child = [...at.children.values()].map(joined).find((one) => one.bytes > 0.95 * at.bytes);
    if (!child || ![...child.children.keys()].some((key) => !/^\d+$/.test(key))) return at.path;
    at = child;
  }
}

/** The bytes of all layers of a file together, by place. */
function Places({ weights, total }) {
  const places = by_place(weights).filter((place) => place.bytes >= total / 1000).slice(0, 10);
  if (!places.some((place) => place.layers.size > 1)) return null;
  return html`<h3>The same place in all layers, together</h3>
    <${Table} label="Table of bytes by place" heads=${['Place', 'Bytes', 'Part', 'Stored as']} numbers=${[1, 2]}
      rows=${places.map((place) => [html`<${Path}>${place_text(place)}<//>`, bytes(place.bytes),
    percent(place.bytes, total), html`<${Kinds} weights=${place.weights} total=${total} />`])} />`;
}

function BytesByModule() {
  const [name, set_name] = useState(() => largest_file().file);
  const [path, set_path] = useState(() => start_path(name));
  const [ref, width] = useWidth(800);
  const file = file_of(name);
  const weights = file_weights(file);
  const tree = bytes_tree(name);
  const at = joined(module_at(tree, path));
  const total = tree.bytes;
  const parts = path ? path.split('.') : [];
  const crumbs = parts.map((part, i) => [parts.slice(0, i + 1).join('.'), part]);
  const children = [...at.children.values()].filter((child) => child.bytes > 0).map(joined);
  const entries = [...children, ...at.items].filter((one) => one.bytes >= total / 1000)
    .sort((a, b) => b.bytes - a.bytes);
  const rest = children.length + at.items.length - entries.length;
  const opens = (child) => html`<button type="button" class="link" onClick=${() => set_path(child.path)}>
    <${Path}>${child.name}<//></button>`;
  const row = (one) => [one.children?.size > 0 ? opens(one) : html`<${Path}>${one.name}<//>`, bytes(one.bytes),
    percent(one.bytes, total), one.children ? html`<${Kinds} weights=${weights_below(one)} total=${at.bytes} />`
      : tensor_type(one)];
  const table = (list, label) => html`<${Table} label=${label} heads=${['Module', 'Bytes', 'Part', 'Stored as']}
    numbers=${[1, 2]} rows=${list.map(row)} />`;
  return html`<div ref=${ref}>
    <${Choice} label="File" value=${name} options=${data.files.map((one) => [one.file, one.file])}
      on_change=${(value) => { set_name(value); set_path(start_path(value)); }} />
    <ul class="legend">${kinds_of(weights).map(([kind, size]) =>
      html`<li><span class="swatch ${kind_class(kind)}" aria-hidden="true"></span>
      ${' '}${kind}: ${bytes(size)}</li>`)}</ul>
    <nav aria-label="Module in the map" class="crumbs"><button type="button" onClick=${() => set_path('')}
      disabled=${!path}>all modules</button>${crumbs.map(([to, part]) => html` › <button type="button"
      disabled=${to === path} onClick=${() => set_path(to)}>${part}</button>`)}</nav>
    ${at.bytes > 0 ? html`<${Rectangles} tree=${at} width=${width}
      height=${Math.round(Math.min(420, Math.max(260, width * 0.5)))}
      on_open=${(to) => to !== path && set_path(to)} />` : html`<p>No weights here.</p>`}
    ${table(entries.slice(0, 12), 'Table of bytes by module')}
    ${entries.length > 12 && html`<${Later} key=${path} summary=${`${entries.length - 12} more`}>${() =>
      table(entries.slice(12), 'Table of the other modules')}<//>`}
    ${rest > 0 && html`<p class="muted">${rest} more of less than 0.1 % each.</p>`}
    <${Places} weights=${weights} total=${total} /><${TiedWeights} file=${file} /></div>`;
}
