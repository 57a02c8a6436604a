"""Pipelines of diffusers that Optimum does not know make the same image with the exported files as with PyTorch.

    python3 test.py PROGRAM WORK      WORK: a folder to write to

It needs torch, transformers 4, diffusers, accelerate, safetensors and onnxruntime. `./dev test` does not run it; see
CONTRIBUTING.md."""
import json
import subprocess
import sys
import types
import unittest
import warnings
from pathlib import Path

if len(sys.argv) != 3:
    sys.exit("usage: python3 test.py PROGRAM WORK")
PROGRAM, WORK = (Path(argument).resolve() for argument in sys.argv[1:])
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common  # noqa: E402

sys.path.append(str(common.ROOT / "tools"))

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from golden import write_checkpoint  # noqa: E402

warnings.filterwarnings("ignore")
torch.set_num_threads(2)
GOLDEN = common.ROOT / "tests" / "golden" / "diffusers"
HEIGHT, WIDTH = 64, 96
CALLS = {  # arguments of a call, beside the usual ones
    "pixart": {"use_resolution_binning": False, "clean_caption": False},
    "pixart-alpha": {"use_resolution_binning": False, "clean_caption": False},
    "qwen-image": {"negative_prompt": "w9", "true_cfg_scale": 2.0},
    "sana": {"use_resolution_binning": False, "complex_human_instruction": None},
    "sana-sprint": {"use_resolution_binning": False, "complex_human_instruction": None, "num_inference_steps": 2},
    "z-image": {"negative_prompt": "w9 w10"},
}


class File:
    """An exported file, called with tensors of PyTorch."""

    def __init__(self, folder):
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        self.calls = 0

    def __call__(self, **values):
        feed = {i.name: np.asarray(values[i.name]).astype(np.int64 if "int64" in i.type else np.float32) for i in self.session.get_inputs()}
        self.calls += 1
        return dict(zip((o.name for o in self.session.get_outputs()), map(torch.from_numpy, self.session.run(None, feed))))


class States(tuple):
    """The result of a text encoder: pipelines take element 0, or one of its hidden states."""


def text_encoder(file):
    def forward(self, input_ids, attention_mask, **ignored):
        (name, states), = file(input_ids=input_ids, attention_mask=attention_mask).items()
        result = States([states])
        result.hidden_states = [states] if name == "last_hidden_state" else [states, None]
        return result

    return forward


def transformer(file):
    def forward(self, hidden_states, *others, **values):
        if others:  # Z-Image: lists of images and of texts
            step, texts = others
            return (list(z_image(file, torch.stack(hidden_states).squeeze(2), step, texts).unsqueeze(2).unbind(0)),)
        values |= {k: v for k, v in (values.get("added_cond_kwargs") or {}).items() if v is not None}
        values["timestep"] = values["timestep"].expand(len(hidden_states))
        if "img_shapes" in values:
            values["img_shapes"] = values["img_shapes"][0]
        if values.get("encoder_hidden_states_mask") is None:
            values["encoder_hidden_states_mask"] = torch.ones(values["encoder_hidden_states"].shape[:2])
        out = file(hidden_states=hidden_states, **values)["out_hidden_states"]
        return types.SimpleNamespace(sample=out) if values.get("return_dict", True) else (out,)

    return forward


def z_image(file, images, step, texts):
    mask = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.long)
    states = torch.zeros(*mask.shape, texts[0].shape[1])
    for i, text in enumerate(texts):
        states[i, : len(text)], mask[i, : len(text)] = text, 1
    return file(hidden_states=images, encoder_hidden_states=states, encoder_attention_mask=mask, timestep=step)["out_hidden_states"]


def decoder(file):
    def decode(latents, return_dict=True, **ignored):
        frames = latents.ndim == 5
        image = file(latent_sample=latents.squeeze(2) if frames else latents)["sample"]
        image = image.unsqueeze(2) if frames else image
        return types.SimpleNamespace(sample=image) if return_dict else (image,)

    return decode


def image_of(pipeline, name):
    arguments = {"prompt": "w5 w17 w23", "height": HEIGHT, "width": WIDTH, "num_inference_steps": 3, "output_type": "np"}
    return pipeline(**arguments | CALLS[name], generator=torch.Generator().manual_seed(3)).images[0]


class Pipelines(unittest.TestCase):
    def check(self, name):
        folder, out = WORK / name / "checkpoint", WORK / name / "out"
        write_checkpoint(GOLDEN / f"text-to-image+{name}", folder)
        subprocess.run([PROGRAM, "export", "onnx", "-m", folder, out], check=True, capture_output=True)
        pipeline = getattr(diffusers, json.loads((folder / "model_index.json").read_text())["_class_name"]).from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        if name == "z-image":
            pipeline.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
        if name == "qwen-image":
            pipeline.prompt_template_encode, pipeline.prompt_template_encode_start_idx = "w3 w4 {}", 2
        wanted = image_of(pipeline, name)
        files = [File(out / part) for part in ("text_encoder", "transformer", "vae_decoder")]
        pipeline.text_encoder.forward = types.MethodType(text_encoder(files[0]), pipeline.text_encoder)
        pipeline.transformer.forward = types.MethodType(transformer(files[1]), pipeline.transformer)
        pipeline.vae.decode = decoder(files[2])
        got = image_of(pipeline, name)
        self.assertTrue(all(file.calls for file in files))
        self.assertEqual(got.shape, (HEIGHT, WIDTH, 3))
        self.assertGreater(wanted.std(), 0.05)
        self.assertLess(np.abs(got - wanted).max() * 255, 0.05)


for one in CALLS:
    setattr(Pipelines, "test_" + one.replace("-", "_"), lambda self, name=one: self.check(name))

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
