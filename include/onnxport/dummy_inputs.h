/// Dummy inputs: test inputs for a component. They also determine the dtypes and static extents of its
/// inputs.
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

/// Sizes of dummy inputs, with the same defaults as the command line.
struct DummyShapes {
  std::int64_t batch_size = 2;
  std::int64_t sequence_length = 16;
  std::int64_t past_sequence_length = 16;    ///< of the cache, if the file takes one
  std::int64_t decoder_sequence_length = 0;  ///< decoder tokens of an encoder-decoder; 0: sequence_length
  std::int64_t text_batch_size = 0;          ///< of text beside images; 0: batch_size
  std::int64_t num_choices = 4;
  std::int64_t width = 64;      ///< used if neither the model nor its preprocessor has an image size, or
  std::int64_t height = 64;     ///< if `any_image_size` is set
  bool any_image_size = false;  ///< use width and height, if the model takes images of any size
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

/// A preprocessor beside a checkpoint, and the size of its results.
struct Preprocessor {
  std::filesystem::path file;
  std::optional<ImageSize> image_size = {};  ///< crop_size, else size; absent if the file has neither
};
/// The preprocessors of a checkpoint folder: preprocessor_config.json, if it exists. Throws
/// ExportError(bad_config) if the file is not JSON.
ONNXPORT_API std::vector<Preprocessor> load_preprocessors(const std::filesystem::path& folder);

/// Everything that generators read: the description of the component whose inputs they make.
struct DummyContext {
  std::string task;
  NormalizedConfig normalized;
  DType int_dtype = DType::i64;
  DType float_dtype = DType::f32;
  std::vector<Preprocessor> preprocessors = {};
  std::vector<TensorSpec> inputs = {};  ///< with their axes
  std::vector<StateSpec> states = {};

  /// The dynamic axis of an input, or null if that axis is static.
  const AxisSpec* axis(std::string_view input, int position) const;
};

/// Makes dummy tensors for the inputs that it knows by name. OnnxConfig::dummy_input_generators() lists the
/// generators; the first one that supports an input makes it.
class ONNXPORT_API DummyInputGenerator {
 public:
  virtual ~DummyInputGenerator() = default;
  virtual bool supports_input(std::string_view name) const = 0;
  /// Dtype and extents of the tensor that generate() makes. This implementation makes it.
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

/// input_ids, attention_mask, token_type_ids, position_ids: [batch_size, sequence_length], and [batch_size,
/// num_choices, sequence_length] for multiple-choice; inputs_embeds [batch_size, sequence_length,
/// hidden_size]; num_logits_to_keep, a number. Throws ExportError(unsupported) if ids or positions do not fit
/// the dtype of integer inputs.
class ONNXPORT_API DummyTextInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

/// The states of `DummyContext::states`, by name, with values between -1 and 1. A growing axis has the length
/// past_sequence_length.
class ONNXPORT_API DummyPastKeyValuesGenerator : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
};

/// Inputs of an encoder-decoder's decoder: decoder_input_ids [batch_size, decoder_sequence_length],
/// encoder_hidden_states [batch_size, length of the states, their width], encoder_attention_mask [batch_size,
/// encoder_sequence_length], and the cache.
class ONNXPORT_API DummySeq2SeqInputGenerator : public DummyInputGenerator {
 public:
  /// `most_frames`: encoder_sequence_length counts audio frames, at most this many; absent: it counts tokens.
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

/// The audio features that an encoder takes.
struct AudioFeatures {
  std::int64_t size = 0;    ///< of one frame
  std::int64_t frames = 0;  ///< the number of frames; with `any_frames` the maximum
  bool any_frames = false;  ///< then [batch_size, frames, size], else [batch_size, size, frames]
};

/// input_features with values between -1 and 1, and the attention_mask of their frames.
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

/// pixel_values: images [batch_size, num_channels, height, width], between -1 and 1. Their size comes from
/// image_size of the normalized config, or else a preprocessor, or else the shapes.
class ONNXPORT_API DummyVisionInputGenerator : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
};

/// Constraints on the image sizes, for a model that takes images of any size.
struct ImageSizes {
  std::int64_t step = 1;  ///< height and width must be multiples of this
  ImageSize smallest = {1, 1};
};

/// How to make the inputs of one component, and the limits for validation.
struct ONNXPORT_API DummyInputs {
  DummyContext context;
  DummyInputGenerators generators;
  DummyShapes shapes = {};              ///< the requested ones
  bool dynamic_axes = true;             ///< false: only those shapes
  std::int64_t padded_position_id = 1;  ///< position that clients give to a masked token
  std::optional<std::int64_t> pad_token_id = {};
  std::optional<std::int64_t> longest_sequence = {};  ///< limited by the table of positions
  ImageSizes images = {};

  /// One tensor per input. Deterministic in `seed`. Throws ExportError(invalid_argument) if a tensor would be
  /// invalid or have more than 2^30 elements, and ExportError(internal) if no generator makes an input.
  NamedTensors make(const DummyShapes& sizes, std::uint64_t seed = 0) const;
  /// Dtype and extents of one input, without making it.
  TensorType type(std::string_view input, const DummyShapes& sizes) const;

 private:
  const DummyInputGenerator& generator(std::string_view input) const;
};

}  // namespace onnxport
