// Models that read images and text: the client's processor, its merge of features into the prompt, and its decoding
// with a cache give the tokens of the files run by hand, without a cache.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { empty_cache } from './loops.mjs';
import { image_token, integers, side, task, text, types, write_model } from './seeing_models.mjs';
import {
  best_tokens, client, load_options, make_image, new_tokens, ort, run_export, session_options, work,
} from './support.mjs';

const open = (folder, stem) => ort.InferenceSession.create(path.join(folder, 'onnx', `${stem}.onnx`), session_options);

// One call of the vision encoder: rows of features.
async function encode(folder, inputs, { feed = () => ({}) }) {
  const session = await open(folder, 'vision_encoder');
  const { pixel_values } = inputs;
  const feeds = { pixel_values: new ort.Tensor('float32', pixel_values.data, pixel_values.dims), ...feed(inputs) };
  const { image_features } = await session.run(feeds);
  await session.release();
  return image_features;
}

// The vectors of tokens from place `begin` on, with features over those of the prompt's images.
async function embed_tokens(session, ids, begin, features, prompt_length) {
  const { inputs_embeds } = await session.run({ input_ids: integers(ids.slice(begin), [1, ids.length - begin]) });
  if (begin > 0) return inputs_embeds;
  const width = inputs_embeds.dims[2];
  let next = 0;
  ids.slice(0, prompt_length).forEach((id, i) => {
    if (Number(id) !== image_token) return;
    inputs_embeds.data.set(features.data.subarray(next * width, ++next * width), i * width);
  });
  assert.equal(next * width, features.data.length, 'one token for each row of features');
  return inputs_embeds;
}

// Greedy decoding. Each call reads the whole sequence; with `keeps_cache`, only what is new.
async function decode_by_hand(folder, prompt, features, { positions, keeps_cache = false }) {
  const [embed, decoder] = [await open(folder, 'embed_tokens'), await open(folder, 'decoder_model_merged')];
  const cache = empty_cache(ort, decoder, 1);
  let margin = Infinity, begin = 0;
  const ids = [...prompt];
  for (let step = 0; step < new_tokens; ++step) {
    const length = ids.length;
    const count = integers(ids.map((_, i) => i).slice(begin), [1, length - begin]);
    const feeds = {
      inputs_embeds: await embed_tokens(embed, ids, begin, features, prompt.length),
      attention_mask: integers(ids.map(() => 1), [1, length]),
      position_ids: positions ? positions(ids, prompt.length) : count, ...cache,
    };
    const results = await decoder.run(feeds);
    const best = best_tokens(results.logits);
    margin = Math.min(margin, best.margin);
    ids.push(best.tokens[0]);
    if (!keeps_cache) continue;
    begin = length;
    for (const name of Object.keys(cache)) cache[name] = results[name.replace('past_key_values', 'present')];
  }
  await embed.release();
  await decoder.release();
  return { ids, margin };
}

for (const [type, how] of Object.entries(types)) {
  test(`${type}: an image and a question`, async () => {
    const folder = path.join(work, type, 'seeing');
    run_export(write_model(type, how), task, folder, '--layout', 'transformers.js');
    const processor = await client.AutoProcessor.from_pretrained(`${type}/seeing`);
    const inputs = await how.ask(processor, make_image(side).image);
    const model = await client.AutoModelForImageTextToText.from_pretrained(`${type}/seeing`, load_options);
    const output = await model.generate({ ...inputs, do_sample: false, max_new_tokens: new_tokens, eos_token_id: null });
    await model.dispose();

    const features = await encode(folder, inputs, how);
    const expected = await decode_by_hand(folder, inputs.input_ids.data, features, how);
    assert.ok(expected.margin > 1e-4, `${expected.margin} between two tokens: too close to call`);
    assert.deepEqual(output.tolist()[0], expected.ids);
    // Other pixels give other tokens, or this would show nothing.
    const dark = new ort.Tensor('float32', features.data.map((x) => -x), features.dims);
    const other = await decode_by_hand(folder, inputs.input_ids.data, dark, how);
    assert.notDeepEqual(other.ids, expected.ids, 'the tokens do not depend on the image');
  });
}

// Features stand in front of the prompt of an encoder; its decoder takes vectors, too.
async function decode_seq2seq_by_hand(folder, prompt, features, start) {
  const plain = (stem) => ort.InferenceSession.create(path.join(folder, `${stem}.onnx`), session_options);
  const [embed, encoder, decoder] = [await plain('embed_tokens'), await plain('encoder_model'), await plain('decoder_model')];
  const vectors = async (ids) => (await embed.run({ input_ids: integers(ids, [1, ids.length]) })).inputs_embeds;
  const { data, dims: [, length, width] } = await vectors(prompt);
  const count = features.dims[1] + length;
  const read = new ort.Tensor('float32', Float32Array.of(...features.data, ...data), [1, count, width]);
  const mask = integers(Array(count).fill(1), [1, count]);
  const { last_hidden_state } = await encoder.run({ inputs_embeds: read, attention_mask: mask });
  const ids = [...start];
  let margin = Infinity;
  while (ids.length <= new_tokens) {
    const { logits } = await decoder.run({
      encoder_hidden_states: last_hidden_state, encoder_attention_mask: mask, inputs_embeds: await vectors(ids),
    });
    const best = best_tokens(logits);
    margin = Math.min(margin, best.margin);
    ids.push(best.tokens[0]);
  }
  for (const session of [embed, encoder, decoder]) await session.release();
  return { ids, margin };
}

test('florence2: an image and a question', async () => {
  const model = write_model('florence2', {
    image_processor_type: 'CLIPImageProcessor', processor_class: 'Florence2Processor', tokens: {},
    settings: { size: { height: 32, width: 32 }, do_center_crop: false },
  });
  // No last token is forced, so that it comes from the model; the client finds the first one in text_config.
  fs.writeFileSync(path.join(model, 'generation_config.json'), JSON.stringify({
    bos_token_id: 0, decoder_start_token_id: 2, eos_token_id: 2, pad_token_id: 1,
  }));
  const folder = path.join(work, 'florence2/seeing'), plain = path.join(work, 'florence2/plain');
  run_export(model, task, folder, '--layout', 'transformers.js');
  run_export(model, task, plain);
  const processor = await client.AutoProcessor.from_pretrained('florence2/seeing');
  const inputs = await processor(make_image(32).image, 'Where is the cat now?');
  const loaded = await client.AutoModelForImageTextToText.from_pretrained('florence2/seeing', load_options);
  const output = await loaded.generate({ ...inputs, do_sample: false, max_new_tokens: new_tokens, eos_token_id: null });
  await loaded.dispose();
  const features = await encode(folder, inputs, {});
  const expected = await decode_seq2seq_by_hand(plain, inputs.input_ids.data, features, [2n, 0n]);
  assert.ok(expected.margin > 1e-4, `${expected.margin} between two tokens: too close to call`);
  assert.deepEqual(output.tolist()[0], expected.ids);
});
