// The data of the page: modules, weights and graphs.

const data = JSON.parse(document.getElementById('data').textContent);
const { results } = data;
const exported = results.export;

/** The module of an ONNX node: its name without the last part, and without the branch of a merged decoder. */
function module_of(name) {
  const end = name.lastIndexOf('/');
  return end <= 0 ? '' : name.slice(0, end).replace(/^\/|^(?:with|no)_past(?:\/|$)/, '').replaceAll('/', '.');
}

const module_text = (module) => module || '(no module)';

/** Calls `visit` for the nodes of a graph, and of the graphs inside of it: with the path of the graph. */
function each_node(graph, visit, at = '') {
  for (const node of graph.nodes) {
    visit(node, at, graph);
    for (const [name, inner] of Object.entries(node.graphs ?? {})) each_node(inner, visit, at ? `${at}.${name}` : name);
  }
}

const bits_of_codes = { MatMulNBits: 4, GatherBlockQuantized: 4, MatMulBnb4: 4, QMoE: 4 };
const bits_of_types = { int2: 2, uint2: 2, int4: 4, uint4: 4, int8: 8, uint8: 8 };

/** How the weight of a node is stored: "float32", "4 bits", … Scales and zero points count with their codes. */
function kind_of(weight, node, initializers) {
  if (node.op in bits_of_codes && node.in.indexOf(weight.name) > 0)
    return `${node.attrs?.bits ?? bits_of_codes[node.op]} bits`;
  if (node.op === 'DequantizeLinear') {
    const bits = bits_of_types[initializers.get(node.in[0])?.dtype];
    if (bits) return `${bits} bits`;
  }
  const bits = bits_of_types[weight.dtype];
  return bits ? `${bits} bits` : weight.dtype;
}

/** The weights of a file, with the modules that read them, and how they are stored. */
function weights_of(file) {
  const initializers = new Map();
  const add = (graph) => {
    for (const one of graph.initializers) initializers.set(one.name, { ...one, readers: [], kind: null });
    for (const node of graph.nodes) Object.values(node.graphs ?? {}).forEach(add);
  };
  add(file.graph);
  each_node(file.graph, (node) => {
    for (const name of node.in) {
      const weight = initializers.get(name);
      if (!weight) continue;
      const module = module_of(node.name);
      if (!weight.readers.includes(module)) weight.readers.push(module);
      const kind = kind_of(weight, node, initializers);
      if (!weight.kind || kind.endsWith('bits')) weight.kind = kind;
    }
  });
  return [...initializers.values()].map((weight) => {
    const kind = weight.kind ?? weight.dtype;
    return { ...weight, kind, module: weight.readers[0] ?? '' };
  });
}

const make_module = (name, path) => ({ name, path, children: new Map(), items: [] });
function module_at(tree, path) {
  let at = tree;
  if (!path) return at;
  const parts = path.split('.');
  parts.forEach((part, i) => {
    if (!at.children.has(part)) {
      at.children.set(part, make_module(part, parts.slice(0, i + 1).join('.')));
    }
    at = at.children.get(part);
  });
  return at;
}

/** Modules with only one module and nothing else inside are shown as one: "model.layers". */
function joined(tree) {
  let at = tree;
  let { name } = tree;
  while (at.children.size === 1 && at.items.length === 0) {
    [at] = at.children.values();
    name = name ? `${name}.${at.name}` : at.name;
  }
  return { ...at, name };
}

/** A tree of modules with their items. `total` of a module: the sum of `amount` over the items in it and below. */
function make_tree(items, path_of, total, amount) {
  const tree = make_module('', '');
  for (const item of items) module_at(tree, path_of(item)).items.push(item);
  const add_up = (at) => {
    at[total] = sum(at.items, amount) + sum([...at.children.values()], add_up);
    return at[total];
  };
  add_up(tree);
  return tree;
}

/** Bytes by how they are stored, the most first. Kinds of less than a hundredth are left out. */
function kinds_of(weights) {
  const total = sum(weights, (weight) => weight.bytes);
  return [...group_by(weights, (weight) => weight.kind)].map(([kind, list]) =>
    [kind, sum(list, (weight) => weight.bytes)])
    .filter(([, size]) => size > 0 && size >= total / 100).sort((a, b) => b[1] - a[1]);
}

