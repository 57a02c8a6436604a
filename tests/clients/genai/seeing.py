"""Gemma 3, Gemma 4, LFM2-VL and Mistral 3 in onnxruntime-genai. See test.py.

The client gets the inputs of a prompt that transformers answered, and must give the same tokens. Then its own processors
make the inputs from files of images and sounds."""
import json
import struct
import sys
import unittest
import wave
import zlib

from golden import generated, read_safetensors
from support import ROOT, WORK, export, np, og, write_checkpoint

sys.path.insert(0, str(ROOT / "examples" / "multimodal"))
import generate  # noqa: E402

TASK = "image-text-to-text-with-past"
GOLDEN = ROOT / "tests/golden"
IMAGES = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2], "min_image_tokens": 1, "max_image_tokens": 64,
          "size": {"longest_edge": 64, "width": 64, "height": 64}, "max_soft_tokens": 6}
SOUNDS = {"feature_size": 16, "sampling_rate": 16000, "frame_length": 320, "hop_length": 160, "mel_floor": 0.001}
RECORDED = ["gemma4", "gemma4+audio", "gemma4+hub_moe_keqv", "lfm2_vl", "mistral3"]
PLACEHOLDER = 98


def fixture_of(name):
    """The fixture of a type or of a variant, such as "gemma4+audio"."""
    kind, plus, variant = name.partition("+")
    return f"{kind}/{TASK}{plus}{variant}"


def export_both(name, edit=lambda config, tensors: None, tokens=None):
    """The files of both layouts for a fixture; `tokens`: of its tokenizer. Returns the folder."""
    work = WORK / f"seeing_{name}_{'processed' if tokens else 'recorded'}"
    write_checkpoint(fixture_of(name), work / "checkpoint", edit)
    settings = {"image_processor": IMAGES, "feature_extractor": SOUNDS}
    (work / "checkpoint/processor_config.json").write_text(json.dumps(settings))
    (work / "checkpoint/generation_config.json").write_text(json.dumps({"eos_token_id": 94, "pad_token_id": 0}))
    if tokens:
        write_tokenizer(work / "checkpoint", tokens)
    export(work / "checkpoint", TASK, work / "out", "--layout", "genai")
    if tokens:
        export(work / "checkpoint", TASK, work / "plain", "--no-validate")
    return work


def run_client(model, inputs, count):
    length = inputs["input_ids"].as_numpy().shape[1] + count
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=length, min_length=length, do_sample=False)
    generator = og.Generator(model, parameters)
    generator.set_inputs(inputs)
    while not generator.is_done():
        generator.generate_next_token()
    return list(generator.get_sequence(0))[-count:]


