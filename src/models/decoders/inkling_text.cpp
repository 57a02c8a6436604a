// Inkling, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/inkling/modeling_inkling.py
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

bool slides(const PretrainedConfig& c, std::int64_t layer) {
  if (c.has("layer_types")) {
    c.harmless({"local_layer_ids"});
    const auto kinds = kinds_of_layers(c, "layer_types", {"hybrid", "hybrid_sliding"});
    return kinds.at(static_cast<std::size_t>(layer)) == "hybrid_sliding";
  }
  if (!c.has("local_layer_ids")) return (layer + 1) % 6 != 0;
  const std::vector<std::int64_t> local = c.integers("local_layer_ids");
  return std::find(local.begin(), local.end(), layer) != local.end();
}

bool is_sparse(const PretrainedConfig& c, std::int64_t layer) {
  if (!c.has("mlp_layer_types")) return layer >= c.integer("dense_mlp_idx");
  const auto kinds = kinds_of_layers(c, "mlp_layer_types", {"dense", "sparse"});
  return kinds.at(static_cast<std::size_t>(layer)) == "sparse";
}

// With a width of its own for dense layers, intermediate_size is that of the experts.
PretrainedConfig with_usual_keys(const PretrainedConfig& c) {
  const auto dense = c.maybe_integer("dense_intermediate_size");
  if (!dense) return c;
  return c.settled("moe_intermediate_size", std::to_string(c.integer("intermediate_size")))
      .settled("intermediate_size", std::to_string(*dense));
}

nn::HeadSizes head_sizes(const PretrainedConfig& c, std::int64_t layer) {
  const std::string prefix = slides(c, layer) ? "swa_" : "";
  nn::HeadSizes z{.hidden_size = c.integer("hidden_size"),
                  .heads = c.integer(prefix + "num_attention_heads"),
                  .kv_heads = c.integer(prefix + "num_key_value_heads"),
                  .head_dim = c.integer(prefix + "head_dim")};
  check_multiple(c, prefix + "num_attention_heads", z.heads, prefix + "num_key_value_heads", z.kv_heads);
  return z;
}

class InklingTextOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  bool takes_positions() const override { return false; }
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    const nn::HeadSizes z = head_sizes(c, layer);
    const std::int64_t keys = z.kv_heads * z.head_dim, kernel = c.integer("conv_kernel_size");
    std::vector<StateSpec> states;
    for (const std::int64_t channels : {keys, keys, z.hidden_size, z.hidden_size}) {
      StateSpec state = fixed_state(layer, "conv", {channels, kernel});
      for (std::string* name : {&state.input, &state.output, &state.part})
        if (!name->empty()) *name += fmt::format(".{}", states.size());
      states.push_back(std::move(state));
    }
    for (StateSpec& state : key_value(layer, z.kv_heads, z.head_dim)) states.push_back(std::move(state));
    return states;
  }
};

// x + convolution(x), which is number `index` of its layer. Padding does not enter the convolution.
nn::Mixer short_conv(const Scope& s, std::int64_t layer, std::int64_t index, std::int64_t width,
                     std::int64_t kernel) {
  const nn::CausalConv conv(s / "conv1d", width, kernel, false);
  return [=, part = fmt::format("conv.{}", index)](Value x, nn::DecoderPass& pass) {
    return op::add(conv(pass.zero_padding(x), pass, layer, part), x);
  };
}

// Biases [B, heads, S, P + S] of the scores from what each query [B, S, heads * width] says of each distance.
// Keys: proj [width, distances].
std::function<Value(Value, const nn::DecoderPass&)> relative_bias(const Scope& s, std::int64_t heads,
                                                                  std::int64_t width,
                                                                  std::int64_t distances) {
  const Weight stored = s.weight("proj", {width, distances}).permute({1, 0});
  std::vector<std::int64_t> backwards(static_cast<std::size_t>(distances));
  std::iota(backwards.rbegin(), backwards.rend(), 0);
  // [distances, width], the largest distance first
  const Weight profiles = stored.take(Weight::from_ints({distances}, backwards));
  return [=, path = s.path()](Value x, const nn::DecoderPass& pass) {
    const ModulePath at(x, path);
    const Dim &batch = x.dim(0), &length = x.dim(1);
    const Value apart = op::transpose(op::reshape(x, {batch, length, heads, width}), 1, 2);
    const Value rows = op::linear(apart, x.graph().weight(profiles));
    // Each row begins one column later than the one before, if rows lose a column of their padding.
    const Value longer = op::pad(rows, {0, 0, 0, 0}, {0, 0, 0, length});
    const Value flat = op::reshape(longer, {batch, heads, length * (length + distances)});
    const Dim columns = length + distances - 1;
    const Value cut = op::slice(flat, 2, 0, length * columns);
    const Value stairs = op::reshape(cut, {batch, heads, length, columns});
    const Value behind = op::pad(stairs, {0, 0, 0, pass.past_length()}, {0, 0, 0, 0});
    return op::slice(behind, 3, distances - 1, pass.total_length() + distances - 1);
  };
}

