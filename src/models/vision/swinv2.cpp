// Swin Transformer V2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/swinv2/modeling_swinv2.py
#include <algorithm>

#include "models/common/definition.h"
#include "models/vision/common/backbone.h"
#include "models/vision/common/stages.h"
#include "models/vision/common/swin.h"
#include "models/vision/common/swinv2.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

struct Config : Swinv2Config {
  std::vector<std::int64_t> pretrained_windows;

  explicit Config(const PretrainedConfig& c)
      : Swinv2Config(c), pretrained_windows(per_stage(c, "pretrained_window_sizes", std::ssize(depths), 0)) {
    c.harmless({"stage_names"});
    std::vector<std::int64_t> widths;
    for (std::size_t i = 0; i < depths.size(); ++i) widths.push_back(width(i));
    check_stage_heads(c, "embed_dim", widths, "num_heads", num_heads);
  }

  std::int64_t width(std::size_t stage) const { return embed_dim << stage; }
  std::int64_t rows(std::size_t stage) const { return std::max<std::int64_t>(grid >> stage, 1); }
};

class Swinv2OnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  // On smaller images, a stage has fewer tokens than its windows are shifted by.
  ImageSize smallest_image() const override {
    const Config c(config().unaccounted());
    std::int64_t rows = 1;
    for (std::size_t i = c.depths.size(); i-- > 0;)
      rows = std::max({rows * 2 - 1, Swinv2Windows(c, c.rows(i)).shift, std::int64_t{1}});
    return {(rows - 1) * c.patch_size[0] + 1, (rows - 1) * c.patch_size[1] + 1};
  }
};

// The tokens behind the embeddings and behind each stage, before those of the next one are merged.
std::vector<SwinTokens> encode(Value pixel_values, const Scope& s, const Config& c) {
  // Zeros at the end, for sizes that patches do not divide. For other sizes, the kernel never reaches them.
  const std::int64_t height = c.patch_size[0], width = c.patch_size[1];
  const Scope embeddings = s / "embeddings";
  const nn::Conv2d projection(embeddings / "patch_embeddings" / "projection", c.num_channels, c.embed_dim,
                              {height, width}, true,
                              {.stride = {height, width}, .padding = {0, 0, height - 1, width - 1}});
  const Value patches = projection(pixel_values);
  constexpr double kEps = 1e-5;
  const nn::LayerNorm norm(embeddings / "norm", c.embed_dim, kEps);
  std::vector<SwinTokens> states = {{norm(nn::image_to_rows(patches)), nn::grid_of(patches), c.embed_dim}};
  SwinTokens tokens = states.back();
  for (std::size_t i = 0; i < c.depths.size(); ++i) {
    const Scope layer = s / "encoder" / "layers" / static_cast<std::int64_t>(i);
    const Swinv2StageParameters p{.width = c.width(i),
                                  .heads = c.num_heads[i],
                                  .grid = c.rows(i),
                                  .pretrained_window = c.pretrained_windows[i]};
    tokens.rows = run_swinv2_layers(tokens.rows, layer / "blocks", c, p, c.depths[i], tokens.grid);
    states.push_back(tokens);
    if (i + 1 == c.depths.size()) break;
    const nn::PatchMerging merge(layer / "downsample", c.width(i), nn::MergeNorm::after);
    tokens = {merge(tokens.rows, tokens.grid), nn::PatchMerging::merged(tokens.grid), c.width(i + 1)};
  }
  return states;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  config.harmless({"out_features", "out_indices", "encoder_stride"});  // of a backbone; of masked-im alone
  const Scope root = model.scope();
  const Scope base = root.base_model("swinv2");
  SwinTokens tokens = encode(inputs["pixel_values"], base, c).back();
  tokens.rows = nn::LayerNorm(base / "layernorm", tokens.channels, c.layer_norm_eps)(tokens.rows);
  if (component.task == "feature-extraction") return {{"last_hidden_state", tokens.last_hidden_state()}};
  if (component.task == "masked-im") return {{"reconstruction", reconstruct_image(root, config, tokens)}};
  const Value pooled = op::mean(tokens.last_hidden_state(), 1);
  return {{"logits", nn::Linear(root / "classifier", tokens.channels, config.num_labels())(pooled)}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  config.harmless({"encoder_stride"});
  BackboneFeatures features;
  const std::vector<SwinTokens> states = encode(pixel_values, s, c);
  for (const std::int64_t stage : backbone_stages(config, std::ssize(c.depths))) {
    const SwinTokens& tokens = states[static_cast<std::size_t>(stage)];
    features.stages.push_back(nn::rows_to_image(tokens.rows, tokens.grid));
  }
  return features;
}

}  // namespace

void register_swinv2(TasksManager& tasks) {
  tasks.register_model<Swinv2OnnxConfig>(
      {.model_type = "swinv2",
       .tasks = {"feature-extraction", "image-classification", "masked-im"},
       .forward = forward,
       .ignorable_keys = {"embeddings.mask_token", "swinv2.embeddings.mask_token"},  // no task masks patches
       .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
