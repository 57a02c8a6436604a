// What Node and the page in the browser both run: the same calls, so that their results can be compared.
export const prompts = ['A man is eating food.', 'The sky', '?'];
export const new_tokens = 20;

// The tokens, and the scores of every step.
async function generate({ AutoTokenizer, AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList }, name, options) {
  const scores = [];
  class Keep extends LogitsProcessor {
    _call(_, logits) {
      scores.push(...logits.tolist());
      return logits;
    }
  }
  const keep = new LogitsProcessorList();
  keep.push(new Keep());
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const model = await AutoModelForCausalLM.from_pretrained(name, options);
  const tokens = await model.generate({
    ...tokenizer(prompts, { padding: true }), do_sample: false, max_new_tokens: new_tokens, eos_token_id: null,
    logits_processor: keep,
  });
  await model.dispose();
  return { tokens: tokens.tolist().map((row) => row.map(Number)), scores };
}

async function extract({ pipeline }, name, options) {
  const extractor = await pipeline('feature-extraction', name, options);
  const features = await extractor(prompts);
  await extractor.dispose();
  return { features: features.tolist().flat() };
}

// An image and a question. The precision of each file is the one that config.json names.
async function see({ AutoProcessor, AutoModelForImageTextToText, RawImage }, name, { dtype, ...options }) {
  const side = 16;
  const pixels = Uint8ClampedArray.from({ length: side * side * 3 }, (_, i) => (i * 7 + Math.floor(i / 50) * 11) % 256);
  const processor = await AutoProcessor.from_pretrained(name);
  const inputs = await processor(new RawImage(pixels, side, side, 3), '<image>What is in it?');
  const model = await AutoModelForImageTextToText.from_pretrained(name, options);
  const tokens = await model.generate({ ...inputs, do_sample: false, max_new_tokens: new_tokens, eos_token_id: null });
  await model.dispose();
  return { tokens: tokens.tolist().map((row) => row.map(Number)) };
}

const calls = { 'feature-extraction': extract, 'image-text-to-text-with-past': see };

// The results of each model, which is a folder and a precision.
export async function run(client, models, options) {
  const results = {};
  for (const { folder, task, dtype } of models) {
    const call = calls[task] ?? generate;
    results[`${folder} ${dtype}`] = await call(client, folder, { ...options, dtype });
  }
  return results;
}