const memo = new Map();
/** The result of `make`, computed once for each key. */
function once(key, make) {
  if (!memo.has(key)) memo.set(key, make());
  return memo.get(key);
}
const file_weights = (file) => once(`weights ${file.file}`, () => weights_of(file));
/** Weights that several modules read, except small constants. */
const tied_weights = (file) => file_weights(file).filter((weight) => weight.readers.length > 1 && weight.bytes > 4096);

/** The files of external data by their names in the page, each with the first model file that refers to it. */
const data_files = new Map();
for (const model of data.files) {
  for (const { file, bytes: size } of model.data) {
    const name = model.file.replace(/[^/]*$/, () => file);
    if (!data_files.has(name)) data_files.set(name, { model, size });
  }
}

/** Weights at the same place of several layers count together: "model.layers.{0…23}.mlp". */
function by_place(weights, depth = 2) {
  const groups = new Map();
  for (const weight of weights) {
    const parts = module_text(weight.module).split('.');
    const number = parts.findIndex((part) => /^\d+$/.test(part));
    const place = number < 0 ? parts.slice(0, depth + 1).join('.')
      : parts.slice(0, number + depth).map((part, i) => (i === number ? '#' : part)).join('.');
    if (!groups.has(place)) groups.set(place, { place, bytes: 0, layers: new Set(), weights: [] });
    const group = groups.get(place);
    group.bytes += weight.bytes;
    if (number >= 0) group.layers.add(Number(parts[number]));
    group.weights.push(weight);
  }
  return [...groups.values()].sort((a, b) => b.bytes - a.bytes);
}
function place_text(group) {
  const layers = [...group.layers].sort((a, b) => a - b);
  if (layers.length === 0) return group.place;
  const text = layers.length === 1 ? layers[0] : `{${layers[0]}…${layers.at(-1)}}`;
  return group.place.replace('#', text);
}

/** The graph of a component as its definition builds it; null if the page has none. */
function graph_of(component) {
  return data.graphs.find((graph) => {
    const stem = graph.folder ? `${graph.folder}/${graph.stem}` : graph.stem;
    return stem === component || graph.stem === component;
  }) ?? null;
}
/** The components that a merged one has in one file: without a past, and with one. None for others. */
function parts_of(component) {
  const base = component.replace(/_merged$/, '');
  return base === component ? [] : [base, base.replace(/_model$/, '_with_past_model')];
}
/** Graphs that a file was made from: two for merged decoders. */
function graphs_of_file(file) {
  const own = graph_of(file.component);
  if (own) return [own];
  return parts_of(file.component).map(graph_of).filter(Boolean);
}

const is_leaf = (node) => node.op === 'weight' || node.op === 'input';

/** The operations on the longest way to each output, and how many of them have weights. */
function depths_of(graph) {
  return once(`depths ${graph.component}`, () => {
    const depth = [];
    for (const node of graph.nodes) {
      const before = (node.in ?? []).map((i) => (i < 0 ? 0 : depth[i]));
      depth.push(is_leaf(node) ? 0 : 1 + Math.max(0, ...before));
    }
    return new Map(graph.outputs.map((output) => [output.name, depth[output.node]]));
  });
}

/** Names with numbers in them: "present.{0…23}.key" for 24 of them. */
function number_pattern(name) {
  return name.replace(/\d+/g, '#');
}
function pattern_text(names) {
  const numbers = names.map((name) => name.match(/\d+/g) ?? []);
  let at = -1;
  return number_pattern(names[0]).replace(/#/g, () => {
    at += 1;
    const all = numbers.map((found) => Number(found[at]));
    const [least, most] = [Math.min(...all), Math.max(...all)];
    return least === most ? String(least) : `{${least}…${most}}`;
  });
}
/** Tensors of the same type whose names differ in numbers, together. */
function grouped_tensors(values) {
  return [...group_by(values, (value) =>
    `${number_pattern(value.name)} ${tensor_type(value).replace(/\d+(?=_)|(?<=_)\d+/g, '#')}`)
    .values()].map((list) => ({ name: pattern_text(list.map((value) => value.name)), type: tensor_type(list[0]),
      first: list[0], count: list.length }));
}
