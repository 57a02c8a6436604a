// ZAYA. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/zaya/modeling_zaya.py
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

std::string kind_of(const PretrainedConfig& c, std::int64_t layer) {
  if (!c.has("layer_types")) return "hybrid";
  return kinds_of_layers(c, "layer_types", {"hybrid", "hybrid_sliding"}).at(static_cast<std::size_t>(layer));
}

// All layers have experts. Without rope_parameters, half of each head turns, by these bases.
PretrainedConfig with_usual_keys(PretrainedConfig c) {
  c = c.settled("intermediate_size", std::to_string(c.integer("moe_intermediate_size")));
  if (c.has("rope_parameters")) {
    c.sub("rope_parameters").harmless({"rope_type"});  // beside those of the layers
    return c;
  }
  return c.settled("rope_parameters", R"({"hybrid": {"rope_theta": 5000000.0, "partial_rotary_factor": 0.5},
                                          "hybrid_sliding": {"rope_theta": 10000.0,
                                                             "partial_rotary_factor": 0.5}})");
}

// Two convolutions over queries and keys: of each channel, then of each head.
struct Kernels {
  std::int64_t channels, heads, each, grouped, kept;
};
Kernels kernels_of(const PretrainedConfig& c, const nn::HeadSizes& z) {
  const std::int64_t each = divisor(c, "cca_time0"), grouped = divisor(c, "cca_time1");
  if (each + grouped < 3)
    throw ExportError(ErrorCode::bad_config, c.origin() + ": cca_time0 and cca_time1 are 1");
  const std::int64_t heads = z.heads + z.kv_heads;
  return {heads * z.head_dim, heads, each, grouped, each + grouped - 2};
}

class ZayaOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = with_usual_keys(config().unaccounted());
    const nn::HeadSizes z = TextDecoderConfig(c).heads;
    const Kernels k = kernels_of(c, z);
    std::vector<StateSpec> states =
        recurrent_states(layer, k.channels, k.kept, "recurrent", {z.kv_heads * z.head_dim / 2});
    for (StateSpec& state : key_value(layer, z.kv_heads, z.head_dim)) states.push_back(std::move(state));
    return states;
  }
};

// Compressed convolutional attention (Figliolia et al. 2025): queries and keys are mixed with those of the
// tokens before, and half of each value is that of the token before. States: `conv` [B, channels, kept], and
// `recurrent` [B, kv_heads * head_dim / 2], the last half of a value.
StatefulProjection projection(const Scope& s, std::int64_t layer, const nn::HeadSizes& z, const Kernels& k) {
  const std::int64_t queries = z.heads * z.head_dim, keys = z.kv_heads * z.head_dim;
  const nn::Linear query(s / "q_proj", z.hidden_size, queries, false);
  const nn::Linear key(s / "k_proj", z.hidden_size, keys, false);
  const nn::Linear current(s / "v_proj_current", z.hidden_size, keys / 2, false);
  const nn::Linear delayed(s / "v_proj_delayed", z.hidden_size, keys / 2, false);
  const Scope first = s / "conv_qk_depthwise", second = s / "conv_qk_grouped";
  const Weight first_weight = first.weight("weight", {k.channels, 1, k.each}),
               first_bias = first.weight("bias", {k.channels}),
               second_weight = second.weight("weight", {k.channels, z.head_dim, k.grouped}),
               second_bias = second.weight("bias", {k.channels});
  return [=](Value hidden, nn::DecoderPass& pass) -> nn::QueryKeyValue {
    Graph& graph = hidden.graph();
    const Dim &batch = hidden.dim(0), &length = hidden.dim(1);
    const Value x = pass.zero_padding(hidden), q = query(x), k0 = key(x);
    // Beside the convolutions: the means of each query and its key, and of those for each key.
    const Shape grouped = {batch, length, z.kv_heads, z.heads / z.kv_heads, z.head_dim};
    const Value q_apart = op::reshape(q, grouped);
    const Value k_apart = op::reshape(k0, {batch, length, z.kv_heads, 1, z.head_dim});
    const Value q_mean = op::mul(op::add(q_apart, k_apart), 0.5);
    const Value k_mean = op::reshape(op::mean(q_mean, 3), k0.shape());
    const Value both = op::transpose(op::concat({q, k0}, -1), 1, 2);
    const Value past = pass.past(layer, "conv");
    const Value padded = past ? op::concat({past, both}, 2) : op::pad(both, {0, 0, k.kept}, {0, 0, 0});
    pass.keep(layer, "conv", op::slice(padded, 2, length, length + k.kept));
    const Value first_w = graph.weight(first_weight), first_b = graph.weight(first_bias);
    const Value once = op::conv1d(padded, first_w, first_b, {.groups = k.channels});
    const Value second_w = graph.weight(second_weight), second_b = graph.weight(second_bias);
    const Value twice = op::conv1d(once, second_w, second_b, {.groups = k.heads});
    const std::vector<Value> mixed = op::split(op::transpose(twice, 1, 2), -1, {queries, keys});
    const Value half = delayed(x);
    const Value last = pass.past(layer, "recurrent");
    const Value halves =
        last ? op::concat({op::unsqueeze(last, 1), half}, 1) : op::pad(half, {0, 1, 0}, {0, 0, 0});
    pass.keep(layer, "recurrent", op::squeeze(op::slice(halves, 1, length, length + 1), 1));
    const Value before = op::slice(halves, 1, 0, length), now = current(x);
    const Value made_q = op::add(mixed[0], op::reshape(q_mean, q.shape()));
    const Value made_k = op::add(mixed[1], k_mean);
    return {made_q, made_k, op::concat({now, before}, -1)};
  };
}

