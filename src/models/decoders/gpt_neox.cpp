// GPT-NeoX. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gpt_neox/modeling_gpt_neox.py
#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class GptNeoxOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
};

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads, intermediate_size;
  std::string activation;
  double eps;
  bool tied, bias, parallel, eager;
  nn::RopeParameters rope;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        intermediate_size(c.integer("intermediate_size")),
        activation(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        tied(c.flag("tie_word_embeddings", false)),
        bias(c.flag("attention_bias", true)),
        parallel(c.flag("use_parallel_residual", true)),
        eager(eager_attention(c)),
        rope(rope_parameters(c, hidden_size / heads, c.real("rotary_pct"))) {
    // The names of this class win over the common ones, which its files carry as well.
    rope.theta = c.real("rotary_emb_base");
    c.harmless({"partial_rotary_factor"});
  }
};

struct Layer {
  bool parallel;
  nn::LayerNorm input_layernorm, post_attention_layernorm;
  nn::CausalAttention attention;
  nn::Mlp mlp;

  static nn::CausalAttention make_attention(const Scope& s, const Config& c) {
    const nn::HeadSizes sizes{c.hidden_size, c.heads, c.heads, c.hidden_size / c.heads};
    const nn::Linear fused(s / "query_key_value", c.hidden_size, 3 * c.hidden_size, c.bias);
    return {s,
            {.sizes = sizes},
            nn::QkvProjection::fused(fused, sizes, nn::FusedLayout::per_kv_head),
            nn::Linear(s / "dense", c.hidden_size, c.hidden_size, c.bias)};
  }

  Layer(const Scope& s, const Config& c)
      : parallel(c.parallel),
        input_layernorm(s / "input_layernorm", c.hidden_size, c.eps),
        post_attention_layernorm(s / "post_attention_layernorm", c.hidden_size, c.eps),
        attention(make_attention(s / "attention", c)),
        mlp((s / "mlp").path(), nn::Linear(s / "mlp" / "dense_h_to_4h", c.hidden_size, c.intermediate_size),
            nn::Linear(s / "mlp" / "dense_4h_to_h", c.intermediate_size, c.hidden_size), c.activation) {}

  Value operator()(Value x, nn::DecoderPass& pass, std::int64_t layer, const op::AttentionMask& mask,
                   const op::Rope& rope) const {
    const Value attended = attention(input_layernorm(x), pass, layer, mask, rope);
    if (!parallel) {
      x = op::add(attended, x);
      return op::add(mlp(post_attention_layernorm(x)), x);
    }
    const Value made = mlp(post_attention_layernorm(x));
    return op::add(op::add(made, attended), x);
  }
};

struct GptNeox {
  bool eager;
  nn::Embedding embed_in;
  std::vector<Layer> layers;
  nn::LayerNorm final_layer_norm;
  nn::RotaryEmbedding rotary;

  GptNeox(const Scope& s, const Config& c)
      : eager(c.eager),
        embed_in(s / "embed_in", c.vocab_size, c.hidden_size),
        final_layer_norm(s / "final_layer_norm", c.hidden_size, c.eps),
        rotary((s / "rotary_emb").path(), c.rope) {
    for (std::int64_t i = 0; i < c.layers; ++i) layers.emplace_back(s / "layers" / i, c);
  }

  Value operator()(nn::DecoderPass& pass) const {
    Value x = embed_in(pass.input_ids());
    const op::AttentionMask mask = pass.mask({}, eager ? op::NoKeys::uniform : op::NoKeys::zero);
    const op::Rope rope = rotary(pass.position_ids());
    for (std::size_t i = 0; i < layers.size(); ++i)
      x = layers[i](x, pass, static_cast<std::int64_t>(i), mask, rope);
    return final_layer_norm(x);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const GptNeox neox(root.base_model("gpt_neox"), c);
  const auto embed_out = [&](Value hidden) {
    const Weight tied = c.tied ? neox.embed_in.weight() : Weight();
    return nn::output_embedding(root / "embed_out", tied, c.vocab_size, c.hidden_size)(hidden);
  };
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = neox,
                                      .lm_head = embed_out,
                                      .hidden_size = c.hidden_size,
                                      .num_labels = model.config().num_labels(),
                                      .pad_token_id = model.config().maybe_integer("pad_token_id")});
}

}  // namespace

void register_gpt_neox(TasksManager& tasks) {
  tasks.register_model<GptNeoxOnnxConfig>(
      {.model_type = "gpt_neox",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.attention.bias", "*.attention.masked_bias", "*.rotary_emb.inv_freq"}});
}

}  // namespace onnxport::models
