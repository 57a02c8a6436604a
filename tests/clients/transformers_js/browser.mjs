// transformers.js in a browser, on WebAssembly: the results are those of Node on the same files.
//
//   node browser.mjs PROGRAM CACHE WORK      CACHE: filled by tools/setup.sh, WORK: a folder to write to
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { run_page } from './chromium.mjs';
import { new_tokens, prompts, run } from './runs.mjs';
import { task, types, write_model } from './seeing_models.mjs';
import { client, packages, run_export, session_options, work, write_checkpoint, write_tokenizer } from './support.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const precisions = { q8: '_quantized', q4: '_q4' };
const tolerance = 1e-4;

// Appends to `models` what the page shall run, and to `files` what it must load for that.
function export_models(folder, type, task, flags, models, files) {
  const checkpoint = write_checkpoint(type, task);
  write_tokenizer(checkpoint);
  run_export(checkpoint, task, path.join(work, folder), '--layout', 'transformers.js', '--variants',
    Object.keys(precisions).join(','), '--block-size', '16', ...flags);
  for (const [dtype, suffix] of Object.entries(precisions)) {
    models.push({ folder, task, dtype });
    const file = `/models/${folder}/onnx/model${suffix}.onnx`;
    files.push(file, ...(flags.includes('always') ? [`${file}_data`] : []));
  }
}

// Returns the largest distance between numbers of two lists of rows.
function distance(rows, expected) {
  assert.deepEqual(rows.map((row) => row.length), expected.map((row) => row.length));
  return Math.max(...rows.map((row, r) => Math.max(...row.map((x, i) => Math.abs(x - expected[r][i])))));
}

const margin = (scores) => Math.min(...scores.map((row) => {
  const [best, second] = [...row].sort((a, b) => b - a);
  return best - second;
}));

test('q8 and q4 in a browser', async (t) => {
  const models = [];
  const files = ['/onnxruntime/ort-wasm-simd-threaded.asyncify.wasm'];
  export_models('llama', 'llama', 'text-generation-with-past', [], models, files);
  export_models('llama-data', 'llama', 'text-generation-with-past', ['--external-data', 'always'], models, files);
  export_models('bert', 'bert', 'feature-extraction', [], models, files);
  run_export(write_model('llava', types.llava), task, path.join(work, 'llava/seeing'), '--layout',
    'transformers.js', '--variants', 'decoder_model_merged=q4,vision_encoder=q8', '--block-size', '16');
  models.push({ folder: 'llava/seeing', task, dtype: 'mixed' });
  for (const stem of ['decoder_model_merged_q4', 'vision_encoder_quantized', 'embed_tokens'])
    files.push(`/models/llava/seeing/onnx/${stem}.onnx`);
  const list = path.join(work, 'models.json');
  fs.writeFileSync(list, JSON.stringify(models));

  const { results, sent } = await run_page({
    '/': path.join(here, 'page.html'), '/runs.mjs': path.join(here, 'runs.mjs'), '/models.json': list, '/models/': work,
    '/client/': path.join(packages, 'node_modules/@huggingface/transformers/dist'),
    '/onnxruntime/': path.join(packages, 'node_modules/onnxruntime-web/dist'),
  }, path.join(work, 'profile'));
  for (const file of files) assert.ok(sent.has(file), `the page did not load ${file}`);

  const expected = await run(client, models, { device: 'cpu', session_options });
  assert.deepEqual(Object.keys(results), Object.keys(expected));
  for (const [name, { tokens, scores, features }] of Object.entries(expected)) {
    const result = results[name];
    if (!scores && !features) {
      assert.deepEqual(result.tokens, tokens, name);
      continue;
    }
    const far = features ? distance(result.features, features) : distance(result.scores, scores);
    t.diagnostic(`${name}: ${far} from Node`);
    assert.ok(far < tolerance, `${name}: ${far} from Node`);
    if (!tokens) continue;
    assert.equal(scores.length, prompts.length * new_tokens);
    assert.ok(margin(scores) > 2 * tolerance, `${name}: ${margin(scores)} between two tokens: too close to call`);
    assert.deepEqual(result.tokens, tokens, name);
  }
});
