/// The configuration classes: which inputs, outputs, axes, dummy inputs and tolerances an exported model has.
///
/// Three levels, as in the field's exporter documentation: generic bases (OnnxConfig), middle-end classes
/// that know the modality (TextEncoderOnnxConfig, …), and one class per architecture (BertOnnxConfig), which
/// lives in the architecture's own file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"
#include "onnxport/graph.h"
#include "onnxport/patching.h"
#include "onnxport/roles.h"
#include "onnxport/tensor.h"

namespace onnxport {

/// Position of an axis -> its symbol. Axes that are not listed are static.
using Axes = std::map<int, std::string>;
/// Names of tensors with their dynamic axes, in the order of the exported file.
using AxesByName = std::vector<std::pair<std::string, Axes>>;

/// Sizes of dummy inputs; the defaults are those of the command line.
struct DummyShapes {
  std::int64_t batch_size = 2;
  std::int64_t sequence_length = 16;
  std::int64_t past_sequence_length = 16;    ///< of a cache, where the file takes one
  std::int64_t decoder_sequence_length = 0;  ///< tokens of a decoder behind an encoder; 0: sequence_length
  std::int64_t text_batch_size = 0;          ///< of text beside images; 0: batch_size
  std::int64_t num_choices = 4;
  std::int64_t width = 64;      ///< where neither the model nor its preprocessor has an image size, or
  std::int64_t height = 64;     ///< `any_image_size` says to take these
  bool any_image_size = false;  ///< images of width and height, where the model takes any
  std::int64_t num_channels = 3;
  std::int64_t feature_size = 80;
  std::int64_t nb_max_frames = 3000;
  std::int64_t audio_sequence_length = 16000;
  std::int64_t point_batch_size = 3;
  std::int64_t nb_points_per_image = 2;
  std::int64_t visual_seq_length = 16;
};

class OnnxConfig;

/// Makes dummy tensors for the inputs that it knows by name. Generators are listed in
/// OnnxConfig::dummy_input_generators(); the first that supports an input makes it.
class ONNXPORT_API DummyInputGenerator {
 public:
  virtual ~DummyInputGenerator() = default;
  virtual bool supports_input(std::string_view name) const = 0;
  /// A tensor of the right dtype, rank and static extents; `seed` varies the values.
  virtual Tensor generate(std::string_view name, const OnnxConfig& config, const DummyShapes& shapes,
                          std::uint64_t seed) const = 0;

