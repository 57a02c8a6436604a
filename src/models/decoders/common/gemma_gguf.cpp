// GGUF files of the Gemma types whose layers know the tokens.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>

#include "models/common/gguf_part.h"
#include "models/decoders/common/gemma3n.h"
#include "models/decoders/common/gemma4.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/layer_tokens.h"

namespace onnxport::models {
namespace {

using nlohmann::json;

/// The first extent of a stored tensor, or 0.
std::int64_t rows_of(const GgufInfo& file, const char* name) {
  const auto found = file.tensors.find(name);
  return found == file.tensors.end() || found->second.shape().empty() ? 0 : found->second.shape().front();
}

/// The elements of a list, or none.
template <class Number>
std::vector<Number> numbers(const GgufInfo& file, const std::string& key) {
  std::vector<Number> all;
  const GgufValue* value = file.find(file.architecture() + key);
  const auto* list = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  if (list == nullptr) return all;
  for (const GgufScalar& one : list->values) {
    if (const auto* number = std::get_if<Number>(&one)) all.push_back(*number);
  }
  return all;
}

/// From Gemma 2 on, but with norms as they are.
GgufLayout later_gemma(std::string architecture, std::string original_class) {
  GgufLayout layout = llama_like_gguf(std::move(architecture), std::move(original_class));
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"attention.sliding_window", "sliding_window"},
                    {"attention.shared_kv_layers", "num_kv_shared_layers"},
                    {"final_logit_softcapping", "final_logit_softcapping"}});
  add_config(layout, sliding_layers);
  add_layer_names(layout, {{"post_attention_norm", "post_attention_layernorm"},
                           {"ffn_norm", "pre_feedforward_layernorm"},
                           {"post_ffw_norm", "post_feedforward_layernorm"}});
  add_gguf_layer_tokens(layout);
  return layout;
}

/// The file has the quantiles instead of the parts that lie below them.
ConfigTexts gemma3n_numbers(const GgufInfo& file) {
  ConfigTexts texts;
  json parts = json::array();
  for (const double quantile : numbers<double>(file, ".activation_sparsity_scale"))
    parts.push_back(std::round(0.5 * std::erfc(-quantile / std::numbers::sqrt2) * 1e6) / 1e6);
  if (!parts.empty()) texts["activation_sparsity_pattern"] = parts.dump();
  if (const auto base = file.real("gemma3n.rope.freq_base_swa"))
    texts["rope_local_base_freq"] = json(*base).dump();
  if (const std::int64_t rank = rows_of(file, "blk.0.laurel_l.weight"))
    texts["laurel_rank"] = std::to_string(rank);
  return texts;
}

/// Only the first elements of heads turn in layers that see everything: the frequencies of the others are
/// divided by very much.
json gemma4_rotations(const GgufInfo& file) {
  json full = {{"rope_type", "default"}}, sliding = full;
  const auto found = file.tensors.find("rope_freqs.weight");
  const std::int64_t pairs = found == file.tensors.end() ? 0 : found->second.numel();
  if (constexpr std::int64_t most = 65'536; pairs > 0 && pairs <= most) {
    const std::vector<double> factors = found->second.to_doubles();
    const auto turning = std::count(factors.begin(), factors.end(), 1.0);
    full = {{"rope_type", "proportional"},
            {"partial_rotary_factor", static_cast<double>(turning) / static_cast<double>(pairs)}};
  }
  full.update(numbers_of(file, {{"rope_theta", "rope.freq_base"}}));
  sliding.update(numbers_of(file, {{"rope_theta", "rope.freq_base_swa"}}));
  return {{"full_attention", full}, {"sliding_attention", sliding}};
}

