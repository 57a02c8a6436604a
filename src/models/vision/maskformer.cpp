// MaskFormer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/maskformer/modeling_maskformer.py
#include <fmt/format.h>

#include "models/vision/common/detr.h"
#include "models/vision/common/image_positions.h"
#include "models/vision/common/mask_queries.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kGroups = 32;  // of the norms of the pyramid; not configurable
constexpr const char* kSwinBase =
    R"({"image_size": 384, "embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32],
        "window_size": 12})";

struct Config {
  DetrConfig decoder;
  std::int64_t fpn_feature_size, mask_feature_size;

  explicit Config(const PretrainedConfig& c)
      : decoder(decoder_config(c)),
        fpn_feature_size(c.integer("fpn_feature_size")),
        mask_feature_size(c.integer("mask_feature_size")) {
    check_multiple(c, "fpn_feature_size", fpn_feature_size, "the groups of its norms", kGroups);
    check_multiple(c, "d_model of decoder_config", decoder.d_model, "its sines", 4);
    // Losses. Those of the layers between do not change the last one; the class copies the other two from
    // decoder_config.
    c.harmless({"no_object_weight", "use_auxiliary_loss", "output_auxiliary_logits", "init_std",
                "init_xavier_std", "dice_weight", "cross_entropy_weight", "mask_weight",
                "num_attention_heads", "num_hidden_layers"});
  }

 private:
  static DetrConfig decoder_config(const PretrainedConfig& c) {
    const PretrainedConfig decoder = c.sub("decoder_config", "detr");
    if (decoder.model_type() != "detr") {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: decoder_config of type '{}', expected detr",
                                                           c.origin(), decoder.model_type()));
    }
    // MaskFormer has a backbone of its own, and sines as positions.
    decoder.harmless({"backbone_config", "backbone", "backbone_kwargs", "use_timm_backbone",
                      "use_pretrained_backbone", "dilation", "position_embedding_type"});
    return DetrConfig(decoder);
  }
};

Value normed(const Scope& s, Value x, std::int64_t width, std::int64_t kernel) {
  const std::int64_t in = *x.dim(1).constant(), around = kernel / 2;
  const nn::Conv2d convolution(s / 0, in, width, {kernel, kernel}, false, {.padding = {around, around}});
  return nn::GroupNorm(s / 1, kGroups, width)(convolution(x));
}

/// The pixel decoder: a pyramid that enlarges the last features and adds those before them. [B,
/// mask_feature_size, H', W']
Value pixel_decoder(const Scope& s, const Config& c, const std::vector<Value>& features) {
  const ModulePath at(features.back(), s.path());
  const std::int64_t width = c.fpn_feature_size;
  const Scope fpn = s / "fpn";
  Value x = op::relu(normed(fpn / "stem", features.back(), width, 3));
  for (std::int64_t i = 0; i + 1 < std::ssize(features); ++i) {
    const Scope layer = fpn / "layers" / i;
    const Value left = normed(layer / "proj", *(features.rbegin() + i + 1), width, 1);
    const Value larger = op::interpolate(x, {left.dim(2), left.dim(3)}, "nearest");
    x = op::relu(normed(layer / "block", op::add(larger, left), width, 3));
  }
  return nn::Conv2d(s / "mask_projection", width, c.mask_feature_size, {3, 3}, true, {.padding = {1, 1}})(x);
}

/// The states of the queries: [B, Q, d_model].
Value decode(const Scope& s, const DetrConfig& c, Value image) {
  const ModulePath at(image, s.path());
  const std::int64_t channels = *image.dim(1).constant();
  if (channels != c.d_model) image = nn::Conv2d(s / "input_projection", channels, c.d_model, {1, 1})(image);
  const Value positions = ImagePositions(s / "position_embedder", ImagePositionsKind::sine, c.d_model)(image);
  const DetrMemory memory{
      .projected = image, .tokens = nn::image_to_tokens(image), .positions = positions, .seen = {}};
  const Value placed = op::add(memory.tokens, positions);
  const Value asking =
      image.graph().weight((s / "queries_embedder").weight("weight", {c.num_queries, c.d_model}));
  const nn::LayerNorm norm(s / "decoder" / "layernorm", c.d_model, 1e-5);
  Value hidden;
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    hidden = DetrDecoderLayer(s / "decoder" / "layers" / i, c)(hidden, asking, memory, placed);
    if (c.norm_each_layer) hidden = norm(hidden);
  }
  return norm(hidden);
}

class MaskFormerOnnxConfig : public MaskQueriesOnnxConfig {
 public:
  using MaskQueriesOnnxConfig::MaskQueriesOnnxConfig;
  AxesByName outputs() const override {
    if (task() != "image-segmentation") return MaskQueriesOnnxConfig::outputs();
    return {{"class_queries_logits", {{0, "batch_size"}, {1, "num_queries"}}},
            {"masks_queries_logits", {{0, "batch_size"}, {1, "num_queries"}, {2, "height"}, {3, "width"}}}};
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), base = root.base_model("model"), pixels = base / "pixel_level_module";
  const std::vector<Value> features = segmenter_backbone(tasks, pixels / "encoder", model.config(), kSwinBase,
                                                         "maskformer-swin", inputs["pixel_values"]);
  const Value hidden = decode(base / "transformer_module", c.decoder, features.back());
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const Value image = pixel_decoder(pixels / "decoder", c, features);
  const std::int64_t width = c.decoder.d_model;
  const Value classes = query_classes(root / "class_predictor", model.config(), width, hidden);
  const Value embeddings = mask_embedding(root / "mask_embedder", width, c.mask_feature_size, hidden);
  return {{"class_queries_logits", classes}, {"masks_queries_logits", masks_of(embeddings, image)}};
}

}  // namespace

void register_maskformer(TasksManager& tasks) {
  tasks.register_model<MaskFormerOnnxConfig>(
      {.model_type = "maskformer",
       .tasks = {"feature-extraction", "image-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .ignorable_keys = {"criterion.empty_weight"},
       .key_names = {.newer = {{"out_proj", "o_proj"},
                               {"decoder.layers.*.fc1", "decoder.layers.*.mlp.fc1"},
                               {"decoder.layers.*.fc2", "decoder.layers.*.mlp.fc2"}}}});
}

}  // namespace onnxport::models
