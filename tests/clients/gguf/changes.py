"""What the converters of llama.cpp change in tensors."""
import re

import numpy as np

# Types that the converter of Llama handles.
LIKE_LLAMA = ("llama", "mistral", "mixtral", "arcee", "granite", "smollm3", "granitemoe", "granitemoeshared",
              "ministral3", "granitemoehybrid")
# Types with the mixers of Mamba 2 in some layers.
WITH_MAMBA2 = ("granitemoehybrid", "bamba", "falcon_h1")


def interleave_rotary(w, heads):
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def stack_bloom(w, heads):
    return w.reshape(heads, 3, w.shape[0] // heads // 3, *w.shape[1:]).swapaxes(0, 1).reshape(w.shape)


def stack_falcon(w, heads, kv_heads):
    grouped = w.reshape(kv_heads, heads // kv_heads + 2, -1, *w.shape[1:])
    parts = grouped[:, :-2], grouped[:, -2], grouped[:, -1]
    return np.concatenate([part.reshape(-1, *w.shape[1:]) for part in parts])


def changed(kind, config, name, w):
    heads = config.get("num_attention_heads", config.get("n_head"))
    if kind in LIKE_LLAMA or kind in ("olmo", "bamba"):
        if ".q_proj." in name:
            return interleave_rotary(w, heads)
        if ".k_proj." in name:
            return interleave_rotary(w, config.get("num_key_value_heads") or heads)
    adds_one = kind in ("gemma", "gemma2", "gemma3_text", "nemotron", "qwen3_next")
    if adds_one and name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
        return w + np.float32(1)
    if kind == "falcon_h1":
        w = multiplied(config, name, w)
    if kind == "gpt2" and re.search(r"\.(c_attn|c_proj|c_fc)\.weight$", name):
        return w.T
    if kind == "bloom" and "query_key_value" in name:
        return stack_bloom(w, heads)
    if kind == "falcon" and "query_key_value" in name:
        newer = config["new_decoder_architecture"]
        return stack_falcon(w, heads, config["num_kv_heads"] if newer else 1 if config["multi_query"] else heads)
    if kind == "dbrx" and ".experts.mlp." in name:
        w = w.reshape(config["ffn_config"]["moe_num_experts"], -1, w.shape[1])
        return w.swapaxes(1, 2) if name.endswith(".w2") else w
    if name.endswith(("conv1d.weight", "conv.conv.weight")):
        return w[:, 0]
    if name.endswith(".A_log"):
        w = -np.exp(w)
    if kind == "mamba2" or kind in WITH_MAMBA2:
        if name.endswith((".A_log", ".D")):
            return w[:, None]
        if name.endswith(("mixer.norm.weight", "mamba.norm.weight")):
            return w.reshape(config.get("n_groups") or config["mamba_n_groups"], -1)
    return w


def multiplied(config, name, w):
    """What Falcon-H1 multiplies values by is put into its weights."""
    parts = {"down_proj": config["mlp_multipliers"][1], "gate_proj": config["mlp_multipliers"][0],
             "k_proj": config["key_multiplier"] * config["attention_in_multiplier"],
             "q_proj": config["attention_in_multiplier"], "v_proj": config["attention_in_multiplier"],
             "o_proj": config["attention_out_multiplier"], "out_proj": config["ssm_out_multiplier"],
             "lm_head": config["lm_head_multiplier"], "embed_tokens": config["embedding_multiplier"]}
    for part, factor in parts.items():
        if part in name:
            return w * np.float32(factor)
    if "in_proj" in name:
        inner, states = config["mamba_d_ssm"], config["mamba_n_groups"] * config["mamba_d_state"]
        counts = (inner, inner, states, states, config["mamba_n_heads"])
        return w * np.float32(config["ssm_in_multiplier"]) * np.repeat(np.float32(config["ssm_multipliers"]), counts)[:, None]
    return w


def merge_experts(tensors):
    """One tensor for the experts of each layer."""
    merged, groups = {}, {}
    for name, w in tensors.items():
        found = re.fullmatch(r"(.*\.experts)\.(\d+)\.(\w+)\.weight", name)
        if found:
            groups.setdefault(f"{found[1]}.{found[3]}.weight", {})[int(found[2])] = w
        else:
            merged[name] = w
    for name, experts in groups.items():
        merged[name] = np.stack([experts[i] for i in range(len(experts))])
    return merged


def split_granite(kind, tensors):
    """Gate and up of Granite's mixtures, which are one tensor."""
    if not kind.startswith("granitemoe"):
        return tensors
    split, dense = {}, not any("block_sparse_moe" in name for name in tensors)
    for name, w in tensors.items():
        layer = ".".join(name.split(".")[1:3]).replace("layers", "blk")
        part = "" if dense else "_shexp" if "shared_mlp" in name else "_exps"
        if name.endswith("input_linear.weight"):
            for half, piece in zip(("gate", "up"), np.split(w, 2, axis=-2)):
                split[f"{layer}.ffn_{half}{part}.weight"] = piece
        elif dense and name.endswith("shared_mlp.output_linear.weight"):
            split[f"{layer}.ffn_down.weight"] = w
        else:
            split[name] = w
    return split


def split_gate_and_up(kind, tensors):
    """Gate and up of all experts, which are one tensor [E, in, out]: one row after the other, or first all gates."""
    if kind not in ("gpt_oss", "llama4_text"):
        return tensors
    split = {}
    for name, w in tensors.items():
        if name.endswith(("down_proj", "gate_up_proj")) and ".experts." in name:
            name, w = name + ".weight", w.swapaxes(-1, -2)
        name = name.replace("_proj_bias", "_proj.bias")
        if ".gate_up_proj." in name:
            rows = 1 if w.ndim == 3 else -1
            halves = np.split(w, 2, axis=rows) if kind == "llama4_text" else [np.take(w, range(i, w.shape[rows], 2), rows) for i in (0, 1)]
            for half, piece in zip(("gate", "up"), halves):
                split[name.replace("gate_up_proj", f"{half}_proj")] = piece
        else:
            split[name] = w
    return split


def split_latents(config, tensors):
    """What makes keys and values of latents, for each head: the part for keys turned."""
    split = {}
    for name, w in tensors.items():
        if name.endswith("kv_b_proj.weight"):
            heads = w.reshape(config["num_attention_heads"], -1, w.shape[-1])
            plain = config["qk_nope_head_dim"]
            split[name.replace("kv_b_proj", "k_b_proj")] = heads[:, :plain].swapaxes(1, 2)
            split[name.replace("kv_b_proj", "v_b_proj")] = heads[:, plain:]
        else:
            split[name] = w
    return split


def split_qkvz(config, tensors):
    """All queries, all keys, all values, and the gates apart, instead of these for each key head (Qwen3-Next)."""
    split = {}
    for name, w in tensors.items():
        if not name.endswith("in_proj_qkvz.weight"):
            split[name] = w
            continue
        heads, key = config["linear_num_key_heads"], config["linear_key_head_dim"]
        values = config["linear_num_value_heads"] // heads * config["linear_value_head_dim"]
        parts = np.split(w.reshape(heads, -1, w.shape[1]), np.cumsum([key, key, values]), axis=1)
        flat = [part.reshape(-1, w.shape[1]) for part in parts]
        layer = name.split(".")[2]
        split[f"blk.{layer}.attn_qkv.weight"] = np.concatenate(flat[:3])
        split[f"blk.{layer}.attn_gate.weight"] = flat[3]
    return split


def with_plain_names(kind, tensors):
    """Names of Gemma 3n and 4 as the tables of names have them; one tensor for all projections of a kind."""
    plain, stacks = {}, {}
    for name, w in tensors.items():
        if kind == "gemma3n_text":
            name = name.replace("per_layer_model.language_model_projection", "per_layer_model_projection")
            name = name.replace("language_model.", "")
            if found := re.fullmatch(r"(model\.altup_(?:unembed_)?projections)\.(\d)\.weight", name):
                stacks.setdefault(found[1] + ".weight", []).append((found[2], w))
                continue
            if name.endswith("_scale"):
                name += ".weight"
        if kind == "gemma4_text":
            layer = ".".join(name.split(".")[1:3]).replace("layers", "blk")
            if name.endswith(".router.scale"):
                name = f"{layer}.ffn_gate_inp.scale"
            elif name.endswith(".per_expert_scale"):
                name = f"{layer}.ffn_down_exps.scale"
            elif ".experts." in name or name.endswith("layer_scalar"):
                name += ".weight"
        plain[name] = w
    return plain | {name: np.stack([w for _, w in sorted(parts, key=lambda part: part[0])]) for name, parts in stacks.items()}


def rearranged(kind, config, tensors):
    tensors = split_gate_and_up(kind, split_granite(kind, with_plain_names(kind, tensors)))
    if kind.startswith("deepseek"):
        tensors = split_latents(config, tensors)
    if kind == "qwen3_next":
        tensors = split_qkvz(config, tensors)
    return merge_head_norms(merge_experts(tensors))


def merge_head_norms(tensors):
    """One tensor for the norms of the heads of each layer."""
    merged, groups = {}, {}
    for name, w in tensors.items():
        found = re.fullmatch(r"(.*_layernorm)\.norms\.(\d+)\.weight", name)
        if found:
            groups.setdefault(f"{found[1]}.weight", {})[int(found[2])] = w
        else:
            merged[name] = w
    for name, heads in groups.items():
        merged[name] = np.stack([heads[i] for i in range(len(heads))])
    return merged
