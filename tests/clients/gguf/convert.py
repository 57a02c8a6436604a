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
from changes import LIKE_LLAMA, changed, merge_experts, merge_head_norms, split_granite  # noqa: E402
from make_golden import synthesize  # noqa: E402

GOLDEN = ROOT / "tests" / "golden"

# model type: architecture in GGUF, if it has another name
ARCHITECTURES = {"mistral": "llama", "mixtral": "llama", "qwen3_moe": "qwen3moe", "gemma3_text": "gemma3", "cohere": "command-r",
                 "glm": "chatglm", "gpt_bigcode": "starcoder", "hunyuan_v1_dense": "hunyuan-dense", "olmo3": "olmo2", "phi": "phi2",
                 "qwen2_moe": "qwen2moe", "glm4_moe": "glm4moe", "ernie4_5_moe": "ernie4_5-moe", "hunyuan_v1_moe": "hunyuan-moe",
                 "granitemoeshared": "granitemoe", "falcon_mamba": "mamba", "ministral3": "mistral3",
                 "minimax_m2": "minimax-m2"}


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
    for name, w in merge_head_norms(merge_experts(split_granite(kind, tensors))).items():
        if kind == "bert" and re.search(r"(^|\.)(pooler|cls)\.", name):
            continue  # the converter drops them
        # BERT and BLOOM are converted as their base models.
        plain = name.removeprefix("bert.") if kind == "bert" else name.removeprefix("transformer.") if kind == "bloom" else name
        plain = plain.replace("e_score_correction_bias", "e_score_correction.bias").replace(".dt_bias", ".dt_proj.bias")
        if kind == "dbrx" and ".experts.mlp." in plain:
            plain += ".weight"
        if kind == "jamba":
            plain = plain.replace(".feed_forward.experts.", ".mlp.experts.")
        new = names.get_name(plain, try_suffixes=(".weight", ".bias"))
        if kind.startswith("granitemoe") and ".split_" in plain:
            layer, part = re.search(r"layers\.(\d+)\..*split_(\w+)\.", plain).groups()
            new = f"blk.{layer}.ffn_{part}.weight"
        if new is None:
            raise ValueError(f"{name} has no name in GGUF")
        if w.ndim == 2 and w.shape[0] == 1:
            w = w[0]  # the gate of a shared expert, and the bias of ERNIE's choice
        yield new, np.ascontiguousarray(changed(kind, config, name, w))


# ---------------------------------------------------------------------------------------------------------- metadata
def attends(config, layer):
    if "layer_types" in config:
        return config["layer_types"][layer] == "full_attention"
    return layer % config["attn_layer_period"] == config["attn_layer_offset"]