// What the scores of a long context are multiplied by: 1 + alpha log(max(1, (position + 1) / floor)), [S, 1].
Value log_scale(const nn::DecoderPass& pass, double alpha, std::int64_t floor) {
  const Value position = op::cast(op::arange(pass.graph(), pass.length(), pass.past_length()), DType::f32);
  const Value ratio = op::maximum(op::div(op::add(position, 1.0), static_cast<double>(floor)), 1.0);
  return op::unsqueeze(op::add(op::mul(op::log(ratio), alpha), 1.0), 1);
}

nn::Mixer attention(const Scope& s, std::int64_t layer, const PretrainedConfig& c) {
  const nn::HeadSizes z = head_sizes(c, layer);
  const bool local = slides(c, layer);
  const std::int64_t window = divisor(c, "sliding_window_size"), kernel = c.integer("conv_kernel_size");
  const std::int64_t profile = divisor(c, "d_rel"), keys = z.kv_heads * z.head_dim;
  const nn::Linear query(s / "q_proj", z.hidden_size, z.heads * z.head_dim, false),
      key(s / "k_proj", z.hidden_size, keys, false), value(s / "v_proj", z.hidden_size, keys, false),
      relative(s / "r_proj", z.hidden_size, z.heads * profile, false);
  const nn::Mixer key_conv = short_conv(s / "k_sconv", layer, 0, keys, kernel);
  const nn::Mixer value_conv = short_conv(s / "v_sconv", layer, 1, keys, kernel);
  const auto bias_of =
      relative_bias(s / "rel_logits_proj", z.heads, profile, local ? window : divisor(c, "rel_extent"));
  const nn::NormParameters norm{.eps = c.real("rms_norm_eps")};
  const auto floor = local ? std::nullopt : c.maybe_integer("log_scaling_n_floor");
  if (floor) divisor(c, "log_scaling_n_floor");
  const double alpha = c.real("log_scaling_alpha");
  const nn::Visibility visible{.window = local ? std::optional(window) : std::nullopt};
  const nn::CausalAttentionParts parts{
      .path = s.path(),
      .layer = layer,
      .sizes = z,
      .qkv = {},
      .output = nn::Linear(s / "o_proj", z.heads * z.head_dim, z.hidden_size, false),
      .options = {.scale = 1 / static_cast<double>(z.head_dim)},
      .query_norm = nn::per_head(nn::RmsNorm(s / "q_norm", z.head_dim, norm), z.head_dim),
      .key_norm = nn::per_head(nn::RmsNorm(s / "k_norm", z.head_dim, norm), z.head_dim)};
  return [=](Value x, nn::DecoderPass& pass) {
    const auto scaled = [&](Value y) {
      if (!floor) return y;
      const Value factor = log_scale(pass, alpha, *floor);
      const Value wide = op::mul(op::cast(y, DType::f32), factor);
      return op::cast(wide, y.dtype());
    };
    nn::CausalAttentionParts biased = parts;
    biased.query_norm = [&](Value y) { return scaled(parts.query_norm(y)); };
    op::AttentionMask mask = pass.mask(visible, op::NoKeys::uniform);
    mask.bias = scaled(bias_of(relative(x), pass));
    biased.mask = [&](const nn::DecoderPass&) { return mask; };
    return stateful_attention(biased, [&](Value y, nn::DecoderPass& at) -> nn::QueryKeyValue {
      const Value q = query(y), k = key_conv(key(y), at);
      return {q, k, value_conv(value(y), at)};
    })(x, pass);
  };
}

nn::FeedForward multiplied_by(nn::FeedForward mlp, const Weight& factor) {
  return [mlp = std::move(mlp), factor](Value x) {
    const Value made = mlp(x);
    return op::mul(made, x.graph().weight(factor));
  };
}

