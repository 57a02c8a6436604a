/// The text model of Gemma 4.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

struct Gemma4Config : TextDecoderConfig {
  explicit Gemma4Config(const PretrainedConfig& c);

  /// Of each layer.
  std::vector<nn::Visibility> visible;
  std::vector<nn::HeadSizes> layer_heads;
  std::vector<nn::RopeParameters> layer_rope;
  std::int64_t first_shared;  ///< layers from here on take the keys and values of earlier ones
  std::int64_t token_width;   ///< of what each layer knows of the tokens; 0: nothing
  std::int64_t token_vocab;
  bool keys_are_values;  ///< in layers that see everything
  bool wide_sharers;     ///< layers that take keys of others have feed-forwards of twice the width
  bool mixes;            ///< experts beside the feed-forward
};

/// The keys and values of the layers that have their own.
class Gemma4TextOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  std::vector<StateSpec> states() const override;
};

GgufLayout gguf_gemma4();

/// What the layers know of the tokens.
struct Gemma4LayerTokens {
  /// Embeddings [B, S, H] -> [B, S, layers, width]; empty: nothing.
  std::function<Value(Value embedded, nn::DecoderPass& pass)> make = {};
  std::string key = {};  ///< of the module in a layer that adds it
};

/// The blocks of one pass. The first one gets the embeddings.
nn::MakeBlock gemma4_blocks(const Gemma4LayerTokens& tokens, const PretrainedConfig& config,
                            const Gemma4Config& c);

/// The blocks of one pass with these inputs, whose embeddings lie below `base`.
nn::MakeBlock gemma4_blocks(const Inputs& inputs, const Scope& base, const PretrainedConfig& config,
                            const Gemma4Config& c);

}  // namespace onnxport::models