nn::Mixer attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                    const PretrainedConfig& config, const Rotations& rotary) {
  const nn::HeadSizes& z = c.heads;
  const std::string kind = kind_of(config, layer);
  nn::Visibility visible;
  if (kind == "hybrid_sliding") visible.window = divisor(config, "sliding_window");
  const double length = std::sqrt(static_cast<double>(z.head_dim));
  const auto of_length = [length](Value heads) {
    return op::mul(op::normalize(heads, -1, std::numeric_limits<float>::epsilon()), length);
  };
  const Weight factor = (s / "qk_norm").weight("temp", {z.kv_heads}).reshape({z.kv_heads, 1});
  nn::CausalAttentionParts parts = c.attention(s, layer, visible, {});
  parts.rotary = rotary.at(kind);
  parts.query_norm = nn::per_head(of_length, z.head_dim);
  parts.key_norm = nn::per_head(
      [=](Value heads) {
        const Value normed = of_length(heads);
        return op::mul(normed, heads.graph().weight(factor));
      },
      z.head_dim);
  return stateful_attention(std::move(parts), projection(s / "qkv_proj", layer, z, kernels_of(config, z)));
}

// x [.., width] -> (x + bias) * scale in float32. Keys: {name}_bias, {name}_scale.
std::function<Value(Value)> shifted_and_scaled(const Scope& s, const std::string& name, std::int64_t width) {
  const Weight bias = s.weight(name + "_bias", {width}).cast(DType::f32);
  const Weight scale = s.weight(name + "_scale", {width}).cast(DType::f32);
  return [=](Value x) {
    const Value by = x.graph().weight_as_is(bias);
    const Value shifted = op::add(op::cast(x, DType::f32), by);
    return op::mul(shifted, x.graph().weight_as_is(scale));
  };
}

// x and what a layer makes of it, each shifted and scaled.
std::function<Value(Value x, Value made)> residual(const Scope& s, std::int64_t width) {
  const auto of_made = shifted_and_scaled(s, "hidden_states", width);
  const auto of_x = shifted_and_scaled(s, "residual", width);
  return [=](Value x, Value made) {
    const Value first = of_made(made);
    return op::add(first, of_x(x));
  };
}

// A layer that computes in float32, as a router does.
std::function<Value(Value)> wide(const nn::Linear& linear) {
  return [linear](Value x) {
    const ModulePath at(x, linear.path());
    Graph& graph = x.graph();
    const Value weight = op::cast(graph.weight(linear.weight()), DType::f32);
    const Value bias = linear.bias() ? op::cast(graph.weight(linear.bias()), DType::f32) : Value();
    return op::linear(x, weight, bias);
  };
}

// What the routers of earlier layers hand to the next.
using RouterState = std::shared_ptr<Value>;

