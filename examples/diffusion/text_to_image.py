#!/usr/bin/env python3
"""An image from a text, with an exported Stable Diffusion (1, 2 or XL), ONNX Runtime and NumPy.

  onnxport export onnx -m stable-diffusion-v1-5/stable-diffusion-v1-5 out/
  pip install numpy onnxruntime
  text_to_image.py out "a lighthouse at dusk" image.png [--steps 25] [--guidance 7.5] [--seed 0] [--size 512]

It does what a pipeline of diffusers does, with the DDIM scheduler: tokenize, encode the text and an empty text, remove
the noise step by step, decode the latents.
"""
import argparse
import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import onnxruntime as ort


class Model:
    """A component: a call takes and gives arrays by name, in the types of the file."""

    TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}

    def __init__(self, folder):
        self.session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        self.config = json.loads((folder / "config.json").read_text())
        self.types = {one.name: self.TYPES[one.type] for one in self.session.get_inputs()}

    def __call__(self, **inputs):
        feed = {name: np.asarray(value, self.types[name]) for name, value in inputs.items() if name in self.types}
        names = [one.name for one in self.session.get_outputs()]
        return {name: value.astype(np.float32) for name, value in zip(names, self.session.run(names, feed))}


class Tokenizer:
    """CLIP's byte pair encoding."""

    WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+|_", re.IGNORECASE)

    def __init__(self, folder):
        self.ids = json.loads((folder / "vocab.json").read_text())
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
        self.ranks = {tuple(line.split()): i for i, line in enumerate(lines) if line}
        config = json.loads((folder / "tokenizer_config.json").read_text())
        self.length = config.get("model_max_length", 77)
        name = lambda token: token["content"] if isinstance(token, dict) else token
        self.begin, self.end = self.ids[name(config["bos_token"])], self.ids[name(config["eos_token"])]
        self.padding = self.ids.get(name(config.get("pad_token", config["eos_token"])), self.end)
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [b for b in range(256) if b not in printable]
        self.bytes = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}

    def pieces(self, word):
        parts = [self.bytes[b] for b in word.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            pairs = list(zip(parts, parts[1:]))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            i = pairs.index(best)
            parts[i:i + 2] = ["".join(best)]
        return parts

    def __call__(self, text):
        words = self.WORDS.findall(" ".join(text.lower().split()))
        ids = [self.ids.get(piece, self.end) for word in words for piece in self.pieces(word)]
        ids = [self.begin, *ids[:self.length - 2], self.end]
        return np.array([ids + [self.padding] * (self.length - len(ids))], np.int64)


def alphas(config):
    """Products of 1 - beta: how much of the image is left after each step of noise."""
    begin, end, count = config["beta_start"], config["beta_end"], config["num_train_timesteps"]
    if config["beta_schedule"] == "scaled_linear":
        return np.cumprod(1 - np.linspace(begin**0.5, end**0.5, count)**2)
    return np.cumprod(1 - np.linspace(begin, end, count))


def encode(folder, texts):
    """Hidden states of the texts, and for XL one vector of each."""
    first = Tokenizer(folder / "tokenizer")
    encoder = Model(folder / "text_encoder")
    outputs = [encoder(input_ids=first(text)) for text in texts]
    if not (folder / "text_encoder_2").is_dir():
        return np.concatenate([one["last_hidden_state"] for one in outputs]), None
    second = Tokenizer(folder / "tokenizer_2")
    encoder_2 = Model(folder / "text_encoder_2")
    outputs_2 = [encoder_2(input_ids=second(text)) for text in texts]

    def last_but_one(output):
        layers = [name for name in output if name.startswith("hidden_states.")]
        return output[f"hidden_states.{len(layers) - 2}"]

    states = [np.concatenate([last_but_one(a), last_but_one(b)], -1) for a, b in zip(outputs, outputs_2)]
    return np.concatenate(states), np.concatenate([one["text_embeds"] for one in outputs_2])


def make_image(folder, prompt, steps, guidance, seed, size, negative=""):
    """RGB values uint8 [size, size, 3]."""
    states, pooled = encode(folder, [negative, prompt])
    unet, decoder = Model(folder / "unet"), Model(folder / "vae_decoder")
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    left = alphas(config)
    stride = len(left) // steps
    times = (np.arange(steps) * stride)[::-1] + config.get("steps_offset", 0)
    factor = 2**(len(decoder.config["block_out_channels"]) - 1)
    shape = (1, unet.config["in_channels"], size // factor, size // factor)
    latents = np.random.default_rng(seed).standard_normal(shape)
    conditions = {"encoder_hidden_states": states}
    if pooled is not None:
        conditions |= {"text_embeds": pooled, "time_ids": [[size, size, 0, 0, size, size]] * 2}
    for time in times:
        noise = unet(sample=np.concatenate([latents] * 2), timestep=time, **conditions)["out_sample"]
        noise = noise[:1] + guidance * (noise[1:] - noise[:1])
        now, then = left[time], left[time - stride] if time >= stride else left[0]
        if config.get("prediction_type") == "v_prediction":
            noise = now**0.5 * noise + (1 - now)**0.5 * latents
        image = (latents - (1 - now)**0.5 * noise) / now**0.5
        latents = then**0.5 * image + (1 - then)**0.5 * noise
    pixels = decoder(latent_sample=latents / decoder.config["scaling_factor"])["sample"][0]
    return np.round((pixels / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def write_png(path, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", type=Path, help="an exported pipeline")
    a.add_argument("prompt")
    a.add_argument("image", type=Path)
    a.add_argument("--steps", type=int, default=25)
    a.add_argument("--guidance", type=float, default=7.5)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--size", type=int, default=512, help="of the image, in pixels; a multiple of 8")
    a.add_argument("--negative", default="", help="what the image should not show")
    o = a.parse_args()
    write_png(o.image, make_image(o.folder, o.prompt, o.steps, o.guidance, o.seed, o.size, o.negative))


if __name__ == "__main__":
    main()
