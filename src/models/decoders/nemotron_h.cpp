// Nemotron-H. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/nemotron_h/modeling_nemotron_h.py
#include <fmt/format.h>

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/mamba.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

// What each layer is. Older files have a letter for each, or other names.
std::vector<std::string> layer_kinds(const PretrainedConfig& c) {
  static const std::map<std::string, std::string> names = {
      {"M", "linear_attention"},     {"*", "full_attention"},        {"-", "mlp"}, {"E", "moe"},
      {"mamba", "linear_attention"}, {"attention", "full_attention"}};
  std::vector<std::string> kinds = {"linear_attention", "moe", "full_attention", "mlp"};
  if (c.has("layers_block_type")) {
    kinds = c.strings("layers_block_type");
    c.harmless({"hybrid_override_pattern"});
  } else if (c.has("hybrid_override_pattern")) {
    kinds.clear();
    for (const char letter : c.string("hybrid_override_pattern")) kinds.emplace_back(1, letter);
  }
  for (std::string& kind : kinds) {
    if (const auto found = names.find(kind); found != names.end()) kind = found->second;
    if (kind == "linear_attention" || kind == "full_attention" || kind == "moe" || kind == "mlp") continue;
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: unknown kind of layer '{}'", c.origin(), kind));
  }
  return kinds;
}

// The list of kinds counts the layers. The original keeps the residuals in the dtype of the model.
PretrainedConfig with_layers(const PretrainedConfig& c) {
  return c.settled("num_hidden_layers", std::to_string(layer_kinds(c).size()))
      .settled("residual_in_fp32", "false");
}

nn::Mamba2Sizes sizes_of(const PretrainedConfig& c) {
  const nn::Mamba2Sizes sizes{.hidden_size = c.integer("hidden_size"),
                              .heads = c.integer("mamba_num_heads"),
                              .head_dim = c.integer("mamba_head_dim"),
                              .groups = divisor(c, "n_groups"),
                              .state_size = divisor(c, "ssm_state_size"),
                              .kernel = c.integer("conv_kernel")};
  check_multiple(c, "mamba_num_heads", sizes.heads, "n_groups", sizes.groups);
  return sizes;
}

class NemotronHOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(with_layers(config().unaccounted()));
  }

 protected:
  bool takes_positions() const override { return false; }
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = with_layers(config().unaccounted());
    const std::string kind = layer_kinds(c).at(static_cast<std::size_t>(layer));
    if (kind == "linear_attention") return mamba2_states(layer, sizes_of(c));
    if (kind != "full_attention") return {};
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

nn::Mixer mamba(const Scope& s, std::int64_t layer, const PretrainedConfig& c) {
  const nn::Mamba2Sizes sizes = sizes_of(c);
  nn::Mamba2Parts parts =
      nn::mamba2_parts(s, layer, sizes,
                       {.bias = c.flag("use_bias"),
                        .conv_bias = c.flag("use_conv_bias"),
                        .norm = {.eps = c.real("layer_norm_epsilon"), .groups = sizes.groups}});
  parts.activation = c.string("mamba_hidden_act");
  parts.shortest_step = c.real("time_step_min");
  parts.clamps_single = false;
  return nn::Mamba2(std::move(parts));
}

nn::Mixer attention(const Scope& s, std::int64_t layer, const PretrainedConfig& config) {
  TextDecoderConfig c(config);
  c.attention_bias = false;  // the class has the key, its modules have none
  nn::CausalAttentionParts parts = c.attention(s, layer);
  parts.rotary.reset();  // it knows no positions
  return nn::CausalAttention(std::move(parts));
}

nn::Mlp feed_forward(const Scope& s, const PretrainedConfig& c, std::int64_t width) {
  const std::int64_t hidden = c.integer("hidden_size");
  const bool bias = c.flag("mlp_bias");
  return {s.path(), nn::Linear(s / "up_proj", hidden, width, bias),
          nn::Linear(s / "down_proj", width, hidden, bias), c.string("mlp_hidden_act")};
}

