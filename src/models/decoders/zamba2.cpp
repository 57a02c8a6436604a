// Zamba2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/zamba2/modeling_zamba2.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/zamba.h"
#include "onnxport/error.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mamba.h"

namespace onnxport::models {
namespace {

// "mamba", or "hybrid": with a transformer in front, whose weights several layers share.
std::vector<std::string> layer_kinds(const PretrainedConfig& c) {
  if (c.has("layers_block_type")) return kinds_of_layers(c, "layers_block_type");
  std::vector<std::string> kinds(static_cast<std::size_t>(c.integer("num_hidden_layers")), "mamba");
  for (const std::size_t hybrid : {6, 12, 18, 24, 30, 36, 42, 47, 51}) {
    if (hybrid < kinds.size()) kinds[hybrid] = "hybrid";
  }
  return kinds;
}

TextDecoderConfig text_config(PretrainedConfig c) {
  if (!c.maybe_integer("intermediate_size"))
    c = c.settled("intermediate_size", fmt::format("{}", 4 * c.integer("hidden_size")));
  TextDecoderConfig t(c);
  // Attention sees the tokens beside the hidden states.
  t.heads.hidden_size = 2 * t.hidden_size;
  check_multiple(c, "twice hidden_size", t.heads.hidden_size, "num_attention_heads", t.heads.heads);
  t.heads.head_dim = t.heads.hidden_size / t.heads.heads;
  const bool longer = c.flag("use_long_context") && c.flag("use_mem_rope");
  const double width = static_cast<double>(t.heads.head_dim);
  const double stretch = longer ? std::pow(8, width / (width - 2)) : 1;
  t.rope = rope_parameters(c, t.heads.head_dim, {.theta = c.real("rope_theta", 10000.0) * stretch});
  t.no_keys = op::NoKeys::uniform;
  t.last_norm = "final_layernorm";
  t.tie_word_embeddings = c.flag("tie_word_embeddings", true);
  return t;
}

nn::Mamba2Sizes mamba_sizes(const PretrainedConfig& c) {
  const std::int64_t hidden = c.integer("hidden_size"), inner = c.integer("mamba_expand") * hidden;
  const std::int64_t heads = c.integer("n_mamba_heads");
  check_multiple(c, "mamba_expand times hidden_size", inner, "n_mamba_heads", heads);
  return {.hidden_size = hidden,
          .heads = heads,
          .head_dim = inner / heads,
          .groups = c.integer("mamba_ngroups"),
          .state_size = c.integer("mamba_d_state"),
          .kernel = c.integer("mamba_d_conv")};
}

class Zamba2OnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  bool takes_positions() const override { return config().unaccounted().flag("use_mem_rope"); }
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    std::vector<StateSpec> states = mamba2_states(layer, mamba_sizes(c));
    if (layer_kinds(c).at(static_cast<std::size_t>(layer)) != "hybrid") return states;
    const nn::HeadSizes heads = text_config(c).heads;
    for (StateSpec& state : key_value(layer, heads.kv_heads, heads.head_dim))
      states.push_back(std::move(state));
    return states;
  }
};

// The weights of a transformer lie below the first layer that uses it; each of its uses has adapters.
struct Use {
  Scope weights;
  std::int64_t layer, number;
};

// A linear layer with an adapter of two thin ones beside it.
std::function<Value(Value)> adapted(const Scope& s, const char* name, const Scope& adapters,
                                    std::pair<std::int64_t, std::int64_t> widths, std::int64_t rank,
                                    bool bias) {
  const nn::Linear whole(s / name, widths.first, widths.second, bias);
  const nn::Linear down(adapters / 0, widths.first, rank, false),
      up(adapters / 1, rank, widths.second, false);
  return [=](Value x) {
    const Value main = whole(x);
    return op::add(main, up(down(x)));
  };
}

nn::CausalAttention attention(const Use& use, const TextDecoderConfig& t, const PretrainedConfig& c) {
  const Scope s = use.weights / "self_attn";
  nn::CausalAttentionParts parts =
      t.attention(s, use.layer, {}, nn::QkvProjection::separate(s, t.heads, false));
  parts.options.scale = 1 / std::sqrt(static_cast<double>(t.heads.head_dim) / 2);
  if (!c.flag("use_mem_rope")) parts.rotary.reset();
  const std::int64_t rank = c.integer("adapter_rank");
  if (!c.flag("use_shared_attention_adapter")) return parts;
  const nn::HeadSizes& z = t.heads;
  const auto projection = [&](char part, std::int64_t heads) {
    const Scope adapters = s / fmt::format("linear_{}_adapter_list", part) / use.number;
    const std::string name = fmt::format("{}_proj", part);
    return adapted(s, name.c_str(), adapters, {z.hidden_size, heads * z.head_dim}, rank, false);
  };
  const auto query = projection('q', z.heads), key = projection('k', z.kv_heads),
             value = projection('v', z.kv_heads);
  parts.qkv = [=](Value x, const nn::DecoderPass&) -> nn::QueryKeyValue {
    const Value q = query(x), k = key(x);
    return {q, k, value(x)};
  };
  return parts;
}

