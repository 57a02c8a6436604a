// Models that hear and speak, with the processors of published repositories.
import assert from 'node:assert/strict';
import test from 'node:test';

import {
  expect_outputs, expect_outputs_of_file, expect_recorded, export_recorded, recorded_cases, watch,
} from './recorded.mjs';
import { client, load_options, pipeline, tone, write_json, write_tokenizer } from './support.mjs';

const write_extractor = (folder, settings) => write_json(folder, 'preprocessor_config.json', {
  feature_size: 1, padding_side: 'right', padding_value: 0, return_attention_mask: false, sampling_rate: 16000, ...settings,
});

// Letters, and the decoder that takes repeated ones for one.
function write_ctc_tokenizer(folder, vocab_size) {
  const tokens = ['<pad>', '<s>', '</s>', '|', ...Array.from({ length: vocab_size - 4 }, (_, i) => String.fromCharCode(65 + i))];
  write_tokenizer(folder, {
    edit: (json) => {
      json.model.vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
      json.decoder = { type: 'CTC', pad_token: '<pad>', word_delimiter_token: '|', cleanup: true };
    },
  });
}

const raw = { feature_extractor_type: 'Wav2Vec2FeatureExtractor', do_normalize: true };
const extractors = {
  'audio-spectrogram-transformer': {
    feature_extractor_type: 'ASTFeatureExtractor', do_normalize: true, max_length: 40, mean: -4.2677393, std: 4.5689974,
    num_mel_bins: 16,
  },
  hubert: raw,
  parakeet_ctc: {
    feature_extractor_type: 'ParakeetFeatureExtractor', feature_size: 12, hop_length: 160, n_fft: 512, preemphasis: 0.97,
    win_length: 400, return_attention_mask: true,
  },
  unispeech: raw, 'unispeech-sat': raw, wav2vec2: raw, wavlm: raw,
  'wav2vec2-bert': {
    feature_extractor_type: 'SeamlessM4TFeatureExtractor', feature_size: 10, num_mel_bins: 10, stride: 2, padding_value: 1,
    return_attention_mask: true,
  },
};

for (const type of ['hubert', 'parakeet_ctc', 'unispeech', 'unispeech-sat', 'wav2vec2', 'wav2vec2-bert', 'wavlm']) {
  test(`${type}: automatic-speech-recognition`, async () => {
    const task = 'automatic-speech-recognition';
    const cases = recorded_cases(type, task);
    const { name, onnx } = export_recorded(type, task, task, (model) => {
      write_extractor(model, { ...extractors[type], processor_class: 'Wav2Vec2Processor' });
      write_ctc_tokenizer(model, cases[0].outputs.logits.dims[2]);
    });
    if (type === 'wavlm') {  // the client knows the model, and its pipeline does not
      const model = await client.AutoModelForCTC.from_pretrained(name, load_options);
      await expect_outputs(model, cases);
      return model.dispose();
    }
    const pipe = await pipeline(task, name, load_options);
    const { result: { text }, seen: [seen] } = await watch(pipe.model, () => pipe(tone(8000)));
    assert.ok(text.length > 0);
    await expect_outputs_of_file(onnx('model'), seen);
    await expect_recorded(pipe, cases, (pipe) => pipe(tone(8000)));
    return pipe.dispose();
  });
}

for (const type of ['audio-spectrogram-transformer', 'hubert', 'unispeech', 'wav2vec2', 'wav2vec2-bert', 'wavlm']) {
  test(`${type}: audio-classification`, async () => {
    const task = 'audio-classification';
    const { name, onnx } = export_recorded(type, task, task, (model) => write_extractor(model, extractors[type]));
    const pipe = await pipeline(task, name, load_options);
    const call = (pipe) => pipe(tone(8000), { top_k: 3 });
    const { seen: [seen] } = await watch(pipe.model, () => call(pipe));
    await expect_outputs_of_file(onnx('model'), seen);
    await expect_recorded(pipe, recorded_cases(type, task), call);
    await pipe.dispose();
  });
}

for (const [type, task, auto] of [
  ['wav2vec2', 'audio-frame-classification', 'AutoModelForAudioFrameClassification'],
  ['wavlm', 'audio-frame-classification', 'AutoModelForAudioFrameClassification'],
  ['wavlm', 'audio-xvector', 'AutoModelForXVector'],
]) {
  test(`${type}: ${task}`, async () => {
    const { name } = export_recorded(type, task, task, (model) => write_extractor(model, extractors[type]));
    const model = await client[auto].from_pretrained(name, load_options);
    await expect_outputs(model, recorded_cases(type, task));
    await model.dispose();
  });
}

const clap = {
  feature_extractor_type: 'ClapFeatureExtractor', processor_class: 'ClapProcessor', feature_size: 8, nb_frequency_bins: 513,
  fft_window_size: 1024, hop_length: 480, sampling_rate: 48000, frequency_min: 50, frequency_max: 14000,
  nb_max_samples: 119 * 480, truncation: 'rand_trunc', padding: 'repeatpad',
};

test('clap: zero-shot-audio-classification', async () => {
  const task = 'feature-extraction';
  const { name, onnx } = export_recorded('clap', task, task, (model) => {
    write_extractor(model, clap);
    write_tokenizer(model, { end: '</s>', padding_side: 'right', names: { model_max_length: 30 } });
  });
  const pipe = await pipeline('zero-shot-audio-classification', name, load_options);
  const call = (labels) => (pipe) => pipe(tone(50000), labels, { hypothesis_template: '{}' });
  const { result, seen: [seen] } = await watch(pipe.model, () => call(['a cat', 'two dogs'])(pipe));
  assert.deepEqual(result.map(({ label }) => label), ['a cat', 'two dogs']);
  await expect_outputs_of_file(onnx('model'), seen);
  await expect_outputs(pipe.model, recorded_cases('clap', task));
  await pipe.dispose();
});

test('clap: text_model and audio_model', async () => {
  const fixture = 'feature-extraction+split';
  const { name } = export_recorded('clap', fixture, 'feature-extraction', () => {}, '--variant', 'split');
  for (const [of, stem] of [['ClapTextModelWithProjection', 'text_model'], ['ClapAudioModelWithProjection', 'audio_model']]) {
    const model = await client[of].from_pretrained(name, load_options);
    await expect_outputs(model, recorded_cases('clap', fixture, stem));
    await model.dispose();
  }
});

for (const type of ['dac', 'mimi']) {
  test(`${type}: encode and decode`, async () => {
    const task = 'feature-extraction';
    const { name } = export_recorded(type, task, task, () => {});
    const whole = await client.AutoModel.from_pretrained(name, load_options);
    const [encoder, decoder] = ['encoder_model', 'decoder_model'].map((stem) => recorded_cases(type, task, stem));
    await expect_outputs((inputs) => whole.encode(inputs), encoder);
    await expect_outputs((inputs) => whole.decode(inputs), decoder);
    await whole.dispose();
  });
}
