// The graphs by module. Only open modules are in the page, so a graph may have any size.

const page_size = 100;

/** The nodes of a definition's graph, in the form that those of a file have, too. */
function definition_view(graph) {
  const { nodes } = graph;
  const readers = new Map();  // of weights: the modules
  nodes.forEach((node) => (node.in ?? []).forEach((i) => {
    if (i < 0 || nodes[i].op !== 'weight') return;
    if (!readers.has(i)) readers.set(i, new Set());
    readers.get(i).add(node.path);
  }));
  const outputs = group_by(graph.outputs, (output) => output.node);
  const name = (i) => (nodes[i].op === 'input' ? nodes[i].name : `${nodes[i].op} ${i}`);
  return nodes.map((node, i) => ({ node, i })).filter(({ node }) => node.op !== 'weight').map(({ node, i }) => ({
    op: node.op, path: node.op === 'input' ? '(inputs)' : node.path, label: node.op === 'input' ? node.name : String(i),
    types: node.types, given: (outputs.get(i) ?? []).map((output) => output.name),
    takes: (node.in ?? []).filter((k) => k >= 0 && nodes[k].op !== 'weight').map(name), attrs: node.attrs,
    weights: (node.in ?? []).filter((k) => k >= 0 && nodes[k].op === 'weight').map((k) => ({
      ...nodes[k].weight, type: nodes[k].types[0], shared: [...readers.get(k)].filter((path) => path !== node.path) })),
  }));
}

function file_view(file) {
  const weights = new Map(file_weights(file).map((weight) => [weight.name, weight]));
  const names = new Set(file.graph.outputs.map((output) => output.name));
  const found = [];
  each_node(file.graph, (node, at, graph) => {
    const path = [at, module_of(node.name)].filter(Boolean).join('.');
    found.push({
      op: node.domain ? `${node.op} (${node.domain})` : node.op, path,
        label: node.name.slice(node.name.lastIndexOf('/') + 1),
      types: node.out.map((out) => graph.types[out] ?? '').filter(Boolean),
        given: node.out.filter((out) => names.has(out)),
      takes: node.in.filter((name) => name && !weights.has(name)), attrs: node.attrs,
      weights: node.in.filter((name) => weights.has(name)).map((name) => {
        const weight = weights.get(name);
        return { name, type: tensor_type(weight), kind: weight.kind,
          shared: weight.readers.filter((reader) => reader !== module_of(node.name)) };
      }),
    });
  });
  return found;
}

function WeightRow({ weight }) {
  const from = weight.from ?? [];
  return html`<div class="weight"><span class="muted">weight</span> <${Path}>${weight.name || 'a constant'}<//> <span
    class="type">${weight.type}</span>
    ${weight.kind?.endsWith('bits') ? html` <span class="tag">${weight.kind}</span>` : ''}
    ${weight.constant ? ' made by the definition' : ''}
    ${from.length > 0 ? html` <span class="muted">from</span> ${listed(from, (source) => html`<${Path}>${source.key}<//>
      ${' '}<span class="type">${tensor_type(source)}</span>${source.file ? ` in ${source.file}` : ''}`, 4)}` : ''}
    ${weight.shared.length > 0 ? html` ${weight.constant ? '' : html`<span class="tag">tied</span> `}also
      in ${listed(weight.shared, (reader) => as_path(module_text(reader)), 1)}` : ''}</div>`;
}

