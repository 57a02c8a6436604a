"""What the converters of llama.cpp say of a model, from its config.json."""
import statistics

import gguf
from changes import LIKE_LLAMA, WITH_MAMBA2


def attends(config, layer):
    if "layer_types" in config:
        return config["layer_types"][layer] in ("full_attention", "attention")
    if "attn_layer_indices" in config:
        return layer in config["attn_layer_indices"]
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
    if kind in WITH_MAMBA2:
        writer.add_ssm_inner_size(config["mamba_d_head"] * config["mamba_n_heads"])
        writer.add_ssm_state_size(config["mamba_d_state"])
        writer.add_ssm_conv_kernel(config["mamba_d_conv"])
        writer.add_ssm_group_count(config["mamba_n_groups"])
        writer.add_ssm_time_step_rank(config["mamba_n_heads"])
    if kind == "qwen3_next":
        writer.add_ssm_inner_size(config["linear_value_head_dim"] * config["linear_num_value_heads"])
        writer.add_ssm_state_size(config["linear_key_head_dim"])
        writer.add_ssm_conv_kernel(config["linear_conv_kernel_dim"])
        writer.add_ssm_group_count(config["linear_num_key_heads"])
        writer.add_ssm_time_step_rank(config["linear_num_value_heads"])
        writer.add_full_attention_interval(config["layer_types"].index("full_attention") + 1)
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


def add_latents(writer, config):
    writer.add_head_count_kv(1)
    rank, turned = config["kv_lora_rank"], config["qk_rope_head_dim"]
    if config["q_lora_rank"]:
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(rank)
    writer.add_key_length(rank + turned)
    writer.add_value_length(rank)
    writer.add_key_length_mla(config["qk_nope_head_dim"] + turned)
    writer.add_value_length_mla(config["v_head_dim"])
    writer.add_rope_dimension_count(turned)


def add_gemma4(writer, config):
    own, slides = config["per_layer_config"], [one == "sliding_attention" for one in config["layer_types"]]
    first = next(own[str(i)] for i, one in enumerate(slides) if not one)
    writer.add_key_length(first["head_dim"])
    writer.add_value_length(first["head_dim"])
    writer.add_key_length_swa(config["head_dim"])
    writer.add_value_length_swa(config["head_dim"])
    if "num_key_value_heads" in first:
        writer.add_head_count_kv([config["num_key_value_heads"] if one else first["num_key_value_heads"] for one in slides])
    else:
        writer.add_head_count_kv(config["num_key_value_heads"])
    width, shared = config["intermediate_size"], config["num_hidden_layers"] - config["num_kv_shared_layers"]
    if config["use_double_wide_mlp"]:
        writer.add_feed_forward_length([width if i < shared else 2 * width for i in range(config["num_hidden_layers"])])


