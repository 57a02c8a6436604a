#include "models/diffusion/common/text_encoder.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

// The class that the pipeline loads, which config.json may not name.
std::string class_of(const PretrainedConfig& config) {
  const std::vector<std::string> classes = config.architectures();
  return classes.empty() ? std::string() : classes.front();
}

// A decoder as text encoder: its hidden states, of which the interface lists some.
NamedValues decoded_text(const Inputs& inputs, const Model& model, const Component& component) {
  NamedValues outputs;
  for (auto& [name, value] : model.definition().forward(inputs, model, component)) {
    if (component.interface.has_output(name)) outputs.emplace_back(name, value);
  }
  return outputs;
}

bool is_clip(const std::string& name) { return name.starts_with("CLIPTextModel"); }
bool is_projected(const std::string& name) { return name.ends_with("WithProjection"); }

}  // namespace

AxesByName TextEncoderComponentConfig::inputs() const {
  if (interface_.input == TextInput::masked) return text_inputs({"input_ids", "attention_mask"});
  return text_inputs({"input_ids"});
}

AxesByName TextEncoderComponentConfig::outputs() const {
  const std::string name = class_of(config().unaccounted());
  const Axes tokens = {{0, "batch_size"}, {1, "sequence_length"}};
  if (interface_.output == TextOutput::last_but_one) {
    const std::int64_t layers = normalized_config()["num_layers"];
    return {{fmt::format("hidden_states.{}", layers - 1), tokens}};
  }
  if (!is_clip(name)) return {{"last_hidden_state", tokens}};
  if (is_projected(name)) return {{"text_embeds", {{0, "batch_size"}}}, {"last_hidden_state", tokens}};
  return {{"last_hidden_state", tokens}, {"pooler_output", {{0, "batch_size"}}}};
}

NormalizedConfig TextEncoderComponentConfig::normalized_config() const {
  // In a model that also takes images, the language model reads the text.
  const PretrainedConfig text =
      config().unaccounted().given("text_config") ? config().sub("text_config") : config();
  const bool other_name = text.unaccounted().has("num_layers");  // T5
  return NormalizedTextConfig(text).with_args(
      {{"num_layers", other_name ? "num_layers" : "num_hidden_layers"}});
}

void TextEncoderComponentConfig::apply(const InterfaceOptions& interface_options, AxesByName& inputs,
                                       AxesByName& outputs) const {
  InterfaceOptions others = interface_options;
  if (others.erase(InterfaceOption::hidden_states) > 0) {
    const std::int64_t layers = normalized_config()["num_layers"];
    for (std::int64_t i = 0; i <= layers; ++i)
      outputs.emplace_back(fmt::format("hidden_states.{}", i),
                           Axes{{0, "batch_size"}, {1, "sequence_length"}});
  }
  TextEncoderOnnxConfig::apply(others, inputs, outputs);
}

NamedValues forward_text_encoder(const Inputs& inputs, const Model& model, const Component& component) {
  const Roles& roles = model.definition().roles;
  if (roles.language_model) return decoded_text(inputs, model, component);
  const PretrainedConfig& c = model.config();
  const std::string name = class_of(c);
  // The encoder of an encoder with a decoder, or the whole model.
  Component encoder = component;
  encoder.part = "encoder";
  const EncoderStates text = roles.encoder(Role::text_model).encode(inputs, model, encoder);
  NamedValues outputs = {{"last_hidden_state", text.hidden}};
  if (is_clip(name) && is_projected(name)) {
    const nn::Linear project(model.scope() / "text_projection", c.integer("hidden_size"),
                             c.integer("projection_dim"), false);
    outputs.insert(outputs.begin(), {"text_embeds", project(text.pooled)});
  } else if (is_clip(name)) {
    outputs.emplace_back("pooler_output", text.pooled);
  }
  if (!component.interface.has_output("hidden_states.0")) return outputs;
  if (text.layers.empty()) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: a text encoder of type '{}' does not give the hidden states of its layers, "
                    "which this pipeline needs",
                    c.origin(), c.model_type()));
  }
  for (std::size_t i = 0; i < text.layers.size(); ++i)
    outputs.emplace_back(fmt::format("hidden_states.{}", i), text.layers[i]);
  return outputs;
}

}  // namespace onnxport::models
