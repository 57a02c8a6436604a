// Tiny models that read images and text, with the client's processor for each.
import fs from 'node:fs';
import path from 'node:path';

import { ort, square, write_checkpoint, write_json, write_preprocessor, write_tokenizer } from './support.mjs';

export const side = 16;  // of the images that the fixtures take
export const image_token = 98;
export const integers = (values, dims) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims);

// Positions of a prompt with one image of rows * columns tokens on three axes: [3][length].
function grid_positions(ids, prompt_length, rows, columns) {
  const axes = [[], [], []];
  let next = 0, seen = 0;
  for (const [i, id] of ids.entries()) {
    if (i < prompt_length && Number(id) === image_token) {
      [0, Math.floor(seen / columns), seen % columns].forEach((place, axis) => axes[axis].push(next + place));
      if (++seen === rows * columns) next += Math.max(rows, columns);
    } else {
      axes.forEach((axis) => axis.push(next));
      ++next;
    }
  }
  return axes;
}

export const task = 'image-text-to-text-with-past';
export const text = 'What is in it?';
// `ask` calls the processor; `feed` makes the inputs of the vision encoder beside pixel_values.
export const types = {
  llava: {
    image_processor_type: 'CLIPImageProcessor', processor_class: 'LlavaProcessor', tokens: { [image_token]: '<image>' },
    processor: { image_token: '<image>', patch_size: 4, num_additional_image_tokens: 0 },
    ask: (processor, image) => processor(image, `<image>${text}`),
  },
  llava_onevision: {
    image_processor_type: 'LlavaOnevisionImageProcessor', processor_class: 'LlavaProcessor',
    tokens: { [image_token]: '<image>' },
    processor: { image_token: '<image>', patch_size: 4, num_additional_image_tokens: 1 },  // the end of the image
    ask: (processor, image) => processor(image, `<image>${text}`),
  },
  gemma3: {
    image_processor_type: 'Gemma3ImageProcessor', processor_class: 'Gemma3Processor',
    tokens: { 5: '<start_of_image>', 6: '<end_of_image>', [image_token]: '<image_soft_token>' },
    names: { boi_token: '<start_of_image>', eoi_token: '<end_of_image>', image_token: '<image_soft_token>' },
    processor: { image_seq_length: 4 },
    ask: (processor, image) => processor(`<start_of_image>${text}`, image),
  },
  paligemma: {
    image_processor_type: 'SiglipImageProcessor', processor_class: 'PaliGemmaProcessor',
    tokens: { [image_token]: '<image>' }, settings: { image_seq_length: 16 },
    ask: (processor, image) => processor(image, `<image>${text}`),
    keeps_cache: true,  // the tokens of a prompt attend in both directions, later ones do not
  },
  smolvlm: {
    image_processor_type: 'SmolVLMImageProcessor', processor_class: 'SmolVLMProcessor',
    tokens: { 95: '<global-img>', 96: '<fake_token_around_image>', [image_token]: '<image>' },
    settings: { do_image_splitting: false, max_image_size: { longest_edge: side }, size: { longest_edge: side } },
    processor: { image_seq_len: 4 },
    ask: (processor, image) => processor(`<image>${text}`, image),
    feed: ({ pixel_attention_mask: { data, dims } }) => ({
      pixel_attention_mask: new ort.Tensor('bool', Uint8Array.from(data, Number), dims),
    }),
  },
  qwen2_vl: {
    image_processor_type: 'Qwen2VLImageProcessor', processor_class: 'Qwen2VLProcessor',
    tokens: { 95: '<|vision_end|>', 96: '<|vision_start|>', 97: '<|video_pad|>', [image_token]: '<|image_pad|>' },
    settings: {
      patch_size: 4, merge_size: 2, temporal_patch_size: 2, min_pixels: side * side, max_pixels: side * side,
    },
    ask: (processor, image) => processor(`<|vision_start|><|image_pad|><|vision_end|>${text}`, image),
    feed: ({ image_grid_thw: { data, dims } }) => ({ grid_thw: integers(data, dims) }),
    positions: (ids, prompt_length) => integers(grid_positions(ids, prompt_length, 2, 2).flat(), [3, 1, ids.length]),
  },
};

types.qwen2_5_vl = {
  ...types.qwen2_vl, fixture: 'image-text-to-text-with-past+flat', processor_class: 'Qwen2_5_VLProcessor',
  feed: ({ image_grid_thw: { data, dims } }) => ({ image_grid_thw: integers(data, dims) }),
};

export function write_model(type, { image_processor_type, processor_class, tokens, names, processor, settings, fixture = task }) {
  const model = write_checkpoint(type, fixture);
  write_tokenizer(model, { others: tokens, names });
  write_preprocessor(model, image_processor_type, { processor_class, size: square(side), ...settings });
  write_json(model, 'processor_config.json', { processor_class, ...processor });
  fs.writeFileSync(path.join(model, 'chat_template.jinja'), '{{ messages[0].content }}');
  return model;
}
