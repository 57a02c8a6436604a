/// Dummy inputs of transducers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "onnxport/dummy_inputs.h"

namespace onnxport::models {

struct TransducerSizes {
  std::int64_t mel_bins = 0, encoder_width = 0, decoder_width = 0, layers = 0, vocab_size = 0;
};

/// audio_features and the length of each row; targets, their lengths and the states of the LSTM; the results
/// of encoder and decoder, which the joiner takes.
class DummyTransducerInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyTransducerInputGenerator(const TransducerSizes& sizes) : sizes_(sizes) {}
  bool supports_input(std::string_view /*name*/) const override { return true; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const std::int64_t batch = shapes.batch_size, length = shapes.sequence_length;
    if (name == "audio_features") return {context.float_dtype, {batch, sizes_.mel_bins, frames(shapes)}};
    if (name == "length" || name == "targets_length") return {context.int_dtype, {batch}};
    if (name == "targets") return {context.int_dtype, {batch, length}};
    if (name.starts_with("lstm_")) return {context.float_dtype, {sizes_.layers, batch, sizes_.decoder_width}};
    const bool encoded = name == "encoder_outputs";
    return {context.float_dtype,
            {batch, encoded ? length + 2 : length, encoded ? sizes_.encoder_width : sizes_.decoder_width}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (name != "length" && !name.starts_with("targets")) return random_floats(seed, name, type);
    const std::vector<std::int64_t> extents = static_shape(type.shape).value();
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < extents[0] * (extents.size() > 1 ? extents[1] : 1); ++i)
      values.push_back(value(name, shapes, i + static_cast<std::int64_t>(seed % 7)));
    return Tensor::from_ints(type.dtype, extents, values);
  }

 private:
  // Row 0 is the longest.
  std::int64_t value(std::string_view name, const DummyShapes& shapes, std::int64_t i) const {
    if (name == "targets") return (i * 7) % sizes_.vocab_size;
    const std::int64_t longest = name == "length" ? frames(shapes) : shapes.sequence_length;
    return std::max<std::int64_t>(longest - i % shapes.batch_size, 1);
  }
  static std::int64_t frames(const DummyShapes& shapes) {
    constexpr std::int64_t kMost = 300;  // more would show nothing else, but attention takes long
    return std::min(shapes.nb_max_frames, kMost);
  }
  TransducerSizes sizes_;
};

}  // namespace onnxport::models
