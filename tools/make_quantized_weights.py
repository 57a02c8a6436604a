#!/usr/bin/env python3
"""Makes tests/quantized/weights.safetensors: matrices, and what the quantizers of ONNX Runtime make of them.

  tools/make_quantized_weights.py            writes the file
  tools/make_quantized_weights.py --check    compares with the one that is here; exit status 1 when it differs

Needs onnxruntime 1.31.1, onnx, onnx_ir, numpy 2.4.6 and safetensors 0.8.0. PyTorch is not needed.

Keys: `matrix/<matrix>` is float32 [N, K], as a checkpoint stores a linear layer. A result of it is
`blocks/<algorithm>/<bits>/<block size>/<sym|asym>/<matrix>/{codes,scales,zero_points}`,
`bnb4/<nf4|fp4>/<block size>/<matrix>/{codes,absmax}` or
`tensor/<int8|uint8>/<sym|asym>/<full|reduced>/<axis or ->/<matrix>/{codes,scale,zero_point}`.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig, KQuantWeightOnlyQuantConfig, MatMulNBitsQuantizer)
from onnxruntime.quantization.quant_utils import QuantType, quantize_data
from safetensors.numpy import load_file, save_file

TARGET = Path(__file__).resolve().parent.parent / "tests" / "quantized" / "weights.safetensors"
random = np.random.default_rng(17)


def normal(*shape):
    return (random.standard_normal(shape) * 0.05).astype(np.float32)


def special():
    """Rows of 96 values that a quantizer may stumble over."""
    x = normal(96)
    steps = np.arange(96, dtype=np.float32)
    below_half = np.nextafter(np.float32(0.5), np.float32(0))
    near_tie = np.where(steps % 32 == 0, 15, below_half)  # scale 1 and zero point 0: 0.49999997 must become 0
    outlier = x.copy()
    outlier[[5, 40, 77]] = 8, -8, 3
    rows = [
        np.zeros(96),
        np.full(96, 0.75),
        np.full(96, -0.3),
        np.full(96, 3),
        np.abs(x),
        -np.abs(x),
        np.abs(x) + 1,
        x * 1e-30,
        x * 2e38 / np.abs(x).max() * 0.5,
        outlier,
        (steps % 16 - 8) / 2,  # symmetric: ties at every second value
        (steps % 31) / 2,      # asymmetric: scale 1, ties
        (steps % 61) / 4 - 3.75,
        near_tie,
        np.where(steps % 2 == 0, 1, -1) * 0.25,
        np.concatenate([np.zeros(32), x[:32], np.zeros(32)]),
    ]
    return np.stack(rows).astype(np.float32)


MATRICES = {
    "whole": normal(6, 256),        # every block size divides K
    "short": normal(5, 80),         # the last block is shorter, except for 16
    "odd": normal(3, 45),           # the last byte is not full
    "single": normal(4, 32),        # a row is one block
    "row": normal(1, 37),
    "special": special(),
}
SIZES = {"whole": (16, 64, 128, 256), "short": (16, 32, 64), "odd": (16, 32), "single": (32,), "row": (32,),
         "special": (32,), "k_special": (32,)}
K_QUANT_OMITS = "special"  # its blocks of one value and of tiny ones are in k_special, without denormal ranges
MATRICES["k_special"] = np.delete(special(), [7, 8], axis=0)


def model_of(matrix):
    """MatMul with the transposed matrix as B."""
    n, k = matrix.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", k])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", n])],
        [numpy_helper.from_array(np.ascontiguousarray(matrix.T), "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def initializers(quantizer):
    quantizer.process()
    return {t.name: numpy_helper.to_array(t) for t in quantizer.model.model.graph.initializer}


def blocks(matrix, algorithm, bits, block_size, symmetric):
    if algorithm == "rtn":
        config = DefaultWeightOnlyQuantConfig(block_size=block_size, is_symmetric=symmetric, bits=bits)
        quantizer = MatMulNBitsQuantizer(model_of(matrix), algo_config=config)
        names = {"codes": f"w_Q{bits}", "scales": "w_scales", "zero_points": "w_zero_points"}
    else:
        config = KQuantWeightOnlyQuantConfig(
            customized_weight_config={"m": {"bits": bits, "group_size": block_size, "scheme": "asym"}})
        quantizer = MatMulNBitsQuantizer(model_of(matrix), block_size=block_size, algo_config=config)
        names = {"codes": f"w_Q{bits}G{block_size}", "scales": "w_scale", "zero_points": "w_zp"}
    found = initializers(quantizer)
    results = {key: found[name] for key, name in names.items() if name in found}
    n, k = matrix.shape
    across = -(-k // block_size)
    if "zero_points" in results:
        results["zero_points"] = results["zero_points"].reshape(n, -1)
    results["scales"] = results["scales"].reshape(n, across)
    return results


def bnb4(matrix, kind, block_size):
    quantizer = MatMulBnb4Quantizer(
        model_of(matrix), {"fp4": MatMulBnb4Quantizer.FP4, "nf4": MatMulBnb4Quantizer.NF4}[kind], block_size)
    found = initializers(quantizer)
    return {"codes": found["w_Bnb4"], "absmax": found["w_absmax"]}


def tensor(matrix, dtype, symmetric, reduce_range, axis):
    """As the quantizers call quantize_data(): for the whole, or for each channel."""
    q_type = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}[dtype].tensor_type
    if axis is None:
        zero_point, scale, codes = quantize_data(matrix.flatten(), q_type, symmetric, reduce_range)
        return {"codes": codes.reshape(matrix.shape), "scale": scale, "zero_point": zero_point}
    parts = [quantize_data(matrix.take(i, axis).flatten(), q_type, symmetric, reduce_range)
             for i in range(matrix.shape[axis])]
    return {"codes": np.stack([p[2] for p in parts], axis), "scale": np.hstack([p[1] for p in parts]),
            "zero_point": np.hstack([p[0] for p in parts])}


def cases():
    """{prefix: function that makes the results}"""
    result = {}

    def add(name, function, *arguments):
        result[name] = lambda: function(*arguments)

    for name, matrix in MATRICES.items():
        rtn = name != "k_special"
        for size in SIZES[name]:
            for bits in (2, 4, 8):
                across = -(-matrix.shape[1] // size)
                for symmetric in (True, False) if rtn else ():
                    add(f"blocks/rtn/{bits}/{size}/{'sym' if symmetric else 'asym'}/{name}", blocks,
                        matrix, "rtn", bits, size, symmetric)
                # Its packing of 4-bit zero points fails for an odd number of blocks in several rows.
                packs = bits == 8 or (bits == 4 and (across % 2 == 0 or len(matrix) == 1))
                if packs and name != K_QUANT_OMITS:
                    add(f"blocks/k_quant/{bits}/{size}/asym/{name}", blocks, matrix, "k_quant", bits, size, False)
            if rtn:
                for kind in ("nf4", "fp4"):
                    add(f"bnb4/{kind}/{size}/{name}", bnb4, matrix, kind, size)
        for dtype in ("int8", "uint8") if name in ("odd", "special") else ():
            for symmetric in (True, False):
                for reduce_range in (True, False):
                    for axis in (None, 0, 1):
                        add("/".join(["tensor", dtype, "sym" if symmetric else "asym",
                                      "reduced" if reduce_range else "full", "-" if axis is None else str(axis), name]),
                            tensor, matrix, dtype, symmetric, reduce_range, axis)
    return result


def make():
    tensors = {f"matrix/{name}": matrix for name, matrix in MATRICES.items()}
    for prefix, function in cases().items():
        for key, value in function().items():
            tensors[f"{prefix}/{key}"] = np.array(value, order="C")
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    tensors = make()
    if not parser.parse_args().check:
        save_file(tensors, TARGET)
        print(f"{TARGET}: {len(tensors)} tensors, {TARGET.stat().st_size} bytes")
        return 0
    old = load_file(TARGET)
    differ = [key for key in sorted(old.keys() | tensors.keys())
              if key not in old or key not in tensors or old[key].dtype != tensors[key].dtype
              or old[key].shape != tensors[key].shape or old[key].tobytes() != tensors[key].tobytes()]
    print(f"{len(old) - len(differ)} equal, {len(differ)} differ: {', '.join(differ[:10])}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
