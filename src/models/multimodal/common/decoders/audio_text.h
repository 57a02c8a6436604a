/// Language models that hear.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/common/parts.h"
#include "models/multimodal/common/decoders/multimodal_decoder.h"

namespace onnxport::models {

/// A model whose only encoder is that of sound.
class AudioTextOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;

 protected:
  std::vector<std::string> encoders() const override { return {kAudioEncoder}; }
  AxesByName encoder_inputs() const override = 0;
  AxesByName encoder_outputs() const override = 0;
  DummyInputGenerators encoder_dummies() const override = 0;
  NormalizedConfig encoder_normalized() const override { return NormalizedTextConfig(text_config()); }
};

/// Features of sounds: `name`, float, as `features` lays them out, between -1 and 1; and the mask of their
/// frames, [batch_size, frames], of this dtype: every second sound is shorter than the longest.
class DummySoundGenerator : public DummyInputGenerator {
 public:
  struct Mask {
    std::string name = {};
    DType dtype = DType::i64;
  };
  explicit DummySoundGenerator(AudioFeatures features, std::string name = "input_features")
      : DummySoundGenerator(features, std::move(name), Mask{}) {}
  DummySoundGenerator(AudioFeatures features, std::string name, Mask mask)
      : features_(features), name_(std::move(name)), mask_(std::move(mask)) {}
  bool supports_input(std::string_view name) const override {
    return name == name_ || (!mask_.name.empty() && name == mask_.name);
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  std::int64_t frames(const DummyShapes& shapes) const;
  AudioFeatures features_;
  std::string name_;
  Mask mask_;
};

/// The outputs of a component of a model with a whole language model, and an encoder that makes
/// audio_features.
NamedValues forward_audio_text(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                               const Component& component, const FindTextConfig& text_config,
                               Value (*encode)(const Inputs& inputs, const Model& model));

/// The rows of x [N, L, H] whose `real`, bool [N, L], is true, one after the other: [symbol, H].
Value real_rows(Value x, Value real, const Dim& symbol);

/// Means of neighbours, two by two; an odd row at the end is dropped: [N, L, H] -> [N, L / 2, H]. L
/// must be a number. (torch.nn.functional.avg_pool1d)
Value mean_of_pairs(Value x);

}  // namespace onnxport::models
