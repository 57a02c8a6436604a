// Greedy decoding with caches, as ONNX Runtime runs the files.
import path from 'node:path';

import { best_tokens } from './support.mjs';

// A tensor of zeros for an input: `extent` gives the length of an axis without a number.
function zeros(ort, meta, extent) {
  const dims = meta.shape.map((dim) => (typeof dim === 'number' && dim >= 0 ? dim : extent(dim)));
  const size = dims.reduce((a, b) => a * b, 1);
  const data = meta.type === 'float16' ? new Uint16Array(size) : new Float32Array(size);
  return new ort.Tensor(meta.type, data, dims);
}

// A cache of length 0, and states of zeros.
export function empty_cache(ort, session, batch) {
  const cache = {};
  for (const meta of session.inputMetadata) {
    if (!meta.name.startsWith('past')) continue;
    cache[meta.name] = zeros(ort, meta, (dim) => (String(dim).startsWith('batch') ? batch : 0));
  }
  return cache;
}

const past_of = (present) => present.replace('present', 'past_key_values');

const integers = (ort, rows) => new ort.Tensor('int64', BigInt64Array.from(rows.flat()), [rows.length, rows[0].length]);

export async function decode(ort, file, options, rows, masks, count) {
  const session = await ort.InferenceSession.create(file, options);
  rows = rows.map((row) => [...row]);
  masks = masks.map((mask) => [...mask]);
  let cache = empty_cache(ort, session, rows.length);
  let given = rows.map((row) => [...row]);
  for (let step = 0; step < count; ++step) {
    const positions = masks.map((mask) => {
      let next = 0n;
      return mask.map((m) => (m ? next++ : 1n)).slice(-given[0].length);
    });
    const feeds = {
      input_ids: integers(ort, given), attention_mask: integers(ort, masks), position_ids: integers(ort, positions), ...cache,
    };
    if (!session.inputNames.includes('position_ids')) delete feeds.position_ids;
    const results = await session.run(feeds);
    const { tokens } = best_tokens(results.logits);
    for (const name of session.outputNames.filter((name) => name.startsWith('present'))) cache[past_of(name)] = results[name];
    given = tokens.map((token) => [token]);
    rows.forEach((row, r) => row.push(tokens[r]));
    masks.forEach((mask) => mask.push(1n));
  }
  await session.release();
  return rows;
}

export async function decode_seq2seq(ort, folder, suffix, options, inputs, start, count) {
  const open = (stem) => ort.InferenceSession.create(path.join(folder, `${stem}${suffix}.onnx`), options);
  const [encoder, decoder] = [await open('encoder_model'), await open('decoder_model_merged')];
  const { last_hidden_state } = await encoder.run(inputs);
  const batch = last_hidden_state.dims[0];
  const rows = Array.from({ length: batch }, () => [start]);
  const cache = empty_cache(ort, decoder, batch);
  for (let step = 0; step < count; ++step) {
    const feeds = {
      input_ids: integers(ort, rows.map((row) => row.slice(-1))), encoder_hidden_states: last_hidden_state, ...cache,
      use_cache_branch: new ort.Tensor('bool', [step > 0], [1]),
    };
    if (inputs.attention_mask) feeds.encoder_attention_mask = inputs.attention_mask;
    const results = await decoder.run(feeds);
    for (const name of decoder.outputNames.filter((name) => name.startsWith('present'))) {
      if (step === 0 || !name.includes('encoder')) cache[past_of(name)] = results[name];  // the encoder's stay
    }
    best_tokens(results.logits).tokens.forEach((token, row) => rows[row].push(token));
  }
  await encoder.release();
  await decoder.release();
  return rows;
}
