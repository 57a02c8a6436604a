// Zamba. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/zamba/modeling_zamba.py
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/zamba.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mamba.h"

namespace onnxport::models {
namespace {

// Whether a layer has the transformer in front, whose weights all these layers share.
bool is_hybrid(const PretrainedConfig& c, std::int64_t layer) {
  if (c.has("layers_block_type")) {
    const auto kinds = kinds_of_layers(c, "layers_block_type", {"mamba", "linear_attention", "hybrid"});
    c.harmless({"attn_layer_period", "attn_layer_offset"});
    return kinds.at(static_cast<std::size_t>(layer)) == "hybrid";
  }
  if (layer < 3) return layer == 2;
  return (layer - 3) % divisor(c, "attn_layer_period") == c.integer("attn_layer_offset");
}

TextDecoderConfig text_config(const PretrainedConfig& c) {
  TextDecoderConfig t(c);
  // Attention sees the tokens beside the hidden states.
  t.heads.hidden_size = c.maybe_integer("attention_hidden_size").value_or(2 * t.hidden_size);
  t.heads.head_dim = c.maybe_integer("attention_head_dim").value_or(2 * t.hidden_size / t.heads.heads);
  t.last_norm = "final_layernorm";
  return t;
}

struct Sizes {
  std::int64_t hidden, inner, heads, head_dim, state, kernel, rank;
};
Sizes mamba_sizes(const PretrainedConfig& c) {
  Sizes z{.hidden = c.integer("hidden_size"),
          .inner = c.integer("mamba_expand") * c.integer("hidden_size"),
          .heads = c.integer("n_mamba_heads"),
          .head_dim = 0,
          .state = divisor(c, "mamba_d_state"),
          .kernel = c.integer("mamba_d_conv"),
          .rank = c.maybe_integer("mamba_dt_rank").value_or((c.integer("hidden_size") + 15) / 16)};
  check_multiple(c, "mamba_expand times hidden_size", z.inner, "n_mamba_heads", z.heads);
  z.head_dim = z.inner / z.heads;
  return z;
}

class ZambaOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  bool takes_positions() const override { return false; }
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    const Sizes z = mamba_sizes(c);
    std::vector<StateSpec> states =
        recurrent_states(layer, z.inner, z.kernel, "ssm", {z.heads, z.head_dim, z.state});
    if (!is_hybrid(c, layer)) return states;
    const nn::HeadSizes heads = text_config(c).heads;
    for (StateSpec& state : key_value(layer, heads.kv_heads, heads.head_dim))
      states.push_back(std::move(state));
    return states;
  }
};

// The mixer of Mamba, of which each head has projections of its own.
nn::Mixer mamba(const Scope& s, std::int64_t layer, const PretrainedConfig& c) {
  const Sizes z = mamba_sizes(c);
  const bool bias = c.flag("mamba_proj_bias");
  const nn::Linear pairs(s / "in_proj", z.hidden, 2 * z.inner, bias);
  // Each row of the hidden states lies beside one of the gate.
  const auto sorted = [&](const Weight& rows) {
    return Weight::concat(parts_of_rows(rows, z.inner, {1, 1}), 0);
  };
  const nn::Linear in_proj(pairs.path(), sorted(pairs.weight()), bias ? sorted(pairs.bias()) : Weight());
  const nn::CausalConv conv1d(s / "conv1d", z.inner, z.kernel, c.flag("mamba_conv_bias"));
  const nn::Activation activation(c.string("hidden_mamba_act"));
  const Weight selects =
      s.weight("x_proj_weight", {z.heads, z.rank + 2 * z.state, z.head_dim}).permute({0, 2, 1});
  const Weight steps = s.weight("dt_proj_weight", {z.heads, z.head_dim, z.rank}).permute({0, 2, 1});
  const Weight step_bias = s.weight("dt_proj_bias", {z.heads, z.head_dim}).reshape({z.inner});
  const Weight decay =
      nn::decay_of(s.weight("A_log", {z.heads, z.head_dim, z.state})).reshape({z.inner, z.state});
  const Weight skip = s.weight("D", {z.heads, z.head_dim}).reshape({z.inner});
  const nn::Linear out_proj(s / "out_proj", z.inner, z.hidden, bias);
  return [=, path = s.path()](Value x, nn::DecoderPass& pass) {
    const ModulePath at(x, path);
    Graph& graph = x.graph();
    const auto wide = [](Value y) { return op::cast(y, DType::f32); };
    // [B, heads, S, W] -> [B, S, heads * W]
    const auto joined = [&](Value y) { return op::flatten(op::transpose(y, 1, 2), 2, 3); };
    const std::vector<Value> projected = op::chunk(in_proj(pass.zero_padding(x)), -1, 2);
    const Value hidden = pass.zero_padding(activation(conv1d(projected[0], pass, layer)));
    const Value apart = op::transpose(op::reshape(hidden, {x.dim(0), x.dim(1), z.heads, z.head_dim}), 1, 2);
    const Value selected = op::matmul(apart, graph.weight(selects));
    const std::vector<Value> parts = op::split(selected, -1, {z.rank, z.state, z.state});
    const Value step = wide(joined(op::matmul(parts[0], graph.weight(steps))));
    op::SelectiveScanOperands scan;
    scan.x = wide(hidden);
    scan.time_step = op::softplus(op::add(step, wide(graph.weight(step_bias))));
    scan.decay = graph.weight_as_is(decay);
    scan.input = wide(joined(parts[1]));
    scan.output = wide(joined(parts[2]));
    // To the op, each channel is a head of its own, and the heads of this mixer are groups.
    if (const Value past = nn::wide_past(pass, layer, "ssm"))
      scan.past = op::reshape(past, {x.dim(0), z.inner, 1, z.state});
    const op::Recurrence made = op::selective_scan(scan, z.heads);
    nn::keep_wide(pass, layer, "ssm", op::reshape(made.state, {x.dim(0), z.heads, z.head_dim, z.state}));
    const Value skipped = op::mul(scan.x, wide(graph.weight(skip)));
    const Value y = op::cast(op::add(made.output, skipped), graph.float_dtype());
    return out_proj(op::mul(y, op::silu(projected[1])));
  };
}

