/// Shared parts of Qwen's vision-language models, and of those that took over their form: patches of images
/// of any size, and positions of three axes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/patches/patch_grid.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"

namespace onnxport::models {

/// The tower of such a model.
struct PatchTowerConfig {
  /// `config`: vision_config. Throws ExportError(bad_config) for sizes that do not fit.
  PatchTowerConfig(const PretrainedConfig& config, std::int64_t hidden_size);

  std::int64_t hidden_size, depth, heads;
  std::int64_t channels, frames, patch;  ///< of a patch [channels, frames, patch, patch]
  std::int64_t side;                     ///< of the squares of patches that become one token
  double theta = 10000;                  ///< base of the rotation

  std::int64_t head_dim() const { return hidden_size / heads; }
  std::int64_t patch_elements() const { return channels * frames * patch * patch; }
  /// The side of a table of positions for images of this size, which patches need not divide. Throws
  /// ExportError(bad_config) if it has no place.
  std::int64_t places_on_side(const PretrainedConfig& config, std::int64_t image_size) const;
  /// The number of squares of so many patches.
  Dim squares_of(const Dim& patches) const;
};

/// Rows of patches [N, elements] -> [N, hidden_size]. Keys: weight [hidden_size, channels, frames, patch,
/// patch], and bias if there is one.
Value embed_patch_rows(const Scope& s, const PatchTowerConfig& c, Value patches, bool bias);

struct PatchAttentionOptions {
  bool qkv_bias = true, proj_bias = true;
  std::optional<double> head_norm_eps = {};  ///< of norms of each head's queries and keys, if it has them
};

/// Attention of patches to those that they see, rotated by row and column. Keys: qkv, proj; with norms also
/// q_norm, k_norm.
class PatchAttention {
 public:
  /// visible: bool [N, N]
  PatchAttention(const PatchTowerConfig& c, const PatchPlaces& places, Value visible,
                 const PatchAttentionOptions& options = {});
  /// x [N, H] -> [N, H]
  Value operator()(const Scope& s, Value x) const { return (*this)(s, x, visible_); }
  Value operator()(const Scope& s, Value x, Value visible) const;
  /// The attention between the projections, for a tower with others: [1, N, H] each -> [1, N, H].
  Value attended(const nn::QueryKeyValue& qkv, Value visible) const;

 private:
  PatchTowerConfig c_;
  PatchAttentionOptions options_;
  op::Rope rope_;
  Value visible_;
};

/// Squares of patches, side by side [N, H] -> [N / side^2, side^2 * H], through two layers and gelu: [N /
/// side^2, out]. x may already be squares. Keys: the two names below `s`.
Value merge_patches(const Scope& s, const std::pair<const char*, const char*>& names,
                    const PatchTowerConfig& c, Value x, std::int64_t out);

/// Inputs of the encoder: pixel_values [num_patches, elements] and the grid [num_images, 3] -> image_features
/// [num_image_tokens, D]. The decoder takes position_ids [3, batch_size, sequence_length]. Old files have the
/// keys of the language model at the top level.
class QwenVlOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  DummyInputGenerators dummy_input_generators() const override;
  ImageSizes image_sizes() const override { return {}; }

 protected:
  /// The type of the language model.
  virtual std::string text_type() const { return config().model_type() + "_text"; }
  virtual const char* grid_name() const { return "image_grid_thw"; }
  /// hidden_size of the tower.
  virtual PatchTowerConfig tower_config() const {
    const PretrainedConfig c = config().unaccounted().sub("vision_config");
    return {c, c.integer("hidden_size", 1)};
  }
  AxesByName encoder_inputs() const override;
  AxesByName encoder_outputs() const override;
  DummyInputGenerators encoder_dummies() const override;
  NormalizedConfig encoder_normalized() const override { return NormalizedVisionConfig(config()); }
  std::optional<Axes> position_axes() const override {
    return Axes{{1, "batch_size"}, {2, "sequence_length"}};
  }
  PretrainedConfig text_config() const override;
  /// Elements of a vector of inputs_embeds.
  virtual std::int64_t embeds_width() const { return text_config().integer("hidden_size"); }
  NormalizedConfig normalized_config() const override;
};

/// text_config, or the whole of an old file, as a class of this type reads it.
PretrainedConfig qwen_vl_text_config(const PretrainedConfig& config, const std::string& text_type);

/// Declares the ids of the tokens for images and videos harmless: clients need them, but no file reads them.
void leave_media_token_ids(const PretrainedConfig& config);

/// Makes image_features.
using EncodePatches = Value (*)(const Inputs& inputs, const Model& model);

/// forward_multimodal_decoder() with the language model at the root of the keys. Its type is that of the
/// whole with `_text` behind it.
NamedValues forward_qwen_vl(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                            const Component& component, EncodePatches encode);

/// The image features of Qwen2-VL: of pixel_values and grid_thw, with the keys below `s` (`visual`).
Value encode_qwen2_vl(const Scope& s, const Inputs& inputs, const PretrainedConfig& vision_config);

/// Keys: `model`, `lm_head` and `visual`; newer files have model.language_model and model.visual.
KeyNames qwen_vl_key_names();

}  // namespace onnxport::models
