"""Phi-4 multimodal in onnxruntime-genai. See test.py, and tools/make_phi4mm_generation.py for the checkpoint."""
import json
import unittest

import make_phi4mm_generation as made
from common import write_safetensors
from seeing import TASK, Client, run_client, write_tokenizer
from support import ROOT, WORK, export, np, og, open_session, ort, write_checkpoint

[RECORDED] = (ROOT / "tests/generation").glob("phi4mm-*.jsonl")
BINS = 20  # of the fixture's sounds
SETTINGS = {"dynamic_hd": 4, "feature_size": BINS, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2]}
TOKENS = {"<|endoftext10|>": made.IMAGE, "<|endoftext11|>": made.SOUND}


def inputs_of(line):
    given, images, sounds = made.inputs_of(line, BINS)
    inputs = og.NamedTensors()
    inputs["input_ids"] = np.array([made.prompt_of(images, sounds, line["shift"])], np.int32)
    for name, value in given.items():
        inputs[name] = value
    if images:
        inputs["num_image_tokens"] = np.array(images, np.int64)
    return inputs


class Phi4(Client, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = WORK / "phi4"
        tensors = {}

        def edit(config, recipe):
            made.for_client(config, recipe)
            tensors.update(recipe)

        checkpoint = cls.work / "checkpoint"
        write_checkpoint(made.FIXTURE, checkpoint, edit)
        (checkpoint / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
        (checkpoint / "generation_config.json").write_text(json.dumps({"eos_token_id": 94, "pad_token_id": 0}))
        write_tokenizer(checkpoint, TOKENS)
        adapter = cls.work / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps(made.ADAPTER))
        write_safetensors(adapter / "adapter_model.safetensors", made.adapter_of(tensors))
        export(checkpoint, TASK, cls.work / "out", "--layout", "genai")
        export(checkpoint, TASK, cls.work / "adapted", "--layout", "genai", "--adapter", adapter, "--no-validate")
        export(checkpoint, TASK, cls.work / "plain", "--no-validate")

    def test_tokens_of_transformers(self):
        models = {name: og.Model(str(self.work / name)) for name in ("out", "adapted")}
        self.assertEqual(models["out"].type, "phi4mm")
        for line in map(json.loads, RECORDED.read_text().splitlines()):
            with self.subTest(line):
                model = models["adapted" if "adapter" in line else "out"]
                self.assertEqual(run_client(model, inputs_of(line), len(line["tokens"])), line["tokens"])

    def pixels(self, image):
        """A whole number of crops of an image that needs no other size, [crops, 3, side, side]."""
        mean, deviation = (np.float32(SETTINGS[key]) for key in ("image_mean", "image_std"))
        normal = (image / np.float32(255) - mean) / deviation
        down, across = (extent // made.CROP for extent in image.shape[:2])
        cut = normal.reshape(down, made.CROP, across, made.CROP, 3).transpose(0, 2, 4, 1, 3)
        return cut.reshape(-1, 3, made.CROP, made.CROP)

    def test_images_of_files(self):
        image = np.random.default_rng(3).integers(0, 256, (made.CROP, 2 * made.CROP, 3)).astype(np.uint8)
        image[..., 0] //= 4  # the channels differ
        model, inputs = self.process(self.work, "ab<|image_1|>cd", image)
        values, sizes, mask = (inputs[name].as_numpy() for name in ("pixel_values", "image_sizes", "image_attention_mask"))
        np.testing.assert_allclose(values[0, 1:], self.pixels(image), atol=1e-5)
        np.testing.assert_allclose(values[0, 0].mean(axis=(1, 2)), values[0, 1:].mean(axis=(0, 2, 3)), atol=0.01)
        self.assertEqual(sizes.tolist(), [[448, 896]])
        ids = self.compare(self.work, model, inputs, image_pixel_values=values, image_sizes=sizes, image_attention_mask=mask)
        self.assertEqual((ids == made.IMAGE).sum(), 16 * 33 + 1 + 16 * 17)

        # A smaller one beside it has a smaller height, and crops of padding. The plain layout takes one in a call.
        model, inputs = self.process(self.work, "ab<|image_1|>c<|image_2|>d", image, image[:200, :500])
        names = ("pixel_values", "image_sizes", "image_attention_mask")
        values, sizes, mask = (inputs[name].as_numpy() for name in names)
        self.assertEqual((values.shape[0], mask[1].min()), (2, 0))
        plain, ours = (open_session(self.work / name) for name in ("plain/vision_encoder.onnx", "out/vision.onnx"))
        [rows] = ours.run(None, dict(zip(names, (values, sizes, mask))))
        alone = [plain.run(None, dict(zip(names, (values[n], sizes[n:n + 1], mask[n].astype(np.int64)))))[0] for n in (0, 1)]
        np.testing.assert_allclose(rows[-len(alone[1]):], alone[1], atol=1e-4)
        self.assertEqual(len(rows), len(alone[0]) + len(alone[1]))
        run_client(model, inputs, 2)

    def test_sounds_of_files(self):
        sound = np.sin(np.arange(8000) * 0.1) * np.linspace(0.1, 0.9, 8000)
        model, inputs = self.process(self.work, "ab<|audio_1|>cd", sounds=[sound])
        features = inputs["audio_embeds"].as_numpy()
        np.testing.assert_allclose(features, self.log_mel(sound)[None], atol=0.02)
        ids = self.compare(self.work, model, inputs, audio_input_features=features)
        self.assertEqual((ids == made.SOUND).sum(), 6)
        self.compare(self.work, *self.process(self.work, "abcd"))

        # The longest of several sounds is as alone.
        model, inputs = self.process(self.work, "ab<|audio_1|>c<|audio_2|>d", sounds=[sound[:3000], sound])
        names = {"input_features": "audio_embeds", "audio_sizes": "audio_sizes", "audio_projection_mode": "audio_projection_mode"}
        given = {name: inputs[own].as_numpy() for name, own in names.items()}
        self.assertEqual(given["audio_sizes"].tolist(), [3, 6])
        plain, ours = (open_session(self.work / name) for name in ("plain/audio_encoder.onnx", "out/speech.onnx"))
        [rows] = ours.run(None, given)
        self.assertEqual(len(rows), 9)
        np.testing.assert_allclose(rows[3:], plain.run(None, {"input_features": features})[0][0], atol=1e-4)
        run_client(model, inputs, 2)

        _, inputs = self.process(self.work, "<|audio_1|>", sounds=[np.resize(sound, 35 * 16000)])
        self.assertEqual(inputs["audio_embeds"].as_numpy().shape[1], 3498, "the client would cut it after 30 seconds")
        image = np.zeros((made.CROP, made.CROP, 3), np.uint8)
        model, inputs = self.process(self.work, "ab<|image_1|>c<|audio_1|>d", image, sounds=[sound])
        self.assertEqual(inputs["audio_projection_mode"].as_numpy().tolist(), [3])
        run_client(model, inputs, 2)

    def log_mel(self, sound):
        """As the original does: frames of 400, each with a filter against low frequencies, in triangles of mel."""
        samples = (sound * 32767).astype(np.int16) / 32768
        frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160]
        before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        power = np.abs(np.fft.rfft((frames - 0.97 * before) * 32768 * np.hamming(400), 512)) ** 2
        mel = 1127 * np.log(1 + np.arange(257) * 16000 / 512 / 700)
        edges = np.linspace(0, 1127 * np.log(1 + 7690 / 700), BINS + 2)
        shares = np.maximum(0, 1 - np.abs(mel[:, None] - edges[1:-1]) / edges[1])
        return np.log(np.maximum(power @ shares, 1))

    def test_adapters_do_not_reach_the_decoder(self):
        """Why an adapter must be merged. If this fails, a later client applies adapters."""
        config = og.Config(str(self.work / "out"))
        missing = {"adapter_filename": "missing.onnx_adapter"}
        config.overlay(json.dumps({"model": {"vision": missing, "speech": missing}}))
        run_client(og.Model(config), inputs_of({"images": [[32, 32]], "shift": 0}), 1)

        # One whose tensor is no input of the decoder, which other types notice.
        file = ort.AdapterFormat()
        file.set_parameters({"no.such.input": ort.OrtValue.ortvalue_from_numpy(np.zeros((1, 1), np.float32))})
        file.export_adapter(str(self.work / "other.onnx_adapter"))
        write_checkpoint("llama/text-generation-with-past", self.work / "llama/checkpoint")
        export(self.work / "llama/checkpoint", "text-generation-with-past", self.work / "llama/out", "--layout", "genai")
        self.generate_with_adapter(og.Model(str(self.work / "out")))
        with self.assertRaisesRegex(Exception, "no.such.input"):
            self.generate_with_adapter(og.Model(str(self.work / "llama/out")))

    def generate_with_adapter(self, model):
        adapters = og.Adapters(model)
        adapters.load(str(self.work / "other.onnx_adapter"), "other")
        parameters = og.GeneratorParams(model)
        parameters.set_search_options(max_length=16, do_sample=False)
        generator = og.Generator(model, parameters)
        generator.set_active_adapter(adapters, "other")
        if model.type == "phi4mm":
            generator.set_inputs(inputs_of({"shift": 0}))
        else:
            generator.append_tokens(np.array([[3, 7, 20]], np.int32))
        generator.generate_next_token()