// Attends to hidden states and tokens side by side, without residuals.
nn::Mixer transformer(const Scope& s, std::int64_t layer, const Scope& base, const TextDecoderConfig& t) {
  const nn::Embedding words(base / "embed_tokens", t.vocab_size, t.hidden_size);
  const nn::Norm before = t.norm(s / "input_layernorm", t.heads.hidden_size);
  const nn::Norm between = t.norm(s / "pre_ff_layernorm");
  nn::CausalAttentionParts attention = t.attention(s / "self_attn", layer);
  attention.options.scale = 1 / std::sqrt(static_cast<double>(t.heads.head_dim) / 2);
  attention.rotary.reset();
  const nn::CausalAttention attend(std::move(attention));
  const nn::GatedMlp mlp = t.mlp(s / "feed_forward");
  return [=](Value x, nn::DecoderPass& pass) {
    const Value both = op::concat({x, pass.embedded(words)}, -1);
    return mlp(between(attend(before(both), pass)));
  };
}

// Files hold it in one of the hybrid layers, mostly in the first, or in all.
Scope shared_transformer(const Scope& base, const PretrainedConfig& c, std::int64_t layers) {
  std::optional<Scope> first;
  for (std::int64_t i = 0; i < layers; ++i) {
    if (!is_hybrid(c, i)) continue;
    Scope own = base / "layers" / i / "shared_transf";
    if (own.exists()) return own;
    if (!first) first = own;
  }
  return first.value_or(base);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const TextDecoderConfig t = text_config(c);
  const Scope base = model.scope().base_model("model");
  // Of initialization, of generation, and of how the original computes.
  c.harmless({"time_step_min", "time_step_max", "time_step_floor", "num_logits_to_keep", "use_mamba_kernels",
              "use_associative_scan"});
  const Scope shared_scope = shared_transformer(base, c, t.num_hidden_layers);
  return forward_text_decoder(inputs, model, component, t, [&](const Scope& s, std::int64_t i) -> nn::Block {
    const bool hybrid = is_hybrid(c, i);
    const Scope decoder = hybrid ? s / "mamba_decoder" : s;
    const nn::Norm norm = t.norm(decoder / "input_layernorm");
    const nn::Mixer mixer = mamba(decoder / "mamba", i, c);
    if (!hybrid) return zamba_block(norm, mixer);
    s.ignore("shared_transf");  // copies
    const nn::Mixer shared = transformer(shared_scope, i, base, t);
    return zamba_hybrid_block(norm, mixer, shared,
                              nn::Linear(s / "linear", t.hidden_size, t.hidden_size, false));
  });
}

}  // namespace

nn::Block zamba_block(nn::Norm norm, nn::Mixer mamba) {
  return [norm = std::move(norm), mamba = std::move(mamba)](Value x, nn::DecoderPass& pass) {
    return op::add(x, mamba(norm(x), pass));
  };
}

nn::Block zamba_hybrid_block(nn::Norm norm, nn::Mixer mamba, nn::Mixer transformer,
                             const nn::Linear& linear) {
  return [norm = std::move(norm), mamba = std::move(mamba), transformer = std::move(transformer), linear](
             Value x, nn::DecoderPass& pass) {
    const Value seen = op::add(x, linear(transformer(x, pass)));
    return op::add(x, mamba(norm(seen), pass));
  };
}

void register_zamba(TasksManager& tasks) {
  tasks.register_model<ZambaOnnxConfig>({.model_type = "zamba",
                                         .tasks = nn::text_decoder_tasks(),
                                         .forward = forward,
                                         .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
