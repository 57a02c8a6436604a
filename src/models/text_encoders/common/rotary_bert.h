/// BERT with rotary positions: the encoders of embedding models.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/text_encoders/common/post_norm_layer.h"
#include "models/text_encoders/common/rotary_attention.h"
#include "onnxport/inputs.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/scope.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// Also reads rope_parameters and head_dim.
struct RotaryBertConfig : TextEncoderConfig {
  explicit RotaryBertConfig(const PretrainedConfig& config);
  nn::RopeParameters rope;
  nn::HeadSizes heads;
};

/// The keys of published checkpoints, in which one layer computes queries, keys and values.
struct RotaryBertKeys {
  const char* embeddings_norm;
  const char* layers;
  const char *attention, *qkv, *output;  ///< below a layer; the last two below `attention`
  PostNormKeys norms;
};

/// Makes the feed-forward of a layer. `published`: its keys are those of RotaryBertKeys, not of the library.
using MakeMlp = std::function<nn::FeedForward(const Scope& s, bool published)>;

class RotaryBert {
 public:
  /// `published`: the names of the checkpoints outside the library. `bias`: of the layers of attention.
  RotaryBert(const Scope& s, const RotaryBertConfig& c, const RotaryBertKeys& published, bool bias,
             const MakeMlp& make_mlp);
  /// [B, S, H]
  Value operator()(const Inputs& in) const;
  const Weight& words() const { return embeddings_.words(); }

 private:
  nn::RopeParameters rope_;
  nn::TextEmbeddings embeddings_;
  nn::LayerNorm embeddings_norm_;
  std::vector<PostNormLayer<RotaryAttention>> layers_;
};

}  // namespace onnxport::models
