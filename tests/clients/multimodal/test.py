"""examples/multimodal/generate.py on exports of tiny checkpoints: the tokens are those of decoding without a cache.

    python3 test.py PROGRAM CACHE WORK      CACHE: what tools/setup.sh filled, WORK: a folder to write to
"""
import importlib.util
import subprocess
import sys
import unittest
from pathlib import Path

if len(sys.argv) != 4:
    sys.exit("usage: python3 test.py PROGRAM CACHE WORK")
PROGRAM, CACHE, WORK = (Path(argument).resolve() for argument in sys.argv[1:4])
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import ROOT, use_packages  # noqa: E402

use_packages(CACHE, "onnxruntime-py-1.31.1", "numpy-2.4.6")

import numpy as np  # noqa: E402
from golden import read_safetensors, write_checkpoint  # noqa: E402

PLACEHOLDER = 98  # of every fixture
NEW_TOKENS = 8
# Types, the task, and the encoder that has their features: one of each way to feed a model.
MODELS = {
    "llava": ("image-text-to-text-with-past", "vision_encoder"),
    "qwen2_vl": ("image-text-to-text-with-past", "vision_encoder"),  # a grid, three axes of positions
    "qwen3_vl": ("image-text-to-text-with-past", "vision_encoder"),  # features as wide as several layers
}


def load_example():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "examples/multimodal/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prompts(counts):
    """Prompts of different lengths, padded on the left, with this many placeholders in each row."""
    rows = [[1, 7 + row] + [PLACEHOLDER] * count + [20, 30 + row, 41][: 3 - row % 2] for row, count in enumerate(counts)]
    longest = max(map(len, rows))
    ids = np.array([[0] * (longest - len(row)) + row for row in rows], np.int64)
    mask = np.array([[0] * (longest - len(row)) + [1] * len(row) for row in rows], np.int64)
    return ids, mask


def decode_without_cache(model, inputs):
    """Each step is a call with the whole sequence and an empty past."""
    inputs, new = dict(inputs), []
    features = model.encode(inputs)
    for _ in range(NEW_TOKENS):
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        before = len(new)
        prompt = ids.shape[1] - before
        embeds = model.embed_prompt(ids[:, :prompt], features)["inputs_embeds"]
        if before:
            embeds = np.concatenate([embeds, model.embed_prompt(ids[:, prompt:], None)["inputs_embeds"]], axis=1)
        placed = np.where(np.arange(ids.shape[1]) < prompt, ids, 0)  # a new token is no placeholder
        feeds = {"inputs_embeds": embeds, "attention_mask": mask,
                 "position_ids": model.positions(placed, mask, inputs.get("image_grid_thw"))}
        for meta in model.decoder.get_inputs():
            if meta.name.startswith("past"):
                shape = [n if isinstance(n, int) else (len(ids) if i == 0 else 0) for i, n in enumerate(meta.shape)]
                feeds[meta.name] = np.zeros(shape, np.float32)
        logits = model.decoder.run(["logits"], feeds)[0][:, -1]
        best = np.sort(logits, axis=-1)
        assert (best[:, -1] - best[:, -2]).min() > 1e-4, "two tokens are too close to call"
        new.append(logits.argmax(axis=-1))
        inputs["input_ids"] = np.concatenate([ids, new[-1][:, None]], axis=1)
        inputs["attention_mask"] = np.concatenate([mask, np.ones((len(ids), 1), np.int64)], axis=1)
    return np.stack(new, axis=1)


def export(name, example):
    """Exports the fixture of a type; returns the opened files, and the fixture."""
    task, _ = MODELS[name]
    fixture, folder = ROOT / "tests/golden" / name / task, WORK / name
    write_checkpoint(fixture, folder / "checkpoint")
    subprocess.run([PROGRAM, "export", "onnx", "-m", folder / "checkpoint", "--task", task, "--quiet", "--no-validate",
                    folder / "out"], check=True)
    return example.Model(folder / "out"), fixture


class Generate(unittest.TestCase):
    def test_models(self):
        example = load_example()
        for name, (_, encoder) in MODELS.items():
            with self.subTest(name):
                model, fixture = export(name, example)
                case = read_safetensors(fixture / f"{encoder}.0.safetensors")
                inputs = {key[3:]: value for key, value in case.items() if key.startswith("in/")}
                if "grid_thw" in inputs:
                    inputs["image_grid_thw"] = inputs.pop("grid_thw")
                # All images in one row after another: as many placeholders as the encoder gives rows for each.
                grids = inputs.get("image_grid_thw")
                rows = len(model.encode(inputs))
                counts = [int(n) // 4 for n in grids.prod(axis=1)] if grids is not None else [rows // 2] * 2
                self.assertEqual(sum(counts), rows)
                inputs["input_ids"], inputs["attention_mask"] = prompts(counts)
                tokens = model.generate(inputs, max_new_tokens=NEW_TOKENS)
                np.testing.assert_array_equal(tokens, decode_without_cache(model, inputs))
                self.assertGreater(len(np.unique(tokens)), 2)

    def test_a_prompt_with_too_few_placeholders(self):
        model, _ = export("llava", load_example())
        with self.assertRaisesRegex(ValueError, "1 placeholders in the prompt, 2 rows of features"):
            model.embed_prompt(np.array([[1, PLACEHOLDER, 5]]), np.zeros((2, 32), np.float32))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
