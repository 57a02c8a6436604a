// HRM-Text: two stacks that take turns, each several times. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/hrm_text/modeling_hrm_text.py
#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/norms.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
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

/// Linear layers with these names below `s`. The weights of all may be one tensor, `fused`; biases never are.
std::vector<nn::Linear> layers_of(const Scope& s, const std::vector<const char*>& names, const Scope& fused,
                                  std::int64_t in, std::int64_t out, bool bias) {
  std::vector<nn::Linear> made;
  for (const char* name : names) {
    const Scope one = s / name;
    if (!fused.exists()) {
      made.emplace_back(one, in, out, bias);
      continue;
    }
    const auto done = static_cast<std::int64_t>(made.size()), all = static_cast<std::int64_t>(names.size());
    const Weight weight = fused.weight("weight", {all * out, in});
    made.emplace_back(one.path(), weight.slice(0, done * out, (done + 1) * out),
                      bias ? one.weight("bias", {out}) : Weight());
  }
  return made;
}

/// A sigmoid gate on the results of the heads. Keys: gate_proj, q_proj, k_proj, v_proj, o_proj; or
/// attn.gqkv_proj and attn.o_proj.
nn::Mixer attention(const Scope& s, std::int64_t use, const Config& c) {
  const std::vector<nn::Linear> all =
      layers_of(s / "self_attn", {"gate_proj", "q_proj", "k_proj", "v_proj"}, s / "attn" / "gqkv_proj",
                c.hidden_size, c.heads.heads * c.heads.head_dim, c.attention_bias);
  const nn::Projection qkv = [all](Value x, const nn::DecoderPass&) -> nn::QueryKeyValue {
    const Value query = all[1](x), key = all[2](x);
    return {query, key, all[3](x)};
  };
  return nn::gated_attention(c.attention(s / "attn", use, {}, qkv),
                             [gate = all[0]](Value x) { return op::sigmoid(gate(x)); });
}

nn::FeedForward mlp(const Scope& s, const Config& c) {
  const std::vector<nn::Linear> all = layers_of(s, {"gate_proj", "up_proj"}, s / "gate_up_proj",
                                                c.hidden_size, c.intermediate_size, c.mlp_bias);
  const nn::Linear down(s / "down_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
  return [all, down, activation = nn::Activation(c.hidden_act), path = s.path()](Value x) {
    const ModulePath at(x, path);
    const Value gate = activation(all[0](x));
    return down(op::mul(gate, all[1](x)));
  };
}

/// One use of a stack, whose keys and values begin with those of layer `first`.
nn::Block stack(const Scope& s, std::int64_t layers, std::int64_t first, const Config& c) {
  std::vector<nn::Block> blocks;
  for (std::int64_t i = 0; i < layers; ++i) {
    const Scope layer = s / "layers" / i;
    blocks.emplace_back(nn::PreNormBlock{.before_attention = c.norm(layer / "input_layernorm"),
                                         .attention = attention(layer, first + i, c),
                                         .before_mlp = c.norm(layer / "post_attention_layernorm"),
                                         .mlp = mlp(layer / "mlp", c)});
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
                                           .key_names = {.newer = {{".attn.o_proj.", ".self_attn.o_proj."}},
                                                         .embeddings = {"model.embed_tokens.weight"},
                                                         .head = "lm_head.weight"}});
}

}  // namespace onnxport::models
