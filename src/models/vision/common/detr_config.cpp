#include <fmt/format.h>

#include "models/vision/common/detr.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

[[noreturn]] void refuse(const PretrainedConfig& c, const std::string& what) {
  throw ExportError(ErrorCode::bad_config, c.origin() + ": " + what);
}

}  // namespace

DetrConfig::DetrConfig(const PretrainedConfig& c, NormPlace norms)
    : d_model(c.integer("d_model")),
      num_queries(c.integer("num_queries")),
      num_labels(c.num_labels()),
      encoder_layers(c.integer("encoder_layers")),
      encoder_heads(c.integer("encoder_attention_heads")),
      encoder_ffn_dim(c.integer("encoder_ffn_dim")),
      decoder_layers(c.integer("decoder_layers")),
      decoder_heads(c.integer("decoder_attention_heads")),
      decoder_ffn_dim(c.integer("decoder_ffn_dim")),
      activation(c.string("activation_function")),
      norms(norms),
      // With losses for all layers, the states between the decoder's layers are normed.
      norm_each_layer(c.flag("auxiliary_loss")) {
  // The number of encoder layers again; the backbone has its own number of channels.
  c.harmless({"is_encoder_decoder", "num_hidden_layers", "num_channels"});
  const std::string type = c.string("position_embedding_type");
  if (type != "sine" && type != "learned") {
    refuse(c, fmt::format("position_embedding_type '{}', expected sine or learned", type));
  }
  const bool sines = type == "sine";
  positions = sines ? ImagePositionsKind::sine : ImagePositionsKind::learned;
  const bool heads = encoder_heads > 0 && decoder_heads > 0 && d_model > 0 && d_model % encoder_heads == 0 &&
                     d_model % decoder_heads == 0;
  if (!heads || num_queries < 1 || decoder_layers < 1 || d_model % (sines ? 4 : 2) != 0) {
    refuse(c, fmt::format("d_model {} with {} and {} heads and {} positions, num_queries {}, decoder_layers "
                          "{}: d_model must be a multiple of the heads and of {}, and the others at least 1",
                          d_model, encoder_heads, decoder_heads, type, num_queries, decoder_layers,
                          sines ? 4 : 2));
  }
}

}  // namespace onnxport::models
