// XGLM. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/xglm/modeling_xglm.py
#include <cmath>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;                // torch's default: no knob
constexpr std::int64_t kPositionOffset = 2;  // rows of the position table in front of position 0

class XglmOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args({{"num_layers", "num_layers"},
                                                     {"num_attention_heads", "attention_heads"},
                                                     {"hidden_size", "d_model"}});
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const std::int64_t vocab_size = c.integer("vocab_size"), d_model = c.integer("d_model");
  const nn::Seq2SeqLayerParameters layers{.hidden_size = d_model,
                                          .heads = c.integer("attention_heads"),
                                          .ffn_dim = c.integer("ffn_dim"),
                                          .activation = c.string("activation_function"),
                                          .norm_before = true};
  const double scale = c.flag("scale_embedding") ? std::sqrt(static_cast<double>(d_model)) : 1;
  const Scope root = model.scope(), s = root.base_model("model");
  const nn::Embedding embed_tokens(s / "embed_tokens", vocab_size, d_model);
  const nn::SinusoidalPositions embed_positions(s / "embed_positions",
                                                c.integer("max_position_embeddings") + kPositionOffset,
                                                d_model, c.maybe_integer("pad_token_id").value_or(-1));
  const auto embed = [&](nn::DecoderPass& pass) {
    const Value words = pass.embedded([&](Value ids) { return op::mul(embed_tokens(ids), scale); });
    const Value rows = op::add(pass.position_ids(), static_cast<double>(kPositionOffset));
    return op::add(words, embed_positions.rows(rows));
  };
  const nn::DecoderStack decoder(
      s, "layers", c.integer("num_layers"),
      [&](const Scope& layer, std::int64_t i) { return nn::Seq2SeqDecoderLayer(layer, i, layers, true); },
      embed, nn::LayerNorm(s / "layer_norm", d_model, kEps));
  const Weight tied = c.flag("tie_word_embeddings", true) ? embed_tokens.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, vocab_size, d_model),
       .hidden_size = d_model});
}

}  // namespace

void register_xglm(TasksManager& tasks) {
  tasks.register_model<XglmOnnxConfig>(
      {.model_type = "xglm",
       .tasks = {"feature-extraction", "text-generation", "text-generation-with-past"},
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
