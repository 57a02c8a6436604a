// The pages that test.py made, as people use them.
//
//   node page.mjs CACHE WORK      WORK: the folder of the pages; gets screenshots of them
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test, { after, before } from 'node:test';

import { open_browser } from './devtools.mjs';

const [cache, work] = process.argv.slice(2);
const axe = fs.readFileSync(path.join(cache, 'axe-core-4.14.1/axe.min.js'), 'utf8');
const looks = [
  { name: 'light', width: 1200 }, { name: 'dark', width: 1200, dark: true }, { name: 'phone', width: 390 },
  { name: 'dark phone', width: 390, dark: true },
];

let browser;
before(async () => { browser = await open_browser(path.join(work, 'profile')); });
after(() => browser?.close());

async function open(name) {
  await browser.look({ width: 1200 });
  await browser.load(`file://${path.join(work, name)}.html`);
  await browser.settle();
  assert.deepEqual(browser.errors, [], `${name}: errors of the page`);
  assert.deepEqual(browser.requests, [`file://${path.join(work, name)}.html`], `${name}: it asks for nothing else`);
}
const text = (selector) => browser.run(`document.querySelector(${JSON.stringify(selector)}).innerText`);
const count = (selector) => browser.run(`document.querySelectorAll(${JSON.stringify(selector)}).length`);
// Opens closed parts, but not so many that nobody would read the page.
const open_all = `(async () => {
  document.querySelectorAll('details:not([open])').forEach((one) => { if (!one.closest('footer')) one.open = true; });
  for (let i = 0; i < 3; ++i) {
    [...document.querySelectorAll('.graph button[aria-expanded=false]')].slice(0, 5).forEach((one) => one.click());
    await new Promise((done) => setTimeout(done, 20));
  }
})()`;

// A complaint of axe, with the first elements.
function described({ id, help, nodes }) {
  const elements = nodes.slice(0, 3).map((node) =>
    `${node.html.slice(0, 200)} ${node.any.map((any) => any.message).join('; ')}`);
  return [`${id}: ${help}`, ...elements].join('\n  ');
}

async function search(words) {
  await browser.run(`(() => {
    const field = document.querySelector('input[type=search]');
    field.value = ${JSON.stringify(words)};
    field.dispatchEvent(new Event('input', { bubbles: true }));
  })()`);
  await browser.run('new Promise((done) => setTimeout(done, 250))');
  await browser.settle();
}
async function choose(section, value) {
  await browser.run(`(() => {
    const field = document.querySelector('#${section} select');
    field.value = [...field.options].find((one) => one.text.startsWith(${JSON.stringify(value)})).value;
    field.dispatchEvent(new Event('change', { bubbles: true }));
  })()`);
  await browser.settle();
}

for (const name of ['decoder', 'speech', 'seeing', 'plain', 'bench']) {
  const some = looks.filter((look) => name === 'decoder' || look.name === 'light' || look.name === 'dark phone');
  test(`${name}: for everyone, in ${some.length} looks`, async () => {
    await open(name);
    await browser.run(axe);
    await browser.run(open_all);
    for (const look of some) {
      await browser.look(look);
      const { violations } = await browser.run('axe.run(document, { resultTypes: ["violations"] })');
      assert.deepEqual(violations.map(described), [], look.name);
      const [wide, room] = await browser.run('[document.documentElement.scrollWidth, innerWidth]');
      assert.ok(wide <= room, `${look.name}: the page is ${wide} wide in ${room}`);
      await browser.screenshot(path.join(work, `${name}-${look.name.replace(' ', '-')}.png`));
    }
  });
}

test('the three answers stand at the top', async () => {
  await open('decoder');
  const answers = await text('.answers');
  assert.match(answers, /The weights of model\.onnx take [\d.]+ kB/);
  assert.match(answers, /model\.layers\.\{0…1\}\.mlp: \d+ %/);
  assert.match(answers, /logits of model(_q4)?\.onnx: it differs by at most/);
  assert.match(answers, /of the tolerance/);
  assert.match(answers, /operations follow one another/);
  assert.match(answers, /\d+ tensors of its weights keep 4 bits of each value/);
  assert.match(answers, /input_ids \(int64\), attention_mask \(int64\), position_ids \(int64\)/);
  await open('speech');
  assert.match(await text('.answers'), /encoder_model: input_features \(float32\)/);
  assert.match(await text('.answers'), /also read by proj_out \(tied\)/);
});

test('quantization by module', async () => {
  await open('decoder');
  await choose('bytes', 'model_q4.onnx');
  assert.match(await text('#bytes .legend'), /4 bits: [\d.]+ kB/);
  assert.ok(await count('#bytes .map rect.k5') > 10);
  // A module by its button in the table, and back.
  await browser.run(`[...document.querySelectorAll('#bytes button.link')]
    .find((one) => one.innerText === 'model').click()`);
  await browser.settle();
  assert.match(await text('#bytes tbody'), /embed_tokens[^]*layers/);
  await browser.run(`document.querySelector('#bytes .crumbs button').click()`);
  await browser.settle();
  assert.match(await text('#bytes tbody'), /lm_head/);
});

test('the size of all files, also if data in several folders has one name', async () => {
  await open('pipeline');
  const names = ['one', 'other'].flatMap((folder) => [`${folder}/model.onnx`, `${folder}/model.onnx_data`]);
  const sizes = names.map((name) => fs.statSync(path.join(work, 'pipeline', name)).size);
  const size = await browser.run(`bytes(${sizes.reduce((sum, one) => sum + one)})`);
  assert.ok((await text('header p')).includes(`2 files, ${size}`), await text('header p'));
});

