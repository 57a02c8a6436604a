/// Interface of audio codecs: one file from samples to codes, and one back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// What a codec takes and gives.
struct CodecSizes {
  std::int64_t channels = 1;       ///< of the samples
  std::int64_t codebooks = 1;      ///< that its encoder uses
  std::int64_t codebook_size = 1;  ///< codes are less than this
};

/// encoder_model: input_values [batch_size, channels, sequence_length] -> audio_codes [batch_size, codebooks,
/// codes_length]; decoder_model: audio_codes -> audio_values [batch_size, channels, sequence_length].
class CodecOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  std::string part() const override;  ///< "encoder" or "decoder"
  void describe(ExportPlan& plan, const PlanRequest& request) const override;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override { return {config(), {}}; }
  DummyInputGenerators dummy_input_generators() const override;

 protected:
  virtual CodecSizes sizes() const = 0;
  /// The codes have an axis in front, for the only chunk: [1, batch_size, codebooks, codes_length].
  virtual bool has_chunk_axis() const { return false; }
  /// The decoder's samples have no axis of channels.
  virtual bool squeezes_channels() const { return false; }
};

/// input_values and audio_codes of a codec.
class DummyCodecInputGenerator : public DummyInputGenerator {
 public:
  DummyCodecInputGenerator(CodecSizes sizes, bool chunk_axis) : sizes_(sizes), chunk_axis_(chunk_axis) {}
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  CodecSizes sizes_;
  bool chunk_axis_;
};

/// A table of vectors, each of which stands for a code. It computes in float32 in every dtype: what is left
/// of a vector after some codebooks is small.
class Codebook {
 public:
  /// `table` [codes, D].
  Codebook(std::string path, const Weight& table);
  /// The nearest vectors of x [B, L, D]: int64 [B, L]
  Value nearest(Value x) const;
  /// The vectors of codes [B, L]: float32 [B, L, D]
  Value operator()(Value codes) const;

 private:
  std::string path_;
  Weight table_;
};

/// Each codebook has the codes of what the ones before it left of x [B, L, D]: int64 [B, codebooks, L].
Value residual_codes(Value x, const std::vector<Codebook>& codebooks);
/// The sum of the vectors of codes [B, codebooks, L]: [B, L, D] in the dtype of the graph.
Value sum_of_vectors(Value codes, const std::vector<Codebook>& codebooks);

}  // namespace onnxport::models
