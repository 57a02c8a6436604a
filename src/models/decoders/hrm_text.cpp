// HRM-Text: two stacks that take turns, each several times. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/hrm_text/modeling_hrm_text.py
#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/norms.h"
#include "onnxport/error.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/gated_attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// How often the stacks are used. Each use of a layer has keys and values of its own.
struct Cycles {
  std::int64_t layers, high, low;  // of a stack; of the slow stack; of the fast one in each of those

  explicit Cycles(const PretrainedConfig& c)
      : layers(c.maybe_integer("num_layers_per_stack").value_or(c.integer("num_hidden_layers"))),
        high(c.integer("H_cycles")),
        low(c.integer("L_cycles")) {
    constexpr std::int64_t kMost = 10'000;
    const auto fits = [](std::int64_t number, std::int64_t least) {
      return number >= least && number <= kMost;
    };
    if (fits(layers, 0) && fits(high, 1) && fits(low, 1) && fits(uses(), 0)) return;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} layers in {} H_cycles of {} L_cycles, expected at most {} in all",
                                  c.origin(), layers, high, low, kMost));
  }
  std::int64_t uses() const { return layers * high * (low + 1); }
};

class HrmTextOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    const std::string layers = std::to_string(Cycles(c).uses());
    return NormalizedTextConfig(c.settled("num_hidden_layers", layers))
        .with_args({{"num_key_value_heads", "num_attention_heads"}});
  }
};

struct Config : TextDecoderConfig {
  bool mlp_bias;
  explicit Config(const PretrainedConfig& c) : TextDecoderConfig(c), mlp_bias(c.flag("mlp_bias")) {
    heads.kv_heads = heads.heads;
    const auto scale = c.maybe_real("embedding_scale");
    embedding_scale = scale ? *scale : 1 / c.real("initializer_range");
    make_norm = rms_norms_without_weight(norm_parameters.eps);
    // Of training; of an input that the model does not have here.
    c.harmless({"L_bp_cycles", "prefix_lm", "num_key_value_heads"});
  }
};

/// A sigmoid gate on the results of the heads. Keys: gqkv_proj or gate_proj, q_proj, k_proj, v_proj; o_proj.
nn::Mixer attention(const Scope& layer, std::int64_t use, const Config& c) {
  const std::int64_t width = c.heads.heads * c.heads.head_dim;
  const bool fused = (layer / "attn").exists();
  const Scope s = layer / (fused ? "attn" : "self_attn"), all = s / "gqkv_proj";
  const auto rows = [&](std::int64_t begin, std::int64_t end) {
    const Weight weight = all.weight("weight", {4 * width, c.hidden_size});
    return nn::Linear(all.path(), weight.slice(0, begin * width, end * width), {});
  };
  const nn::Linear gate =
      fused ? rows(0, 1) : nn::Linear(s / "gate_proj", c.hidden_size, width, c.attention_bias);
  const auto qkv = fused ? nn::QkvProjection::fused(rows(1, 4), c.heads, nn::FusedLayout::stacked)
                         : nn::QkvProjection::separate(s, c.heads, c.attention_bias);
  return nn::gated_attention(c.attention(s, use, {}, qkv), [gate](Value x) { return op::sigmoid(gate(x)); });
}

/// One use of a stack, whose keys and values begin with those of layer `first`.
nn::Block stack(const Scope& s, std::int64_t layers, std::int64_t first, const Config& c) {
  std::vector<nn::Block> blocks;
  for (std::int64_t i = 0; i < layers; ++i) {
    const Scope layer = s / "layers" / i;
    blocks.emplace_back(nn::PreNormBlock{.before_attention = c.norm(layer / "input_layernorm"),
                                         .attention = attention(layer, first + i, c),
                                         .before_mlp = c.norm(layer / "post_attention_layernorm"),
                                         .mlp = c.mlp(layer / "mlp", c.mlp_bias)});
  }
  return [blocks, first, norm = c.norm(s / "final_norm")](Value x, nn::DecoderPass& pass) {
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (first == 0 && i == 0) pass.give("hidden_states.0", x);
      x = blocks[i](x, pass);
      pass.give(fmt::format("hidden_states.{}", first + static_cast<std::int64_t>(i) + 1), x);
    }
    return norm(x);
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Cycles z(config);
  config.harmless({"pad_token_id"});  // no task needs the ends of rows
  const Scope root = model.scope(), base = root.base_model("model");
  const nn::Embedding words(base / "embed_tokens", c.vocab_size, c.hidden_size);
  const Weight start = base.weight("z_L_init", {c.hidden_size});
  std::vector<nn::Block> uses;
  for (std::int64_t i = 0; i < z.high * (z.low + 1); ++i) {
    const bool fast = (i + 1) % (z.low + 1) != 0;
    uses.push_back(stack(base / (fast ? "L_module" : "H_module"), z.layers, i * z.layers, c));
  }
  const auto decode = [&](nn::DecoderPass& pass) {
    Value slow = op::mul(pass.embedded(words), c.embedding_scale);
    Value fast = pass.graph().weight(start);
    for (std::size_t i = 0; i < uses.size(); ++i) {
      const bool of_slow = (static_cast<std::int64_t>(i) + 1) % (z.low + 1) == 0;
      (of_slow ? slow : fast) = uses[i](op::add(fast, slow), pass);
    }
    pass.give(fmt::format("hidden_states.{}", z.uses()), slow);
    return slow;
  };
  const Weight tied = c.tie_word_embeddings ? words.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decode,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size});
}

}  // namespace

void register_hrm_text(TasksManager& tasks) {
  tasks.register_model<HrmTextOnnxConfig>({.model_type = "hrm_text",
                                           .tasks = nn::text_decoder_tasks({}),
                                           .forward = forward,
                                           .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
