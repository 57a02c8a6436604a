// TextNet. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/textnet/modeling_textnet.py
#include <fmt/format.h>

#include "models/common/config_lists.h"
#include "models/common/definition.h"
#include "models/vision/common/backbone.h"
#include "models/vision/common/pooled_features.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/pooling.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

using Lists = std::vector<std::vector<std::int64_t>>;

struct Config {
  std::int64_t channels_in, stem_width, stem_kernel, stem_stride, num_labels;
  std::vector<std::int64_t> hidden_sizes;
  Lists kernels;  ///< height and width of each layer's kernel, for each stage
  Lists strides;  ///< of each layer, for each stage
  std::string stem_activation;
  double batch_norm_eps;

  explicit Config(const PretrainedConfig& c)
      : channels_in(moderate(c, "stem_num_channels")),
        stem_width(moderate(c, "stem_out_channels")),
        stem_kernel(moderate(c, "stem_kernel_size")),
        stem_stride(moderate(c, "stem_stride")),
        num_labels(c.num_labels()),
        kernels(integer_lists(c, "conv_layer_kernel_sizes",
                              {{3, 3, 3, 3, 3, 3},
                               {3, 3, 1, 3, 3, 3, 3, 1},
                               {3, 3, 3, 3, 3, 1, 1, 3},
                               {3, 3, 3, 1, 1, 3, 3, 3}})),
        strides(
            integer_lists(c, "conv_layer_strides", {{1, 2, 1}, {2, 1, 1, 1}, {2, 1, 1, 1}, {2, 1, 1, 1}})),
        stem_activation(c.string("stem_act_func", "")),
        batch_norm_eps(c.real("batch_norm_eps")) {
    c.harmless(
        {"image_size", "depths", "stage_names"});  // any size works; the others follow from the kernels
    hidden_sizes = per_stage(c, "hidden_sizes", std::ssize(kernels) + 1);
    bool fit = !kernels.empty() && strides.size() == kernels.size();
    for (std::size_t i = 0; fit && i < kernels.size(); ++i) fit = kernels[i].size() == 2 * strides[i].size();
    if (fit) return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: conv_layer_kernel_sizes has {} stages and conv_layer_strides {}, expected a "
                    "stride and two extents for each layer of each stage",
                    c.origin(), kernels.size(), strides.size()));
  }
};

/// Convolutions of different shapes side by side, and the input itself if it has the same shape.
Value run_layer(Value x, const Scope& s, const Config& c, std::int64_t in, std::int64_t out,
                nn::KernelSize kernel, std::int64_t stride) {
  const ModulePath at(x, s.path());
  const auto branch = [&](const char* name, nn::KernelSize size) {
    const nn::Conv2d convolution(
        s / fmt::format("{}_conv", name), in, out, size, false,
        {.stride = {stride, stride}, .padding = {(size.height - 1) / 2, (size.width - 1) / 2}});
    const nn::BatchNorm2d norm(s / fmt::format("{}_batch_norm", name), out, c.batch_norm_eps);
    return norm(convolution(x));
  };
  Value sum = branch("main", kernel);
  if (kernel.width != 1) sum = op::add(sum, branch("vertical", {kernel.height, 1}));
  if (kernel.height != 1) sum = op::add(sum, branch("horizontal", {1, kernel.width}));
  if (in == out && stride == 1)
    sum = op::add(sum, nn::BatchNorm2d(s / "rbr_identity", in, c.batch_norm_eps)(x));
  return op::relu(sum);
}

// The results of the stem and of each stage.
std::vector<Value> encode(Value pixel_values, const Scope& s, const Config& c) {
  const std::int64_t around = c.stem_kernel / 2;
  const nn::NormedConv2d stem{
      nn::Conv2d(s / "stem" / "conv", c.channels_in, c.stem_width, {c.stem_kernel, c.stem_kernel}, false,
                 {.stride = {c.stem_stride, c.stem_stride}, .padding = {around, around}}),
      nn::BatchNorm2d(s / "stem" / "batch_norm", c.stem_width, c.batch_norm_eps)};
  Value x = stem(pixel_values);
  if (!c.stem_activation.empty()) x = nn::Activation(c.stem_activation)(x);
  std::vector<Value> states = {x};
  for (std::size_t i = 0; i < c.kernels.size(); ++i) {
    const Scope layers = s / "encoder" / "stages" / static_cast<std::int64_t>(i) / "stage";
    for (std::size_t j = 0; j < c.strides[i].size(); ++j) {
      const std::int64_t in = j == 0 ? c.hidden_sizes[i] : c.hidden_sizes[i + 1];
      x = run_layer(x, layers / static_cast<std::int64_t>(j), c, in, c.hidden_sizes[i + 1],
                    {c.kernels[i][2 * j], c.kernels[i][2 * j + 1]}, c.strides[i][j]);
    }
    states.push_back(x);
  }
  return states;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  model.config().harmless({"out_features", "out_indices"});  // of a backbone
  const Scope root = model.scope();
  const Value hidden = encode(inputs["pixel_values"], root.base_model("textnet"), c).back();
  if (component.task == "feature-extraction") {
    const Value pooled = nn::adaptive_average_pool2d(hidden, 2, 2);
    return {{"last_hidden_state", hidden}, {"pooler_output", pooled}};
  }
  const nn::Linear fc(root / "fc", c.hidden_sizes[c.kernels.size()], c.num_labels);
  return {{"logits", fc(nn::global_average_pool(hidden))}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(c.kernels));
  return stage_features(encode(pixel_values, s / "textnet", c), stages);
}

/// The channels of images have another key.
class TextNetOnnxConfig : public PooledFeaturesOnnxConfig {
 public:
  using PooledFeaturesOnnxConfig::PooledFeaturesOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return PooledFeaturesOnnxConfig::normalized_config().with_args({{"num_channels", "stem_num_channels"}});
  }
};

}  // namespace

void register_textnet(TasksManager& tasks) {
  tasks.register_model<TextNetOnnxConfig>({.model_type = "textnet",
                                           .tasks = {"feature-extraction", "image-classification"},
                                           .forward = forward,
                                           .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
