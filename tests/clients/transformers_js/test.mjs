// transformers.js, as its users call it, on what onnxport wrote.
//
//   node test.mjs PROGRAM CACHE WORK      CACHE: filled by tools/setup.sh, WORK: a folder to write to
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import {
  AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, AutoTokenizer, Tensor, pipeline, ort,
  session_options, load_options, run_export, work, checkpoint, write_tokenizer, write_checkpoint, best_tokens,
  expect_same_tokens, make_image, write_preprocessor, softmax, expect_scores, prompts, new_tokens,
} from './support.mjs';
import './text.mjs';
import './variants.mjs';
import './vision_language.mjs';

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

// The decoders that transformers.js knows; mixtral it does not. Where a config says `multi_query` it expects keys and
// values in one tensor, as only gpt_bigcode has them, so falcon is one without.
// gpt_oss has sinks, deepseek_v3 values of another size than keys, youtu caches a latent, cohere has blocks with
// parallel branches; lfm2 caches convolutions, falcon_h1 and granitemoehybrid also states of Mamba 2, qwen3_next those of
// a delta rule.
const decoders = [
  'bloom', 'cohere', 'deepseek_v3', 'falcon+alibi', 'falcon_h1', 'gemma', 'gemma2', 'gemma3_text', 'gpt2', 'gpt_neox',
  'gpt_oss', 'granitemoehybrid', 'lfm2+noadjust_bias_untied', 'llama', 'ministral3', 'mistral+sliding',
  'opt', 'phi3', 'qwen2+sliding', 'qwen3', 'qwen3_moe', 'qwen3_next', 'youtu',
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
