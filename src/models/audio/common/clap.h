/// CLAP's audio tower: a Swin Transformer over spectrograms. (Chen et al. 2022, HTS-AT)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {

/// Throws ExportError(bad_config | unsupported).
struct ClapAudioConfig {
  explicit ClapAudioConfig(const PretrainedConfig& config);

  std::int64_t window_size, mel_bins, spec_size, embed_dim, hidden_size;
  std::vector<std::int64_t> patch_size, patch_stride;  ///< two each
  std::vector<std::int64_t> depths, heads;             ///< of each stage
  double mlp_ratio, eps;
  bool qkv_bias, patch_norm;
  std::string hidden_act;

  std::int64_t stages() const { return static_cast<std::int64_t>(depths.size()); }
  std::int64_t width(std::int64_t stage) const { return embed_dim << stage; }
  /// Parts that the time axis is cut into; they are stacked to a square image.
  std::int64_t parts() const { return spec_size / mel_bins; }
  /// The most frames.
  std::int64_t frames() const { return spec_size * parts(); }
};

/// input_features [B, 1, frames, mel bins] -> hidden [B, C, rows, columns], pooled [B, C]. `s`: the scope of
/// the encoder.
EncoderStates encode_clap_audio(const Scope& s, const ClapAudioConfig& c, Value input_features);

/// linear2(activation(linear1(x))), from the width of a tower to that of the embeddings. `config`: that of
/// the tower.
nn::Mlp clap_projection(const Scope& s, const PretrainedConfig& config);

/// input_features with at most `frames` frames.
class DummyClapAudioInputGenerator : public DummyFloatInputGenerator {
 public:
  explicit DummyClapAudioInputGenerator(const ClapAudioConfig& c)
      : frames_(c.frames()), mel_bins_(c.mel_bins) {}
  bool supports_input(std::string_view name) const override { return name == "input_features"; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;

 private:
  std::int64_t frames_, mel_bins_;
};

/// The axis of the frames, called as in published files.
inline constexpr const char* kClapFrames = "height";

}  // namespace onnxport::models
