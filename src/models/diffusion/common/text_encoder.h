/// Text encoders of transformers as components of a pipeline.
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// input_ids -> the hidden states, and for CLIP one vector of each text, before or after its projection; with
/// InterfaceOption::hidden_states also those of all layers. Without a mask, as pipelines call it.
class TextEncoderComponentConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return text_inputs({"input_ids"}); }
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override;
  void apply(const InterfaceOptions& interface_options, AxesByName& inputs,
             AxesByName& outputs) const override;
};

/// `model`: the part, which has the definition of the encoder's own type.
NamedValues forward_text_encoder(const Inputs& inputs, const Model& model, const Component& component);

}  // namespace onnxport::models
