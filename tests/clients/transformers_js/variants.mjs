// Every precision that the client knows.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { decode, decode_seq2seq } from './loops.mjs';
import {
  AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, AutoTokenizer, Tensor, pipeline, ort,
  session_options, run_export, work, checkpoint, write_tokenizer, write_checkpoint, make_image, write_preprocessor,
  softmax, expect_scores, prompts, new_tokens,
} from './support.mjs';

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
