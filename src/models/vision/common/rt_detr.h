/// Parts of RT-DETR and what followed it: an encoder of feature maps, the choice of the best pixels as
/// queries, and what its decoders share. (Zhao et al. 2024)
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/vision/common/detected_boxes.h"
#include "models/vision/common/detr.h"
#include "onnxport/nn/deformable_attention.h"

namespace onnxport::models {

/// Throws ExportError(bad_config) for sizes that do not fit each other.
struct RtDetrConfig {
  explicit RtDetrConfig(const PretrainedConfig& config);

  std::int64_t d_model, num_queries, num_labels;
  std::int64_t encoder_hidden_dim, encoder_layers, encoder_ffn_dim, encoder_heads;
  std::int64_t decoder_layers, decoder_ffn_dim, decoder_heads, levels;
  std::vector<std::int64_t> encoder_in_channels, encode_proj_layers, decoder_in_channels, feat_strides;
  std::vector<std::int64_t> anchor_image_size;  ///< height and width; empty: those of the image
  std::string activation, encoder_activation, decoder_activation;
  double temperature, layer_norm_eps, batch_norm_eps, hidden_expansion;
  NormPlace encoder_norms;
  bool by_column;  ///< positions of pixels count down the columns first, as in transformers 4
};

/// Images of any size, or of anchor_image_size.
class RtDetrOnnxConfig : public DetectedBoxesOnnxConfig {
 public:
  using DetectedBoxesOnnxConfig::DetectedBoxesOnnxConfig;
  NormalizedConfig normalized_config() const override;
  bool takes_any_image_size() const override;
  std::int64_t image_step() const override { return 32; }
  ImageSize smallest_image() const override;
};

/// [B, C, H, W] -> [B, C', H', W']
using ImagePart = std::function<Value(Value)>;

/// A convolution without bias, with a batch norm and an activation, if its name is not empty. Keys: conv,
/// norm.
ImagePart rt_detr_conv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                       std::int64_t stride, const RtDetrConfig& c, const std::string& activation,
                       std::int64_t groups = 1);

/// Two branches, one of them with `blocks` blocks of parallel convolutions. Keys: conv1, conv2,
/// bottlenecks.{i}, conv3 if `inner` is not `out`.
ImagePart csp_rep_layer(const Scope& s, std::int64_t in, std::int64_t inner, std::int64_t out,
                        std::int64_t blocks, const RtDetrConfig& c);

/// The parts of the two paths through the feature maps, made for a scope.
struct PyramidParts {
  std::function<ImagePart(const Scope& s)> lateral, fpn, downsample, pan;
};

/// Attention within some maps, then from small maps to large ones and back. Keys: encoder.{i}.layers.{j},
/// lateral_convs, fpn_blocks, downsample_convs, pan_blocks.
std::vector<Value> hybrid_encoder(const Scope& s, const RtDetrConfig& c, std::vector<Value> maps,
                                  const PyramidParts& parts);

/// Features of the backbone with encoder_hidden_dim channels. `default_backbone`: the type if there is no
/// backbone_config. Keys: backbone.model, encoder_input_proj.{i}.
std::vector<Value> rt_detr_features(const TasksManager& tasks, const Scope& base, const PretrainedConfig& c,
                                    const RtDetrConfig& sizes, Value pixel_values,
                                    const std::string& default_backbone);

/// Maps for the decoder, [B, d_model, H, W]. Keys: decoder_input_proj.{i}.
std::vector<Value> decoder_inputs(const Scope& base, const RtDetrConfig& c, const std::vector<Value>& maps);

/// What the decoder starts with.
struct Proposals {
  Value memory;  ///< the pixels of all maps, [B, S, d_model]
  std::vector<nn::MapSize> sizes;
  Value target;  ///< states of the queries, [B, Q, d_model]
  Value boxes;   ///< float32 [B, Q, 4]: centre and size as fractions of the image
};
/// The pixels with the best scores, with boxes around them. Keys: enc_output, enc_score_head, enc_bbox_head.
Proposals propose(const Scope& base, const PretrainedConfig& config, const RtDetrConfig& c,
                  const std::vector<Value>& maps);

/// The part of a decoder layer before its attention to the memory: self-attention with residual and norm.
/// Keys: self_attn, self_attn_layer_norm.
Value attend_to_queries(const Scope& s, const RtDetrConfig& c, Value x, Value positions);

/// The scope of the heads of the decoder's layers (class_embed, bbox_embed), which a checkpoint stores in the
/// decoder or at its root.
Scope rt_detr_heads(const Scope& root, const Scope& base);

/// How the decoder samples the memory.
using RtDetrPoints =
    std::function<nn::DeformableParameters(const PretrainedConfig& config, const RtDetrConfig& c)>;
/// decoder_n_points in each map.
nn::DeformableParameters rt_detr_points(const PretrainedConfig& config, const RtDetrConfig& c);
/// decoder_method: default or discrete. Throws ExportError(bad_config) for any other.
nn::PlaceReading place_reading(const PretrainedConfig& config);
/// Registers RT-DETR, or RT-DETRv2.
void register_rt_detr_type(TasksManager& tasks, const std::string& type, RtDetrPoints points);

/// The keys that transformers 5 can store. `first`, `second`: the layers of a feed-forward
/// network.
KeyNames rt_detr_names(const std::string& first, const std::string& second);

}  // namespace onnxport::models
