// ViTMatte: the opacity of each pixel, from an image and a map of what is known. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vitmatte/modeling_vitmatte.py
#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaultBackbone = R"({"model_type": "vitdet", "out_features": ["stage4"]})";

struct Config {
  std::vector<std::int64_t> details, fusions;  ///< channels
  double eps;

  explicit Config(const PretrainedConfig& c)
      : details(c.integers("convstream_hidden_sizes")),
        fusions(c.integers("fusion_hidden_sizes")),
        eps(c.real("batch_norm_eps")) {
    c.harmless({"hidden_size"});  // that of the backbone
    const auto bad = [](std::int64_t width) { return width < 1 || width > 1 << 20; };
    if (details.size() > 16 || fusions.size() != details.size() + 1 ||
        std::any_of(details.begin(), details.end(), bad) ||
        std::any_of(fusions.begin(), fusions.end(), bad)) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: convstream_hidden_sizes [{}] and fusion_hidden_sizes [{}], expected "
                                    "positive numbers, one more in the second list",
                                    c.origin(), fmt::join(details, ", "), fmt::join(fusions, ", ")));
    }
  }
};

/// An image and a map in four channels. Sizes are multiples of a patch and of the steps back to the image.
class VitMatteOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  std::int64_t image_step() const override {
    const std::vector<std::int64_t> patch = backbone().integers("patch_size");
    const std::int64_t steps = std::int64_t{1} << Config(config().unaccounted()).fusions.size();
    return patch.empty() ? steps : std::max(patch.front(), steps);
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedVisionConfig(config()).with_args({{"num_channels", "backbone_config.num_channels"}});
  }

 private:
  PretrainedConfig backbone() const { return own_backbone_config(config().unaccounted(), kDefaultBackbone); }
};

// Convolution, batch norm, relu.
Value basic_conv(const Scope& s, const Config& c, std::int64_t out, std::int64_t stride, Value x) {
  const nn::NormedConv2d layer{
      {s / "conv", *x.dim(1).constant(), out, {3, 3}, false, {.stride = {stride, stride}, .padding = {1, 1}}},
      {s / "batch_norm", out, c.eps}};
  const ModulePath at(x, s.path());
  return op::relu(layer(x));
}

Value decode(const Scope& s, const Config& c, Value x, Value pixel_values) {
  std::vector<Value> details = {pixel_values};
  for (std::size_t i = 0; i < c.details.size(); ++i) {
    const Scope conv = s / "convstream" / "convs" / static_cast<std::int64_t>(i);
    details.push_back(basic_conv(conv, c, c.details[i], 2, details.back()));
  }
  for (std::size_t i = 0; i < c.fusions.size(); ++i) {
    const Scope block = s / "fusion_blocks" / static_cast<std::int64_t>(i);
    const ModulePath at(x, block.path());
    const Value large = op::interpolate(x, {x.dim(2) * 2, x.dim(3) * 2}, "linear");
    Value detail = details[c.fusions.size() - 1 - i];
    // Of other sizes, which the original does not take, details have more rows or columns.
    for (const std::int64_t axis : {2, 3}) {
      if (detail.dim(axis) != large.dim(axis)) detail = op::slice(detail, axis, 0, large.dim(axis));
    }
    x = basic_conv(block / "conv", c, c.fusions[i], 1, op::concat({detail, large}, 1));
  }
  constexpr std::int64_t width = 16;  // as it is in the original's code
  const Scope head = s / "matting_head" / "matting_convs";
  x = nn::Conv2d(head / 0, c.fusions.back(), width, {3, 3}, true, {.padding = {1, 1}})(x);
  x = op::relu(nn::BatchNorm2d(head / 1, width)(x));
  return op::sigmoid(nn::Conv2d(head / 3, width, 1, {1, 1})(x));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope();
  const Value pixel_values = inputs["pixel_values"];
  const PretrainedConfig backbone = own_backbone_config(config, kDefaultBackbone);
  const Value last = run_backbone(tasks, root / "backbone", backbone, pixel_values).stages.back();
  if (last.rank() != 4) {
    throw ExportError(ErrorCode::unsupported, fmt::format("{}: a backbone of type '{}' returns tokens, "
                                                          "expected images",
                                                          config.origin(), backbone.model_type()));
  }
  return {{"alphas", decode(root / "decoder", c, last, pixel_values)}};
}

}  // namespace

void register_vitmatte(TasksManager& tasks) {
  tasks.register_model<VitMatteOnnxConfig>(
      {.model_type = "vitmatte",
       .tasks = {"image-matting"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& /*component*/) {
         return forward(tasks, inputs, model);
       }});
}

}  // namespace onnxport::models
