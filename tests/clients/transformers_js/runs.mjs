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

// The results of each model, which is a folder and a precision.
export async function run(client, models, options) {
  const results = {};
  for (const { folder, task, dtype } of models) {
    const call = task === 'feature-extraction' ? extract : generate;
    results[`${folder} ${dtype}`] = await call(client, folder, { ...options, dtype });
  }
  return results;
}
