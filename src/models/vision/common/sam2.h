/// Parts of SAM 2 and its relatives (EdgeTAM, the tracker of SAM 3), which differ in the encoder of images.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/common/definition.h"
#include "models/vision/common/sam_dummy_inputs.h"
#include "models/vision/common/sam_mask_decoder.h"
#include "models/vision/common/sam_onnx_config.h"

namespace onnxport::models {

/// prompt_encoder_config and mask_decoder_config. Throws ExportError(bad_config).
struct Sam2Config {
  explicit Sam2Config(const PretrainedConfig& config);

  SamDecoderConfig decoder;
  std::int64_t width, image_size, grid, kinds_of_points;

  /// The shape of image_embeddings.{level}, for images with the extent `batch`.
  Shape features(std::size_t level, const Dim& batch) const;
};

/// The levels of features that the decoder takes.
constexpr std::size_t kSam2Levels = 3;

/// What types differ in.
struct Sam2Variant {
  const char* vision_type;      ///< the type of vision_config where it does not say
  const char* base_model = "";  ///< the prefix of keys; may be absent in a file
  /// Features of an image [B, C, size, size] from the largest to the smallest, [B, fpn_hidden_size, …].
  /// `root` has all keys, `base` those below base_model; `config`: vision_config.
  std::function<std::vector<Value>(const Scope& root, const Scope& base, const PretrainedConfig& config,
                                   Value pixel_values)>
      encode;
};

/// input_points: pixels [batch_size, point_batch_size, nb_points_per_image, 2]; input_labels; input_boxes:
/// one for each prompt, or none if there is one point; image_embeddings.{i}.
class DummySam2InputGenerator : public DummyPromptGenerator {
 public:
  explicit DummySam2InputGenerator(const Sam2Config& c) : c_(c) {}
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  Sam2Config c_;
};

/// The interface of SAM 2 and its relatives.
class Sam2OnnxConfig : public SamPartsOnnxConfig<Sam2OnnxConfig> {
 public:
  using SamPartsOnnxConfig::SamPartsOnnxConfig;
  AxesByName outputs() const override;
  /// The prompts are counted by their labels.
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;

 protected:
  AxesByName prompts() const override;
};

ModelDefinition sam2_definition(const char* model_type, Sam2Variant variant);

/// The neck of SAM 2 and EdgeTAM: a pyramid of the features of a backbone, which go from the largest to the
/// smallest, as does the result. Keys: convs.{i}. Throws ExportError(bad_config).
std::vector<Value> sam2_neck(const Scope& s, const PretrainedConfig& vision_config,
                             const std::vector<Value>& features);

/// The backbone of SAM 2: Hiera, [B, C, size, size] -> the results of its stages, [B, C, H', W'].
std::vector<Value> sam2_hiera(const Scope& s, const PretrainedConfig& backbone_config, Value pixel_values);
/// Backbone and neck of SAM 2: Sam2Variant::encode.
std::vector<Value> encode_sam2_image(const Scope& root, const Scope& base,
                                     const PretrainedConfig& vision_config, Value pixel_values);

}  // namespace onnxport::models
