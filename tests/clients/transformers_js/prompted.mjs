// Models that see and take texts or points, and those without a pipeline.
import assert from 'node:assert/strict';
import test from 'node:test';

import {
  distance, expect_outputs, expect_outputs_of_file, expect_recorded, export_recorded, recorded_cases, run_file, watch,
} from './recorded.mjs';
import { client, load_options, make_image, pipeline, softmax, square, write_preprocessor, write_tokenizer } from './support.mjs';

const labels = ['a cat', 'two dogs'];
const detectors = {
  owlvit: ['OwlViTImageProcessor', 'OwlViTProcessor', { size: square(32) }],
  owlv2: ['Owlv2ImageProcessor', 'Owlv2Processor', { size: square(32), do_pad: true }],
  'grounding-dino': ['GroundingDinoImageProcessor', 'GroundingDinoProcessor', { size: square(48), do_pad: true }],
};
for (const [type, [processor, processor_class, settings]] of Object.entries(detectors)) {
  test(`${type}: zero-shot-object-detection`, async () => {
    const task = 'zero-shot-object-detection';
    const { name, onnx } = export_recorded(type, task, task, (model) => {
      write_preprocessor(model, processor, { processor_class, ...settings });
      write_tokenizer(model, { end: '</s>', padding_side: 'right', names: { model_max_length: 16 } });
    });
    const pipe = await pipeline(task, name, load_options);
    const texts = type === 'grounding-dino' ? 'a cat.' : labels;
    const call = (pipe) => pipe(make_image(40).image, texts, { threshold: 0, percentage: true });
    const { result, seen: [seen] } = await watch(pipe.model, () => call(pipe));
    assert.ok(result.length > 0);
    if (type === 'grounding-dino') {  // the client's defaults, if a file has these inputs
      seen.inputs.token_type_ids = client.zeros_like(seen.inputs.input_ids);
      seen.inputs.pixel_mask = client.ones([1, 48, 48]);
    }
    await expect_outputs_of_file(onnx('model'), seen);
    await expect_recorded(pipe, recorded_cases(type, task), call);
    await pipe.dispose();
  });
}

const two_towers = {
  siglip: 'SiglipImageProcessor', clip: 'CLIPImageProcessor', chinese_clip: 'ChineseCLIPFeatureExtractor',
};
for (const [type, processor] of Object.entries(two_towers)) {
  test(`${type}: zero-shot-image-classification`, async () => {
    const task = 'zero-shot-image-classification';
    const { name, onnx } = export_recorded(type, task, task, (model) => {
      write_preprocessor(model, processor);
      write_tokenizer(model, { end: type === 'clip' ? '\n' : '</s>', padding_side: 'right', names: { model_max_length: 16 } });
    });
    const pipe = await pipeline(task, name, load_options);
    const call = (pipe) => pipe(make_image().image, labels, { hypothesis_template: '{}' });
    const { result, seen: [seen] } = await watch(pipe.model, () => call(pipe));
    await expect_outputs_of_file(onnx('model'), seen);
    const { logits_per_image: { data } } = await run_file(onnx('model'), seen.inputs);
    const scores = type === 'siglip' ? Object.fromEntries(labels.map((label, i) => [label, 1 / (1 + Math.exp(-data[i]))]))
      : softmax(data, labels);
    for (const { label, score } of result) assert.ok(Math.abs(score - scores[label]) < 1e-5, `${label}: ${score}`);
    await expect_outputs(pipe.model, recorded_cases(type, task));
    await pipe.dispose();
  });
}

// The towers alone, as files of their own.
for (const [type, classes] of Object.entries({
  clip: ['CLIPTextModelWithProjection', 'CLIPVisionModelWithProjection'], siglip: ['SiglipTextModel', 'SiglipVisionModel'],
})) {
  test(`${type}: text_model and vision_model`, async () => {
    const fixture = 'feature-extraction+split';
    const { name, onnx } = export_recorded(type, fixture, 'feature-extraction', (model) => {
      write_preprocessor(model, two_towers[type]);
    }, '--variant', 'split');
    for (const [i, stem] of ['text_model', 'vision_model'].entries()) {
      const model = await client[classes[i]].from_pretrained(name, load_options);
      await expect_outputs(model, recorded_cases(type, fixture, stem));
      await model.dispose();
    }
    const pipe = await pipeline('image-feature-extraction', name, load_options);
    const { result, seen: [seen] } = await watch(pipe.model, () => pipe(make_image().image));
    await expect_outputs_of_file(onnx('vision_model'), seen);
    assert.equal(distance(result, seen.outputs.image_embeds ?? seen.outputs.last_hidden_state), 0);
    await pipe.dispose();
  });
}

