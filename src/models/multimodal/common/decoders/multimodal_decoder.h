/// Language models that also see or hear: LLaVA and its relatives.
///
/// An export has a component for each modality (`vision_encoder`, `audio_encoder`), which makes features; one
/// for the table of tokens (`embed_tokens`), and one for the language model (`decoder_model_merged`), which
/// takes vectors. A client embeds the tokens, writes the features over the vectors of placeholder tokens, and
/// decodes. The first call has a past of length 0.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

inline constexpr const char* kVisionEncoder = "vision_encoder";
inline constexpr const char* kAudioEncoder = "audio_encoder";
inline constexpr const char* kEmbedTokens = "embed_tokens";
inline constexpr const char* kDecoder = "decoder_model_merged";
/// Instead of embed_tokens for clients that give it the features too: it returns the whole prompt as vectors.
inline constexpr const char* kEmbedding = "embedding";
/// Ends the name of a part for such clients: features are rows [tokens, hidden_size], and the vectors of a
/// token for all layers are one vector.
inline constexpr std::string_view kOfRows = ":rows";

/// The components of such a model. The language model is any type with that role, the tower any with the role
/// of a vision tower: `text_config` and `vision_config`. The options name the component; without one, the
/// class describes the decoder.
class MultimodalDecoderOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  std::string part() const override;
  void describe(ExportPlan& plan, const PlanRequest& request) const override;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  std::vector<StateSpec> states() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  ImageSizes image_sizes() const override;
  std::int64_t padded_position_id() const override { return language()->padded_position_id(); }
  void apply(const InterfaceOptions& interface_options, AxesByName& inputs,
             AxesByName& outputs) const override;

 protected:
  /// The components that make features, in the order of the files.
  virtual std::vector<std::string> encoders() const { return {kVisionEncoder}; }
  /// Inputs and outputs of the encoder part(): pixel_values as the tower takes them, with the batch axis
  /// num_images -> image_features [num_images, tokens, hidden_size].
  virtual AxesByName encoder_inputs() const;
  virtual AxesByName encoder_outputs() const;
  /// Generators of the encoder's inputs: those of the tower.
  virtual DummyInputGenerators encoder_dummies() const;
  /// The numbers for them: those of the tower.
  virtual NormalizedConfig encoder_normalized() const;
  /// Axes of the decoder's position_ids; absent: it takes none.
  virtual std::optional<Axes> position_axes() const {
    return Axes{{0, "batch_size"}, {1, "sequence_length"}};
  }
  /// Outputs of embed_tokens beside inputs_embeds, which the decoder takes too.
  virtual AxesByName token_extras() const { return {}; }
  /// The configurations of the parts, with no accounting.
  virtual PretrainedConfig text_config() const;
  virtual PretrainedConfig vision_config() const;

  /// Whether options().part ends in kOfRows.
  bool of_rows() const { return options().part.ends_with(kOfRows); }
  bool encodes() const { return part() != kEmbedTokens && part() != kEmbedding && part() != kDecoder; }
  /// The features that encoders give, as kEmbedding takes them, with dummies for them.
  AxesByName feature_inputs() const;
  DummyInputGenerators feature_dummies() const;
  /// The class of the language model, for text generation.
  std::shared_ptr<const OnnxConfig> language() const;
  /// The class of the tower.
  std::shared_ptr<const OnnxConfig> tower() const;
};

/// For encoders in a file that has the keys of the language model at its top: all keys but `own` are
/// harmless.
void leave_other_keys(const PretrainedConfig& whole, std::string_view own);

/// Makes the outputs of an encoder; `component.part` says of which.
using EncodeModality = std::function<NamedValues(const Inputs& inputs, const Component& component)>;

/// Finds the configuration of the language model in that of the whole.
using FindTextConfig = std::function<PretrainedConfig(const PretrainedConfig& whole)>;
/// hidden_size of text_config, for encoders: each component accounts only for the keys of its own part.
std::int64_t text_width(const PretrainedConfig& whole);

/// Whose output layer makes the logits: most types have one of their own, and what scales or caps logits in
/// the type of the language model has no effect. Others hold that type with its output layer.
enum class LogitsOf : std::uint8_t { whole, language_model };

/// The outputs of a component: what `encode` makes, or those of the language model of type
/// text_config.model_type, whose keys are below `prefix`.
NamedValues forward_multimodal_decoder(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                       const Component& component, const FindTextConfig& find_text,
                                       const EncodeModality& encode,
                                       const std::string& prefix = "language_model",
                                       LogitsOf logits = LogitsOf::whole);

/// Makes image_features [images, tokens, hidden_size].
using EncodeImages = Value (*)(const TasksManager& tasks, const Inputs& inputs, const Model& model);

/// The same for a type with text_config and one encoder, of images. `of_clients`: keys for those who feed the
/// files, which no file reads.
Forward image_text_forward(const TasksManager& tasks, EncodeImages encode,
                           std::initializer_list<std::string_view> of_clients);

/// A definition's function with the registry that it asks for its parts.
using ForwardWithTasks = NamedValues (*)(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                         const Component& component);
Forward bound(const TasksManager& tasks, ForwardWithTasks forward);

/// The hidden states of the tower with this configuration, whose keys are below `prefix`. `key` of the
/// configuration names it in errors.
EncoderStates encode_with_tower(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                const PretrainedConfig& vision_config, const char* key = "vision_config",
                                const std::string& prefix = "vision_tower");

/// The names that newer files have for the keys of language_model, vision_tower, and the modules `others`
/// beside them: all below `model`, except for the output layer.
KeyNames multimodal_key_names(const std::vector<std::string>& others = {"multi_modal_projector"});

/// Whether the decoder of a task takes a cache.
bool has_past(std::string_view task);
/// Whether a task is one of those below: it ends in text-to-text, with or without past.
bool is_multimodal_task(std::string_view task);

/// Registers a type for `task` with and without past, with its class Config. For the other tasks of the
/// definition, which leave the encoders out, the class is TextConfig.
template <class Config, class TextConfig = Config>
void register_multimodal_decoder(TasksManager& tasks, ModelDefinition definition,
                                 const std::string& task = "image-text-to-text") {
  offer_roles<TextConfig>(definition);
  definition.tasks.push_back(task);
  definition.tasks.push_back(task + "-with-past");
  definition.onnx_config = [](PretrainedConfig config, std::string of, OnnxConfigOptions options) {
    const auto make = is_multimodal_task(of) ? make_onnx_config<Config> : make_onnx_config<TextConfig>;
    return make(std::move(config), std::move(of), std::move(options));
  };
  tasks.register_definition(std::move(definition));
}

}  // namespace onnxport::models
