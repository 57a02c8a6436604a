/// Dummy inputs: what a component is tried with, and where dtype and static extents of its inputs come from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"
#include "onnxport/graph.h"
#include "onnxport/interface.h"
#include "onnxport/tensor.h"

namespace onnxport {

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

/// Extents of an image, in pixels.
struct ImageSize {
  std::int64_t height = 0, width = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

/// A preprocessor that lies beside a checkpoint: what it makes of its inputs.
struct Preprocessor {
  std::filesystem::path file;
  std::optional<ImageSize> image_size = {};  ///< crop_size, else size; absent where the file has none of them
};
/// The preprocessors of a checkpoint folder: preprocessor_config.json, where there is one. Throws
/// ExportError(bad_config) for a file that is no JSON.
ONNXPORT_API std::vector<Preprocessor> load_preprocessors(const std::filesystem::path& folder);

/// All that generators read: the description of the component whose inputs they make.
struct DummyContext {
  std::string task;
  NormalizedConfig normalized;
  DType int_dtype = DType::i64;
  DType float_dtype = DType::f32;
  std::vector<Preprocessor> preprocessors = {};
  std::vector<TensorSpec> inputs = {};  ///< with their axes
  std::vector<StateSpec> states = {};

  /// The dynamic axis of an input, or null where that axis is static.
  const AxisSpec* axis(std::string_view input, int position) const;
};

/// Makes dummy tensors for the inputs that it knows by name. Generators are listed in
/// OnnxConfig::dummy_input_generators(); the first that supports an input makes it.
class ONNXPORT_API DummyInputGenerator {
 public:
  virtual ~DummyInputGenerator() = default;
  virtual bool supports_input(std::string_view name) const = 0;
  /// Dtype and extents of what generate() makes; here by making it.
  virtual TensorType type(std::string_view name, const DummyContext& context,
                          const DummyShapes& shapes) const;
  /// A tensor of the right dtype, rank and static extents; `seed` varies the values.
  virtual Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                          std::uint64_t seed) const = 0;

 protected:
  /// Floats between -1 and 1, the same for the same seed and name. Throws ExportError(invalid_argument) for
  /// more than 2^30 of them.
  static Tensor random_floats(std::uint64_t seed, std::string_view name, DType dtype,
                              const std::vector<std::int64_t>& shape);
  static Tensor random_floats(std::uint64_t seed, std::string_view name, const TensorType& type);
};

/// Makes floats between -1 and 1: a derived class says for which inputs, and their type.
class ONNXPORT_API DummyFloatInputGenerator : public DummyInputGenerator {
 public:
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override = 0;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

using DummyInputGenerators = std::vector<std::shared_ptr<const DummyInputGenerator>>;

/// input_ids, attention_mask, token_type_ids, position_ids: [batch_size, sequence_length], and
/// [batch_size, num_choices, sequence_length] for multiple-choice; inputs_embeds [batch_size,
/// sequence_length, hidden_size]. Throws ExportError(unsupported) where ids or positions do not fit the dtype
/// of integer inputs.
class ONNXPORT_API DummyTextInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

/// States, by the names of `DummyContext::states`, between -1 and 1. A growing axis has past_sequence_length.
class ONNXPORT_API DummyPastKeyValuesGenerator : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
};

/// Inputs of a decoder besides its own tokens: decoder_input_ids [batch_size, decoder_sequence_length],
/// encoder_hidden_states [batch_size, length of the states, their width], encoder_attention_mask
/// [batch_size, encoder_sequence_length], and the cache.
class ONNXPORT_API DummySeq2SeqInputGenerator : public DummyInputGenerator {
 public:
  /// `most_frames`: encoder_sequence_length counts frames of audio, at most so many; absent: tokens.
  explicit DummySeq2SeqInputGenerator(std::int64_t encoder_width,
                                      std::optional<std::int64_t> most_frames = {})
      : encoder_width_(encoder_width), most_frames_(most_frames) {}
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  std::int64_t encoder_length(const DummyShapes& shapes) const;
  std::int64_t encoder_width_;
  std::optional<std::int64_t> most_frames_;
};

/// input_values: samples [batch_size, audio_sequence_length], between -1 and 1.
class ONNXPORT_API DummyAudioInputGenerator : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
};

/// The features of audio that an encoder takes.
struct AudioFeatures {
  std::int64_t size = 0;    ///< of one frame
  std::int64_t frames = 0;  ///< the number of frames; with `any_frames` the largest one
  bool any_frames = false;  ///< then [batch_size, frames, size], else [batch_size, size, frames]
};

/// input_features, between -1 and 1, and the attention_mask of their frames.
class ONNXPORT_API DummyAudioFeaturesInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyAudioFeaturesInputGenerator(AudioFeatures features) : features_(features) {}
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  AudioFeatures features_;
};

/// pixel_values: images [batch_size, num_channels, height, width], between -1 and 1. Their size is that of
/// image_size of the normalized config, else that of a preprocessor, else the one of the shapes.
class ONNXPORT_API DummyVisionInputGenerator : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
};

/// Sizes of images that a model takes, where it takes any.
struct ImageSizes {
  std::int64_t step = 1;  ///< height and width must be multiples of this
  ImageSize smallest = {1, 1};
};

/// How to make the inputs of one component, and the limits that validation keeps to.
struct ONNXPORT_API DummyInputs {
  DummyContext context;
  DummyInputGenerators generators;
  DummyShapes shapes = {};              ///< those asked for
  bool dynamic_axes = true;             ///< else no other shapes than those
  std::int64_t padded_position_id = 1;  ///< position that clients give to a masked token
  std::optional<std::int64_t> pad_token_id = {};
  std::optional<std::int64_t> longest_sequence = {};  ///< that tables of positions hold
  ImageSizes images = {};

  /// One tensor per input. Deterministic in `seed`. Throws ExportError(invalid_argument) for sizes that give
  /// no tensor or one of more than 2^30 elements, and ExportError(internal) for an input that no generator
  /// makes.
  NamedTensors make(const DummyShapes& shapes, std::uint64_t seed = 0) const;
  /// Dtype and extents of one of them, without making it.
  TensorType type(std::string_view input, const DummyShapes& shapes) const;

 private:
  const DummyInputGenerator& generator(std::string_view input) const;
};

}  // namespace onnxport