// The largest sigmoids of all scores pick experts. These and the experts that all tokens pass share a weight.
nn::FeedForward mixture(const Scope& s, const PretrainedConfig& c) {
  const nn::ExpertSizes sizes{c.integer("hidden_size"), c.integer("moe_intermediate_size"),
                              c.integer("n_routed_experts")};
  const std::int64_t shared = divisor(c, "n_shared_experts"), chosen = c.integer("num_experts_per_tok");
  const std::string activation = c.string("hidden_act");
  const Scope gate = s / "gate", always = s / "shared_experts";
  const nn::Linear router(gate, sizes.hidden_size, sizes.experts + shared, false);
  const nn::Scores preference = nn::plus_bias(gate.weight("e_score_correction_bias", {sizes.experts}));
  const double scale = c.real("route_scale");
  const Weight factor = gate.weight("global_scale", {1}).cast(DType::f32);
  const nn::Experts routed(nn::expert_weights(s / "experts", sizes), activation);
  const std::vector<std::int64_t> up = {shared, sizes.intermediate_size, sizes.hidden_size};
  const nn::Experts common({.gate = always.weight("gate_proj", up),
                            .up = always.weight("up_proj", up),
                            .down = always.weight("down_proj", {shared, up[2], up[1]})},
                           activation);
  return [=, path = s.path()](Value x) {
    const ModulePath at(x, path);
    Graph& graph = x.graph();
    const Value tokens = op::flatten(x, 0, 1);
    const Value weight = op::cast(graph.weight(router.weight()), DType::f32);
    const Value scores = op::sigmoid(op::linear(op::cast(tokens, DType::f32), weight));
    const std::vector<Value> parts = op::split(scores, 1, {sizes.experts, shared});
    const nn::Routing pick = nn::preferred_scores([](Value all) { return all; }, preference, chosen);
    nn::Routes routes = pick(parts[0]);
    const Value picked = op::sum(routes.values, 1, true), others = op::sum(parts[1], 1, true);
    const Value total = op::add(picked, others);
    const Value share = op::div(op::mul(graph.weight_as_is(factor), scale), total);
    routes.values = op::mul(routes.values, share);
    const Value always_share = op::cast(op::mul(parts[1], share), x.dtype());
    const Value made = routed(tokens, nn::routing_matrix(routes, sizes.experts));
    return op::reshape(op::add(made, common(tokens, always_share)), x.shape());
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig c = with_usual_keys(model.config());
  const std::int64_t vocab_size = c.integer("vocab_size"), width = c.integer("hidden_size"),
                     kernel = c.integer("conv_kernel_size");
  const nn::NormParameters norm{.eps = c.real("rms_norm_eps")};
  const nn::GatedMlpParameters dense{.hidden_size = width,
                                     .intermediate_size = c.integer("intermediate_size"),
                                     .activation = c.string("hidden_act")};
  const double divided = c.real("logits_mup_width_multiplier");
  const std::int64_t rows =
      c.has("unpadded_vocab_size") ? std::min(divisor(c, "unpadded_vocab_size"), vocab_size) : vocab_size;
  // Of training, of the layers that guess further tokens, and what the original's modules do not read.
  c.harmless({"pad_token_id", "rms_norm_eps_moe_gate", "shared_expert_sink", "num_mtp_layers",
              "chain_hidden_post_norm", "mtp_hidden_states_first", "mtp_local_layer_ids",
              "max_position_embeddings", "dense_mlp_idx", "number_of_conv_states"});
  // Perhaps no layer is of their kind.
  c.harmless({"num_attention_heads", "num_key_value_heads", "head_dim", "swa_num_attention_heads",
              "swa_num_key_value_heads", "swa_head_dim", "rel_extent", "log_scaling_n_floor",
              "log_scaling_alpha", "moe_intermediate_size", "n_routed_experts", "num_experts_per_tok",
              "n_shared_experts", "route_scale", "intermediate_size"});
  const Scope root = model.scope(), s = root.base_model("model"), table = s / "embed_tokens";
  const nn::Embedding words(table, vocab_size, width);
  const nn::RmsNorm embed_norm(table / "embed_norm", width, norm);
  const auto mlp = [&](const Scope& at, std::int64_t i) {
    if (is_sparse(c, i)) return mixture(at, c);
    return multiplied_by(nn::GatedMlp(at, dense), at.weight("global_scale", {1}));
  };
  const auto make_block = [&](const Scope& layer, std::int64_t i) -> nn::Block {
    const nn::RmsNorm before(layer / "input_layernorm", width, norm),
        between(layer / "post_attention_layernorm", width, norm);
    const nn::Mixer attend = attention(layer / "self_attn", i, c);
    const nn::FeedForward feed_forward = mlp(layer / "mlp", i);
    const nn::Mixer after_attention = short_conv(layer / "attn_sconv", i, 2, width, kernel);
    const nn::Mixer after_mlp = short_conv(layer / "mlp_sconv", i, 3, width, kernel);
    return [=](Value x, nn::DecoderPass& pass) {
      x = op::add(x, after_attention(attend(before(x), pass), pass));
      return op::add(x, after_mlp(feed_forward(between(x)), pass));
    };
  };
  const nn::DecoderStack decoder(
      s, "layers", c.integer("num_hidden_layers"), make_block,
      [&](nn::DecoderPass& pass) { return pass.embedded([&](Value ids) { return embed_norm(words(ids)); }); },
      nn::RmsNorm(s / "norm", width, norm));
  const auto lm_head = [&](Value hidden) {
    const nn::Linear head(root / "lm_head", width, vocab_size, false);
    const Value logits = head(op::div(hidden, divided));
    return rows == vocab_size ? logits : op::slice(logits, 2, 0, rows);
  };
  return nn::build_text_decoder_task(component, inputs, root, {.decode = decoder, .lm_head = lm_head});
}

}  // namespace

void register_inkling_text(TasksManager& tasks) {
  tasks.register_model<InklingTextOnnxConfig>({.model_type = "inkling_text",
                                               .tasks = nn::text_decoder_tasks({}),
                                               .forward = forward,
                                               .ignorable_keys = {"model.mtp.*"}});
}

}  // namespace onnxport::models
