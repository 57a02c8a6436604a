// From the configuration classes of transformers 4.57.6 and 5.23.0. A class of 4.57.6 assigns the names of
// its attribute_map after its own parameters, so the second name wins, unless it calls its base class first.
// Maps that only 5.23.0 has fill in for an absent key.
#include "config/renamed_keys.h"

#include <algorithm>
#include <array>

namespace onnxport::config {
namespace {

struct Row {
  std::string_view types;  // separated by spaces, with one at both ends
  Rename rename;
};

constexpr std::string_view kBartLike = " bart m2m_100 marian mbart speech_to_text whisper detr ";
constexpr std::string_view kGpt2Like =
    " codegen decision_transformer gpt2 gpt_bigcode gptj imagegpt openai-gpt ";
constexpr std::string_view kGpt2Wide = " codegen gpt2 gpt_bigcode gptj imagegpt openai-gpt ";
constexpr std::string_view kKimiLike = " bailing_hybrid kimi_linear ";
constexpr std::string_view kT5Like = " t5 mt5 ";
constexpr std::string_view kDeepseekLike =
    " axk1 axk2 deepseek_v32 dots3_note_text glm4_moe_lite glm_moe_dsa hy_v4 longcat_flash mistral4 ";

constexpr std::array kRows = std::to_array<Row>({
    {kBartLike, {"hidden_size", "d_model", true}},
    {kBartLike, {"num_attention_heads", "encoder_attention_heads", true}},
    {kBartLike, {"num_hidden_layers", "encoder_layers", false}},
    {" whisper ", {"num_key_value_heads", "encoder_attention_heads", true}},
    {" trocr ", {"hidden_size", "d_model", true}},
    {" trocr ", {"num_attention_heads", "decoder_attention_heads", true}},
    {" trocr ", {"num_hidden_layers", "decoder_layers", true}},
    {kT5Like, {"hidden_size", "d_model", true}},
    {kT5Like, {"num_attention_heads", "num_heads", true}},
    {kT5Like, {"num_hidden_layers", "num_layers", true}},
    {kT5Like, {"head_dim", "d_kv", true}},
    {kGpt2Wide, {"hidden_size", "n_embd", true}},
    {kGpt2Like, {"max_position_embeddings", "n_positions", true}},
    {kGpt2Like, {"num_attention_heads", "n_head", true}},
    {kGpt2Like, {"num_hidden_layers", "n_layer", true}},
    {" bloom falcon ", {"n_embed", "hidden_size", true}},
    {" bloom ", {"num_attention_heads", "n_head", true}},
    {" bloom ", {"num_hidden_layers", "n_layer", true}},
    {" gpt_neo ", {"num_attention_heads", "num_heads", true}},
    {" gpt_neo xglm ", {"num_hidden_layers", "num_layers", true}},
    {" xglm ", {"hidden_size", "d_model", true}},
    {" xglm ", {"num_attention_heads", "attention_heads", true}},
    {" mpt ", {"hidden_size", "d_model", true}},
    {" mpt ", {"num_attention_heads", "n_heads", true}},
    {" mpt ", {"num_hidden_layers", "n_layers", true}},
    {" distilbert ", {"hidden_size", "dim", true}},
    {" distilbert ", {"num_attention_heads", "n_heads", true}},
    {" distilbert ", {"num_hidden_layers", "n_layers", true}},
    {" xlm flaubert ", {"hidden_size", "emb_dim", true}},
    {" xlm flaubert ", {"num_attention_heads", "n_heads", true}},
    {" xlm flaubert ", {"num_hidden_layers", "n_layers", true}},
    {" xlm flaubert ", {"n_words", "vocab_size", true}},
    {" xlnet ", {"hidden_size", "d_model", true}},
    {" xlnet ", {"num_attention_heads", "n_head", true}},
    {" xlnet ", {"num_hidden_layers", "n_layer", true}},
    {" xlnet ", {"n_token", "vocab_size", true}},
    {" funnel ", {"hidden_size", "d_model", true}},
    {" funnel ", {"num_attention_heads", "n_head", true}},
    {" mixtral openai_privacy_filter ", {"num_experts", "num_local_experts", false}},
    {" qwen3_moe qwen3_vl_moe_text ", {"num_local_experts", "num_experts", false}},
    {" vipllava ", {"vision_feature_layer", "vision_feature_layers", false}},
    {" minimax_m2 ", {"num_experts", "num_local_experts", true}},
    {" hy_v3 mellum ", {"num_local_experts", "num_experts", true}},
    {" mellum ", {"num_nextn_predict_layers", "num_mtp_layers", true}},
    {" mimo_v2_flash solar_open ", {"num_local_experts", "n_routed_experts", true}},
    {" kolibri1 ", {"num_local_experts", "num_experts", true}},
    {kDeepseekLike, {"num_local_experts", "n_routed_experts", true}},
    {" glm4_moe_lite ", {"head_dim", "qk_rope_head_dim", true}},
    {" longcat_flash ", {"num_experts_per_tok", "moe_topk", true}},
    {" longcat_flash ", {"intermediate_size", "ffn_hidden_size", true}},
    {" longcat_flash ", {"moe_intermediate_size", "expert_ffn_hidden_size", true}},
    {" minimax_m3_vl_text ", {"num_experts", "num_local_experts", true}},
    {" internlm3 ", {"qkv_bias", "attention_bias", true}},
    {" internlm3 ", {"bias", "mlp_bias", true}},
    {" dbrx ", {"hidden_size", "d_model", true}},
    {" dbrx ", {"num_attention_heads", "n_heads", true}},
    {" dbrx ", {"num_hidden_layers", "n_layers", true}},
    {" dbrx ", {"max_position_embeddings", "max_seq_len", true}},
    {" nemotron_h zamba ", {"layer_types", "layers_block_type", false}},
    {" nemotron_h ", {"num_local_experts", "n_routed_experts", false}},
    {" nemotron_h ", {"mamba_n_groups", "n_groups", true}},
    {" nemotron_h ", {"mamba_d_conv", "conv_kernel", true}},
    {" nemotron_h ", {"mamba_expand", "expand", true}},
    {" nemotron_h ", {"mamba_dt_min", "time_step_min", true}},
    {" nemotron_h ", {"mamba_dt_max", "time_step_max", true}},
    {" nemotron_h ", {"mamba_dt_limit", "time_step_limit", true}},
    {" nemotron_h ", {"mamba_dt_init_floor", "time_step_floor", true}},
    {" nemotron_h ", {"mamba_conv_bias", "use_conv_bias", true}},
    {" nemotron_h ", {"mamba_chunk_size", "chunk_size", true}},
    {" inkling_text ", {"sliding_window", "sliding_window_size", false}},
    {" inkling_text ", {"num_local_experts", "n_routed_experts", false}},
    {" inkling_text ", {"sconv_kernel_size", "conv_kernel_size", true}},
    {" inkling_text ", {"embedding_multiplier", "logits_mup_width_multiplier", false}},
    {" inkling_text ", {"model_max_length", "max_position_embeddings", false}},
    {" zamba ", {"head_dim", "attention_head_dim", false}},
    {kKimiLike, {"model_max_length", "max_position_embeddings", true}},
    {kKimiLike, {"moe_renormalize", "norm_topk_prob", true}},
    {kKimiLike, {"num_expert_group", "n_group", true}},
    {kKimiLike, {"num_experts", "num_local_experts", true}},
    {kKimiLike, {"num_experts_per_token", "num_experts_per_tok", true}},
    {kKimiLike, {"num_shared_experts", "n_shared_experts", true}},
    {" bailing_hybrid ", {"num_nextn_predict_layers", "num_mtp_layers", true}},
    {" beit ", {"segmentation_indices", "out_indices", true}},
    {" swin donut-swin ", {"num_attention_heads", "num_heads", false}},
    {" convnext convnextv2 ", {"num_hidden_layers", "num_stages", false}},
    {" segformer ", {"num_hidden_layers", "num_encoder_blocks", false}},
});

bool names(std::string_view types, std::string_view type) {
  const auto at = types.find(type);
  return at != types.npos && at != 0 && types[at - 1] == ' ' && types[at + type.size()] == ' ';
}

}  // namespace

std::vector<Rename> renamed_keys(std::string_view model_type) {
  std::vector<Rename> renames;
  for (const Row& row : kRows) {
    if (names(row.types, model_type)) renames.push_back(row.rename);
  }
  return renames;
}

}  // namespace onnxport::config