class Recorded(unittest.TestCase):
    """The tokens of transformers, for every prompt of one row."""

    def check(self, name):
        model = og.Model(str(export_both(name) / "out"))
        self.assertEqual(model.type, name.partition("+")[0])
        lines = [line for line in generated()[fixture_of(name)] if len(line["input_ids"]) == 1]
        self.assertTrue(lines)
        for line in lines:
            with self.subTest(line["cases"]):
                self.assertEqual(run_client(model, self.inputs_of(line), len(line["tokens"][0])), line["tokens"][0])

    def inputs_of(self, line):
        inputs = og.NamedTensors()
        inputs["input_ids"] = np.array(line["input_ids"], np.int32)
        for encoder, number in line["cases"].items():
            case = read_safetensors(GOLDEN / line["fixture"] / f"{encoder}.{number}.safetensors")
            for key, value in case.items():
                if key.startswith("in/"):
                    inputs[key[3:]] = value
                else:
                    count = np.array([value.size // value.shape[-1]], np.int64)
                    inputs["num_image_tokens" if encoder == "vision_encoder" else "audio_sizes"] = count
        return inputs


for recorded in RECORDED:
    setattr(Recorded, f"test_{recorded}", lambda self, name=recorded: self.check(name))


def write_tokenizer(folder, tokens):
    """One that knows single letters, and these tokens: {text: id}."""
    added = {"<pad>": 0, "<s>": 1, "</s>": 2, **tokens}
    free = [number for number in range(99) if number not in added.values()]
    letters = dict(zip("abcdefghijklmnopqrstuvwxyz\u0120\u010a", free))
    filler = {f"unused{number}": number for number in free[len(letters):]}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [{"id": number, "content": text} | flags for text, number in added.items()],
        "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "vocab": letters | filler | added, "merges": []}}))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "</s>", "pad_token": "<pad>"}))


def write_png(path, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Client:
    """What a test of the client's processors needs."""

    def process(self, work, prompt, *images, sounds=()):
        model = og.Model(str(work / "out"))
        given = {}
        if images:
            for number, pixels in enumerate(images):
                write_png(work / f"{number}.png", pixels)
            given["images"] = og.Images.open(*[str(work / f"{number}.png") for number in range(len(images))])
        if sounds:
            for number, samples in enumerate(sounds):
                with wave.open(str(work / f"{number}.wav"), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(16000)
                    file.writeframes((samples * 32767).astype(np.int16).tobytes())
            given["audios"] = og.Audios.open(*[str(work / f"{number}.wav") for number in range(len(sounds))])
        return model, model.create_multimodal_processor()(prompt, **given)

    def compare(self, work, model, inputs, **given):
        """`given`: the inputs of the plain files."""
        ids = inputs["input_ids"].as_numpy().astype(np.int64)
        expected = generate.Model(work / "plain").generate(
            {"input_ids": ids, "attention_mask": np.ones_like(ids), **given}, max_new_tokens=8)[0].tolist()
        self.assertEqual(run_client(model, inputs, 8), expected)
        self.assertGreater(len(set(expected)), 2)
        return ids


class Processors(Client, unittest.TestCase):
    """The client makes the inputs of files. Tokens are those of the plain layout."""

    def setUp(self):
        self.pixels = np.random.default_rng(3).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        self.pixels[..., 0] //= 4  # the channels differ

    def normalized(self, pixels):
        return (pixels / np.float32(255) - np.float32(IMAGES["image_mean"])) / np.float32(IMAGES["image_std"])

    def test_gemma3(self):
        def edit(config, tensors):  # the client's number of tokens, and one token for each patch
            config["mm_tokens_per_image"], config["vision_config"]["image_size"] = 256, 64
            config["text_config"]["max_position_embeddings"] = 1024
            tensors["vision_tower.vision_model.embeddings.position_embedding.weight"]["shape"][0] = 256

        work = export_both("gemma3", edit, {"<start_of_image>": 5, "<end_of_image>": 6, "<image_soft_token>": PLACEHOLDER})
        model, inputs = self.process(work, "ab<start_of_image>cd", self.pixels)
        pixels = self.normalized(self.pixels).transpose(2, 0, 1)[None]
        np.testing.assert_allclose(inputs["pixel_values"].as_numpy(), pixels, atol=1e-5)
        self.compare(work, model, inputs, pixel_values=pixels.astype(np.float32))
        model, inputs = self.process(work, "abcd")
        self.compare(work, model, inputs)

    def test_gemma3_with_other_tokens_per_image(self):
        with self.assertRaises(Exception):
            export_both("gemma3")

    def test_mistral3(self):
        work = export_both("mistral3", tokens={"[IMG]": PLACEHOLDER, "[IMG_BREAK]": 97, "[IMG_END]": 96, "[INST]": 95})
        first, second = self.pixels[:16, :24], self.pixels[16:32, 24:48]
        model, inputs = self.process(work, "ab[IMG]cd", first)
        pixels = self.normalized(first).transpose(2, 0, 1)[None].astype(np.float32)
        np.testing.assert_allclose(inputs["pixel_values"].as_numpy(), pixels, atol=1e-5)
        ids = self.compare(work, model, inputs, pixel_values=pixels)
        self.assertEqual((ids == PLACEHOLDER).sum(), 6)
        self.compare(work, *self.process(work, "abcd"))
        # Neither the client nor the plain layout takes images of several sizes in a call.
        model, inputs = self.process(work, "ab[IMG]c[IMG]d", first, second)
        self.compare(work, model, inputs, pixel_values=inputs["pixel_values"].as_numpy())

    def test_lfm2_vl(self):
        work = export_both("lfm2_vl", tokens={"<image>": PLACEHOLDER, "<|image_start|>": 97, "<|image_end|>": 96})
        for images in ([self.pixels[:16, :24]], [self.pixels[:16, :24], self.pixels[:24, :32]]):
            model, inputs = self.process(work, "ab" + "<image>c" * len(images) + "d", *images)
            sizes, mask = inputs["image_sizes"].as_numpy(), inputs["image_attention_mask"].as_numpy()
            values = inputs["pixel_values"].as_numpy()
            for image, size, row in zip(images, sizes, values):
                height, width = (int(n) for n in size)
                patches = self.normalized(image).reshape(height, 4, width, 4, 3).transpose(0, 2, 1, 3, 4)
                np.testing.assert_allclose(row[:height * width], patches.reshape(height * width, -1), atol=1e-5)
            self.compare(work, model, inputs, pixel_values=values, spatial_shapes=sizes, pixel_attention_mask=mask)
        self.compare(work, *self.process(work, "abcd"))

    def test_gemma4(self):
        tokens = {"<|image>": 5, "<image|>": 6, "<|image|>": PLACEHOLDER, "<|audio>": 7, "<audio|>": 8, "<|audio|>": 96}
        work = export_both("gemma4+audio", tokens=tokens)
        image = self.pixels[:16, :24]  # the largest with 6 tokens of 8 by 8 pixels
        model, inputs = self.process(work, "ab<|image>cd", image)
        values, places = inputs["pixel_values"].as_numpy(), inputs["pixel_position_ids"].as_numpy()
        patches = (image / np.float32(255)).reshape(4, 4, 6, 4, 3).transpose(0, 2, 1, 3, 4).reshape(24, -1)
        np.testing.assert_allclose(values[0, :24], patches, atol=1e-5)
        seen = {"pixel_values": values, "pixel_position_ids": places}
        self.compare(work, model, inputs, **seen)
        sound = np.sin(np.arange(8000) * 0.1) * np.linspace(0.1, 0.9, 8000)
        for images, prompt in (([], "ab<|audio|>cd"), ([image], "a<|image>b<|audio|>cd")):
            model, inputs = self.process(work, prompt, *images, sounds=[sound])
            features = inputs["audio_embeds"].as_numpy()
            heard = {"input_features": features, "input_features_mask": np.ones(features.shape[:2], bool)}
            self.compare(work, model, inputs, **heard, **(seen if images else {}))
        self.compare(work, *self.process(work, "abcd"))
