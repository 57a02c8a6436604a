/// Text encoders of transformers as components of a pipeline.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "models/common/definition.h"

namespace onnxport::models {

/// The inputs that a pipeline has for its text encoders.
enum class TextInput : std::uint8_t {
  plain,  ///< input_ids
  masked  ///< input_ids and attention_mask
};

/// The outputs that a pipeline takes from its text encoders.
enum class TextOutput : std::uint8_t {
  last,         ///< the last hidden states
  all,          ///< of CLIP also the states of all layers
  last_but_one  ///< only the states in front of the last layer
};

struct TextInterface {
  TextInput input = TextInput::plain;
  TextOutput output = TextOutput::last;
};

/// input_ids and maybe attention_mask -> the hidden states, and for CLIP one vector of each text, before or
/// after its projection; with InterfaceOption::hidden_states also those of all layers.
class TextEncoderComponentConfig : public TextEncoderOnnxConfig {
 public:
  TextEncoderComponentConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                             const TextInterface& interface)
      : TextEncoderOnnxConfig(std::move(config), std::move(task), std::move(options)),
        interface_(interface) {}
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override;
  void apply(const InterfaceOptions& interface_options, AxesByName& inputs,
             AxesByName& outputs) const override;

 private:
  TextInterface interface_;
};

/// `model`: the part, which has the definition of the encoder's own type.
NamedValues forward_text_encoder(const Inputs& inputs, const Model& model, const Component& component);

}  // namespace onnxport::models
