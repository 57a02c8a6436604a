#!/usr/bin/env python3
"""Makes the fixtures of packed weights, tests/quantized/<name>/, with numpy alone. The format: tests/quantized/README.md.

  tools/make_packed.py            makes all of them
  tools/make_packed.py --check    compares with those that are here; exit status 1 when one differs

Codes are packed one by one, by the loops that the libraries describe. Needs numpy.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from packing import BF16, Float8, any_words, codes, floats, into_words, like, random, save, scales, three_bits

def gptq_module(tensors, expected, path, outputs, inputs, bits, group, v1=True, act_order=False, dtype=np.float16):
    size = inputs if group == -1 else group
    groups = -(-inputs // size)
    of_input = np.arange(inputs) // size
    if act_order:
        of_input = random.permutation(of_input)
    pack = three_bits if bits == 3 else lambda values: into_words(values, bits)
    code, scale = codes((inputs, outputs), bits), scales((groups, outputs), dtype)
    zero = codes((groups, outputs), bits)
    stored = zero
    if v1:
        zero = np.maximum(zero, 1)
        stored = zero - 1
    tensors[path + ".qweight"] = np.ascontiguousarray(pack(code.T).T).view(np.int32)
    tensors[path + ".qzeros"] = pack(stored).view(np.int32)
    tensors[path + ".scales"] = scale
    tensors[path + ".g_idx"] = of_input.astype(np.int32)
    values = floats(scale)[of_input] * (code - zero[of_input]).astype(np.float32)
    expected[path + ".weight"] = like(np.ascontiguousarray(values.T), scale)


def plain(tensors, expected):
    for key, value in (("norm.weight", BF16(random.random(7))), ("a.bias", random.random(5).astype(np.float16))):
        tensors[key] = expected[key] = value


def gptq(bits, config=None, **more):
    tensors, expected = {}, {}
    plain(tensors, expected)
    gptq_module(tensors, expected, "a", 32, 96, bits, 32, **more)
    gptq_module(tensors, expected, "b.c", 64, 32, bits, 32, **{**more, "dtype": BF16})
    settings = {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": more.get("act_order", False),
                "sym": False, "damp_percent": 0.01, "true_sequential": True}
    if not more.get("v1", True):
        settings["checkpoint_format"] = "gptq_v2"
    return settings | (config or {}), tensors, expected


def gptq_whole():
    """One group; a group that is not full; no groups told."""
    tensors, expected = {}, {}
    gptq_module(tensors, expected, "a", 8, 40, 4, -1)
    gptq_module(tensors, expected, "b", 16, 8, 4, -1)
    del tensors["b.g_idx"]
    return {"quant_method": "gptq", "bits": 4, "group_size": -1, "meta": {"quantizer": ["optimum:1.17"]}}, tensors, expected


def gptq_dynamic():
    """Modules with other bits and groups than the configuration says."""
    tensors, expected = {}, {}
    gptq_module(tensors, expected, "a", 8, 40, 4, 16)
    gptq_module(tensors, expected, "b", 16, 64, 8, 32)
    return {"quant_method": "gptq", "bits": 4, "group_size": 16, "lm_head": True,
            "dynamic": {"b": {"bits": 8, "group_size": 32}}}, tensors, expected


def gptq_borrow():
    """Zero points of 0 in version 1: 1 is subtracted from each code of a word, which borrows from the next."""
    tensors, expected = {}, {}
    inputs, outputs = 16, 16
    code, scale = codes((inputs, outputs), 4), scales((1, outputs))
    zero = np.array([0, 3, 0, 0, 7, 15, 0, 8] * 2)[None]
    words = into_words(zero, 4)
    tensors["a.qweight"] = np.ascontiguousarray(into_words(code.T, 4).T).view(np.int32)
    tensors["a.qzeros"] = (words - np.uint32(0x11111111)).view(np.int32)
    tensors["a.scales"], tensors["a.g_idx"] = scale, np.zeros(inputs, np.int32)
    expected["a.weight"] = like((floats(scale) * (code - zero)).astype(np.float32).T, scale)
    return {"quant_method": "gptq", "bits": 4, "group_size": 16, "checkpoint_format": "gptq"}, tensors, expected


def awq(gemv):
    tensors, expected = {}, {}
    plain(tensors, expected)
    for path, outputs, inputs, group in (("a", 16, 64, 32), ("b.c", 40, 32, 32)):
        groups = inputs // group
        code, zero = codes((outputs, inputs), 4), codes((outputs, groups), 4)
        scale = scales((outputs, groups))
        values = (code - zero.repeat(group, 1)) * floats(scale).repeat(group, 1)
        if gemv:  # scales and zero points are padded
            tensors[path + ".qweight"] = into_words(code, 4).view(np.int32)
            tensors[path + ".qzeros"] = np.zeros((outputs, 4), np.int32)
            tensors[path + ".qzeros"][:, :1] = into_words(zero, 4).view(np.int32)
            tensors[path + ".scales"] = np.zeros((outputs, 32), np.float16)
            tensors[path + ".scales"][:, :groups] = scale
            expected[path + ".weight"] = values.astype(np.float32)
        else:
            order = [0, 2, 4, 6, 1, 3, 5, 7]
            tensors[path + ".qweight"] = into_words(code.T, 4, order).view(np.int32)
            tensors[path + ".qzeros"] = into_words(zero.T, 4, order).view(np.int32)
            tensors[path + ".scales"] = np.ascontiguousarray(scale.T)
            expected[path + ".weight"] = values.astype(np.float32).astype(np.float16)
    return {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True,
            "version": "gemv" if gemv else "GEMM", "modules_to_not_convert": ["lm_head"]}, tensors, expected


def compressed_module(tensors, expected, path, shape, bits, group, packed=True, symmetric=True, dtype=BF16, order=None):
    outputs, inputs = shape
    half, size = 1 << (bits - 1), inputs if group is None else group
    groups = inputs // size
    code = random.integers(-half, half, shape)
    zero = np.zeros((outputs, groups), int) if symmetric else random.integers(-half, half, (outputs, groups))
    scale = scales((outputs, groups), dtype)
    of_input = np.arange(inputs) // size if order is None else order
    if packed:
        tensors[path + ".weight_packed"] = any_words(code + half, bits).view(np.int32)
        tensors[path + ".weight_shape"] = np.array(shape, np.int64)
    else:
        tensors[path + ".weight"] = code.astype(np.int8)
    tensors[path + ".weight_scale"] = scale
    if not symmetric:
        tensors[path + ".weight_zero_point"] = (np.ascontiguousarray(any_words(zero.T + half, bits).T).view(np.int32)
                                                if packed else zero.astype(np.int8))
    if order is not None:
        tensors[path + ".weight_g_idx"] = order.astype(np.int32)
    values = (code - zero[:, of_input]).astype(np.float32) * floats(scale)[:, of_input]
    expected[path + ".weight"] = like(values, scale)


def scheme(targets, bits, kind="int", **more):
    strategy = "group" if "group_size" in more else "channel"
    return {"targets": targets, "input_activations": None, "output_activations": None,
            "weights": {"num_bits": bits, "type": kind, "symmetric": True, "strategy": strategy, "dynamic": False,
                        "observer": "minmax", "observer_kwargs": {}, "actorder": None, **more}}


def compressed(form, groups, **more):
    return {"quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed",
            "config_groups": {f"group_{i}": group for i, group in enumerate(groups)}, "ignore": ["lm_head"],
            "kv_cache_scheme": None, "global_compression_ratio": 1.5, "sparsity_config": {}, "version": "0.9.1", **more}


def compressed_pack():
    tensors, expected = {}, {}
    plain(tensors, expected)
    compressed_module(tensors, expected, "model.0.q_proj", (24, 64), 4, 32)
    compressed_module(tensors, expected, "model.0.down_proj", (13, 64), 4, 16, symmetric=False)
    compressed_module(tensors, expected, "model.1.down_proj", (32, 32), 4, 16, symmetric=False, dtype=np.float32)
    compressed_module(tensors, expected, "model.0.up_proj", (10, 30), 8, None, dtype=np.float16)
    compressed_module(tensors, expected, "model.0.k_proj", (6, 45), 3, None)
    groups = [scheme(["Linear"], 4, group_size=32),
              scheme(["re:.*down_proj", "re:nothing"], 4, group_size=16, symmetric=False),
              scheme(["model.0.up_proj"], 8), scheme(["re:.*k_proj$"], 3)]
    return compressed("pack-quantized", groups), tensors, expected


def compressed_order():
    """Groups of any inputs, and -1 where there are none after all."""
    tensors, expected = {}, {}
    compressed_module(tensors, expected, "a", (8, 48), 4, 16, order=random.permutation(np.arange(48) // 16), symmetric=False)
    compressed_module(tensors, expected, "b", (8, 32), 4, 16, symmetric=False)
    tensors["b.weight_g_idx"] = np.full(32, -1, np.int32)
    return compressed("pack-quantized", [scheme(["Linear"], 4, group_size=16, symmetric=False, actorder="group")]), tensors, expected


def compressed_int8():
    """One integer in each byte: a scale for each output, for groups, and for the whole; other bits."""
    tensors, expected = {}, {}
    plain(tensors, expected)
    compressed_module(tensors, expected, "a", (12, 20), 8, None, packed=False)
    tensors["a.input_scale"] = np.array([0.5], np.float32)
    compressed_module(tensors, expected, "b", (12, 32), 8, 16, packed=False, symmetric=False)
    compressed_module(tensors, expected, "c", (5, 9), 4, None, packed=False, symmetric=False, dtype=np.float16)
    code = random.integers(-128, 128, (6, 10))
    tensors["d.weight"], tensors["d.weight_scale"] = code.astype(np.int8), np.array([0.037], np.float16)
    expected["d.weight"] = (code.astype(np.float32) * np.float32(tensors["d.weight_scale"][0])).astype(np.float16)
    groups = [scheme(["Linear"], 8), scheme(["b"], 8, group_size=16, symmetric=False), scheme(["c"], 4, symmetric=False),
              scheme(["d"], 8, strategy="tensor")]
    groups[0]["input_activations"] = {"num_bits": 8, "dynamic": True, "strategy": "token"}
    groups[2]["format"] = "naive-quantized"
    return compressed("int-quantized", groups), tensors, expected


def compressed_float8():
    tensors, expected = {}, {}
    plain(tensors, expected)
    for path, shape, grid, dtype in (("a", (9, 20), (9, 1), BF16), ("b", (8, 12), (1,), np.float32),
                                     ("c", (20, 33), (3, 3), BF16), ("d", (4, 4), (), np.float16)):
        code, scale = Float8(random.integers(0, 256, shape)), scales(grid, dtype)
        tensors[path + ".weight"], tensors[path + ".weight_scale"] = code, scale
        factor = floats(scale).reshape((1, 1) if len(grid) < 2 else grid)
        if grid == (3, 3):
            factor = factor.repeat(8, 0).repeat(16, 1)[:20, :33]
        expected[path + ".weight"] = like(np.where(np.isnan(code.float()), np.float32(np.nan), code.float() * factor), scale)
    tensors["a.k_scale"] = np.array([0.5], np.float32)
    tensors["lm_head.weight"] = expected["lm_head.weight"] = BF16(random.random((3, 4)))
    groups = [scheme(["Linear"], 8, "float"), scheme(["b", "d"], 8, "float", strategy="tensor"),
              scheme(["re:^c$"], 8, "float", strategy="block", block_structure=[8, 16])]
    return compressed("float-quantized", groups), tensors, expected


NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
FP4 = [x / 12 for x in (0, 0.0625, 8, 12, 4, 6, 2, 3)]
FP4 = np.array(FP4 + [-x for x in FP4], np.float32)


def four_bits(tensors, expected, key, shape, kind, dtype, nested, block=64, storage=np.uint8):
    count = int(np.prod(shape))
    table = np.array(NF4, np.float32) if kind == "nf4" else FP4
    code = codes(count, 4)
    pairs = np.append(code, np.zeros(count % 2, int)).reshape(-1, 2)
    packed = (pairs[:, 0] << 4 | pairs[:, 1]).astype(np.uint8)
    tensors[key] = packed.view(storage).reshape(-1, 1)
    blocks = -(-count // block)
    state = {"quant_type": kind, "blocksize": block, "dtype": "bfloat16" if dtype == BF16 else np.dtype(dtype).name,
             "shape": list(shape)}
    if nested:
        raw, outer = random.integers(0, 256, blocks).astype(np.uint8), -(-blocks // 256)
        of_outer = random.random(outer).astype(np.float32)
        other = np.sort(random.random(256).astype(np.float32) * 2 - 1)
        offset = np.float32(0.0371)
        tensors.update({key + ".absmax": raw, key + ".nested_absmax": of_outer, key + ".nested_quant_map": other})
        state.update({"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": float(offset)})
        absmax = (other[raw] * of_outer.repeat(256)[:blocks]).astype(np.float32) + offset
    else:
        absmax = tensors[key + ".absmax"] = random.random(blocks).astype(np.float32)
    tensors[key + ".quant_map"] = table
    tensors[key + f".quant_state.bitsandbytes__{kind}"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    values = (table[code] * absmax.repeat(block)[:count]).astype(np.float32).reshape(shape)
    expected[key] = BF16(values) if dtype == BF16 else values.astype(dtype)


def bitsandbytes_4bit():
    tensors, expected = {}, {}
    plain(tensors, expected)
    four_bits(tensors, expected, "a.weight", (40, 512), "nf4", BF16, True)
    four_bits(tensors, expected, "b.weight", (7, 9), "nf4", np.float32, False)
    four_bits(tensors, expected, "c.weight", (16, 32), "fp4", np.float16, False, block=128)
    four_bits(tensors, expected, "d.weight", (16, 16), "nf4", np.float16, True, storage=np.float32)
    return {"quant_method": "bitsandbytes", "load_in_4bit": True, "_load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16", "llm_int8_threshold": 6.0}, tensors, expected


def bitsandbytes_8bit():
    tensors, expected = {}, {}
    plain(tensors, expected)
    for path, shape in (("a", (12, 20)), ("b.c", (5, 7))):
        code, scale = random.integers(-127, 128, shape), (random.random(shape[0]) * 3).astype(np.float32)
        tensors[path + ".weight"], tensors[path + ".SCB"] = code.astype(np.int8), scale
        expected[path + ".weight"] = code.astype(np.float32) * scale[:, None] * np.float32(7.874015718698502e-3)
    tensors["a.weight_format"] = np.array(0, np.uint8)
    return {"load_in_8bit": True, "llm_int8_skip_modules": ["lm_head"]}, tensors, expected


FIXTURES = {
    "gptq_2bit": lambda: gptq(2), "gptq_3bit": lambda: gptq(3), "gptq_4bit": lambda: gptq(4), "gptq_8bit": lambda: gptq(8),
    "gptq_order": lambda: gptq(4, act_order=True), "gptq_3bit_v2_order": lambda: gptq(3, v1=False, act_order=True),
    "gptq_4bit_v2": lambda: gptq(4, v1=False), "gptq_whole": gptq_whole, "gptq_dynamic": gptq_dynamic,
    "gptq_borrow": gptq_borrow, "awq_gemm": lambda: awq(False), "awq_gemv": lambda: awq(True),
    "compressed_pack": compressed_pack, "compressed_order": compressed_order, "compressed_int8": compressed_int8,
    "compressed_float8": compressed_float8, "bitsandbytes_4bit": bitsandbytes_4bit, "bitsandbytes_8bit": bitsandbytes_8bit}


def write(root):
    for name, make in FIXTURES.items():
        config, tensors, expected = make()
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": config}, indent=2) + "\n")
        save(tensors, folder / "model.safetensors")
        save(expected, folder / "expected.safetensors")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    root = Path(__file__).resolve().parent.parent / "tests" / "quantized"
    if not arguments.parse_args().check:
        write(root)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        wrong = [str(file.relative_to(folder)) for file in sorted(Path(folder).rglob("*.*")) if file.is_file()
                 and file.read_bytes() != (root / file.relative_to(folder)).read_bytes()]
    print("differ: " + ", ".join(wrong) if wrong else f"{len(FIXTURES)} fixtures as they were")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
