/// EnCodec: SEANet with a long short-term memory, and residual codebooks. (Défossez et al. 2022)
#pragma once

#include <cstdint>

#include "models/audio/common/codec.h"
#include "models/audio/common/seanet.h"

namespace onnxport::models {

struct EncodecConfig {
  SeanetConfig seanet;
  std::int64_t codebook_size, codebooks;  ///< all that the checkpoint has
  std::int64_t used;                      ///< that the encoder uses: those of the smallest bandwidth

  /// Throws ExportError(unsupported) for audio in chunks and for scaled audio: their codes come with scales.
  explicit EncodecConfig(const PretrainedConfig& c);
};

/// Samples [B, channels, S] -> codes [1, B, used, L]. Keys: encoder, quantizer.
Value encodec_codes(const Scope& s, const EncodecConfig& c, Value samples);
/// Codes [1, B, any number of codebooks, L] -> samples [B, channels, S]. Keys: decoder, quantizer.
Value encodec_samples(const Scope& s, const EncodecConfig& c, Value codes);

}  // namespace onnxport::models