nn::FeedForward feed_forward(const Use& use, const TextDecoderConfig& t, const PretrainedConfig& c) {
  const Scope s = use.weights / "feed_forward";
  const bool bias = c.flag("add_bias_linear");
  const auto gate_up = adapted(s, "gate_up_proj", s / "gate_up_proj_adapter_list" / use.number,
                               {t.hidden_size, 2 * t.intermediate_size}, c.integer("adapter_rank"), bias);
  const nn::Linear down(s / "down_proj", t.intermediate_size, t.hidden_size, bias);
  const nn::Activation activation(t.hidden_act);
  return [=, path = s.path()](Value x) {
    const ModulePath at(x, path);
    const std::vector<Value> parts = op::chunk(gate_up(x), -1, 2);
    return down(op::mul(activation(parts[0]), parts[1]));
  };
}

// Attends to hidden states and tokens side by side, without residuals.
nn::Mixer transformer(const Use& use, const Scope& root, const TextDecoderConfig& t,
                      const PretrainedConfig& c) {
  const nn::Embedding words(root / "embed_tokens", t.vocab_size, t.hidden_size);
  const nn::Norm before = t.norm(use.weights / "input_layernorm", t.heads.hidden_size);
  const nn::Norm between = t.norm(use.weights / "pre_ff_layernorm");
  const nn::CausalAttention attend = attention(use, t, c);
  const nn::FeedForward mlp = feed_forward(use, t, c);
  return [=](Value x, nn::DecoderPass& pass) {
    const Value both = op::concat({x, pass.embedded(words)}, -1);
    return mlp(between(attend(before(both), pass)));
  };
}

nn::Mixer mamba(const Scope& s, std::int64_t layer, const PretrainedConfig& c) {
  const nn::Mamba2Sizes sizes = mamba_sizes(c);
  nn::Mamba2Parts parts = nn::mamba2_parts(
      s, layer, sizes, {.bias = c.flag("add_bias_linear"), .norm = {.eps = 1e-5, .groups = sizes.groups}});
  parts.shortest_step = c.real("time_step_min");
  return nn::Mamba2(std::move(parts));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const TextDecoderConfig t = text_config(c);
  const std::vector<std::string> kinds = layer_kinds(c);
  const Scope base = model.scope().base_model("model");
  std::vector<std::int64_t> hybrids;
  for (std::size_t i = 0; i < kinds.size(); ++i)
    if (kinds[i] == "hybrid") hybrids.push_back(static_cast<std::int64_t>(i));
  const std::int64_t blocks = divisor(c, "num_mem_blocks");
  if (!c.flag("use_conv_bias"))
    throw ExportError(ErrorCode::unsupported, c.origin() + ": use_conv_bias is false");
  // Of initialization, of training, of how the original computes, and copies of other keys.
  c.harmless({"time_step_max", "time_step_floor", "time_step_limit", "chunk_size", "use_mem_eff_path",
              "num_logits_to_keep", "mamba_headdim", "hybrid_layer_ids", "kv_channels", "num_query_groups",
              "attention_hidden_size", "attention_head_dim"});
  return forward_text_decoder(inputs, model, component, t, [&](const Scope& s, std::int64_t i) -> nn::Block {
    const auto number = std::find(hybrids.begin(), hybrids.end(), i) - hybrids.begin();
    const bool hybrid = number < static_cast<std::ptrdiff_t>(hybrids.size());
    const Scope decoder = hybrid ? s / "mamba_decoder" : s;
    const nn::Norm norm = t.norm(decoder / "input_layernorm");
    const nn::Mixer mixer = mamba(decoder / "mamba", i, c);
    if (!hybrid) return zamba_block(norm, mixer);
    const std::int64_t first = hybrids[static_cast<std::size_t>(number % blocks)];
    if (first != i) s.ignore("shared_transformer");  // copies
    const Use use{base / "layers" / first / "shared_transformer", i, number};
    const nn::Mixer shared = transformer(use, base, t, c);
    return zamba_hybrid_block(norm, mixer, shared,
                              nn::Linear(s / "linear", t.hidden_size, t.hidden_size, false));
  });
}

}  // namespace

void register_zamba2(TasksManager& tasks) {
  tasks.register_model<Zamba2OnnxConfig>({.model_type = "zamba2",
                                          .tasks = nn::text_decoder_tasks(),
                                          .forward = forward,
                                          .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