function NodeRow({ node, with_path }) {
  return html`<li class="node">${with_path && html`<div class="muted"><${Path}>${module_text(node.path)}<//></div>`}
    <div><strong>${node.op}</strong> <span class="muted">${node.label}</span>
    ${node.types.length > 0 && html` → ${listed(node.types, (type) => html`<span class="type">${type}</span>`)}`}
    ${node.given.map((name) => html` <span class="tag">output ${name}</span>`)}</div>
    ${node.takes.length > 0 && html`<div class="muted">takes ${listed(node.takes, as_path, 8)}</div>`}
    ${node.attrs && html`<div class="muted">${Object.entries(node.attrs).map(([key, value]) =>
      `${key} = ${value}`).join(', ')}</div>`}
    ${node.weights.map((weight) => html`<${WeightRow} weight=${weight} />`)}</li>`;
}

/** At most so many, and a button for more. */
function Some({ list, show, what }) {
  const [count, set_count] = useState(page_size);
  return html`${list.slice(0, count).map(show)}${list.length > count && html`<li><button type="button"
    onClick=${() => set_count(count + page_size)}>${plural(Math.min(page_size, list.length - count),
      `more ${what}`)} of ${list.length - count}</button></li>`}`;
}

function Module({ tree, level }) {
  const [open, set_open] = useState(false);
  const at = joined(tree);
  const on_key = (event) => {
    if (event.key === 'ArrowRight' && !open) set_open(true);
    else if (event.key === 'ArrowLeft' && open) set_open(false);
    else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      const all = [...event.currentTarget.closest('.graph').querySelectorAll('button')];
      all[all.indexOf(event.currentTarget) + (event.key === 'ArrowDown' ? 1 : -1)]?.focus();
    } else return;
    event.preventDefault();
  };
  return html`<li><button type="button" class="module" aria-expanded=${open ? 'true' : 'false'}
    onClick=${() => set_open(!open)} onKeyDown=${on_key}>
    <span aria-hidden="true" class="arrow-head">${open ? '▾' : '▸'}</span> <${Path}>${at.name}<//> <span
      class="muted">${plural(at.count, 'node')}</span></button>
    ${open && html`<${Content} at=${at} level=${level + 1} />`}</li>`;
}

function Content({ at, level }) {
  return html`<ul class=${level > 0 ? 'inner' : ''}>
    <${Some} list=${at.items} what="node" show=${(node) => html`<${NodeRow} node=${node} />`} />
    <${Some} list=${[...at.children.values()]} what="module"
      show=${(child) => html`<${Module} key=${child.path} tree=${child} level=${level} />`} /></ul>`;
}

const text_of = (node) => [node.op, node.path, node.label, ...node.types, ...node.given,
  ...node.weights.flatMap((weight) => [weight.name, weight.kind ?? '',
    ...(weight.from ?? []).map((source) => source.key)])].join('\n').toLowerCase();

function Found({ nodes, words, texts }) {
  const found = nodes.filter((_, i) => words.every((word) => texts[i].includes(word)));
  return html`<p role="status">${plural(found.length, 'node')} of ${nodes.length.toLocaleString('en')} found</p>
    <ul class="graph"><${Some} list=${found} what="node"
      show=${(node) => html`<${NodeRow} node=${node} with_path=${true} />`} /></ul>`;
}

function GraphView() {
  const choices = [...data.graphs.map((graph, i) => [`d${i}`, `${graph.component}, as the definition computes it`]),
    ...data.files.map((file, i) => [`f${i}`, `${file.file}, as the file has it`])];
  const [choice, set_choice] = useState(choices[0][0]);
  const [text, set_text] = useState('');
  const [wanted, set_wanted] = useState('');
  useEffect(() => {
    const timer = setTimeout(() => set_wanted(text), 150);
    return () => clearTimeout(timer);
  }, [text]);
  const index = Number(choice.slice(1));
  const nodes = once(`view ${choice}`, () => (choice[0] === 'd' ? definition_view(data.graphs[index])
    : file_view(data.files[index])));
  const tree = once(`tree ${choice}`, () => make_tree(nodes, (node) => node.path, 'count', () => 1));
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = words.length > 0 ? once(`texts ${choice}`, () => nodes.map(text_of)) : null;
  return html`<${Choice} label="Graph" value=${choice} options=${choices} on_change=${set_choice} />
    <label class="choice">Search <input type="search" value=${text}
      onInput=${(event) => set_text(event.currentTarget.value)}
      placeholder="op, module or weight" /></label>
    ${words.length > 0 ? html`<${Found} key=${`${choice} ${wanted}`} nodes=${nodes} words=${words} texts=${texts} />`
    : html`<p>${plural(nodes.length, 'node')}. Open a module to see its nodes: the op, the types of its results,
      its operands, and where its weights come from.</p>
      <div class="graph" key=${choice}><${Content} at=${tree} level=${0} /></div>`}`;
}
