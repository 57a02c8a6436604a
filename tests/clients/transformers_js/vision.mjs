// Models that see: one for each pipeline and head, with the processors of published repositories.
import assert from 'node:assert/strict';
import test from 'node:test';

import { expect_outputs_of_file, expect_recorded, export_recorded, recorded_cases, watch } from './recorded.mjs';
import { client, load_options, pipeline, square, write_preprocessor } from './support.mjs';

const imagenet = { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] };
const clip = { image_mean: [0.48145466, 0.4578275, 0.40821073], image_std: [0.26862954, 0.26130258, 0.27577711] };
const shortest = (side) => ({ shortest_edge: side, longest_edge: 2 * side });

const image_of_60_by_40 = () => new client.RawImage(
  Uint8ClampedArray.from({ length: 60 * 40 * 3 }, (_, i) => (i * 7 + Math.floor(i / 180) * 11 + (i % 60) * (i % 7)) % 256), 60, 40, 3);

// For each model type: the processor that published repositories name, its settings with sizes for small images, and the
// height and width that it makes of an image of 60 by 40.
const types = {
  'object-detection': {
    detr: ['DetrImageProcessor', { ...imagenet, size: shortest(64), do_pad: true }, [85, 128]],
    rt_detr: ['RTDetrImageProcessor', { do_normalize: false, size: square(64), do_pad: false }, [64, 64]],
    rt_detr_v2: ['RTDetrImageProcessor', { do_normalize: false, size: square(64), do_pad: false }, [64, 64]],
    d_fine: ['RTDetrImageProcessor', { do_normalize: false, size: square(64), do_pad: false }, [64, 64]],
    rf_detr: ['DetrImageProcessor', { ...imagenet, size: square(64), do_pad: false }, [64, 64]],
    'table-transformer': ['DetrImageProcessor', { ...imagenet, size: shortest(64), do_pad: true }, [85, 128]],
    yolos: ['YolosImageProcessor', { ...imagenet, size: { height: 32, width: 48 }, do_pad: true }, [32, 48]],
  },
  'image-segmentation': {
    detr: ['DetrImageProcessor', { ...imagenet, size: shortest(64), do_pad: true }, [85, 128]],
    maskformer: ['MaskFormerImageProcessor', { ...imagenet, size: square(64), size_divisor: 32 }, [64, 64]],
    segformer: ['SegformerImageProcessor', { ...imagenet, size: square(64) }, [64, 64]],
  },
  'depth-estimation': {
    depth_anything: ['DPTImageProcessor', { ...imagenet, size: square(56), ensure_multiple_of: 14, keep_aspect_ratio: true }, [42, 56]],
    depth_pro: ['DPTImageProcessor', { size: square(32) }, [32, 32]],  // the client has none for it
    dpt: ['DPTImageProcessor', { size: square(32), ensure_multiple_of: 1, keep_aspect_ratio: false }, [32, 32]],
    glpn: ['GLPNFeatureExtractor', { do_normalize: false, size_divisor: 32, size: undefined }, [32, 32]],
  },
  'image-to-image': {
    swin2sr: ['Swin2SRImageProcessor', { do_resize: false, do_normalize: false, do_pad: true, pad_size: 8 }, [40, 64]],
  },
  'image-feature-extraction': {
    dinov2: ['BitImageProcessor', { ...imagenet, size: { shortest_edge: 36 }, do_center_crop: true, crop_size: square(32) }, [32, 32]],
    dinov2_with_registers: ['BitImageProcessor', { ...imagenet, size: { shortest_edge: 36 }, do_center_crop: true, crop_size: square(32) }, [32, 32]],
    dinov3_convnext: ['DINOv3ViTImageProcessorFast', { ...imagenet, size: square(32) }, [32, 32]],
    dinov3_vit: ['DINOv3ViTImageProcessorFast', { ...imagenet, size: square(32) }, [32, 32]],
    ijepa: ['ViTImageProcessor', { size: square(32) }, [32, 32]],
  },
  'image-classification': {
    beit: ['BeitFeatureExtractor', { size: square(32) }, [32, 32]],
    convnextv2: ['ConvNextImageProcessor', { ...imagenet, size: { shortest_edge: 32 }, crop_pct: 0.875 }, [32, 32]],
    dinov2: ['BitImageProcessor', { ...imagenet, size: { shortest_edge: 36 }, do_center_crop: true, crop_size: square(32) }, [32, 32]],
    efficientnet: ['EfficientNetImageProcessor', { ...imagenet, size: square(64), include_top: true }, [64, 64]],
    hiera: ['BitImageProcessor', { ...imagenet, size: { shortest_edge: 72 }, do_center_crop: true, crop_size: square(64) }, [64, 64]],
    mobilenet_v2: ['MobileNetV2ImageProcessor', { size: { shortest_edge: 72 }, do_center_crop: true, crop_size: square(64) }, [64, 64]],
    mobilevitv2: ['MobileViTImageProcessor', { do_normalize: false, size: { shortest_edge: 72 }, do_center_crop: true, crop_size: square(64), do_flip_channel_order: true }, [64, 64]],
    pvt: ['PvtImageProcessor', { ...imagenet, size: square(64) }, [64, 64]],
    swin: ['ViTImageProcessor', { ...imagenet, size: square(32) }, [32, 32]],
    vit_msn: ['ViTImageProcessor', { ...imagenet, size: square(32) }, [32, 32]],
  },
};
const fixtures = { segformer: 'semantic-segmentation', 'image-feature-extraction': 'feature-extraction' };
// With these, a tiny model finds something.
const options = {
  'object-detection': { threshold: 0, percentage: true },
  'image-segmentation': { threshold: 0, mask_threshold: 0, overlap_mask_area_threshold: 0 },
  'image-classification': { top_k: null },
};