def add_kinds_of_layers(writer, kind, config):
    """Of Gemma 3n and 4 and of MiMo."""
    slides = [one == "sliding_attention" for one in config["layer_types"]]
    writer.add_sliding_window(config["sliding_window"])
    if kind == "mimo_v2_flash":
        heads = config["num_key_value_heads"]
        writer.add_head_count_kv([heads * (2 if one else 1) for one in (*slides, True)])
        writer.add_sliding_window_pattern([int(one) for one in (*slides, True)])
        writer.add_nextn_predict_layers(1)
        writer.add_block_count(len(slides) + 1)
        writer.add_value_length(config["v_head_dim"])
        part = config["rope_parameters"]["full_attention"]["partial_rotary_factor"]
        writer.add_rope_dimension_count(int(config["head_dim"] * part))
        return
    writer.add_sliding_window_pattern(slides)
    writer.add_shared_kv_layers(config["num_kv_shared_layers"])
    writer.add_embedding_length_per_layer_input(config["hidden_size_per_layer_input"])
    writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if kind == "gemma4_text":
        add_gemma4(writer, config)
        return
    writer.add_altup_active_idx(config["altup_active_idx"])
    writer.add_altup_num_inputs(config["altup_num_inputs"])
    quantile = statistics.NormalDist().inv_cdf
    writer.add_activation_sparsity_scale([quantile(part) if part else float("-inf") for part in config["activation_sparsity_pattern"]])


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
    inner = get("intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_hidden_size", "d_ff") or 4 * width
    add("add_name", kind if kind == "mistral" else "tiny")
    longest = 2**20 if kind == "granitemoehybrid" else get("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    add("add_context_length", longest)
    add("add_block_count", get("num_hidden_layers", "n_layer", "n_layers", "num_layers"))
    add("add_embedding_length", width)
    if kind != "dbrx":
        add("add_feed_forward_length", adjusted_width(config) if kind == "lfm2" else inner)
    add("add_head_count", heads)
    add("add_vocab_size", get("vocab_size"))
    newer = get("rope_parameters") or {}  # of transformers 5
    if kind != "dbrx":
        add("add_rope_freq_base", get("rope_theta") or newer.get("full_attention", newer).get("rope_theta"))
        add("add_rope_freq_base_swa", get("rope_local_base_freq") or newer.get("sliding_attention", {}).get("rope_theta"))
    add("add_layer_norm_rms_eps", get("rms_norm_eps") or (get("norm_eps") if kind == "lfm2" else None))
    eps = 1e-5 if kind == "olmo" else get("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", *(() if kind == "lfm2" else ("norm_eps",)))
    add("add_layer_norm_rms_eps" if "mamba" in kind else "add_layer_norm_eps", eps)
    if kind in ("lfm2", "jamba", "granitemoehybrid", "bamba"):
        add("add_head_count_kv", [get("num_key_value_heads") if attends(config, i) else 0 for i in range(get("num_hidden_layers"))])
    elif kind == "falcon":
        add("add_head_count_kv", config["num_kv_heads"] if config["new_decoder_architecture"] else 1)
    elif kind == "dbrx":
        add_dbrx(writer, config)
    elif kind.startswith("deepseek"):
        add_latents(writer, config)
    elif heads and kind not in ("mimo_v2_flash", "gemma4_text"):
        add("add_head_count_kv", get("num_key_value_heads") or heads)
    if kind in ("gemma3n_text", "gemma4_text", "mimo_v2_flash"):
        add_kinds_of_layers(writer, kind, config)
    add_recurrence(writer, kind, config)
    head = get("head_dim") or width // (heads or 1)
    partial = config.get("partial_rotary_factor", {"glm": 0.5, "glm4": 0.5, "nemotron": 0.5}.get(kind, 1))
    if kind in LIKE_LLAMA or kind in ("llama4_text", "afmoe", "jais2", "bamba"):
        add("add_rope_dimension_count", get("attn_rotary_emb") or head)
    elif kind in ("qwen3_next", "phimoe", "phi3", "falcon", "phi", "stablelm", "glm", "glm4", "glm4_moe", "nemotron"):
        add("add_rope_dimension_count", int(head * partial))
    elif kind == "minimax_m2":
        add("add_rope_dimension_count", config["rotary_dim"])
    if get("head_dim") and kind not in ("glm", *LIKE_LLAMA, "phi3", "falcon", "deepseek_v2", "deepseek_v3", "gemma4_text"):
        add("add_key_length", head)
        add("add_value_length", get("v_head_dim") or head)
    if kind in ("gemma", "gemma2", "gemma3_text", "phi3", "phimoe"):
        add("add_sliding_window", get("sliding_window") or 0)
    if kind in ("cohere2", "exaone4", "olmo3", "exaone_moe", "afmoe", "gpt_oss"):
        add("add_sliding_window", get("sliding_window"))
    if kind in ("exaone4", "olmo3", "exaone_moe") and get("sliding_window"):
        add("add_sliding_window_pattern", [one == "sliding_attention" for one in config["layer_types"]])
    add("add_logit_scale", get("logit_scale", "logits_scaling"))
    add("add_attention_scale", get("attention_multiplier"))
    add("add_embedding_scale", get("embedding_multiplier"))
    add("add_residual_scale", get("residual_multiplier"))
    add("add_clamp_kqv", get("clip_qkv"))
    add("add_parallel_residual", get("use_parallel_residual"))
    add("add_expert_count", get("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"))
    add("add_expert_used_count", get("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts"))
    add("add_expert_group_count", get("n_group"))
    add("add_expert_group_used_count", get("topk_group"))
    add("add_expert_shared_feed_forward_length", get("shared_expert_intermediate_size", "shared_intermediate_size"))
    add("add_expert_shared_count", get("n_shared_experts", "moe_num_shared_experts", "num_shared_experts"))
    add("add_leading_dense_block_count", get("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers"))
    add("add_interleave_moe_layer_step", get("moe_layer_interval", "interleave_moe_layer_step"))
    if kind in ("dots1", "glm4_moe", "exaone_moe", "deepseek_v2", "deepseek_v3"):
        add("add_expert_weights_scale", get("routed_scaling_factor"))
        add("add_expert_weights_norm", get("norm_topk_prob") or (None if kind.startswith("deepseek") else False))
    add("add_expert_weights_scale", get("route_scale"))
    width_of_experts = get("intermediate_size") if kind in ("gpt_oss", "llama4_text") else None
    add("add_expert_feed_forward_length", get("moe_intermediate_size") or width_of_experts)
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
        if kind in ("gpt_oss", "deepseek_v2", "deepseek_v3"):
            add("add_rope_scaling_yarn_beta_fast", scaling.get("beta_fast"))
            add("add_rope_scaling_yarn_beta_slow", scaling.get("beta_slow"))
        if "mscale_all_dim" in scaling and kind.startswith("deepseek"):
            add("add_rope_scaling_yarn_log_mul", 0.1 * scaling["mscale_all_dim"])
    if kind in ("granitemoehybrid", "bamba"):
        add("add_rope_scaling_finetuned", kind == "bamba")
    if get("attention_value_scale"):
        writer.add_float32("mimo2.attention.value_scale", config["attention_value_scale"])
    if kind == "bert":
        add("add_token_type_count", get("type_vocab_size"))
        add("add_causal_attention", False)
    add("add_bos_token_id", get("bos_token_id"))
    add("add_eos_token_id", get("eos_token_id"))
    add("add_pad_token_id", get("pad_token_id"))
    add("add_tokenizer_model", "bert" if kind == "bert" else "gpt2")
    if scaling and (scaling.get("rope_type") or scaling.get("type")) == "longrope":
        add("add_rope_scaling_type", gguf.RopeScalingType.LONGROPE)
        add("add_rope_scaling_orig_ctx_len", get("original_max_position_embeddings") or scaling["original_max_position_embeddings"])
        add("add_rope_scaling_attn_factors", scaling.get("short_mscale"))
    writer.add_token_list([f"token{i}" for i in range(config["vocab_size"])])
