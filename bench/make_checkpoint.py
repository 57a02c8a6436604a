#!/usr/bin/env python3
"""Writes a synthetic checkpoint: config.json, safetensors and a tokenizer of one word, for benchmarks.

  make_checkpoint.py CONFIG.json OUT_DIR [--seed N] [--shards N] [--hollow]

CONFIG.json holds what config.json will hold; its model_type (or class of diffusers) says which tensors there are, its dtype (float32, bfloat16)
how they are stored. Values repeat a block of uniform floats around 0 (norms: around 1) from a place of its own in every
tensor, so that no two are equal. Same config and seed, same bytes. Hollow files hold only the first bytes of every
tensor, and take little disk."""
import argparse
import array
import json
import math
import pathlib
import random
import struct

from unet_tensors import unet

BLOCK = 1 << 20  # elements


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


def gated_mlp(prefix, h, i):
    return {f"{prefix}.{part}_proj.weight": shape
            for part, shape in (("gate", [i, h]), ("up", [i, h]), ("down", [h, i]))}


def llama(c):
    """Keys and shapes of LlamaForCausalLM, of Qwen2ForCausalLM, which has biases, and of Qwen3MoeForCausalLM, which has
    experts and norms of heads (transformers 4.57.6)."""
    h = c["hidden_size"]
    head = c.get("head_dim", h // c["num_attention_heads"])
    q, kv = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    tensors = {"model.embed_tokens.weight": [c["vocab_size"], h]}
    for n in range(c["num_hidden_layers"]):
        layer = f"model.layers.{n}."
        for part, rows in (("q", q), ("k", kv), ("v", kv)):
            tensors[layer + f"self_attn.{part}_proj.weight"] = [rows, h]
            if c["model_type"] == "qwen2":
                tensors[layer + f"self_attn.{part}_proj.bias"] = [rows]
        tensors[layer + "self_attn.o_proj.weight"] = [h, q]
        if c["model_type"] == "qwen3_moe":
            tensors.update({layer + f"self_attn.{part}_norm.weight": [head] for part in ("q", "k")})
            tensors[layer + "mlp.gate.weight"] = [c["num_experts"], h]
            for e in range(c["num_experts"]):
                tensors.update(gated_mlp(layer + f"mlp.experts.{e}", h, c["moe_intermediate_size"]))
        else:
            tensors.update(gated_mlp(layer + "mlp", h, c["intermediate_size"]))
        tensors[layer + "input_layernorm.weight"] = [h]
        tensors[layer + "post_attention_layernorm.weight"] = [h]
    tensors["model.norm.weight"] = [h]
    if not c.get("tie_word_embeddings", False):
        tensors["lm_head.weight"] = [c["vocab_size"], h]
    return tensors


def decoder_ends(c, last_norm):
    """Keys and shapes before the layers and behind them."""
    tensors = {"model.embed_tokens.weight": [c["vocab_size"], c["hidden_size"]], f"model.{last_norm}.weight": [c["hidden_size"]]}
    if not c["tie_word_embeddings"]:
        tensors["lm_head.weight"] = [c["vocab_size"], c["hidden_size"]]
    return tensors


def attention(layer, c, output="o_proj"):
    h, kv = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"] * c["num_key_value_heads"]
    return {f"{layer}self_attn.{part}.weight": [rows, h]
            for part, rows in (("q_proj", h), ("k_proj", kv), ("v_proj", kv), (output, h))}


def lfm2(c):
    """Keys and shapes of Lfm2ForCausalLM with the width of block_auto_adjust_ff_dim false (transformers 4.57.6)."""
    h, i = c["hidden_size"], c["intermediate_size"]
    tensors = decoder_ends(c, "embedding_norm")
    for n, kind in enumerate(c["layer_types"]):
        layer = f"model.layers.{n}."
        tensors.update({f"{layer}{norm}_norm.weight": [h] for norm in ("operator", "ffn")})
        if kind == "conv":
            tensors.update({layer + "conv.in_proj.weight": [3 * h, h], layer + "conv.out_proj.weight": [h, h],
                            layer + "conv.conv.weight": [h, 1, c["conv_L_cache"]]})
        else:
            tensors.update(attention(layer, c, "out_proj"))
            tensors.update({f"{layer}self_attn.{part}_layernorm.weight": [h // c["num_attention_heads"]] for part in "qk"})
        tensors.update({f"{layer}feed_forward.{part}.weight": shape
                        for part, shape in (("w1", [i, h]), ("w2", [h, i]), ("w3", [i, h]))})
    return tensors


def granitemoehybrid(c):
    """Keys and shapes of GraniteMoeHybridForCausalLM without experts (transformers 4.57.6)."""
    h, i, heads = c["hidden_size"], c["shared_intermediate_size"], c["mamba_n_heads"]
    inner = heads * c["mamba_d_head"]
    channels = inner + 2 * c["mamba_n_groups"] * c["mamba_d_state"]
    tensors = decoder_ends(c, "norm")
    for n, kind in enumerate(c["layer_types"]):
        layer = f"model.layers.{n}."
        tensors.update({f"{layer}{norm}_layernorm.weight": [h] for norm in ("input", "post_attention")})
        tensors.update({layer + "shared_mlp.input_linear.weight": [2 * i, h],
                        layer + "shared_mlp.output_linear.weight": [h, i]})
        if kind == "attention":
            tensors.update(attention(layer, c))
            continue
        layer += "mamba."
        tensors.update({layer + name: [heads] for name in ("A_log", "D", "dt_bias")})
        tensors.update({layer + "conv1d.weight": [channels, 1, c["mamba_d_conv"]], layer + "conv1d.bias": [channels],
                        layer + "norm.weight": [inner], layer + "in_proj.weight": [inner + channels + heads, h],
                        layer + "out_proj.weight": [h, inner]})
    return tensors


TYPES = {"bert": bert, "granitemoehybrid": granitemoehybrid, "lfm2": lfm2, "llama": llama, "qwen2": llama, "qwen3_moe": llama,
         "UNet2DConditionModel": unet}
DTYPES = {"float32": ("F32", 4), "bfloat16": ("BF16", 2)}


def type_of(config):
    """Its model_type, or the class of diffusers."""
    return config.get("model_type") or config["_class_name"]


def header(tensors):
    """The start of a safetensors file: length and JSON. `tensors`: dtype, shape and bytes by name."""
    entries, offset = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def shards(tensors, count):
    """The tensors in `count` parts of about the same size, by file name."""
    if count == 1:
        return {"model.safetensors": tensors}
    total, done = sum(size for _, _, size in tensors.values()), 0
    parts = {f"model-{n + 1:05}-of-{count:05}.safetensors": {} for n in range(count)}
    for name, tensor in tensors.items():
        list(parts.values())[done * count // total][name] = tensor
        done += tensor[2]
    return parts


def write_tokenizer(folder):
    """Of one word: without a tokenizer, the builder of onnxruntime-genai stops."""
    (folder / "tokenizer.json").write_text(json.dumps(dict(
        version="1.0", truncation=None, padding=None, added_tokens=[], normalizer=None, post_processor=None,
        decoder=None, pre_tokenizer=dict(type="Whitespace"),
        model=dict(type="WordLevel", vocab={"<unk>": 0}, unk_token="<unk>"))))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="PreTrainedTokenizerFast", unk_token="<unk>")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", type=int, default=1, help="files that the tensors are spread over (1)")
    parser.add_argument("--hollow", action="store_true", help="without values, for exports that leave them in place")
    args = parser.parse_args()
    config = json.loads(args.config.read_text())
    kind = type_of(config)
    if kind not in TYPES:
        parser.error(f"no tensors known for '{kind}'; known: {', '.join(TYPES)}")
    dtype, width = DTYPES[config.get("dtype", "float32")]
    tensors = {name: (dtype, shape, width * math.prod(shape))
               for name, shape in TYPES[kind](config).items()}

    rng = random.Random(args.seed)

    def stored(floats):
        data = array.array("f", floats).tobytes()
        return data if width == 4 else b"".join(data[n + 2:n + 4] for n in range(0, len(data), 4))

    around_zero = stored(rng.uniform(-0.05, 0.05) for _ in range(BLOCK))
    around_one = stored(1.0 + rng.uniform(-0.05, 0.05) for _ in range(BLOCK // 16))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_tokenizer(args.out)

    parts = shards(tensors, args.shards)
    if args.shards > 1:
        index = {"metadata": {"total_size": sum(size for _, _, size in tensors.values())},
                 "weight_map": {name: file for file, part in parts.items() for name in part}}
        (args.out / "model.safetensors.index.json").write_text(json.dumps(index))
    number = 0
    for file, part in parts.items():
        with open(args.out / file, "wb") as out:
            out.write(header(part))
            if args.hollow:
                for _, _, size in part.values():
                    end = out.tell() + size
                    number += 1
                    out.write(struct.pack("<Q", number))
                    out.seek(end)
                out.truncate()
                continue
            for name, (_, _, left) in part.items():
                source = around_one if name.lower().endswith("norm.weight") else around_zero
                start = width * (number * 31 + rng.randrange(31))  # places of their own
                number += 1
                while left:
                    piece = source[start:start + left]
                    out.write(piece)
                    left -= len(piece)
                    start = 0


if __name__ == "__main__":
    main()