for (const [task, of_types] of Object.entries(types)) {
  for (const [type, [processor, settings, shape]] of Object.entries(of_types)) {
    test(`${type}: ${task}`, async () => {
      const fixture = fixtures[task] ?? (task === 'image-segmentation' ? fixtures[type] : undefined) ?? task;
      const { name, onnx } = export_recorded(type, fixture, fixture, (model) => write_preprocessor(model, processor, settings));
      const pipe = await pipeline(task, name, load_options);
      const call = (pipe) => pipe(image_of_60_by_40(), options[task]);

      const { seen: [seen] } = await watch(pipe.model, () => call(pipe));
      assert.deepEqual(seen.inputs.pixel_values.dims, [1, 3, ...shape]);
      await expect_outputs_of_file(onnx('model'), seen);
      await expect_recorded(pipe, recorded_cases(type, fixture), call);
      await pipe.dispose();
    });
  }
}

test('segformer: background-removal', async () => {
  const fixture = 'semantic-segmentation';
  const { name } = export_recorded('segformer', fixture, fixture, (model) => write_preprocessor(
    model, ...types['image-segmentation'].segformer));
  const [segment, remove] = [
    await pipeline('image-segmentation', name, load_options), await pipeline('background-removal', name, load_options)];
  const image = image_of_60_by_40();
  const [{ mask }] = await segment(image);
  const removed = await remove(image);
  assert.deepEqual(removed.size, [60, 40]);
  assert.equal(removed.channels, 4);
  assert.ok(mask.data.includes(0) && mask.data.includes(255), 'a mask of one value shows nothing');
  mask.data.forEach((opacity, i) => assert.equal(removed.data[4 * i + 3], opacity));
  await segment.dispose();
  await remove.dispose();
});

// The client's processor for DETR makes a mask of 64 by 64 pixels for every image.
for (const type of ['detr', 'table-transformer']) {
  test(`${type}: object-detection with a mask of pixels`, async () => {
    const task = 'object-detection';
    const [processor, settings] = types[task][type];
    const { name, onnx } = export_recorded(type, task, task, (model) => write_preprocessor(model, processor, settings),
      '--with-pixel-mask');
    const pipe = await pipeline(task, name, load_options);
    const call = (pipe) => pipe(image_of_60_by_40(), options[task]);
    const { seen: [seen] } = await watch(pipe.model, () => call(pipe));
    assert.deepEqual(seen.inputs.pixel_mask.dims, [1, 64, 64]);
    await expect_outputs_of_file(onnx('model'), seen);
    const cases = recorded_cases(type, task);
    for (const { inputs } of cases) inputs.pixel_mask = client.ones([inputs.pixel_values.dims[0], 64, 64]);
    await expect_recorded(pipe, cases, call);
    await pipe.dispose();
  });
}
