/// Images of several sizes in one batch, padded: Idefics 2 and 3, SmolVLM.
#pragma once

#include <cstdint>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/towers/clip.h"

namespace onnxport::models {

/// Which patches count as a part of the image.
enum class RealPatch : std::uint8_t {
  any_pixel,    ///< those with a real pixel
  every_pixel,  ///< those without padding
};

/// The states of such a batch's patches, row by row.
struct PaddedPatches {
  Value hidden;   ///< [num_real_images, rows * columns, hidden_size]
  Value visible;  ///< bool [num_real_images, rows * columns]: false for padding
  Dim rows, columns;
};

/// SigLIP's tower for images of any shape: its table of positions stretches over each of them. pixel_values
/// [B, N, C, H, W] and pixel_attention_mask bool [B, N, H, W]. Images that are 0 everywhere only fill up a
/// row of the batch, and are left out. Keys: embeddings.{patch_embedding, position_embedding},
/// encoder.layers, post_layernorm.
PaddedPatches encode_padded_images(const Scope& s, const ImageTowerConfig& c, const Inputs& inputs,
                                   RealPatch real);

/// Rows of a table of positions for grid * grid patches, int64 [N, rows * columns]. `mask` int64 [N, rows,
/// columns] is 1 in a rectangle from the upper left corner: patch i of its n along an axis has row i * grid /
/// n. Patches outside of it have the first row. (transformers 4.55 to 4.57 is off by one here in float32, not
/// in half precision; see its issue 41190.)
Value rectangle_positions(Value mask, std::int64_t grid);

/// The language model is below `text_model`. Height and width of images are multiples of image_step().
class PaddedImagesOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override { return {}; }

 protected:
  virtual std::string text_type() const { return "llama"; }
  virtual std::int64_t image_step() const;
  AxesByName encoder_inputs() const override;
  AxesByName encoder_outputs() const override;
  DummyInputGenerators encoder_dummies() const override;
  NormalizedConfig encoder_normalized() const override { return NormalizedVisionConfig(vision_config()); }
  PretrainedConfig text_config() const override {
    return config().unaccounted().sub("text_config", text_type());
  }
  PretrainedConfig vision_config() const override {
    return config().unaccounted().sub("vision_config").as(config().model_type() + "_vision");
  }
};

/// The tower of such a model. The class of vision_config does not depend on the type that it names.
ImageTowerConfig padded_images_tower(const PretrainedConfig& whole);

/// forward_multimodal_decoder() for these models.
NamedValues forward_padded_images(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                  const Component& component, const char* text_type,
                                  const std::function<Value(const Inputs& inputs)>& encode);

/// Patches on a side of the squares that become one token: scale_factor. Throws ExportError(bad_config) for
/// less than 1 and more than 1024.
std::int64_t square_side(const PretrainedConfig& config);

/// Squares of square_side() patches on a side as one token, projected without a bias: image_features
/// [num_real_images, tokens, hidden_size of text_config]. Keys of the model: model.{vision_model, connector}.
/// (Idefics 3, SmolVLM)
Value shuffled_image_features(const Inputs& inputs, const Model& model);

/// Keys: text_model, vision_model and connector below `model`, and lm_head.
KeyNames padded_images_key_names();

}  // namespace onnxport::models
