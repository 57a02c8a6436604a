"""What the converters of llama.cpp change in tensors."""
import re

import numpy as np

# Types that the converter of Llama handles.
LIKE_LLAMA = ("llama", "mistral", "mixtral", "arcee", "granite", "smollm3", "granitemoe", "granitemoeshared",
              "ministral3")


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
    if kind in LIKE_LLAMA or kind == "olmo":
        if ".q_proj." in name:
            return interleave_rotary(w, heads)
        if ".k_proj." in name:
            return interleave_rotary(w, config.get("num_key_value_heads") or heads)
    if kind.startswith(("gemma", "nemotron")) and name.endswith("norm.weight"):
        return w + np.float32(1)
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
    if kind == "mamba2":
        if name.endswith((".A_log", ".D")):
            return w[:, None]
        if name.endswith("mixer.norm.weight"):
            return w.reshape(config["n_groups"], -1)
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
    split = {}
    for name, w in tensors.items():
        if name.endswith("input_linear.weight"):
            part = "shexp" if "shared_mlp" in name else "exps"
            for half, piece in zip(("gate", "up"), np.split(w, 2, axis=-2)):
                split[name.replace("input_linear", f"split_{half}_{part}")] = piece
        else:
            split[name] = w
    return split


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
