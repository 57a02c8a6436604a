#include "onnxport/roles.h"

#include <fmt/format.h>

#include <array>

#include "onnxport/error.h"

namespace onnxport {
namespace {

constexpr std::array kRoles = {Role::text_model, Role::vision_tower,  Role::audio_encoder,
                               Role::backbone,   Role::cross_decoder, Role::language_model};

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::text_model:
      return "text model";
    case Role::vision_tower:
      return "vision tower";
    case Role::audio_encoder:
      return "audio encoder";
    case Role::backbone:
      return "backbone";
    case Role::cross_decoder:
      return "cross decoder";
    case Role::language_model:
      return "language model";
  }
  return "?";
}

bool Roles::offers(Role role) const {
  switch (role) {
    case Role::text_model:
      return text_model.has_value();
    case Role::vision_tower:
      return vision_tower.has_value();
    case Role::audio_encoder:
      return audio_encoder.has_value();
    case Role::backbone:
      return backbone.has_value();
    case Role::cross_decoder:
      return cross_decoder.has_value();
    case Role::language_model:
      return language_model.has_value();
  }
  return false;
}

std::vector<Role> Roles::all() const {
  std::vector<Role> offered;
  for (const Role role : kRoles) {
    if (offers(role)) offered.push_back(role);
  }
  return offered;
}

const EncoderRole& Roles::encoder(Role role) const {
  const std::optional<EncoderRole>* found = role == Role::text_model      ? &text_model
                                            : role == Role::vision_tower  ? &vision_tower
                                            : role == Role::audio_encoder ? &audio_encoder
                                                                          : nullptr;
  if (found == nullptr || !found->has_value()) {
    throw ExportError(ErrorCode::internal,
                      fmt::format("'{}' is not an encoder role that the type offers", to_string(role)));
  }
  return **found;
}

}  // namespace onnxport
