// MiniMax-Text-01. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/minimax/modeling_minimax.py
#include <fmt/format.h>

#include <cmath>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/recurrence.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Which layers have linear attention.
std::vector<bool> linear_layers(const PretrainedConfig& c) {
  const std::int64_t layers = c.integer("num_hidden_layers");
  std::vector<bool> linear;
  if (!c.has("layer_types")) {
    for (std::int64_t i = 0; i < layers; ++i) linear.push_back(i % 2 != 0);
    return linear;
  }
  for (const std::string& type : c.strings("layer_types")) {
    if (type != "linear_attention" && type != "full_attention") {
      throw ExportError(ErrorCode::bad_config, fmt::format("layer_types names '{}', expected "
                                                           "full_attention or linear_attention",
                                                           type));
    }
    linear.push_back(type == "linear_attention");
  }
  if (static_cast<std::int64_t>(linear.size()) != layers) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("layer_types lists {} layers, expected {}", linear.size(), layers));
  }
  return linear;
}

class MiniMaxOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 private:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    const nn::HeadSizes z = TextDecoderConfig(c).heads;
    if (!linear_layers(c).at(static_cast<std::size_t>(layer)))
      return key_value(layer, z.kv_heads, z.head_dim);
    return {fixed_state(layer, "recurrent", {z.heads, z.head_dim, z.head_dim})};
  }
};

/// How fast the heads [H] of a layer forget, as it is stored or as the original
/// computes it.
Weight slopes(const Scope& s, std::int64_t layer, std::int64_t layers, std::int64_t heads) {
  if (const Weight stored = s.try_weight("slope_rate", {heads, 1, 1})) return stored.reshape({heads});
  const double part = static_cast<double>(layer) / (static_cast<double>(layers - 1) + 1e-5);
  std::vector<double> rates;
  for (std::int64_t h = 1; h <= heads; ++h) {
    const double power = 8.0 * static_cast<double>(h) / static_cast<double>(heads);
    rates.push_back(std::exp2(-power) * (1 - part + 1e-5));
  }
  return Weight::from_doubles(DType::f32, {heads}, rates, s.path() + ".slope_rate");
}

/// Attention without softmax, in which older tokens count less. (Qin et al.
/// 2024, Lightning Attention-2)
nn::Mixer lightning_attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c) {
  const nn::HeadSizes z = c.heads;
  const std::int64_t width = z.heads * z.head_dim;
  const nn::Linear qkv(s / "qkv_proj", c.hidden_size, 3 * width, false);
  const nn::Linear gate(s / "output_gate", c.hidden_size, width, false);
  const nn::Linear out(s / "out_proj", width, c.hidden_size, false);
  const nn::RmsNorm norm(s / "norm", width, {});
  const Weight slope = slopes(s, layer, c.num_hidden_layers, z.heads);
  for (const char* derived : {"query_decay", "key_decay", "diagonal_decay"}) s.ignore(derived);
  const nn::Activation activation(c.hidden_act);
  return [=, path = s.path()](Value x, nn::DecoderPass& pass) {
    const ModulePath at(x, path);
    const Dim &batch = x.dim(0), &length = x.dim(1);
    const Value all = op::reshape(activation(qkv(x)), {batch, length, z.heads, 3 * z.head_dim});
    std::vector<Value> parts = op::chunk(op::cast(all, DType::f32), 3, 3);
    for (Value& part : parts) part = op::reshape(part, {batch, length, width});
    const Dim total = pass.total_length();
    const Value real = op::slice(pass.attention_mask(), 1, total - length, total);
    parts[2] = op::mul(parts[2], op::unsqueeze(op::cast(real, DType::f32), 2));
    const Value rate = op::neg(x.graph().weight_as_is(slope.cast(DType::f32)));
    const Value decay = op::expand(op::reshape(rate, {1, 1, z.heads}), {batch, length, z.heads});
    const op::Recurrence made = op::linear_attention({.query = parts[0],
                                                      .key = parts[1],
                                                      .value = parts[2],
                                                      .decay = decay,
                                                      .past = nn::wide_past(pass, layer, "recurrent")},
                                                     z.heads, z.heads);
    nn::keep_wide(pass, layer, "recurrent", made.state);
    const Value normed = norm(op::cast(made.output, x.dtype()));
    const Value opened = op::sigmoid(gate(x));
    return out(op::mul(opened, normed));
  };
}

/// Norms whose results are also the residuals, with a factor for each.
nn::Block weighted_block(nn::Norm before_attention, nn::Mixer attention, nn::Norm before_mlp,
                         nn::FeedForward mlp, const std::vector<double>& factors) {
  return [before_attention = std::move(before_attention), attention = std::move(attention),
          before_mlp = std::move(before_mlp), mlp = std::move(mlp), factors](Value x, nn::DecoderPass& pass) {
    const auto add = [](Value residual, double alpha, Value made, double beta) {
      const Value kept = op::mul(residual, alpha);
      return op::add(kept, op::mul(made, beta));
    };
    const Value first = before_attention(x);
    const Value second = before_mlp(add(first, factors[0], attention(first, pass), factors[1]));
    return add(second, factors[2], mlp(second), factors[3]);
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = false;
  config.harmless({"block_size"});           // how the original cuts its products
  config.harmless({"router_jitter_noise"});  // only in training
  const std::vector<bool> linear = linear_layers(config);
  const nn::Visibility visible{.window = config.maybe_integer("sliding_window")};
  const nn::ExpertSizes experts{c.hidden_size, c.intermediate_size, config.integer("num_local_experts")};
  const nn::Routing routing =
      nn::normalized(nn::largest_scores(nn::softmax_scores, config.integer("num_experts_per_tok")));
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    const bool is_linear = linear[static_cast<std::size_t>(i)];
    const std::string kind = is_linear ? "linear_attn" : "full_attn";
    const nn::Mixer attention = is_linear ? lightning_attention(self, i, c)
                                          : nn::Mixer(nn::CausalAttention(c.attention(self, i, visible)));
    const std::vector<double> factors = {config.real(kind + "_alpha_factor"),
                                         config.real(kind + "_beta_factor"), config.real("mlp_alpha_factor"),
                                         config.real("mlp_beta_factor")};
    return weighted_block(c.norm(s / "input_layernorm"), attention, c.norm(s / "post_attention_layernorm"),
                          nn::SparseMixture(s / "block_sparse_moe", experts, routing, c.hidden_act,
                                            {.gate = "w1", .up = "w3", .down = "w2"}),
                          factors);
  });
}

}  // namespace

void register_minimax(TasksManager& tasks) {
  tasks.register_model<MiniMaxOnnxConfig>({.model_type = "minimax",
                                           .tasks = nn::text_decoder_tasks(),
                                           .forward = forward,
                                           .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
