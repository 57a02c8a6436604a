// Embeddings with every pooling, and encoder-decoders.
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';

import {
  AutoModelForSeq2SeqLM, AutoTokenizer, pipeline, ort, session_options, load_options, run_export, work,
  write_tokenizer, write_checkpoint, expect_same_tokens, prompts, new_tokens,
} from './support.mjs';

// What the pools make of the hidden states of one text [length][width].
const pools = {
  mean: (rows) => rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length),
  cls: (rows) => rows[0],
  last_token: (rows) => rows.at(-1),
};

// The vector of one text that is alone in its batch, so that nothing is padded.
async function embed(session, tokens, pool) {
  const dims = [1, tokens.length];
  const tensor = (of) => new ort.Tensor('int64', BigInt64Array.from(tokens, of), dims);
  const feeds = {
    input_ids: tensor((token) => token), attention_mask: tensor(() => 1n), token_type_ids: tensor(() => 0n),
    position_ids: tensor((_, i) => BigInt(i)),
  };
  for (const { name, shape } of session.inputMetadata) {
    if (!name.startsWith('past')) continue;
    const empty = shape.map((dim, i) => (typeof dim === 'number' ? dim : i === 0 ? 1 : 0));
    feeds[name] = new ort.Tensor('float32', new Float32Array(0), empty);
  }
  for (const name of Object.keys(feeds)) if (!session.inputNames.includes(name)) delete feeds[name];
  const { last_hidden_state: { data, dims: [, length, width] } } = await session.run(feeds);
  const vector = pools[pool](Array.from({ length }, (_, i) => Array.from(data.subarray(i * width, (i + 1) * width))));
  const norm = Math.hypot(...vector);
  return vector.map((x) => x / norm);
}

// Encoders are padded on the right, decoders on the left. Embedding models of decoders are published with a cache and
// without one.
const embedders = {
  bert: ['feature-extraction', 'right', ['mean', 'cls']],
  eurobert: ['feature-extraction', 'right', ['mean']],
  modernbert: ['feature-extraction', 'right', ['mean', 'cls']],
  mpnet: ['feature-extraction', 'right', ['mean', 'cls']],
  nomic_bert: ['feature-extraction', 'right', ['mean']],
  'xlm-roberta': ['feature-extraction', 'right', ['mean', 'cls']],
  qwen3: ['feature-extraction', 'left', ['mean', 'last_token']],
  mistral: ['feature-extraction-with-past', 'left', ['last_token']],
  gemma3_text: ['feature-extraction-with-past', 'left', ['mean', 'last_token']],
};
for (const [type, [task, padding_side, names]] of Object.entries(embedders)) {
  test(`${type}: ${task} with pooling`, async () => {
    const model = write_checkpoint(type, task);
    write_tokenizer(model, { padding_side });
    const name = `${type}/embedding`;
    run_export(model, task, path.join(work, name), '--layout', 'transformers.js');
    const extract = await pipeline('feature-extraction', name, load_options);
    const session = await ort.InferenceSession.create(path.join(work, name, 'onnx/model.onnx'), session_options);
    for (const pooling of names) {
      const found = (await extract(prompts, { pooling, normalize: true })).tolist();
      for (const [r, text] of prompts.entries()) {
        const tokens = (await extract.tokenizer(text)).input_ids.tolist()[0];
        const expected = await embed(session, tokens, pooling);
        const far = Math.max(...expected.map((x, i) => Math.abs(x - found[r][i])));
        assert.ok(far < 1e-5, `${pooling} of '${text}': ${far} from the text alone`);
      }
      const [a, b] = found;
      assert.ok(Math.max(...a.map((x, i) => Math.abs(x - b[i]))) > 1e-3, `${pooling} does not tell texts apart`);
    }
    await extract.dispose();
    await session.release();
  });
}

for (const type of ['bart', 'blenderbot', 'm2m_100', 'mt5', 't5']) {
  test(`${type}: generate, text2text-generation`, async () => {
    const model = write_checkpoint(type, 'text2text-generation-with-past');
    write_tokenizer(model, { padding_side: 'right' });
    const name = `${type}/with-past`;
    run_export(model, 'text2text-generation-with-past', path.join(work, name), '--layout', 'transformers.js');
    run_export(model, 'text2text-generation', path.join(work, type, 'without-past'));
    const tokenizer = await AutoTokenizer.from_pretrained(name);
    const inputs = tokenizer(prompts, { padding: true });
    // No end of sequence, so that every row gets all its tokens.
    const settings = {
      do_sample: false, num_beams: 1, max_new_tokens: new_tokens, eos_token_id: null, forced_eos_token_id: null,
    };
    const client = await AutoModelForSeq2SeqLM.from_pretrained(name, load_options);
    const start = BigInt(client.config.decoder_start_token_id);
    const output = await client.generate({ ...inputs, ...settings });
    await client.dispose();
    const feeds = Object.fromEntries(['input_ids', 'attention_mask'].map((input) => [
      input, new ort.Tensor('int64', inputs[input].data, inputs[input].dims)]));
    await expect_same_tokens(output, path.join(work, type, 'without-past'), feeds, start, new_tokens);

    const convert = await pipeline('text2text-generation', name, load_options);
    const texts = await convert(prompts, settings);
    await convert.dispose();
    assert.deepEqual(texts.map(({ generated_text }) => generated_text),
      tokenizer.batch_decode(output, { skip_special_tokens: true }));
  });
}
