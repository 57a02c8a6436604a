#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "models/common/gguf_part.h"
#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/gguf_llama.h"

namespace onnxport::models {
namespace {

bool chooses_by_bias(const GgufInfo& file) {
  const std::int64_t first = file.integer("deepseek2.leading_dense_block_count").value_or(0);
  return file.has_tensor(fmt::format("blk.{}.exp_probs_b.bias", first));
}

/// The file describes the attention that runs on latents, with a single key head.
ConfigTexts heads(const GgufInfo& file) {
  const auto of = [&](const char* key) { return file.integer(fmt::format("deepseek2.{}", key)); };
  ConfigTexts texts = {{"num_key_value_heads", std::to_string(of("attention.head_count").value_or(0))},
                       {"q_lora_rank", "null"}};
  if (const auto rank = of("attention.q_lora_rank")) texts["q_lora_rank"] = std::to_string(*rank);
  // Older files have whole keys and values, and say so under the usual names.
  const bool older = !of("attention.key_length_mla");
  const auto key = of(older ? "attention.key_length" : "attention.key_length_mla");
  const auto value = of(older ? "attention.value_length" : "attention.value_length_mla");
  if (value) texts["v_head_dim"] = std::to_string(*value);
  if (const auto turned = of("rope.dimension_count"); key && turned && *turned > 0 && *key > *turned) {
    texts["qk_rope_head_dim"] = std::to_string(*turned);
    texts["qk_nope_head_dim"] = std::to_string(*key - *turned);
  }
  return texts;
}

/// The file has a tenth of the factor, which has few digits, in place of both.
ConfigTexts scaling(const GgufInfo& file) {
  if (file.text("deepseek2.rope.scaling.type").value_or("none") != "yarn") return {};
  auto rope = numbers_of(file, {{"factor", "rope.scaling.factor"},
                                {"original_max_position_embeddings", "rope.scaling.original_context_length"},
                                {"beta_fast", "rope.scaling.yarn_beta_fast"},
                                {"beta_slow", "rope.scaling.yarn_beta_slow"}});
  rope["rope_type"] = "yarn";
  if (const auto tenth = file.real("deepseek2.rope.scaling.yarn_log_multiplier"))
    rope["mscale"] = rope["mscale_all_dim"] = std::round(*tenth * 1e5) / 1e4;
  return {{"rope_scaling", rope.dump()}};
}

/// Older files do not tell the groups of experts. The published models with so many experts have them.
ConfigTexts groups(const GgufInfo& file) {
  const std::int64_t experts = file.integer("deepseek2.expert_count").value_or(0);
  const bool third = chooses_by_bias(file), large = experts == (third ? 256 : 160);
  std::int64_t count = large ? 8 : 1, used = large ? third ? 4 : 3 : 1;
  if (const auto stated = file.integer("deepseek2.expert_group_count")) {
    count = *stated;
    used = file.integer("deepseek2.expert_group_used_count").value_or(1);
  }
  ConfigTexts texts = {{"n_group", std::to_string(count)}, {"topk_group", std::to_string(used)}};
  if (!third) texts["topk_method"] = count > 1 ? R"("group_limited_greedy")" : R"("greedy")";
  if (!file.find("deepseek2.expert_weights_norm")) texts["norm_topk_prob"] = "false";
  return texts;
}

}  // namespace

GgufLayout gguf_deepseek(std::string original_class, bool third) {
  GgufLayout layout = llama_like_gguf("deepseek2", std::move(original_class));
  layout.matches = [third](const GgufInfo& file) { return chooses_by_bias(file) == third; };
  layout.more_config = scaling;
  add_deepseek_mixture(layout);
  add_keys(layout, {{"attention.kv_lora_rank", "kv_lora_rank"}});
  add_config(layout, heads);
  add_config(layout, groups);
  add_layer_names(layout, {{"attn_q_a", "self_attn.q_a_proj"},
                           {"attn_q_a_norm", "self_attn.q_a_layernorm"},
                           {"attn_q_b", "self_attn.q_b_proj"},
                           {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
                           {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
                           {"attn_kv_b", "self_attn.kv_b_proj"},
                           {"attn_k_b", "self_attn.k_b_proj"},
                           {"attn_v_b", "self_attn.v_b_proj"}});
  return layout;
}

}  // namespace onnxport::models