test('vitpose: keypoints', async () => {
  const task = 'keypoint-detection';
  const { name } = export_recorded('vitpose', task, task, (model) => write_preprocessor(model, 'VitPoseImageProcessor', {
    do_affine_transform: true, size: { height: 64, width: 48 },
  }));
  const model = await client.AutoModelForPoseEstimation.from_pretrained(name, load_options);
  const processor = await client.AutoProcessor.from_pretrained(name);
  const inputs = await processor(make_image(40).image);
  assert.deepEqual(inputs.pixel_values.dims, [1, 3, 64, 48]);
  const { heatmaps } = await model(inputs);
  const [[{ keypoints }]] = processor.image_processor.post_process_pose_estimation(heatmaps, [[[0, 0, 40, 40]]]);
  assert.equal(keypoints.length, 5);
  await expect_outputs(model, recorded_cases('vitpose', task));
  await model.dispose();
});

test('vitmatte: image-matting', async () => {
  const task = 'image-matting';
  const { name } = export_recorded('vitmatte', task, task, (model) => write_preprocessor(model, 'VitMatteImageProcessor', {
    do_resize: false, do_pad: true, size_divisibility: 32,
  }));
  const model = await client.VitMatteForImageMatting.from_pretrained(name, load_options);
  const processor = await client.AutoProcessor.from_pretrained(name);
  const inputs = await processor(make_image(40).image, make_image(40).image);
  assert.deepEqual(inputs.pixel_values.dims, [1, 4, 64, 64]);
  assert.deepEqual((await model(inputs)).alphas.dims, [1, 1, 64, 64]);
  await expect_outputs(model, recorded_cases('vitmatte', task));
  await model.dispose();
});

test('clipseg: image-segmentation', async () => {
  const task = 'image-segmentation';
  const { name, onnx } = export_recorded('clipseg', task, task, (model) => {
    write_preprocessor(model, 'ViTImageProcessor');
    write_tokenizer(model, { end: '\n', padding_side: 'right', names: { model_max_length: 16 } });
  });
  const model = await client.AutoModelForImageSegmentation.from_pretrained(name, load_options);
  const [processor, tokenizer] = [await client.AutoProcessor.from_pretrained(name), await client.AutoTokenizer.from_pretrained(name)];
  const image = make_image(40).image;
  const inputs = { ...tokenizer(labels, { padding: true }), ...await processor([image, image]) };
  const { seen: [seen] } = await watch(model, () => model(inputs));
  await expect_outputs_of_file(onnx('model'), seen);
  await expect_outputs(model, recorded_cases('clipseg', task));
  await model.dispose();
});

// An encoder for the image, and a decoder for each prompt.
const masks = {
  sam: ['SamImageProcessor', 'SamProcessor'], sam2: ['Sam2ImageProcessorFast', 'Sam2Processor'],
  edgetam: ['Sam2ImageProcessorFast', 'Sam2VideoProcessor'], sam3_tracker: ['Sam3ImageProcessorFast', 'Sam2Processor'],
};
for (const [type, [processor_type, processor_class]] of Object.entries(masks)) {
  test(`${type}: mask-generation`, async () => {
    const fixture = 'feature-extraction';
    const { name, onnx } = export_recorded(type, fixture, fixture, (model) => write_preprocessor(model, processor_type, {
      processor_class, size: type === 'sam' ? { longest_edge: 64 } : square(64), do_pad: true, pad_size: square(64),
    }));
    const model = await client.AutoModelForMaskGeneration.from_pretrained(name, load_options);
    await expect_outputs((inputs) => model.get_image_embeddings(inputs), recorded_cases(type, fixture, 'vision_encoder'));
    const cases = recorded_cases(type, fixture, 'prompt_encoder_mask_decoder');
    for (const { inputs } of cases) {  // empty ones are the client's part
      for (const input of ['input_points', 'input_boxes']) if (inputs[input]?.data.length === 0) delete inputs[input];
    }
    await expect_outputs(model, cases);

    const processor = await client.AutoProcessor.from_pretrained(name);
    const inputs = await processor(make_image(40).image, { input_points: [[[[12, 30], [5, 5]]]], input_labels: [[[1, 0]]] });
    const { seen: [seen] } = await watch(model, () => model(inputs));
    const embeddings = await run_file(onnx('vision_encoder'), seen.inputs);
    const nothing = new client.Tensor('float32', [], [1, 0, 4]);
    await expect_outputs_of_file(onnx('prompt_encoder_mask_decoder'), {
      inputs: { input_boxes: nothing, ...seen.inputs, ...embeddings }, outputs: seen.outputs,
    });
    const [mask] = await processor.post_process_masks(
      seen.outputs.pred_masks, inputs.original_sizes, inputs.reshaped_input_sizes);
    assert.deepEqual(mask.dims, [1, 3, 40, 40]);
    await model.dispose();
  });
}
