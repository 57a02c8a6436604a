// Speech from texts and texts from speech, with the client's loops around the files.
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';

import { distance, expect_recorded, export_recorded, recorded_cases, run_file, watch } from './recorded.mjs';
import {
  client, expect_same_tokens, load_options, ort, pipeline, run_export, tone, work, write_checkpoint, write_json, write_tokenizer,
} from './support.mjs';

const { Tensor } = client;

// The first `size` tokens: three special ones and characters.
function write_small_tokenizer(folder, size, settings) {
  write_tokenizer(folder, {
    ...settings,
    edit: ({ model }) => { model.vocab = Object.fromEntries(Object.entries(model.vocab).filter(([, id]) => id < size)); },
  });
}

test('vits: text-to-speech', async () => {
  const { name, onnx } = export_recorded('vits', 'text-to-audio', 'text-to-audio', (model) => {
    write_small_tokenizer(model, 38, { padding_side: 'right', names: { tokenizer_class: 'VitsTokenizer' } });
  });
  const pipe = await pipeline('text-to-speech', name, load_options);
  const { result, seen: [seen] } = await watch(pipe.model, () => pipe('1 2 3'));
  const { waveform } = await run_file(onnx('model'), seen.inputs);
  assert.equal(result.sampling_rate, 16000);
  assert.deepEqual(Array.from(result.audio), Array.from(waveform.data));
  await expect_recorded(pipe, recorded_cases('vits', 'text-to-audio'), (pipe) => pipe(['1 2 3']), { whole: true });
  await pipe.dispose();
});

test('speecht5: text-to-speech', async () => {
  const task = 'text-to-audio';
  const vocoder = write_checkpoint('speecht5', task, { recorded: true, part: 'vocoder' });
  const flags = ['--model-kwargs', JSON.stringify({ vocoder })];
  const { name } = export_recorded('speecht5', task, task, (model) => {
    write_json(model, 'preprocessor_config.json', {
      feature_extractor_type: 'SpeechT5FeatureExtractor', processor_class: 'SpeechT5Processor', num_mel_bins: 10,
      sampling_rate: 16000,
    });
    write_small_tokenizer(model, 40, { end: '</s>' });
  }, ...flags);
  const plain = path.join(work, 'speecht5/plain');
  run_export(path.join(work, 'speecht5/checkpoint'), task, plain, ...flags);

  // The client's pipeline does not load a processor for this task, so it takes the model for one that gives a waveform,
  // and it splits the waveform of a vocoder into rows.
  const model = await client.AutoModelForTextToSpectrogram.from_pretrained(name, load_options);
  const vocoder_model = await client.SpeechT5HifiGan.from_pretrained(name, {
    ...load_options, model_file_name: 'decoder_postnet_and_vocoder',
  });
  const tokenizer = await client.AutoTokenizer.from_pretrained(name);
  const { input_ids } = tokenizer('1 2 3');
  const speaker_embeddings = new Tensor('float32', Float32Array.from({ length: 14 }, (_, i) => Math.sin(i)), [1, 14]);
  const { waveform: { data: audio } } = await model.generate_speech(input_ids, speaker_embeddings, {
    minlenratio: 4, vocoder: vocoder_model,  // not to end with the first frames
  });

  const run = (stem, inputs) => run_file(path.join(plain, `${stem}.onnx`), inputs);
  const { encoder_outputs, encoder_attention_mask } = await run('encoder_model', { input_ids });
  const frames = [];
  const given = {
    speaker_embeddings, encoder_hidden_states: encoder_outputs, encoder_attention_mask,
  };
  let past = { output_sequence: new Tensor('float32', new Float32Array(10), [1, 1, 10]) };
  for (let step = 1; ; ++step) {
    const { output_sequence_out, prob, spectrum, ...caches } = await run(
      step === 1 ? 'decoder_model' : 'decoder_with_past_model', { ...given, ...past });
    frames.push(...spectrum.data);
    // Keys and values of the encoder come once.
    for (const [state, tensor] of Object.entries(caches)) past[state.replace('present', 'past_key_values')] = tensor;
    past.output_sequence = output_sequence_out;
    const length = input_ids.dims[1] / 2;
    if (step >= Math.floor(length * 4) && (prob.data.some((p) => p >= 0.5) || step >= Math.floor(length * 20))) break;
  }
  const { waveform } = await run('decoder_postnet_and_vocoder', {
    spectrogram: new Tensor('float32', Float32Array.from(frames), [frames.length / 10, 10]),
  });
  assert.equal(audio.length, waveform.data.length);
  assert.ok(audio.length > 100, `${audio.length} values`);
  waveform.data.forEach((x, i) => assert.ok(Math.abs(audio[i] - x) < 1e-4, `${i}: ${audio[i]}, expected ${x}`));
  await model.dispose();
  await vocoder_model.dispose();
});

test('moonshine: automatic-speech-recognition', async () => {
  const task = 'automatic-speech-recognition-with-past';
  const model = write_checkpoint('moonshine', task);
  write_tokenizer(model);
  write_json(model, 'preprocessor_config.json', {
    feature_extractor_type: 'Wav2Vec2FeatureExtractor', processor_class: 'Wav2Vec2Processor', do_normalize: false,
    sampling_rate: 16000,
  });
  run_export(model, task, path.join(work, 'moonshine/with-past'), '--layout', 'transformers.js');
  run_export(model, 'automatic-speech-recognition', path.join(work, 'moonshine/without-past'));
  const pipe = await pipeline('automatic-speech-recognition', 'moonshine/with-past', load_options);
  const sound = tone(12000);
  let tokens;
  const generate = pipe.model.generate.bind(pipe.model);
  pipe.model.generate = async (options) => (tokens = await generate(options));
  const count = 20;
  const { text } = await pipe(sound, { max_new_tokens: count, eos_token_id: null });
  assert.equal(text, pipe.tokenizer.decode(tokens.tolist()[0], { skip_special_tokens: true }));
  const feeds = {
    input_values: new ort.Tensor('float32', sound, [1, sound.length]),
    attention_mask: new ort.Tensor('int64', new BigInt64Array(sound.length).fill(1n), [1, sound.length]),
  };
  await expect_same_tokens(tokens, path.join(work, 'moonshine/without-past'), feeds, 1n, count);
  await pipe.dispose();
});