// Experts without gates, perhaps of vectors that are shorter than hidden states.
nn::FeedForward mixture(const Scope& s, const PretrainedConfig& c) {
  const std::int64_t hidden = c.integer("hidden_size");
  const auto latent = c.maybe_integer("moe_latent_size");
  const nn::ExpertSizes sizes{latent.value_or(hidden), c.integer("moe_intermediate_size"),
                              c.integer("n_routed_experts")};
  const std::string activation = c.string("mlp_hidden_act");
  if (activation != "relu2") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: experts with mlp_hidden_act {}", c.origin(), activation));
  }
  const Weight bias = (s / "gate").weight("e_score_correction_bias", {sizes.experts});
  const nn::Router router(nn::Linear(s / "gate", hidden, sizes.experts, false),
                          deepseek_routing(c, bias, std::numeric_limits<float>::lowest()));
  const nn::Experts experts(nn::plain_expert_weights(s / "experts", sizes), activation);
  const nn::Mlp shared =
      feed_forward(s / "shared_experts", c, c.integer("moe_shared_expert_intermediate_size"));
  std::function<Value(Value)> into, out_of;
  if (latent) {
    into = nn::Linear(s / "fc1_latent_proj", hidden, *latent, c.flag("mlp_bias"));
    out_of = nn::Linear(s / "fc2_latent_proj", *latent, hidden, c.flag("mlp_bias"));
  }
  const nn::FeedForward routed = [=, path = s.path()](Value x) {
    const ModulePath at(x, path);
    const Value tokens = op::flatten(x, 0, 1);
    const Value routing = nn::routing_matrix(router(tokens), sizes.experts);
    const Value made = experts(into ? into(tokens) : tokens, routing);
    return op::reshape(out_of ? out_of(made) : made, x.shape());
  };
  return nn::sum_of(routed, shared);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig c = with_layers(model.config());
  const std::vector<std::string> kinds = layer_kinds(c);
  // Of other modules, of initialization, of generation, and of how the original computes.
  c.harmless({"attention_bias", "mamba_proj_bias", "sliding_window", "expand", "chunk_size",
              "mamba_chunk_size", "use_mamba_kernels", "mamba_ssm_cache_dtype", "time_step_max",
              "time_step_floor", "time_step_limit", "rescale_prenorm_residual", "num_logits_to_keep",
              "n_shared_experts", "moe_shared_expert_overlap", "num_nextn_predict_layers",
              "mtp_layers_block_type", "mtp_hybrid_override_pattern"});
  // Perhaps no layer is of their kind.
  c.harmless({"intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
              "moe_intermediate_size", "moe_shared_expert_intermediate_size", "moe_latent_size",
              "n_routed_experts", "num_experts_per_tok", "n_group", "topk_group", "norm_topk_prob",
              "routed_scaling_factor", "mlp_bias", "use_bias", "use_conv_bias", "mlp_hidden_act"});
  return forward_mamba(inputs, model, component, c, false, [&](const Scope& s, std::int64_t i) -> nn::Mixer {
    const std::string& kind = kinds.at(static_cast<std::size_t>(i));
    if (kind == "linear_attention") return mamba(s, i, c);
    if (kind == "full_attention") return attention(s, i, c);
    const nn::FeedForward mlp =
        kind == "moe" ? mixture(s, c) : feed_forward(s, c, c.integer("intermediate_size"));
    return [mlp](Value x, nn::DecoderPass&) { return mlp(x); };
  });
}

}  // namespace

void register_nemotron_h(TasksManager& tasks) {
  tasks.register_model<NemotronHOnnxConfig>({.model_type = "nemotron_h",
                                             .tasks = nn::text_decoder_tasks({}),
                                             .forward = forward,
                                             .ignorable_keys = {"mtp.*"},
                                             .key_names = mamba_key_names()});
}

}  // namespace onnxport::models
