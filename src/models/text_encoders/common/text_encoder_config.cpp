#include "onnxport/text_encoder_config.h"

#include "models/common/definition.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport {

TextEncoderConfig::TextEncoderConfig(const PretrainedConfig& c)
    : vocab_size(c.integer("vocab_size")),
      hidden_size(c.integer("hidden_size")),
      num_hidden_layers(c.integer("num_hidden_layers")),
      num_attention_heads(c.integer("num_attention_heads")),
      intermediate_size(c.integer("intermediate_size")),
      max_position_embeddings(c.integer("max_position_embeddings")),
      type_vocab_size(c.integer("type_vocab_size", 0)),
      num_labels(c.num_labels()),
      hidden_act(c.string("hidden_act")),
      position_embedding_type(c.string("position_embedding_type", "absolute")),
      layer_norm_eps(c.real("layer_norm_eps")),
      tie_word_embeddings(c.flag("tie_word_embeddings", true)) {
  // Transformers 5 knows no others, whatever a file still says.
  if (c.transformers_major() >= 5) position_embedding_type = "absolute";
  c.harmless({"pad_token_id"});  // zeroes the gradient of a row; where positions depend on it, the definition
                                 // reads it
  models::check_heads(c, hidden_size, num_attention_heads);
}

nn::TextEmbeddingsParameters TextEncoderConfig::embeddings() const {
  return {.vocab_size = vocab_size,
          .width = hidden_size,
          .max_positions = max_position_embeddings,
          .token_types = type_vocab_size,
          .eps = layer_norm_eps,
          .add_positions = position_embedding_type == "absolute"};
}

nn::EncoderLayerParameters TextEncoderConfig::layer() const {
  nn::EncoderLayerParameters layer;
  layer.attention.hidden_size = hidden_size;
  layer.attention.heads = num_attention_heads;
  if (position_embedding_type.starts_with("relative_key"))
    layer.attention.relative_positions =
        nn::RelativeKeyParameters{.max_positions = max_position_embeddings,
                                  .with_key = position_embedding_type == "relative_key_query"};
  layer.intermediate_size = intermediate_size;
  layer.activation = hidden_act;
  layer.eps = layer_norm_eps;
  return layer;
}

nn::MaskedLmHeadParameters TextEncoderConfig::masked_lm_head() const {
  nn::MaskedLmHeadParameters head;
  head.in = hidden_size;
  head.width = hidden_size;
  head.vocab_size = vocab_size;
  head.eps = layer_norm_eps;
  return head;
}

}  // namespace onnxport