// The client aligns words with the attention of every step to the sound. It must be the attention that the file without a
// cache gives for the whole text at once.
test('whisper: word timestamps', async () => {
  const task = 'automatic-speech-recognition-with-past';
  const model = write_checkpoint('whisper', `${task}+timestamped`);
  write_tokenizer(model, {
    names: { tokenizer_class: 'WhisperTokenizer' },
    others: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [
      90 + i, i === 0 ? '<|notimestamps|>' : `<|${((i - 1) * 0.02).toFixed(2)}|>`])),
  });
  write_json(model, 'preprocessor_config.json', {
    feature_extractor_type: 'WhisperFeatureExtractor', processor_class: 'WhisperProcessor', feature_size: 10, n_fft: 400,
    hop_length: 160, chunk_length: 0.5, n_samples: 8000, nb_max_frames: 50, sampling_rate: 16000,
  });
  const plain = path.join(work, 'whisper/plain');
  run_export(model, task, path.join(work, 'whisper/timestamped'), '--variant', 'timestamped', '--layout', 'transformers.js');
  run_export(model, task, plain, '--variant', 'timestamped');
  const pipe = await pipeline('automatic-speech-recognition', 'whisper/timestamped', load_options);
  let aligned;
  const extract = pipe.model._extract_token_timestamps.bind(pipe.model);
  pipe.model._extract_token_timestamps = (outputs, ...settings) => {
    aligned = { outputs, settings, timestamps: extract(outputs, ...settings) };
    return aligned.timestamps;
  };
  const sound = tone(8000);
  const { text, chunks } = await pipe(sound, { return_timestamps: 'word', max_new_tokens: 16 });
  assert.equal(chunks.map((chunk) => chunk.text).join(''), text);

  const { outputs: { sequences }, settings, timestamps } = aligned;
  const { input_features } = await pipe.processor(sound);
  const { last_hidden_state } = await run_file(path.join(plain, 'encoder_model.onnx'), { input_features });
  const given = sequences.slice(null, [0, -1]);  // the last token has been given to nobody
  const results = await run_file(path.join(plain, 'decoder_model.onnx'), {
    input_ids: given, encoder_hidden_states: last_hidden_state,
  });
  const layers = [0, 1].map((layer) => results[`cross_attentions.${layer}`]).map(({ data, dims }) => new Tensor('float32', data, dims));
  const expected = extract({ sequences, cross_attentions: [layers] }, ...settings);
  assert.equal(distance(timestamps, expected), 0);
  assert.ok(new Set(expected.data).size > 2, `times ${expected.data}`);
  // The attention itself, too, because many weights give one alignment.
  const { cross_attentions } = aligned.outputs;
  for (const [i, layer] of layers.entries()) {
    const steps = client.cat(cross_attentions.map((of_layers) => of_layers[i]), 2);
    const far = distance(steps, layer, `cross_attentions.${i}`);
    assert.ok(far < 1e-5, `cross_attentions.${i}: ${far}`);
  }
  // A word begins and ends with its tokens.
  const times = Array.from(expected.data, (time) => Math.round(time * 100) / 100);
  for (const { timestamp: [begin, end] } of chunks) {
    assert.ok(times.includes(begin) && (end === null || times.includes(end)), `${begin} to ${end} of ${times}`);
  }
  await pipe.dispose();
});

// Every step's scores are those that the file without a cache gives for all tokens at once.
test('musicgen: generate', async () => {
  const task = 'text-to-audio';
  const { name } = export_recorded('musicgen', task, task, (model) => write_tokenizer(model, { padding_side: 'right' }));
  const plain = path.join(work, 'musicgen/plain');
  run_export(path.join(work, 'musicgen/checkpoint'), task, plain);
  const model = await client.MusicgenForConditionalGeneration.from_pretrained(name, load_options);
  const tokenizer = await client.AutoTokenizer.from_pretrained(name);
  const inputs = tokenizer('a cat sings');
  const steps = [];
  const forward = model.forward.bind(model);
  model.forward = async (given) => {
    const found = await forward(given);
    steps.push({ ids: given.decoder_input_ids, logits: found.logits });
    return found;
  };
  const audio = await model.generate({ ...inputs, max_new_tokens: 12, do_sample: false, guidance_scale: 1 });
  assert.equal(audio.dims.length, 3);
  assert.ok(audio.data.length > 10 && steps.length > 5, `${audio.data.length} values in ${steps.length} steps`);

  const { last_hidden_state } = await run_file(path.join(plain, 'text_encoder.onnx'), inputs);
  const { logits } = await run_file(path.join(plain, 'decoder_model.onnx'), {
    input_ids: client.cat(steps.map(({ ids }) => ids), 1), encoder_hidden_states: last_hidden_state,
    encoder_attention_mask: inputs.attention_mask,
  });
  const cached = client.cat(steps.map((step) => step.logits), 1);
  const far = distance(cached, new Tensor('float32', logits.data, logits.dims));
  assert.ok(far < 1e-4, `logits ${far} apart`);
  await model.dispose();
});
