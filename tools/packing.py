"""Values, packed codes and safetensors files for make_packed.py."""
import json
import struct

import numpy as np

random = np.random.default_rng(17)
NAMES = {"float32": "F32", "float16": "F16", "int32": "I32", "int64": "I64", "int8": "I8", "uint8": "U8"}


class BF16:
    """Float32 values rounded to bfloat16, half to even."""

    def __init__(self, values):
        bits = np.asarray(values, np.float32).view(np.uint32)
        self.bits = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        self.shape = self.bits.shape

    def float(self):
        return (self.bits.astype(np.uint32) << 16).view(np.float32)


class Float8:
    """Codes of float8 e4m3."""

    def __init__(self, codes):
        self.bits, self.shape = codes.astype(np.uint8), codes.shape

    def float(self):
        code = self.bits.astype(np.int64)
        exponent, mantissa = (code >> 3) & 15, code & 7
        magnitude = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
        magnitude = np.where(code & 127 == 127, np.nan, magnitude)
        return np.where(code & 128, -magnitude, magnitude).astype(np.float32)


def save(tensors, path):
    header, data = {}, b""
    for key, tensor in sorted(tensors.items()):
        if isinstance(tensor, (BF16, Float8)):
            name, raw = ("BF16" if isinstance(tensor, BF16) else "F8_E4M3"), tensor.bits.tobytes()
        else:
            name, raw = NAMES[str(tensor.dtype)], np.ascontiguousarray(tensor).tobytes()
        header[key] = {"dtype": name, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def codes(shape, bits):
    return random.integers(0, 1 << bits, shape)


def scales(shape, dtype=np.float16):
    values = (random.random(shape) * 0.1 + 1e-3) * np.where(random.random(shape) < 0.1, -1, 1)
    return BF16(values) if dtype == BF16 else values.astype(dtype)


def floats(values):
    return values.float() if isinstance(values, (BF16, Float8)) else values.astype(np.float32)


def like(values, scale):
    """Rounded to the dtype of the scales. (The products before are exact in float32 or rounded to it.)"""
    return BF16(values) if isinstance(scale, BF16) else values.astype(scale.dtype)


def into_words(values, bits, order=range(8)):
    """Packs the last axis: code order[i] of 32 / bits successive ones is at place i, the first place lowest."""
    pack = 32 // bits
    order = order if bits == 4 else range(pack)
    words = np.zeros((*values.shape[:-1], -(-values.shape[-1] // pack)), np.uint32)
    for column in range(words.shape[-1]):
        for place, code in enumerate(order):
            if column * pack + code < values.shape[-1]:
                words[..., column] |= values[..., column * pack + code].astype(np.uint32) << np.uint32(place * bits)
    return words


def three_bits(values):
    """Packs the last axis as AutoGPTQ does: 32 codes of 3 bits in three words, where codes 10 and 21 are cut."""
    words = np.zeros((*values.shape[:-1], values.shape[-1] // 32 * 3), np.uint32)
    for block in range(values.shape[-1] // 32):
        part = values[..., block * 32:block * 32 + 32].astype(np.uint32)
        a, b, c = (words[..., block * 3 + i] for i in range(3))
        for i in range(10):
            a |= part[..., i] << np.uint32(3 * i)
            b |= part[..., 11 + i] << np.uint32(3 * i + 1)
            c |= part[..., 22 + i] << np.uint32(3 * i + 2)
        a |= part[..., 10] << np.uint32(30)
        b |= (part[..., 10] >> np.uint32(2)) & np.uint32(1)
        b |= part[..., 21] << np.uint32(31)
        c |= (part[..., 21] >> np.uint32(1)) & np.uint32(3)
    return words


def any_words(values, bits):
    """Packs the last axis bit by bit: bit b of code i is bit i * bits + b of the row."""
    count = values.shape[-1] * bits
    words = np.zeros((*values.shape[:-1], -(-count // 32)), np.uint32)
    for i in range(values.shape[-1]):
        for bit in range(bits):
            at = i * bits + bit
            words[..., at // 32] |= (((values[..., i] >> bit) & 1) << (at % 32)).astype(np.uint32)
    return words
