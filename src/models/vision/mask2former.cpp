// Mask2Former. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mask2former/modeling_mask2former.py
#include <fmt/format.h>

#include "models/vision/common/mask_queries.h"
#include "models/vision/common/masked_decoder.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

constexpr const char* kSwin = R"({"depths": [2, 2, 18, 2]})";  // the others are those of the class

struct Config {
  PixelDecoderConfig pixels;
  MaskedLayers layers;
  std::int64_t num_queries;

  explicit Config(const PretrainedConfig& c)
      : pixels(c, "feature_size", "mask_feature_size", "feature_strides"),
        layers{.width = c.integer("hidden_dim"),
               .inner = c.integer("dim_feedforward"),
               .heads = pixels.heads,
               // The first masks are made without a layer.
               .count = c.integer("decoder_layers") - 1,
               .activation = c.string("activation_function"),
               .norms_before = c.flag("pre_norm")},
        num_queries(c.integer("num_queries")) {
    // Of training; num_hidden_layers is decoder_layers.
    c.harmless({"ignore_value", "no_object_weight", "class_weight", "mask_weight", "dice_weight",
                "train_num_points", "oversample_ratio", "importance_sample_ratio", "init_std",
                "init_xavier_std", "use_auxiliary_loss", "output_auxiliary_logits", "dropout",
                "num_hidden_layers"});
    // The original has convolutions then, but does not store them.
    if (layers.width != pixels.width || c.flag("enforce_input_projection") || layers.count < 0 ||
        num_queries < 1) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: hidden_dim {} and feature_size {} must be equal, "
                                    "enforce_input_projection false, decoder_layers {} and num_queries {} at "
                                    "least 1",
                                    c.origin(), layers.width, pixels.width, layers.count + 1, num_queries));
    }
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope(), base = root.base_model("model"), pixels = base / "pixel_level_module";
  const std::vector<Value> features =
      segmenter_backbone(tasks, pixels / "encoder", config, kSwin, "swin", inputs["pixel_values"]);
  const DecodedPixels image = decode_pixels(pixels / "decoder", c.pixels, features);

  const Scope s = base / "transformer_module";
  const std::int64_t width = c.layers.width;
  const auto learned = [&](const char* name) {
    const Weight weight = (s / name).weight("weight", {c.num_queries, width});
    return image.pixels.graph().weight(weight.reshape({1, c.num_queries, width}));
  };
  const nn::LayerNorm norm(s / "decoder" / "layernorm", width, 1e-5);
  const auto masks = [&](Value x) {
    const Scope head = s / "decoder" / "mask_predictor" / "mask_embedder";
    return masks_of(mask_embedding(head, width, c.pixels.mask_width, norm(x)), image.pixels);
  };
  const Value queries = learned("queries_features");
  const Value x = c.layers(s, image.levels, queries, learned("queries_embedder"), masks);
  const Value classes = query_classes(root / "class_predictor", config, width, norm(x));
  return {{"class_queries_logits", classes}, {"masks_queries_logits", masks(x)}};
}

}  // namespace

void register_mask2former(TasksManager& tasks) {
  tasks.register_model<MaskedOnnxConfig>(
      {.model_type = "mask2former",
       .tasks = {"image-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .ignorable_keys = {"criterion.empty_weight"}});
}

}  // namespace onnxport::models