// One expert for each token, or none: the last class skips them.
nn::FeedForward mixture(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                        const PretrainedConfig& config, const RouterState& state) {
  const nn::ExpertSizes sizes{c.hidden_size, c.intermediate_size, config.integer("num_experts")};
  const std::int64_t width = config.integer("router_hidden_size"), classes = sizes.experts + 1;
  const Scope gate = s / "gate", mlp = gate / "router_mlp";
  const auto down = wide(nn::Linear(gate / "down_proj", c.hidden_size, width));
  const auto fc1 = wide(nn::Linear(mlp / "fc1", width, width)),
             fc2 = wide(nn::Linear(mlp / "fc2", width, width)),
             out = wide(nn::Linear(mlp / "out_proj", width, classes, false));
  const Weight norm = (mlp / "norm").weight("weight", {width}).cast(DType::f32);
  const Weight share = layer > 0 ? gate.weight("router_states_scale", {width}).cast(DType::f32) : Weight();
  const nn::Routing routing =
      nn::preferred_scores(nn::softmax_scores, nn::plus_bias(gate.weight("balancing_biases", {classes})), 1);
  const nn::Experts experts(nn::expert_weights(s / "experts", sizes), c.hidden_act);
  return [=, eps = c.norm_parameters.eps, path = s.path()](Value x) {
    const ModulePath at(x, path);
    Graph& graph = x.graph();
    const Value tokens = op::flatten(x, 0, 1);
    Value routed = down(op::cast(tokens, DType::f32));
    if (share) routed = op::add(routed, op::mul(*state, graph.weight_as_is(share)));
    *state = routed;
    const Value normed = op::rms_norm(routed, graph.weight_as_is(norm), eps);
    const Value logits = out(op::gelu(fc2(op::gelu(fc1(normed)))));
    const Value all = nn::routing_matrix(routing(logits), classes);
    return op::reshape(experts(tokens, op::slice(all, 1, 0, sizes.experts)), x.shape());
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_usual_keys(model.config());
  const TextDecoderConfig c(config);
  if (config.flag("attention_bias"))
    throw ExportError(ErrorCode::unsupported, config.origin() + ": attention_bias with delayed values");
  if (config.integer("num_experts_per_tok") != 1)
    throw ExportError(ErrorCode::bad_config, config.origin() + ": num_experts_per_tok must be 1");
  check_multiple(config, "num_key_value_heads times head_dim", c.heads.kv_heads * c.heads.head_dim,
                 "the halves of a value,", 2);
  config.harmless({"pad_token_id", "sliding_window"});  // perhaps no layer slides
  const Scope root = model.scope(), s = root.base_model("model");
  const nn::Embedding words(s / "embed_tokens", c.vocab_size, c.hidden_size);
  const auto first = shifted_and_scaled(s, "input_hidden_states", c.hidden_size);
  const Rotations rotary = rotations(config, c.heads.head_dim, {"hybrid", "hybrid_sliding"});
  const auto state = std::make_shared<Value>();
  const auto normed = [&](const Scope& at) -> nn::Norm {
    return [norm = c.norm(at)](Value x) { return norm(op::cast(x, x.graph().float_dtype())); };
  };
  const auto make_block = [&](const Scope& layer, std::int64_t i) -> nn::Block {
    const nn::Norm before = normed(layer / "input_layernorm"),
                   between = normed(layer / "post_attention_layernorm");
    const nn::Mixer attend = attention(layer / "self_attn", i, c, config, rotary);
    const nn::FeedForward mlp = mixture(layer / "mlp", i, c, config, state);
    const auto after_attention = residual(layer / "post_attention_residual_scale", c.hidden_size);
    const auto after_mlp = residual(layer / "post_mlp_residual_scale", c.hidden_size);
    return [=](Value x, nn::DecoderPass& pass) {
      const Value seen = after_attention(x, attend(before(x), pass));
      return after_mlp(seen, mlp(between(seen)));
    };
  };
  const nn::DecoderStack decoder(
      s, "layers", c.num_hidden_layers, make_block,
      [&](nn::DecoderPass& pass) { return first(pass.embedded(words)); }, normed(s / "norm"));
  const Weight table = c.tie_word_embeddings ? words.weight() : Weight();
  const std::string bias = config.flag("lm_head_bias") ? "bias" : "";
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = decoder, .lm_head = [&](Value hidden) {
                                        return nn::output_embedding(root / "lm_head", table, c.vocab_size,
                                                                    c.hidden_size, bias)(hidden);
                                      }});
}

}  // namespace

void register_zaya(TasksManager& tasks) {
  tasks.register_model<ZayaOnnxConfig>({.model_type = "zaya",
                                        .tasks = nn::text_decoder_tasks({}),
                                        .forward = forward,
                                        .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
