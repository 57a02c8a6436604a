#!/usr/bin/env python3
"""Makes the fixtures of quantized weights, tests/quantized/<name>/, with torch and transformers. The format: tests/quantized/README.md.

  tools/make_quantized.py            makes all of them
  tools/make_quantized.py --check    compares with those that are here; exit status 1 when one differs

Needs torch 2.15.0, transformers 4.57.6 and safetensors 0.8.0, as tools/make_golden.py installs them:
~/.cache/onnxport/golden-venv/bin/python tools/make_quantized.py
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

random = torch.Generator().manual_seed(1)
E4M3, E5M2, E8M0 = torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu


def codes(shape, dtype):
    """Any byte, NaNs too."""
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random).view(dtype)


def scales(shape, dtype=torch.float32):
    if dtype == E8M0:
        return torch.randint(100, 140, shape, dtype=torch.uint8, generator=random).view(E8M0)
    return (torch.rand(shape, generator=random) * 0.01 + 1e-4).to(dtype)


def all_codes():
    """The 256 values of each format, without a configuration: values and no scales."""
    tensors = {name: torch.arange(256, dtype=torch.uint8).view(dtype) for name, dtype in
               (("e4m3", E4M3), ("e5m2", E5M2), ("e8m0", E8M0))}
    return None, tensors, {name: tensor.float() for name, tensor in tensors.items()}


def scaled(weight, scale, block):
    """The product that the kernel of transformers works with: float32 values, one scale per block."""
    rows, columns = weight.shape[-2:]
    factor = scale.float().repeat_interleave(block[0], -2).repeat_interleave(block[1], -1)
    return weight.float() * factor[..., :rows, :columns]


def blocks(config, block, shapes):
    config = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", **config}
    tensors, expected = {}, {}
    for name, (shape, dtype, of_scale) in shapes.items():
        grid = [*shape[:-2], -(-shape[-2] // block[0]), -(-shape[-1] // block[1])]
        tensors[name], tensors[name + "_scale_inv"] = codes(shape, dtype), scales(grid, of_scale)
        expected[name] = scaled(tensors[name], tensors[name + "_scale_inv"], block)
    tensors["norm.weight"] = expected["norm.weight"] = torch.rand(7, generator=random).bfloat16()
    tensors["logit_scale"] = expected["logit_scale"] = torch.tensor(2.5)
    return config, tensors, expected


def small_blocks():
    """No extent that a block divides but one; three kinds of scales; stacked experts."""
    return blocks({"weight_block_size": [16, 24]}, (16, 24), {
        "odd.weight": ((37, 53), E4M3, torch.float32), "even.weight": ((16, 24), E4M3, torch.bfloat16),
        "thin.weight": ((40, 1), E5M2, torch.float32), "flat.weight": ((1, 100), E4M3, E8M0),
        "experts.gate_up_proj": ((3, 17, 25), E4M3, torch.float32)})


def default_blocks():
    """128 x 128, said by nobody, as the class of transformers has it."""
    return blocks({}, (128, 128), {"down.weight": ((129, 5), E4M3, torch.float32), "up.weight": ((5, 257), E4M3, torch.float16)})


def whole_tensors():
    """One scale for a tensor, and the scales of activations that static schemes have beside it."""
    config = {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None, "ignored_layers": ["lm_head"]}
    weight, other = codes((9, 33), E4M3), codes((4, 5), E4M3)
    tensors = {"a.weight": weight, "a.weight_scale_inv": torch.tensor(0.0123), "a.activation_scale": torch.tensor(0.5),
               "b.weight": other, "b.weight_scale": torch.tensor([0.3]), "b.input_scale": torch.tensor([0.25])}
    return config, tensors, {"a.weight": weight.float() * 0.0123, "b.weight": other.float() * torch.tensor(0.3)}


def mxfp4():
    """Every scale (255 too, which is no number), every byte, and shapes that are no powers of two."""
    config = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    tensors, expected = {"router.bias": torch.rand(3, generator=random).bfloat16()}, {}
    expected["router.bias"] = tensors["router.bias"]
    for name, shape in (("gate_up_proj", (2, 6, 3)), ("down_proj", (3, 5, 1)), ("every_scale", (1, 16, 16))):
        block = torch.randint(0, 256, (*shape, 16), dtype=torch.uint8, generator=random)
        scale = torch.randint(110, 140, shape, dtype=torch.uint8, generator=random)
        if name == "every_scale":
            scale = torch.arange(256, dtype=torch.uint8).reshape(shape)
            block[:, 0] = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
            # Each of the 16 codes under each scale.
            block[..., :8] = torch.arange(8, dtype=torch.uint8) * 0x22 + 0x10
        tensors[f"experts.{name}_blocks"], tensors[f"experts.{name}_scales"] = block, scale
        expected[f"experts.{name}"] = convert_moe_packed_tensors(block, scale)
    return config, tensors, expected


FIXTURES = {"float8_codes": all_codes, "fp8_small_blocks": small_blocks, "fp8_default_blocks": default_blocks,
            "fp8_whole_tensors": whole_tensors, "mxfp4": mxfp4}


def write(root):
    for name, make in FIXTURES.items():
        config, tensors, expected = make()
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        text = {"model_type": "llama"} | ({"quantization_config": config} if config else {})
        (folder / "config.json").write_text(json.dumps(text, indent=2) + "\n")
        save_file(tensors, folder / "model.safetensors")
        save_file({key: tensor.contiguous() for key, tensor in expected.items()}, folder / "expected.safetensors")


def same(a, b):
    """Equal but for the payloads and signs of NaNs."""
    if a.keys() != b.keys():
        return False
    return all(a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and
               torch.equal(a[k].float().nan_to_num(nan=1e38), b[k].float().nan_to_num(nan=1e38)) for k in a)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    root = Path(__file__).resolve().parent.parent / "tests" / "quantized"
    if not arguments.parse_args().check:
        write(root)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        wrong = [f"{name}/{file}" for name in FIXTURES for file in ("model.safetensors", "expected.safetensors")
                 if not same(load_file(Path(folder) / name / file), load_file(root / name / file))]
    print("differ: " + ", ".join(wrong) if wrong else f"{len(FIXTURES)} fixtures as they were")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
