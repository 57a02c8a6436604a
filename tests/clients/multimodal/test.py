"""examples/multimodal/generate.py on exports of tiny checkpoints: its tokens are those of transformers.

    python3 test.py PROGRAM CACHE WORK      CACHE: filled by tools/setup.sh, WORK: a folder to write to

tests/generation/multimodal-*.jsonl holds prompts and tokens, made by tools/make_multimodal_generation.py with the
original; the images and sounds are those of the fixtures.
"""
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
sys.path.insert(0, str(ROOT / "examples" / "multimodal"))

import generate  # noqa: E402
import numpy as np  # noqa: E402
from golden import generated, read_safetensors, write_checkpoint  # noqa: E402
from make_generation import for_generation  # noqa: E402

GOLDEN = ROOT / "tests/golden"


def export(name):
    """Exports a fixture; returns the opened files."""
    folder = WORK / name.replace("/", "_")
    write_checkpoint(GOLDEN / name, folder / "checkpoint", for_generation)
    subprocess.run([PROGRAM, "export", "onnx", "-m", folder / "checkpoint", "--task", name.split("/")[1].split("+")[0],
                    "--quiet", "--no-validate", folder / "out"], check=True)
    return generate.Model(folder / "out")


# The names that processors give to inputs of a file, and types whose processors add an axis: the views of an image.
NAMES = {"audio_values": "input_features", "grid_thw": "image_grid_thw", "pixel_position_ids": "image_position_ids"}
NAMES_OF = {"phi4_multimodal": {"input_features": "audio_input_features", "pixel_values": "image_pixel_values"}}
VIEWS = {"llava_next": lambda value: value[None], "llava_onevision": lambda value: value[:, None]}


def inputs_of(line):
    """The output of a processor: the inputs of the encoders' cases, and the prompt."""
    kind = line["fixture"].split("/")[0]
    inputs = {name: np.array(line[name], np.int64) for name in ("input_ids", "attention_mask")}
    for encoder, number in line["cases"].items():
        case = read_safetensors(GOLDEN / line["fixture"] / f"{encoder}.{number}.safetensors")
        names = NAMES | NAMES_OF.get(kind, {})
        inputs |= {names.get(key[3:], key[3:]): value for key, value in case.items() if key.startswith("in/")}
    if kind in VIEWS:
        inputs["pixel_values"] = VIEWS[kind](inputs["pixel_values"])
    if kind == "phi4_multimodal":
        inputs |= {name: inputs[name][None] for name in ("image_pixel_values", "image_attention_mask") if name in inputs}
    if kind == "kosmos-2":
        inputs["image_embeds_position_mask"] = inputs["input_ids"] == 98
    return inputs


class Generate(unittest.TestCase):
    def test_every_type_is_recorded(self):
        types = {folder.parent.name for folder in GOLDEN.glob("*/*-text-to-text-with-past*")}
        self.assertEqual(types, {name.split("/")[0] for name in generated()})

    def test_a_prompt_with_too_few_placeholders(self):
        model = export("llava/image-text-to-text-with-past")
        with self.assertRaisesRegex(ValueError, "1 placeholders of image in the prompt, 2 rows of features"):
            model.embed_prompt({"input_ids": np.array([[1, 98, 5]])}, {"image": np.zeros((2, 32), np.float32)})

    def test_half_of_the_inputs_of_an_encoder(self):
        model = export("qwen2_vl/image-text-to-text-with-past")
        with self.assertRaisesRegex(ValueError, "the features of image also need grid_thw"):
            model.encode({"pixel_values": np.zeros((4, 96), np.float32)})
        self.assertEqual(model.encode({}), {})


def check(self, name, lines):
    model = export(name)
    for line in lines:
        with self.subTest(line["cases"]):
            expected = np.array(line["tokens"])
            tokens = model.generate(inputs_of(line), max_new_tokens=expected.shape[1])
            np.testing.assert_array_equal(tokens, expected)


for fixture, about in generated().items():
    setattr(Generate, f"test_{fixture}", lambda self, fixture=fixture, about=about: check(self, fixture, about))

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