 protected:
  /// Floats between -1 and 1, the same for the same seed and name.
  static Tensor random_floats(std::uint64_t seed, std::string_view name, DType dtype,
                              const std::vector<std::int64_t>& shape);
};

/// input_ids, attention_mask, token_type_ids, position_ids: [batch_size, sequence_length], and
/// [batch_size, num_choices, sequence_length] for multiple-choice.
class ONNXPORT_API DummyTextInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  Tensor generate(std::string_view name, const OnnxConfig& config, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

/// past_key_values.{i}.key|value: [batch_size, heads, past_sequence_length, head size], between -1 and 1.
class ONNXPORT_API DummyPastKeyValuesGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  Tensor generate(std::string_view name, const OnnxConfig& config, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

/// What a decoder takes besides its own tokens: decoder_input_ids [batch_size, decoder_sequence_length],
/// encoder_hidden_states [batch_size, length of the states, their width], encoder_attention_mask
/// [batch_size, encoder_sequence_length], and past_key_values.{i}.decoder|encoder.key|value.
class ONNXPORT_API DummySeq2SeqInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  Tensor generate(std::string_view name, const OnnxConfig& config, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

/// input_values: samples [batch_size, audio_sequence_length], between -1 and 1.
class ONNXPORT_API DummyAudioInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  Tensor generate(std::string_view name, const OnnxConfig& config, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

/// Of an AudioToTextOnnxConfig: input_features [batch_size, its feature_shape()], between -1 and 1, and the
/// attention_mask of their frames.
class ONNXPORT_API DummyAudioFeaturesInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  Tensor generate(std::string_view name, const OnnxConfig& config, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

/// Extents of an image, in pixels.
struct ImageSize {
  std::int64_t height = 0, width = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};
/// What preprocessor_config.json in this folder makes of images: its crop_size or size; nothing where there
/// is no such file, or none of them.
ONNXPORT_API std::optional<ImageSize> preprocessor_image_size(const std::filesystem::path& folder);

/// pixel_values: images [batch_size, num_channels, height, width], between -1 and 1. Their size is that of
/// image_size of the normalized config, else that of the preprocessor, else the one of the shapes.
class ONNXPORT_API DummyVisionInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  Tensor generate(std::string_view name, const OnnxConfig& config, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

using DummyInputGenerators = std::vector<std::shared_ptr<const DummyInputGenerator>>;

/// Which part of an encoder-decoder a file holds.
enum class ConfigBehavior {
  monolith,  ///< all of it
  encoder,
  decoder,
};

struct OnnxConfigOptions;
/// Makes one configuration class; register_model() knows it.
using MakeOnnxConfig = std::shared_ptr<const OnnxConfig> (*)(PretrainedConfig config, std::string task,
                                                             OnnxConfigOptions options);

/// One file of an export.
struct OnnxFile {
  std::string stem;  ///< "model", "encoder_model", "decoder_with_past_model", …
  std::shared_ptr<const OnnxConfig> config;
};

/// What an OnnxConfig is made with besides config and task.
struct OnnxConfigOptions {
  std::string int_dtype = "int64";   ///< of integer inputs: int64, int32
  std::string float_dtype = "fp32";  ///< fp32, fp16, bf16
  bool legacy = false;
  std::string variant = "default";
  std::optional<ImageSize> preprocessor_size = {};  ///< preprocessor_image_size() of the folder
  // Of encoder-decoders.
  ConfigBehavior behavior = ConfigBehavior::monolith;
  bool use_past = false;            ///< of a decoder: gives its cache
  bool use_past_in_inputs = false;  ///< of a decoder: takes its cache
  MakeOnnxConfig make = nullptr;    ///< set by register_model(): the class itself
};

/// Names, axes, dummy inputs and tolerances of one exported file. Abstract base of all configuration classes.
class ONNXPORT_API OnnxConfig : public std::enable_shared_from_this<OnnxConfig> {
 public:
  /// Throws ExportError(invalid_argument) for an unknown dtype.
  explicit OnnxConfig(PretrainedConfig config, std::string task = "feature-extraction",
                      OnnxConfigOptions options = {});
  virtual ~OnnxConfig() = default;

  const PretrainedConfig& config() const { return config_; }
  const std::string& task() const { return task_; }
  const OnnxConfigOptions& options() const { return options_; }
  DType int_dtype() const { return int_dtype_; }
  DType float_dtype() const { return float_dtype_; }

  /// Inputs with their dynamic axes, in order.
  virtual AxesByName inputs() const = 0;
  /// Outputs with their dynamic axes, in order; by task, unless overridden. A length that strides divide may
  /// go by the name of the length that it comes from.
  virtual AxesByName outputs() const;
  /// The length that the list of a tensor's axes calls `symbol`: the symbol itself, unless the list calls two
  /// lengths alike.
  virtual Dim axis_length(std::string_view tensor, const std::string& symbol) const;
  /// Does the file take a cache?
  virtual bool use_past_in_inputs() const { return false; }
  virtual NormalizedConfig normalized_config() const = 0;
  virtual DummyInputGenerators dummy_input_generators() const = 0;
  /// Largest |difference| relative to max(1, max|reference|) that validation accepts at fp32.
  virtual double atol_for_validation() const { return 1e-5; }
  virtual int default_onnx_opset() const { return 18; }
  /// What clients give as position of a masked token.
  virtual std::int64_t padded_position_id() const { return 1; }
  /// The longest sequence that tables of positions hold, for validation: max_position_embeddings of the
  /// normalized config, where it has one.
  virtual std::optional<std::int64_t> longest_sequence() const;
  /// Compared with `transformers_version` of config.json; empty: any.
  virtual std::string min_transformers_version() const { return {}; }
  virtual std::vector<std::string> variants() const { return {"default"}; }
  /// Replacements of modules and ops in the graph of this configuration (PATCHING_SPECS).
  virtual std::vector<PatchingSpec> patching_specs() const { return {}; }
  /// The files of an export: `model`, unless overridden. The configuration must be held by a shared pointer.
  virtual std::vector<OnnxFile> files(bool monolith) const;

  /// One dummy tensor per input. Deterministic in `seed`.
  NamedTensors generate_dummy_inputs(const DummyShapes& shapes = {}, std::uint64_t seed = 0) const;
  /// The typed inputs of the graph: dynamic axes are symbols, the others the numbers of the dummy inputs.
  /// With `dynamic_axes` false all are numbers.
  std::vector<std::pair<std::string, TensorType>> input_types(const DummyShapes& shapes = {},
                                                              bool dynamic_axes = true) const;

 protected:
  /// The outputs that architectures have in common for a task.
  const AxesByName& common_outputs(std::string_view task) const;

 private:
  PretrainedConfig config_;
  std::string task_;
  OnnxConfigOptions options_;
  DType int_dtype_;
  DType float_dtype_;
};

/// Sizes of a cache.
struct CacheSizes {
  std::int64_t layers = 0;
  std::int64_t heads = 0;  ///< of keys and values
  std::int64_t key_dim = 0, value_dim = 0;
};

/// A decoder with a cache. The task tells about it: with `-with-past` the file gives present.{i}.key|value,
/// and, but for feature extraction (prefill only), takes past_key_values.{i}.key|value.
class ONNXPORT_API OnnxConfigWithPast : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  virtual bool use_past() const;
  bool use_past_in_inputs() const override;
  /// From num_layers, num_key_value_heads (absent: num_attention_heads), head_dim (absent: hidden_size by
  /// num_attention_heads) of the normalized config.
  virtual CacheSizes cache_sizes() const;
  AxesByName outputs() const override;

 protected:
  enum class Direction { inputs, outputs };
  /// The sizes by these two keys, with head_dim (absent: hidden_size by heads) of the normalized config.
  CacheSizes cache_sizes_by(const char* layers_key, const char* heads_key) const;
  /// Appends the names and axes of the cache.
  void add_past_key_values(AxesByName& names, Direction direction) const;
};

/// An encoder and a decoder. An export has several files: encoder_model, decoder_model, and with a past
/// decoder_with_past_model; or one, `model`, for tasks without a past on request and for feature extraction.
class ONNXPORT_API OnnxSeq2SeqConfigWithPast : public OnnxConfigWithPast {
 public:
  using OnnxConfigWithPast::OnnxConfigWithPast;
  ConfigBehavior behavior() const { return options().behavior; }
  bool use_past() const override { return options().use_past; }
  bool use_past_in_inputs() const override { return options().use_past_in_inputs; }
  /// The configuration of one part.
  std::shared_ptr<const OnnxSeq2SeqConfigWithPast> with_behavior(ConfigBehavior behavior,
                                                                 bool use_past = false,
                                                                 bool use_past_in_inputs = false) const;
  std::vector<OnnxFile> files(bool monolith) const override;
  /// Of the decoder: decoder_num_layers, decoder_num_attention_heads and hidden_size of the normalized
  /// config.
  CacheSizes cache_sizes() const override;
  AxesByName outputs() const override;
  /// Does the decoder take a mask of the encoder's positions?
  virtual bool has_encoder_mask() const { return true; }
  /// Does the cache also hold keys and values of the encoder's states? Else they are made anew for each
  /// token, and the cache has the names of a decoder that stands alone: past_key_values.{i}.key|value.
  virtual bool caches_encoder() const { return true; }
  /// What `encoder_sequence_length` is in the dummy inputs.
  virtual std::int64_t dummy_encoder_length(const DummyShapes& shapes) const {
    return shapes.sequence_length;
  }
  /// Width of the encoder's states: hidden_size of the normalized config.
  virtual std::int64_t encoder_width() const;

 protected:
  void add_seq2seq_past(AxesByName& names, Direction direction) const;
  /// Inputs of a decoder file.
  AxesByName decoder_inputs() const;
};

// ---- middle-end classes ----

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
  std::int64_t dummy_encoder_length(const DummyShapes& shapes) const override;
  /// Of input_features, without the batch. Where any number of frames will do, they come first.
  virtual std::vector<std::int64_t> feature_shape(const DummyShapes& shapes) const = 0;
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
  CacheSizes cache_sizes() const override;
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