test('how components feed each other', async () => {
  await open('seeing');
  const picture = await text('#picture');
  assert.match(picture, /vision_encoder gives decoder_model_merged: image_features → inputs_embeds/);
  assert.match(picture, /embed_tokens gives decoder_model_merged: inputs_embeds/);
  assert.match(picture, /decoder_model_merged takes 4 outputs of its call before/);
  assert.equal(await count('#picture rect.component'), 3);
  await open('speech');
  assert.equal(await count('#picture rect.component'), 2, 'the merged decoder stands for its parts');
  const merged = /decoder_model_merged has decoder_model and decoder_with_past_model in one file/;
  assert.match(await text('#picture'), merged);
});

test('the interface with names of axes', async () => {
  await open('seeing');
  await choose('interface', 'decoder_model_merged');
  const given = await text('#interface');
  assert.match(given, /past_key_values\.\{0…1\}\.key/);
  assert.match(given, /\[batch_size, 2, past_sequence_length, 8\]/);
  assert.match(given, /from image_features of vision_encoder|from inputs_embeds of embed_tokens/);
});

test('differences, drift and proof', async () => {
  await open('decoder');
  assert.ok(await count('#validation svg.dots circle') > 10);
  const shown = await text('#validation');
  assert.match(shown, /All 2 checks passed/);
  assert.match(shown, /Drift of quantized variants/);
  assert.match(shown, /\d+ fixtures prove it/);
  assert.match(await text('#times'), /At most [\d.]+ MB of memory/);
});

test('a page without validation says how to get it, and one of a benchmark has its plot', async () => {
  await open('plain');
  assert.match(await text('#validation'), /onnxport validate MODEL OUT --json > validation.json/);
  assert.match(await text('.answers'), /without results of a validation/);
  await open('bench');
  assert.equal(await count('svg.bench rect'), 6, 'three parts for each of two files');
  assert.match(await text('#times'), /p50[^]*p90[^]*p99/);
});

test('the graph with keys alone', async () => {
  await open('decoder');
  const focused = () => browser.run('document.activeElement.innerText ?? ""');
  for (let i = 0; i < 100 && !await browser.run(`Boolean(document.activeElement.closest('.graph'))`); ++i)
    await browser.press('Tab');
  assert.match(await focused(), /inputs/);
  await browser.press('ArrowDown');
  assert.match(await focused(), /model/);
  const modules = await count('.graph button');
  await browser.press('Enter');
  await browser.settle();
  assert.ok(await count('.graph button') > modules);
  assert.equal(await browser.run(`document.activeElement.getAttribute('aria-expanded')`), 'true');
  await browser.press('ArrowDown');
  assert.match(await focused(), /embed_tokens/);
  await browser.press('ArrowRight');
  await browser.settle();
  assert.match(await text('.graph'), /embedding[^]*weight model\.embed_tokens\.weight[^]*in model\.safetensors/);
  await browser.press('ArrowLeft');
  await browser.settle();
  assert.equal(await browser.run(`document.activeElement.getAttribute('aria-expanded')`), 'false');
});

test('the search finds ops, modules and weights', async () => {
  await open('decoder');
  await search('q_proj.weight layers.1');
  assert.match(await text('#graph [role=status]'), /^1 node of/);
  assert.match(await text('ul.graph'), /linear[^]*model\.layers\.1\.self_attn\.q_proj\.weight/);
  await choose('graph', 'model_q4.onnx');
  await search('matmulnbits');
  assert.match(await text('#graph [role=status]'), /^15 nodes of/);
  await search('logits');
  assert.match(await text('ul.graph'), /→ float32\[batch_size, sequence_length, 99\][^]*output logits/);
  await search('no such thing');
  assert.match(await text('#graph [role=status]'), /^0 nodes of/);
  await search('');
  assert.equal(await count('div.graph'), 1);
});

// Not in milliseconds, which depend on the machine: a page is slow if it has to lay out many elements.
test('10,000 nodes stay fluid', async () => {
  await open('long');
  const elements = () => count('*');
  assert.match(await text('#graph'), /10,000 nodes/);
  assert.ok(await elements() < 800, `${await elements()} elements at the start`);
  const open_first = async () => {
    await browser.run(`document.querySelector('.graph button[aria-expanded=false]').click()`);
    await browser.settle();
  };
  await open_first();
  await open_first();
  await open_first();
  assert.match(await text('.graph'), /Relu Relu_49\b/);
  assert.ok(await elements() < 2500, `${await elements()} elements with open modules`);
  await search('relu');
  assert.match(await text('#graph [role=status]'), /10,000 nodes of 10,000 found/);
  assert.ok(await elements() < 3000, `${await elements()} elements with 10,000 results`);
  assert.match(await text('ul.graph'), /100 more nodes of 9900/);
  await browser.run(`[...document.querySelectorAll('ul.graph button')].at(-1).click()`);
  await browser.settle();
  assert.equal(await count('ul.graph li.node'), 200);
});

test('in print, there is no colour of the dark, and nothing to press', async () => {
  await open('decoder');
  await browser.look({ width: 760, dark: true, media: 'print' });
  assert.equal(await browser.run('getComputedStyle(document.body).backgroundColor'), 'rgb(255, 255, 255)');
  assert.equal(await browser.run(`getComputedStyle(document.querySelector('header nav')).display`), 'none');
  assert.ok(await browser.run('document.documentElement.scrollWidth') <= 760, 'it fits on a page');
  await browser.screenshot(path.join(work, 'decoder-print.png'));
});