/// What differs between layers that slide and those that see everything, or between the first and the last.
ConfigTexts gemma4_layers(const GgufInfo& file) {
  ConfigTexts texts = {{"rope_parameters", gemma4_rotations(file).dump()},
                       {"enable_moe_block", json(file.has_tensor("blk.0.ffn_gate_inp.weight")).dump()}};
  const json sizes = numbers_of(
      file, {{"global_head_dim", "attention.key_length"}, {"head_dim", "attention.key_length_swa"}});
  for (const auto& [key, size] : sizes.items()) texts[key] = size.dump();
  const ConfigTexts listed = sliding_layers(file);
  const json types = listed.empty() ? json::array() : json::parse(listed.at("layer_types"));
  const std::vector<std::int64_t> key_heads = gguf_key_heads(file);
  for (std::size_t i = types.size(); i-- > 0;) {
    const bool slides = types[i] == "sliding_attention";
    if (i < key_heads.size())
      texts[slides ? "num_key_value_heads" : "num_global_key_value_heads"] = std::to_string(key_heads[i]);
    if (!slides && file.has_tensor(fmt::format("blk.{}.attn_k.weight", i)))
      texts["attention_k_eq_v"] = json(!file.has_tensor(fmt::format("blk.{}.attn_v.weight", i))).dump();
  }
  if (const auto widths = numbers<std::int64_t>(file, ".feed_forward_length"); !widths.empty()) {
    texts["intermediate_size"] = std::to_string(widths.front());
    texts["use_double_wide_mlp"] = json(widths.back() > widths.front()).dump();
  }
  return texts;
}

}  // namespace

// The converter may pad the table with zeros.
void add_gguf_layer_tokens(GgufLayout& layout) {
  add_keys(layout, {{"embedding_length_per_layer_input", "hidden_size_per_layer_input"}});
  add_config(layout, [](const GgufInfo& file) -> ConfigTexts {
    const std::int64_t rows = rows_of(file, "per_layer_token_embd.weight");
    if (rows == 0) return {};
    return {{"vocab_size_per_layer_input", std::to_string(rows)}};
  });
  change_names(layout, [](const PretrainedConfig& config) -> GgufTensors {
    const auto unpadded = [rows = config.integer("vocab_size_per_layer_input", 0)](const Weight& stored) {
      return rows > 0 && stored.shape().at(0) > rows ? stored.slice(0, 0, rows) : stored;
    };
    return {{"per_layer_token_embd", "model.embed_tokens_per_layer", unpadded},
            {"per_layer_model_proj", "model.per_layer_model_projection"},
            {"per_layer_proj_norm", "model.per_layer_projection_norm"}};
  });
  add_layer_names(layout, {{"inp_gate", "per_layer_input_gate"},
                           {"proj", "per_layer_projection"},
                           {"post_norm", "post_per_layer_input_norm"}});
}

GgufLayout gguf_gemma4() {
  GgufLayout layout = later_gemma("gemma4", "Gemma4ForCausalLM");
  std::erase_if(layout.config_keys, [](const auto& key) { return key.second == "rope_theta"; });
  add_expert_keys(layout, "num_experts", "top_k_experts");
  add_config(layout, gemma4_layers);
  add_layer_names(layout, {{"ffn_gate_inp", "router.proj"},
                           {"ffn_gate_inp.scale", "router.scale"},
                           {"ffn_gate_up_exps.weight", "experts.gate_up_proj"},
                           {"ffn_down_exps.weight", "experts.down_proj"},
                           {"ffn_down_exps.scale", "router.per_expert_scale"},
                           {"pre_ffw_norm_2", "pre_feedforward_layernorm_2"},
                           {"post_ffw_norm_1", "post_feedforward_layernorm_1"},
                           {"post_ffw_norm_2", "post_feedforward_layernorm_2"},
                           {"layer_output_scale.weight", "layer_scalar"}});
  return layout;
}

GgufLayout gguf_gemma3n() {
  GgufLayout layout = later_gemma("gemma3n", "Gemma3nForCausalLM");
  add_keys(layout, {{"altup.active_idx", "altup_active_idx"}, {"altup.num_inputs", "altup_num_inputs"}});
  add_config(layout, gemma3n_numbers);
  add_names(layout, {{"altup_proj", "model.altup_projections.{}"},
                     {"altup_unembd_proj", "model.altup_unembed_projections.{}"}});
  add_layer_names(layout, {{"altup_correct_coef", "altup.correction_coefs"},
                           {"altup_correct_scale.weight", "altup.correct_output_scale"},
                           {"altup_predict_coef", "altup.prediction_coefs"},
                           {"altup_router", "altup.modality_router"},
                           {"altup_router_norm", "altup.router_norm"},
                           {"laurel_l", "laurel.linear_left"},
                           {"laurel_r", "laurel.linear_right"},
                           {"laurel_post_norm", "laurel.post_laurel_norm"}});
  return layout;
}

}  // namespace onnxport::models
