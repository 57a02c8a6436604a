// Pipelines on the recorded inputs of fixtures: their results are those that the client makes of the original's outputs.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';

import { client, golden, ort, run_export, session_options, stored_tensors, work, write_checkpoint } from './support.mjs';

const { RawImage, Tensor } = client;

const kinds = {
  F32: ['float32', Float32Array], I64: ['int64', BigInt64Array], BOOL: ['bool', Uint8Array],
};

function make_tensor({ dtype, shape, bytes }) {
  const [kind, Values] = kinds[dtype];
  return new Tensor(kind, new Values(Uint8Array.from(bytes).buffer), shape);
}

// A folder of the type in the client's layout, made of the checkpoint that gave the recorded outputs. They say more than
// the validation after an export.
export function export_recorded(type, fixture, task, prepare, ...flags) {
  const model = write_checkpoint(type, fixture, { recorded: true });
  prepare(model);
  run_export(model, task, path.join(work, type, task), '--layout', 'transformers.js', '--no-validate', ...flags);
  return { name: `${type}/${task}`, onnx: (stem) => path.join(work, type, task, 'onnx', `${stem}.onnx`) };
}

// The recorded cases of a file, each with its inputs and outputs by name.
export function recorded_cases(type, fixture, stem = 'model') {
  const folder = path.join(golden, type, fixture);
  const { atol, files } = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json')));
  return files[stem].cases.map((described) => {
    const result = { atol: described.atol ?? atol, inputs: {}, outputs: {} };
    for (const [name, tensor] of Object.entries(stored_tensors(path.join(folder, `${stem}.${described.n}.safetensors`)))) {
      const [side, ...rest] = name.split('/');
      (side === 'in' ? result.inputs : result.outputs)[rest.join('/')] = make_tensor(tensor);
    }
    return result;
  });
}

// Row `r` of `rows` of each tensor.
export function take_row(tensors, r, rows) {
  return Object.fromEntries(Object.entries(tensors).map(([name, { type, data, dims: [first, ...others] }]) => {
    const size = data.length / rows;
    return [name, new Tensor(type, data.slice(r * size, (r + 1) * size), [first / rows, ...others])];
  }));
}

const is_tensor = (x) => x instanceof Tensor || (x?.dims !== undefined && x?.data !== undefined);

// How far numbers are apart, anywhere in two results of a pipeline that must have one form.
export function distance(found, expected, where = 'result') {
  if (typeof expected === 'number') {
    assert.equal(typeof found, 'number', where);
    return Math.abs(found - expected);
  }
  if (expected === null || typeof expected !== 'object') {
    assert.equal(found, expected, where);
    return 0;
  }
  if (is_tensor(expected) || expected instanceof RawImage) {
    const shape = (x) => x.dims ?? [x.height, x.width, x.channels];
    assert.deepEqual([...shape(found)], [...shape(expected)], `${where}: shape`);
    const difference = (x, y) => (x === y ? 0 : Math.abs(Number(x) - Number(y)));  // infinities are equal, too
    const far = expected.data.reduce((most, x, i) => Math.max(most, difference(x, found.data[i])), 0);
    return expected instanceof RawImage ? Math.max(0, far - 1) : far;  // a pixel is rounded to an integer
  }
  assert.deepEqual(Object.keys(found), Object.keys(expected), where);
  return Object.keys(expected).reduce((most, key) => Math.max(
    most, distance(found[key], expected[key], `${where}.${key}`)), 0);
}

function says_something(result) {
  if (result === null || typeof result !== 'object') return result !== null && result !== '';
  return Object.values(is_tensor(result) ? result.data : result).some(says_something);
}

// Replaces the computation of a callable of the client, until the returned function is called.
export function replace_call(callable, call) {
  const had = Object.hasOwn(callable, '_call') ? callable._call : undefined;
  callable._call = call;
  return () => { if (had) callable._call = had; else delete callable._call; };
}

// The client's classes have properties without a value for outputs that a file does not have.
const copy = (tensors) => Object.fromEntries(Object.entries(tensors).filter(([, tensor]) => tensor).map(
  ([name, { type, data, dims }]) => [name, new Tensor(type, data.slice(), [...dims])]));

// One call of `use`, with the inputs and outputs of the model.
export async function watch(model, use) {
  const seen = [];
  const original = model._call.bind(model);
  const restore = replace_call(model, async (inputs) => {
    const outputs = await original(inputs);
    seen.push({ inputs, outputs: copy(outputs) });  // some pipelines compute in place
    return outputs;
  });
  const result = await use();
  restore();
  return { result, seen };
}

// A file as ONNX Runtime alone runs it, on tensors of the client.
export async function run_file(file, inputs) {
  const session = await ort.InferenceSession.create(file, session_options);
  const feeds = Object.fromEntries(session.inputNames.filter((name) => inputs[name]).map((name) => [
    name, new ort.Tensor(inputs[name].type, inputs[name].data, inputs[name].dims)]));
  const outputs = await session.run(feeds);
  await session.release();
  return outputs;
}

// The files take the client's tensors as they are: ONNX Runtime alone gives the same for them.
export async function expect_outputs_of_file(file, { inputs, outputs }) {
  const plain = await run_file(file, inputs);
  for (const [name, expected] of Object.entries(plain)) {
    if (outputs[name] === undefined) continue;  // the client's class keeps only some
    assert.equal(distance(outputs[name], expected, name), 0, name);
  }
  assert.ok(Object.keys(plain).some((name) => outputs[name] !== undefined), 'the client returned no output of the file');
}

// The pipeline on the recorded inputs, compared with its result for the recorded outputs. Most pipelines take one row
// at a time; `whole`: this one takes all, whose lengths depend on one another.
export async function expect_recorded(pipe, cases, call, { whole = false } = {}) {
  const given = pipe.processor?.image_processor ?? pipe.processor?.feature_extractor;
  let found_any = false;
  for (const { atol, inputs, outputs } of cases) {
    const rows = whole ? 1 : (inputs.pixel_values ?? Object.values(inputs)[0]).dims[0];
    for (let r = 0; r < rows; ++r) {
      const [one, recorded] = [take_row(inputs, r, rows), take_row(outputs, r, rows)];
      const restore = given ? [replace_call(given, async () => ({ ...one }))] : [];
      if (pipe.tokenizer) restore.push(replace_call(pipe.tokenizer, () => ({ ...one })));
      const found = await call(pipe);
      restore.push(replace_call(pipe.model, async () => copy(recorded)));
      const expected = await call(pipe);
      restore.forEach((undo) => undo());
      const largest = Math.max(1, ...Object.values(recorded).map(largest_of));
      const far = distance(found, expected);
      assert.ok(far <= 2 * atol * largest, `row ${r}: ${far} from the result for the original's outputs`);
      found_any ||= says_something(expected);
    }
  }
  assert.ok(found_any, 'empty results');
}

function largest_of({ data }) {
  return data.reduce((most, x) => (Number.isFinite(Number(x)) ? Math.max(most, Math.abs(Number(x))) : most), 0);
}

// The model as the client loads it, on the recorded inputs.
export async function expect_outputs(model, cases) {
  for (const { atol, inputs, outputs } of cases) {
    const found = await model(inputs);
    for (const [name, expected] of Object.entries(outputs)) {
      if (found[name] === undefined) continue;  // the client's class keeps only some
      const largest = Math.max(1, largest_of(expected));
      const far = distance(found[name], expected, name);
      assert.ok(far <= 2 * atol * largest, `${name}: ${far} from the original`);
    }
    assert.ok(Object.keys(outputs).some((name) => found[name] !== undefined), 'the client returned no recorded output');
  }
}
