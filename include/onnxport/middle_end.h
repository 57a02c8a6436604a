/// The middle end: configuration classes that know a modality. An architecture's own class derives from one.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/onnx_config.h"

namespace onnxport {

/// Encoder-based text architectures. Inputs default to input_ids and attention_mask.
class ONNXPORT_API TextEncoderOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;

 protected:
  /// The given names with the axes of text: [batch_size, sequence_length], with num_choices between for
  /// multiple-choice.
  AxesByName text_inputs(std::initializer_list<const char*> names) const;
};

/// Decoder-based text architectures: input_ids, attention_mask, and the cache if the task takes one. Feature
/// extraction and text generation have all interface options.
class ONNXPORT_API TextDecoderOnnxConfig : public OnnxConfigWithPast {
 public:
  using OnnxConfigWithPast::OnnxConfigWithPast;
  AxesByName inputs() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  void apply(const InterfaceOptions& interface_options, AxesByName& inputs,
             AxesByName& outputs) const override;
};

/// The same, followed by position_ids in feature extraction and text generation.
class ONNXPORT_API TextDecoderWithPositionIdsOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  AxesByName inputs() const override;
};

/// Text to text: input_ids and attention_mask of the encoder, and decoder_input_ids of the whole model. Tasks
/// without decoder inputs (classification, question answering) take input_ids and attention_mask.
class ONNXPORT_API TextSeq2SeqOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  using OnnxSeq2SeqConfigWithPast::OnnxSeq2SeqConfigWithPast;
  AxesByName inputs() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
};

/// Vision architectures: pixel_values [batch_size, num_channels, height, width].
class ONNXPORT_API VisionOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  /// Whether the model takes images of any size. If not, height and width are numbers.
  virtual bool takes_any_image_size() const { return true; }
  /// Height and width of an image must be multiples of this.
  virtual std::int64_t image_step() const { return 1; }
  /// The smallest image size that the model takes.
  virtual ImageSize smallest_image() const { return {1, 1}; }
  ImageSizes image_sizes() const override { return {image_step(), smallest_image()}; }
};

/// Text and images side by side, each with its own batch: input_ids and attention_mask [text_batch_size,
/// sequence_length], pixel_values [image_batch_size, num_channels, height, width].
class ONNXPORT_API TextAndVisionOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  DummyInputGenerators dummy_input_generators() const override;
};

/// Audio architectures: input_values [batch_size, sequence_length], samples.
class ONNXPORT_API AudioOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
};

/// Audio features to text: input_features of the encoder, and decoder_input_ids of the whole model.
/// audio-classification has only the encoder. The architecture either fixes the number of frames, or takes
/// any number with an attention_mask [batch_size, frames].
class ONNXPORT_API AudioToTextOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  using OnnxSeq2SeqConfigWithPast::OnnxSeq2SeqConfigWithPast;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  bool has_encoder_mask() const override { return any_frames(); }
  /// The features in input_features.
  virtual AudioFeatures features() const = 0;
  /// If any number of frames is allowed: the number of states for `encoder_sequence_length` frames, as an
  /// expression. The list uses that name for the length of the states too.
  virtual std::string states_length() const { return {}; }

 private:
  bool any_frames() const { return !states_length().empty(); }
};

/// An encoder and a decoder of two other architectures: `encoder` and `decoder` in config.json, each with its
/// own model_type. Sizes and dummy inputs come from their classes.
class ONNXPORT_API EncoderDecoderBaseOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  /// `encoder_role`: the role that the encoder's type must offer. Throws ExportError(unsupported) if one of
  /// the types is not registered or does not offer its role, or if the task needs a cache that the decoder
  /// does not have.
  EncoderDecoderBaseOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                               Role encoder_role = Role::text_model);
  AxesByName inputs() const override;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  /// That of the decoder; for the encoder's file, that of the encoder.
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  std::optional<std::int64_t> longest_sequence() const override;
  ImageSizes image_sizes() const override;
  std::vector<StateSpec> states() const override;
  bool caches_encoder() const override { return caches_encoder_; }
  std::int64_t encoder_width() const override;
  /// The configuration classes of both.
  const OnnxConfig& encoder() const { return *encoder_; }
  const OnnxConfig& decoder() const { return *decoder_; }

 protected:
  /// Inputs of the encoder.
  virtual AxesByName encoder_inputs() const = 0;

 private:
  std::shared_ptr<const OnnxConfig> encoder_, decoder_;
  bool caches_encoder_ = false;
};

}  // namespace onnxport
