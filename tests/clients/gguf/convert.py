"""GGUF files from golden fixtures, by the package `gguf` of llama.cpp: its writer, its names, its quantization.

What llama.cpp's converter does to elements on the way is done here as well, in its own words of numpy; the program
under test has to undo it.
"""
import json
import re
import struct
import sys
from pathlib import Path

import gguf
import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
from changes import changed, rearranged  # noqa: E402
from make_golden import synthesize  # noqa: E402
from metadata import add_metadata  # noqa: E402

GOLDEN = ROOT / "tests" / "golden"

# model type: architecture in GGUF, if it has another name
ARCHITECTURES = {"mistral": "llama", "mixtral": "llama", "qwen3_moe": "qwen3moe", "gemma3_text": "gemma3", "cohere": "command-r",
                 "glm": "chatglm", "gpt_bigcode": "starcoder", "hunyuan_v1_dense": "hunyuan-dense", "olmo3": "olmo2", "phi": "phi2",
                 "qwen2_moe": "qwen2moe", "glm4_moe": "glm4moe", "ernie4_5_moe": "ernie4_5-moe", "hunyuan_v1_moe": "hunyuan-moe",
                 "granitemoeshared": "granitemoe", "falcon_mamba": "mamba", "ministral3": "mistral3",
                 "minimax_m2": "minimax-m2", "gpt_oss": "gpt-oss", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2",
                 "granitemoehybrid": "granitehybrid", "bamba": "granitehybrid", "falcon_h1": "falcon-h1", "qwen3_next": "qwen3next",
                 "llama4_text": "llama4", "gemma3n_text": "gemma3n", "gemma4_text": "gemma4", "exaone_moe": "exaone-moe",
                 "mimo_v2_flash": "mimo2"}


def load(fixture):
    """config.json and the tensors of a fixture, as float32."""
    folder = GOLDEN / fixture
    recipe = json.loads((folder / "weights.json").read_text())
    rounded = {"F32": np.float32, "F16": np.float16}
    tensors = {name: synthesize(name, one, recipe["seed"]).astype(rounded[one["dtype"]]).astype(np.float32)
               for name, one in recipe["tensors"].items()}
    if (folder / "verbatim.safetensors").exists():
        tensors |= read_floats(folder / "verbatim.safetensors")
    return json.loads((folder / "config.json").read_text()), tensors


def read_floats(path):
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    return {name: np.frombuffer(data[start + one["data_offsets"][0]:start + one["data_offsets"][1]], np.float32).reshape(one["shape"])
            for name, one in header.items() if name != "__metadata__" and one["dtype"] == "F32"}


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor, np.float32).tobytes())


def stored_tensors(kind, config, tensors):
    """Names and elements as the file has them, with the names they come from."""
    layers = next(config[key] for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers") if config.get(key))
    arch = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[ARCHITECTURES.get(kind, kind)]
    names = gguf.get_tensor_name_map(arch, layers)
    for name, w in rearranged(kind, config, tensors).items():
        if name.startswith("blk."):
            yield name, np.ascontiguousarray(w)
            continue
        if kind == "bert" and re.search(r"(^|\.)(pooler|cls)\.", name):
            continue  # the converter drops them
        # BERT and BLOOM are converted as their base models.
        plain = name.removeprefix("bert.") if kind == "bert" else name.removeprefix("transformer.") if kind == "bloom" else name
        plain = plain.replace("e_score_correction_bias", "e_score_correction.bias").replace(".dt_bias", ".dt_proj.bias")
        plain = re.sub(r"(\.sinks|\.attention_sink_bias)$", r"\1.weight", plain).replace(".expert_bias", ".expert_bias.bias")
        if kind == "dbrx" and ".experts.mlp." in plain:
            plain += ".weight"
        if kind == "jamba":
            plain = plain.replace(".feed_forward.experts.", ".mlp.experts.")
        new = names.get_name(plain, try_suffixes=(".weight", ".bias"))
        if new is None:
            raise ValueError(f"{name} has no name in GGUF")
        if w.ndim == 2 and w.shape[0] == 1:
            w = w[0]  # the gate of a shared expert, and the bias of ERNIE's choice
        w = np.ascontiguousarray(changed(kind, config, name, w))
        yield new, w
        if kind == "mimo_v2_flash" and new.startswith("blk.0."):  # a layer that predicts a further token
            yield new.replace("blk.0.", f"blk.{layers}."), w


def rope_factors(config):
    """What the frequencies of rotary positions are divided by."""
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type") or scaling.get("type")
    if kind == "longrope":
        for name in ("long", "short"):
            yield f"rope_factors_{name}.weight", np.array(scaling[f"{name}_factor"], np.float32)
    full = (config.get("rope_parameters") or {}).get("full_attention", {})
    if full.get("rope_type") == "proportional":
        half = next(own["head_dim"] for own in config["per_layer_config"].values()) // 2
        turning = int(half * full["partial_rotary_factor"])
        yield "rope_freqs.weight", np.array([1] * turning + [1e30] * (half - turning), np.float32)
    if kind == "llama3":
        original, low, high = (scaling[key] for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        length = 2 * np.pi * config["rope_theta"] ** (np.arange(0, size, 2) / size)
        smooth = (original / length - low) / (high - low)
        between = 1 / ((1 - smooth) / scaling["factor"] + smooth)
        yield "rope_freqs.weight", np.select([length < original / high, length > original / low],
                                             [1, scaling["factor"]], between).astype(np.float32)


def write(path, kind, config, tensors, quantization="F32", quantized="", **options):
    """A GGUF file of a checkpoint. Matrices whose rows suit are quantized, as llama.cpp does, if their names contain `quantized`; the
    rest stays float32."""
    writer = gguf.GGUFWriter(path, ARCHITECTURES.get(kind, kind), **options)
    add_metadata(writer, kind, config)
    kept = gguf.GGMLQuantizationType[quantization]
    size = gguf.GGML_QUANT_SIZES[kept][0]
    for name, factors in rope_factors(config):
        writer.add_tensor(name, factors)
    for name, w in stored_tensors(kind, config, tensors):
        if w.ndim > 1 and w.shape[-1] % size == 0 and quantization != "F32" and quantized in name:
            writer.add_tensor(name, gguf.quants.quantize(w, kept), raw_dtype=kept)
        else:
            writer.add_tensor(name, w)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def through(tensors, quantization):
    """The tensors as they come back from a file."""
    kept = gguf.GGMLQuantizationType[quantization]
    size = gguf.GGML_QUANT_SIZES[kept][0]

    def one(w):
        if w.ndim < 2 or w.shape[-1] % size:
            return w
        return gguf.quants.dequantize(gguf.quants.quantize(w, kept), kept).reshape(w.shape).astype(np.float32)

    return {name: one(w) for name, w in tensors.items()}
