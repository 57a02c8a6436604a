// gpt-oss. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gpt_oss/modeling_gpt_oss.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/common/gguf_part.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Half of the rows of x [E, 2 F, …], which alternate between gate (0) and up (1).
Weight rows_of(const Weight& x, std::int64_t half) {
  std::vector<std::int64_t> pairs = x.shape(), rows = x.shape();
  rows[1] /= 2;
  pairs[1] = rows[1];
  pairs.insert(pairs.begin() + 2, 2);
  return x.reshape(pairs).slice(2, half, half + 1).reshape(rows);
}

nn::ExpertWeights experts(const Scope& s, const nn::ExpertSizes& z) {
  if ((s / "gate_proj").exists()) return nn::expert_weights(s, z);  // of a GGUF file
  const std::int64_t inner = z.intermediate_size;
  const Weight both = s.weight("gate_up_proj", {z.experts, z.hidden_size, 2 * inner}).permute({0, 2, 1});
  const Weight bias = s.weight("gate_up_proj_bias", {z.experts, 2 * inner});
  return {.gate = rows_of(both, 0).named(s.path() + ".gate_proj"),
          .up = rows_of(both, 1).named(s.path() + ".up_proj"),
          .down = s.weight("down_proj", {z.experts, inner, z.hidden_size}).permute({0, 2, 1}),
          .gate_bias = rows_of(bias, 0).named(s.path() + ".gate_proj_bias"),
          .up_bias = rows_of(bias, 1).named(s.path() + ".up_proj_bias"),
          .down_bias = s.weight("down_proj_bias", {z.experts, z.hidden_size})};
}

/// Keys of version 5, for numbers that are part of the activation.
void check_activation(const PretrainedConfig& config) {
  for (const auto& [key, known] : {std::pair("swiglu_alpha", 1.702), {"swiglu_limit", 7.0}}) {
    const double given = config.maybe_real(key).value_or(known);
    if (given != known)
      throw ExportError(ErrorCode::unsupported, fmt::format("{} is {}, expected {}", key, given, known));
  }
  config.harmless({"hidden_act"});  // not used by the original
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = config.flag("attention_bias", true);
  check_activation(config);
  const nn::ExpertSizes sizes{c.hidden_size, c.intermediate_size, config.integer("num_local_experts")};
  const nn::Routing routing =
      nn::scores_of_largest(config.integer("num_experts_per_tok"), nn::softmax_scores);
  const auto visible = layer_visibility(layer_types(config, c.num_hidden_layers, 2), c.num_hidden_layers,
                                        config.integer("sliding_window"));
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn", mlp = s / "mlp";
    nn::CausalAttentionParts attention = c.attention(self, i, visible.at(static_cast<std::size_t>(i)));
    attention.sinks = self.weight("sinks", {c.heads.heads});
    const nn::Linear router(mlp / "router", c.hidden_size, sizes.experts);
    return c.block(s, std::move(attention),
                   nn::SparseMixture(mlp.path(), nn::Router(router, routing),
                                     nn::Experts(experts(mlp / "experts", sizes), "swiglu_oai")));
  });
}

ConfigTexts scaling(const GgufInfo& file) {
  if (file.text("gpt-oss.rope.scaling.type").value_or("none") != "yarn") return {};
  auto rope = numbers_of(file, {{"factor", "rope.scaling.factor"},
                                {"original_max_position_embeddings", "rope.scaling.original_context_length"},
                                {"beta_fast", "rope.scaling.yarn_beta_fast"},
                                {"beta_slow", "rope.scaling.yarn_beta_slow"}});
  rope.update({{"rope_type", "yarn"}, {"truncate", false}});  // as in all published models
  return {{"rope_scaling", rope.dump()}};
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("gpt-oss", "GptOssForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"attention.sliding_window", "sliding_window"},
                    {"expert_count", "num_local_experts"},
                    {"expert_used_count", "num_experts_per_tok"}});
  layout.more_config = scaling;
  add_names(layout, gguf_experts("mlp", "gate_proj", "up_proj", "down_proj"));
  add_layer_names(layout, {{"post_attention_norm", "post_attention_layernorm"},
                           {"attn_sinks.weight", "self_attn.sinks"},
                           {"ffn_gate_inp", "mlp.router"}});
  return layout;
}

}  // namespace

void register_gpt_oss(TasksManager& tasks) {
  tasks.register_model<TextDecoderOnnxConfig>({.model_type = "gpt_oss",
                                               .tasks = nn::text_decoder_tasks({}),
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head"),
                                               .gguf = gguf()});
}

}  // namespace onnxport::models
