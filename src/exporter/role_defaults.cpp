#include "exporter/role_defaults.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "support/text.h"

namespace onnxport::exporter {
namespace {

void complete(std::optional<EncoderRole>& role, const Forward& forward) {
  if (!role || role->encode) return;
  role->encode = [forward](const Inputs& inputs, const Model& model,
                           const Component& component) -> EncoderStates {
    const NamedValues outputs = forward(inputs, model, component);
    const auto& [name, hidden] = outputs.at(0);
    if (hidden.rank() == 3) return {hidden};
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format(
            "{}: an encoder of type '{}' returns {} of {}, expected hidden states [batch, sequence, width]",
            model.config().origin(), model.definition().model_type, name, to_string(hidden.type())));
  };
}

}  // namespace

bool needs_forward(const Roles& roles) {
  const auto needs = [](const std::optional<EncoderRole>& role) { return role && !role->encode; };
  return needs(roles.text_model) || needs(roles.vision_tower) || needs(roles.audio_encoder) ||
         (roles.language_model && !roles.language_model->decode);
}

void complete_roles(ModelDefinition& definition) {
  Roles& roles = definition.roles;
  for (auto* role : {&roles.text_model, &roles.vision_tower, &roles.audio_encoder})
    complete(*role, definition.forward);
  if (roles.language_model && !roles.language_model->decode)
    roles.language_model->decode = definition.forward;
}

std::string in_words(const Roles& roles) {
  std::vector<std::string> words;
  for (const Role role : roles.all()) words.emplace_back(to_string(role));
  return text::join(words);
}

}  // namespace onnxport::exporter
