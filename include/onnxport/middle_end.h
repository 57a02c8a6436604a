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

/// Decoder-based text architectures: input_ids, attention_mask, and the cache where the task takes one.
class ONNXPORT_API TextDecoderOnnxConfig : public OnnxConfigWithPast {
 public:
  using OnnxConfigWithPast::OnnxConfigWithPast;
  AxesByName inputs() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
};

/// The same with position_ids at the end, in feature extraction and text generation.
class ONNXPORT_API TextDecoderWithPositionIdsOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  AxesByName inputs() const override;
};

/// Text to text: input_ids and attention_mask of the encoder, decoder_input_ids of the whole. Tasks without a
/// decoder of their own (classification, question answering) take input_ids and attention_mask.
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
  /// Does the model take images of any size? If not, height and width are numbers.
  virtual bool takes_any_image_size() const { return true; }
  /// Height and width of an image must be multiples of this.
  virtual std::int64_t image_step() const { return 1; }
  /// The smallest image that the model takes.
  virtual ImageSize smallest_image() const { return {1, 1}; }
  ImageSizes image_sizes() const override { return {image_step(), smallest_image()}; }
};

/// Text and images side by side, with batches of their own: input_ids and attention_mask [text_batch_size,
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

/// Audio features to text: input_features of the encoder and decoder_input_ids of the whole.
/// audio-classification has the encoder alone. The architecture fixes the number of frames, or it takes any,
/// with an attention_mask [batch_size, frames].
class ONNXPORT_API AudioToTextOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  using OnnxSeq2SeqConfigWithPast::OnnxSeq2SeqConfigWithPast;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  bool has_encoder_mask() const override { return any_frames(); }
  /// Of input_features.
  virtual AudioFeatures features() const = 0;
  /// Where any number of frames will do: how many states the encoder makes of `encoder_sequence_length`
  /// frames. The list calls the length of the states by that name too.
  virtual std::string states_length() const { return {}; }

 private:
  bool any_frames() const { return !states_length().empty(); }
};

/// An encoder and a decoder that are two other architectures: `encoder` and `decoder` of config.json, each
/// with its own model_type. Sizes and dummy inputs come from their classes.
class ONNXPORT_API EncoderDecoderBaseOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  /// `encoder_role`: the role that the encoder's type must offer. Throws ExportError(unsupported) when one of
  /// the types is not registered or does not offer its role, or when the decoder keeps no cache and the task
  /// asks for one.
  EncoderDecoderBaseOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                               Role encoder_role = Role::text_model);
  AxesByName inputs() const override;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  /// Of the decoder; in the encoder's file, of the encoder.
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  std::optional<std::int64_t> longest_sequence() const override;
  ImageSizes image_sizes() const override;
  std::vector<StateSpec> states() const override;
  bool caches_encoder() const override { return caches_encoder_; }
  std::int64_t encoder_width() const override;
  /// The classes of the two.
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
