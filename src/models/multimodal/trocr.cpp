// TrOCR: a text decoder for image encoders. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/trocr/modeling_trocr.py
#include <cmath>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable

class TrOCROnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  NormalizedConfig normalized_config() const override { return NormalizedSeq2SeqConfig(config()); }
};

struct Config {
  std::int64_t vocab_size, d_model, layers, max_positions, pad;
  nn::Seq2SeqLayerParameters layer;
  double embedding_scale;
  bool learned_positions, embedding_norm, tied;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        d_model(c.integer("d_model")),
        layers(c.integer("decoder_layers")),
        max_positions(c.integer("max_position_embeddings")),
        pad(c.integer("pad_token_id")),
        layer({.hidden_size = d_model,
               .heads = c.integer("decoder_attention_heads"),
               .ffn_dim = c.integer("decoder_ffn_dim"),
               .activation = c.string("activation_function"),
               .encoder_width = c.maybe_integer("cross_attention_hidden_size")}),
        embedding_scale(c.flag("scale_embedding") ? std::sqrt(static_cast<double>(d_model)) : 1),
        learned_positions(c.flag("use_learned_position_embeddings")),
        embedding_norm(c.flag("layernorm_embedding")),
        tied(c.flag("tie_word_embeddings", true)) {
    c.harmless({"is_encoder_decoder"});
  }
};

Value positions(const Scope& s, const Config& c, const nn::DecoderPass& pass) {
  if (c.learned_positions) {
    constexpr std::int64_t kOffset = 2;
    const nn::Embedding table(s, c.max_positions + kOffset, c.d_model);
    return table(op::arange(pass.graph(), pass.length(), pass.past_length() + kOffset));
  }
  const nn::SinusoidalPositions table(s, c.max_positions + c.pad + 1, c.d_model, c.pad);
  return table(pass.input_ids(), pass.past_length());
}

Value logits(nn::Seq2SeqPass& pass, const Model& model) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope s = root / "model" / "decoder";
  const nn::Embedding words(s / "embed_tokens", c.vocab_size, c.d_model);
  Value x = words(pass.input_ids());
  if (c.embedding_scale != 1) x = op::mul(x, c.embedding_scale);
  x = op::add(x, positions(s / "embed_positions", c, pass));
  if (c.embedding_norm) x = nn::LayerNorm(s / "layernorm_embedding", c.d_model, kEps)(x);
  for (std::int64_t i = 0; i < c.layers; ++i)
    x = nn::Seq2SeqDecoderLayer(s / "layers" / i, i, c.layer)(x, pass, &pass);
  const Weight tied = c.tied ? words.weight() : Weight();
  return nn::output_embedding(root / "output_projection", tied, c.vocab_size, c.d_model)(x);
}

}  // namespace

void register_trocr(TasksManager& tasks) {
  tasks.register_model<TrOCROnnxConfig>(
      {.model_type = "trocr",
       .tasks = {},
       .forward = {},
       .key_names = tied("model.decoder.embed_tokens", "output_projection"),
       .roles = {.cross_decoder = CrossDecoder{logits, CrossDecoder::Cache::own_and_encoder}}});
}

}  // namespace onnxport::models
