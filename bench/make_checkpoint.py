#!/usr/bin/env python3
"""Writes a synthetic checkpoint: config.json and model.safetensors, for benchmarks.

  make_checkpoint.py CONFIG.json OUT_DIR [--seed N]

CONFIG.json holds what config.json will hold; its model_type says which tensors there are. Values repeat a block of
uniform floats, shifted per tensor, so that no two tensors are equal. Same config and seed, same bytes."""
import argparse
import array
import json
import pathlib
import random
import struct

BLOCK = 1 << 20  # floats


def bert(c):
    """Keys and shapes of BertModel (transformers 4.57.6)."""
    h, i = c["hidden_size"], c["intermediate_size"]

    def linear(name, n_in, n_out):
        return {name + ".weight": [n_out, n_in], name + ".bias": [n_out]}

    def norm(name):
        return {name + ".weight": [h], name + ".bias": [h]}

    tensors = {
        "embeddings.word_embeddings.weight": [c["vocab_size"], h],
        "embeddings.position_embeddings.weight": [c["max_position_embeddings"], h],
        "embeddings.token_type_embeddings.weight": [c["type_vocab_size"], h],
        **norm("embeddings.LayerNorm"),
    }
    for n in range(c["num_hidden_layers"]):
        layer = f"encoder.layer.{n}."
        for part in ("query", "key", "value"):
            tensors.update(linear(layer + "attention.self." + part, h, h))
        tensors.update(linear(layer + "attention.output.dense", h, h))
        tensors.update(norm(layer + "attention.output.LayerNorm"))
        tensors.update(linear(layer + "intermediate.dense", h, i))
        tensors.update(linear(layer + "output.dense", i, h))
        tensors.update(norm(layer + "output.LayerNorm"))
    tensors.update(linear("pooler.dense", h, h))
    return tensors


TYPES = {"bert": bert}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    config = json.loads(args.config.read_text())
    if config["model_type"] not in TYPES:
        parser.error(f"no tensors known for model_type '{config['model_type']}'; known: {', '.join(TYPES)}")
    tensors = TYPES[config["model_type"]](config)

    rng = random.Random(args.seed)
    block = array.array("f", (rng.uniform(-0.05, 0.05) for _ in range(BLOCK))).tobytes()
    ones = array.array("f", (1.0 + rng.uniform(-0.05, 0.05) for _ in range(4096))).tobytes()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    header, offset = {}, 0
    for name, shape in tensors.items():
        size = 4
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(args.out / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, entry in header.items():
            left = entry["data_offsets"][1] - entry["data_offsets"][0]
            source = ones if name.endswith("LayerNorm.weight") else block
            start = 4 * rng.randrange(len(source) // 8)
            while left:
                piece = source[start:start + left]
                out.write(piece)
                left -= len(piece)
                start = 0


if __name__ == "__main__":
    main()
