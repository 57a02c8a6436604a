/// Roles that a model type can play in composite models.
///
/// A composite model names the role of a part and finds its type in the part's configuration. Any type that
/// offers the role works.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "onnxport/dim.h"
#include "onnxport/export_macro.h"
#include "onnxport/graph.h"

namespace onnxport {

class Inputs;
class Model;
struct Component;
class PretrainedConfig;
class Scope;

namespace nn {
class Seq2SeqPass;
}

enum class Role : std::uint8_t {
  text_model,      ///< tokens to hidden states
  vision_tower,    ///< images to hidden states
  audio_encoder,   ///< samples or features to hidden states
  backbone,        ///< images to the features of chosen stages
  cross_decoder,   ///< tokens and the hidden states of another type's encoder to logits
  language_model,  ///< vectors and a cache to logits
};
/// "text model", "vision tower", …
ONNXPORT_API std::string_view to_string(Role role);

/// The results of an encoder.
struct EncoderStates {
  Value hidden;       ///< [B, S, H]
  Value pooled = {};  ///< [B, D]: one vector per row; absent if the type has none
  /// The embeddings, then the result of each layer [B, S, H]; empty if the type does not give them.
  std::vector<Value> layers = {};
};

/// A type as the encoder of another model: its text model, vision tower or audio encoder.
struct EncoderRole {
  /// `model` is the part, with its own configuration and a scope at the root of its keys. `component` is its
  /// encoder for feature-extraction. If `encode` is empty, the hidden states are the first output of
  /// feature-extraction.
  std::function<EncoderStates(const Inputs& inputs, const Model& model, const Component& component)> encode =
      {};
};

/// Features of the stages that the configuration of a backbone selects, in the order of the layers.
struct BackboneFeatures {
  /// Images [B, C, H', W'], or tokens [B, 1 + rows * columns, H] that start with a class token.
  std::vector<Value> stages;
  Dim rows = 0, columns = 0;  ///< of tokens, in patches
};

/// A type as the backbone of another model.
struct BackboneRole {
  /// `s` is the root of the backbone's keys, `config` its own configuration. pixel_values [B, C, H, W].
  std::function<BackboneFeatures(const Scope& s, const PretrainedConfig& config, Value pixel_values)>
      features;
};

/// A type as the decoder for an encoder of another type.
struct CrossDecoder {
  /// The keys and values that are kept between tokens.
  enum class Cache {
    none,
    own,             ///< keys and values of its own tokens
    own_and_encoder  ///< also those of the encoder's states
  };
  /// Logits [B, S, V]. `model` is the decoder: its own config, and a scope that starts at its keys.
  std::function<Value(nn::Seq2SeqPass& pass, const Model& model)> logits;
  Cache cache = Cache::none;
};

/// A type as the language model of a model that sees or hears.
struct LanguageModelRole {
  /// `inputs`: inputs_embeds [B, S, H], attention_mask, states and maybe position_ids -> logits and states;
  /// or input_ids -> inputs_embeds, where the interface of the component lists no other output. `model` is
  /// the part, with its own configuration and a scope at the root of its keys, and has the component's task:
  /// text-generation, with or without past. If `decode` is empty, it is the type's text generation.
  std::function<NamedValues(const Inputs& inputs, const Model& model, const Component& component)> decode =
      {};
};

/// The roles that a type offers; those that it does not offer are absent.
struct ONNXPORT_API Roles {
  std::optional<EncoderRole> text_model = {}, vision_tower = {}, audio_encoder = {};
  std::optional<BackboneRole> backbone = {};
  std::optional<CrossDecoder> cross_decoder = {};
  std::optional<LanguageModelRole> language_model = {};

  bool offers(Role role) const;
  /// The roles that are offered.
  std::vector<Role> all() const;
  /// One of the first three roles. Throws ExportError(internal) for any other role, or if the role is absent.
  const EncoderRole& encoder(Role role) const;
};

}  // namespace onnxport