def adjusted_width(config):
    """What LFM2 makes of the width of its feed-forwards."""
    width = int(2 * config["intermediate_size"] / 3)
    width = int(config["block_ffn_dim_multiplier"] * width)
    step = config["block_multiple_of"]
    return step * ((width + step - 1) // step)


def add_recurrence(writer, kind, config):
    if kind == "lfm2":
        writer.add_shortconv_l_cache(config["conv_L_cache"])
    if kind not in ("mamba", "falcon_mamba", "mamba2", "jamba"):
        return
    of_jamba = "mamba_" if kind == "jamba" else ""
    inner = config[of_jamba + "expand"] * config["hidden_size"]
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(config["mamba_d_state" if of_jamba else "state_size"])
    writer.add_ssm_conv_kernel(config["mamba_d_conv" if of_jamba else "conv_kernel"])
    if kind == "mamba2":
        writer.add_ssm_group_count(config["n_groups"])
        writer.add_ssm_time_step_rank(config["num_heads"])
    else:
        writer.add_ssm_time_step_rank(config["mamba_dt_rank" if of_jamba else "time_step_rank"])
    if kind in ("mamba", "falcon_mamba"):
        writer.add_ssm_dt_b_c_rms(kind == "falcon_mamba")


def add_dbrx(writer, config):
    attention, feed_forward = config["attn_config"], config["ffn_config"]
    writer.add_head_count_kv(attention["kv_n_heads"])
    writer.add_rope_freq_base(attention["rope_theta"])
    writer.add_clamp_kqv(attention["clip_qkv"])
    writer.add_feed_forward_length(feed_forward["ffn_hidden_size"])
    writer.add_expert_count(feed_forward["moe_num_experts"])
    writer.add_expert_used_count(feed_forward["moe_top_k"])
    writer.add_layer_norm_eps(1e-5)


def add_yarn(writer, rope):
    """Of Ministral 3."""
    writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
    writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    writer.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
    writer.add_attn_temperature_scale(rope["llama_4_scaling_beta"])


def add_metadata(writer, kind, config):
    def get(*keys):
        return next((config[key] for key in keys if config.get(key) is not None), None)

    def add(method, value):
        if value is not None:
            getattr(writer, method)(value)

    heads, width = get("num_attention_heads", "n_head", "n_heads", "num_heads"), get("hidden_size", "n_embd", "n_embed", "d_model")
    inner = get("intermediate_size", "n_inner", "ffn_hidden_size", "d_ff") or 4 * width
    add("add_name", kind if kind == "mistral" else "tiny")
    add("add_context_length", get("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"))
    add("add_block_count", get("num_hidden_layers", "n_layer", "n_layers", "num_layers"))
    add("add_embedding_length", width)
    if kind != "dbrx":
        add("add_feed_forward_length", adjusted_width(config) if kind == "lfm2" else inner)
    add("add_head_count", heads)
    add("add_vocab_size", get("vocab_size"))
    newer = get("rope_parameters") or {}  # of transformers 5
    if kind != "dbrx":
        add("add_rope_freq_base", get("rope_theta") or newer.get("rope_theta"))
    add("add_layer_norm_rms_eps", get("rms_norm_eps") or (get("norm_eps") if kind == "lfm2" else None))
    eps = 1e-5 if kind == "olmo" else get("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", *(() if kind == "lfm2" else ("norm_eps",)))
    add("add_layer_norm_rms_eps" if "mamba" in kind else "add_layer_norm_eps", eps)
    if kind in ("lfm2", "jamba"):
        add("add_head_count_kv", [get("num_key_value_heads") if attends(config, i) else 0 for i in range(get("num_hidden_layers"))])
    elif kind == "falcon":
        add("add_head_count_kv", config["num_kv_heads"] if config["new_decoder_architecture"] else 1)
    elif kind == "dbrx":
        add_dbrx(writer, config)
    elif heads:
        add("add_head_count_kv", get("num_key_value_heads") or heads)
    add_recurrence(writer, kind, config)
    head = get("head_dim") or width // (heads or 1)
    partial = config.get("partial_rotary_factor", {"glm": 0.5, "glm4": 0.5, "nemotron": 0.5}.get(kind, 1))
    if kind in LIKE_LLAMA:
        add("add_rope_dimension_count", head)
    elif kind in ("phi3", "falcon", "phi", "stablelm", "glm", "glm4", "glm4_moe", "nemotron"):
        add("add_rope_dimension_count", int(head * partial))
    elif kind == "minimax_m2":
        add("add_rope_dimension_count", config["rotary_dim"])
    if get("head_dim") and kind not in ("glm", *LIKE_LLAMA, "phi3", "falcon"):
        add("add_key_length", head)
        add("add_value_length", head)
    if kind.startswith("gemma") or kind == "phi3":
        add("add_sliding_window", get("sliding_window") or 0)
    if kind in ("cohere2", "exaone4", "olmo3"):
        add("add_sliding_window", get("sliding_window"))
    if kind in ("exaone4", "olmo3") and get("sliding_window"):
        add("add_sliding_window_pattern", [one == "sliding_attention" for one in config["layer_types"]])
    add("add_logit_scale", get("logit_scale", "logits_scaling"))
    add("add_attention_scale", get("attention_multiplier"))
    add("add_embedding_scale", get("embedding_multiplier"))
    add("add_residual_scale", get("residual_multiplier"))
    add("add_clamp_kqv", get("clip_qkv"))
    add("add_parallel_residual", get("use_parallel_residual"))
    add("add_expert_count", get("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"))
    add("add_expert_used_count", get("num_experts_per_tok", "moe_k", "moe_topk"))
    add("add_expert_shared_feed_forward_length", get("shared_expert_intermediate_size", "shared_intermediate_size"))
    add("add_expert_shared_count", get("n_shared_experts", "moe_num_shared_experts"))
    add("add_leading_dense_block_count", get("first_k_dense_replace", "moe_layer_start_index"))
    add("add_interleave_moe_layer_step", get("moe_layer_interval"))
    if kind in ("dots1", "glm4_moe"):
        add("add_expert_weights_scale", get("routed_scaling_factor"))
        add("add_expert_weights_norm", get("norm_topk_prob"))
    add("add_expert_feed_forward_length", get("moe_intermediate_size"))
    add("add_key_length", get("d_kv"))
    add("add_relative_attn_buckets_count", get("relative_attention_num_buckets"))
    add("add_decoder_start_token_id", get("decoder_start_token_id"))
    if kind == "mpt":
        add("add_clamp_kqv", config["attn_config"]["clip_qkv"])
        add("add_max_alibi_bias", config["attn_config"]["alibi_bias_max"])
    scaling = get("rope_scaling") or newer
    if kind == "ministral3":
        add_yarn(writer, scaling)
    if scaling and (scaling.get("rope_type") or scaling.get("type")) in ("linear", "yarn"):
        add("add_rope_scaling_type", gguf.RopeScalingType(scaling.get("rope_type") or scaling["type"]))
        add("add_rope_scaling_factor", scaling["factor"])
        add("add_rope_scaling_orig_ctx_len", scaling.get("original_max_position_embeddings"))
    if kind == "bert":
        add("add_token_type_count", get("type_vocab_size"))
        add("add_causal_attention", False)
    add("add_bos_token_id", get("bos_token_id"))
    add("add_eos_token_id", get("eos_token_id"))
    add("add_pad_token_id", get("pad_token_id"))
    add("add_tokenizer_model", "bert" if kind == "bert" else "gpt2")
    if scaling and (scaling.get("rope_type") or scaling.get("type")) == "longrope":
        add("add_rope_scaling_type", gguf.RopeScalingType.LONGROPE)
        add("add_rope_scaling_orig_ctx_len", config["original_max_position_embeddings"])
    writer.add_token_list([f"token{i}" for i in range(config["vocab_size"])])


def rope_factors(config):
    """What the frequencies of rotary positions are divided by."""
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type") or scaling.get("type")
    if kind == "longrope":
        for name in ("long", "short"):
            yield f"rope_factors_{name}.weight", np.array(scaling[f"{name}_factor"], np.float32)
    if kind == "llama3":
        original, low, high = (scaling[key] for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor"))
        size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        length = 2 * np.pi * config["rope_theta"] ** (np.arange(0, size, 2) / size)
        smooth = (original / length - low) / (high - low)
        between = 1 / ((1 - smooth) / scaling["factor"] + smooth)
        yield "rope_freqs.weight", np.select([length < original / high, length > original / low],
                                             [1, scaling["factor"]], between).astype(np.float32)


def write(path, kind, config, tensors, quantization="F32", **options):
    """A GGUF file of a checkpoint. Matrices whose rows suit are quantized, as llama.cpp does; the rest stays float32."""
    writer = gguf.GGUFWriter(path, ARCHITECTURES.get(kind, kind), **options)
    add_metadata(writer, kind, config)
    kept = gguf.GGMLQuantizationType[quantization]
    size = gguf.GGML_QUANT_SIZES[kept][0]
    for name, factors in rope_factors(config):
        writer.add_tensor(name, factors)
    for name, w in stored_tensors(kind, config, tensors):
        if w.ndim > 1 and w.shape[-1] % size == 0 and quantization != "F32":
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
