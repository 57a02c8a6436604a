// HGNet v2, only as a backbone. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/hgnet_v2/modeling_hgnet_v2.py
#include <fmt/format.h>

#include <algorithm>

#include "models/common/config_lists.h"
#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

struct Stage {
  std::int64_t in, middle, out, blocks, layers, kernel;
  bool downsample, light;
};

struct Config {
  explicit Config(const PretrainedConfig& c)
      : hidden_act(c.string("hidden_act")),
        learnable_affine(c.flag("use_learnable_affine_block")),
        stem(c.integers("stem_channels")) {
    // The numbers of channels again, and for a classifier.
    c.harmless({"num_channels", "embedding_size", "hidden_sizes", "depths", "stage_names"});
    std::vector<std::vector<std::int64_t>> lists;
    for (const char* key : {"stage_in_channels", "stage_mid_channels", "stage_out_channels",
                            "stage_num_blocks", "stage_numb_of_layers", "stage_kernel_size"})
      lists.push_back(c.integers(key));
    const std::vector<bool> downsample = flags(c, "stage_downsample", {false, true, true, true});
    const std::vector<bool> light = flags(c, "stage_light_block", {false, false, true, true});
    const auto positive = [](std::int64_t n) { return n > 0; };
    const std::size_t count = downsample.size();
    bool fits = count > 0 && light.size() == count && stem.size() == 3 && stem[1] > 1 &&
                std::all_of(stem.begin(), stem.end(), positive);
    for (const std::vector<std::int64_t>& list : lists)
      fits = fits && list.size() == count && std::all_of(list.begin(), list.end(), positive);
    if (!fits) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: expected three stem_channels, and lists stage_… of the same length "
                                    "with positive numbers",
                                    c.origin()));
    }
    for (std::size_t i = 0; i < count; ++i) {
      stages.push_back({lists[0][i], lists[1][i], lists[2][i], lists[3][i], lists[4][i], lists[5][i],
                        downsample[i], light[i]});
    }
  }

  std::string hidden_act;
  bool learnable_affine;
  std::vector<std::int64_t> stem;
  std::vector<Stage> stages;
};

struct Kernel {
  std::int64_t size = 1, stride = 1, groups = 1;
};

// Keys: convolution, normalization; lab.{scale, bias} behind an activation. No activation: an empty name.
Value conv(const Scope& s, Value x, std::int64_t out, const Kernel& kernel, const std::string& activation,
           bool learnable_affine) {
  const std::int64_t around = (kernel.size - 1) / 2;
  const op::ConvOptions options = {
      .stride = {kernel.stride, kernel.stride}, .padding = {around, around}, .groups = kernel.groups};
  const nn::Conv2d bare(s / "convolution", *x.dim(1).constant(), out, {kernel.size, kernel.size}, false,
                        options);
  x = nn::NormedConv2d{bare, nn::BatchNorm2d(s / "normalization", out)}(x);
  if (activation.empty()) return x;
  x = nn::Activation(activation)(x);
  if (!learnable_affine) return x;
  const Scope affine = s / "lab";
  const Value scaled = op::mul(x, x.graph().weight(affine.weight("scale", {1})));
  return op::add(scaled, x.graph().weight(affine.weight("bias", {1})));
}

// One row and one column of zeros at the end.
Value pad_end(Value x) { return op::pad(x, {0, 0, 0, 0}, {0, 0, 1, 1}); }

Value embed(const Scope& s, const Config& c, Value pixel_values) {
  const std::int64_t width = c.stem[1];
  const auto layer = [&](const char* name, Value x, std::int64_t out, std::int64_t size,
                         std::int64_t stride) {
    return conv(s / name, x, out, {size, stride}, c.hidden_act, c.learnable_affine);
  };
  const Value first = pad_end(layer("stem1", pixel_values, width, 3, 2));
  const Value second = pad_end(layer("stem2a", first, width / 2, 2, 1));
  const Value right = layer("stem2b", second, width, 2, 1);
  const Value left = op::max_pool2d(first, {2, 2}, {.stride = {1, 1}});
  const Value both = layer("stem3", op::concat({left, right}, 1), width, 3, 2);
  return layer("stem4", both, c.stem[2], 1, 1);
}

// The results of all layers, mixed.
Value block(const Scope& s, const Stage& stage, bool affine, Value x, bool residual) {
  std::vector<Value> all = {x};
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    const Scope layer = s / "layers" / i;
    if (stage.light) {
      const Value mixed = conv(layer / "conv1", all.back(), stage.middle, {}, "", affine);
      all.push_back(conv(layer / "conv2", mixed, stage.middle, {.size = stage.kernel, .groups = stage.middle},
                         "relu", affine));
    } else {
      all.push_back(conv(layer, all.back(), stage.middle, {.size = stage.kernel}, "relu", affine));
    }
  }
  const Scope aggregation = s / "aggregation";
  const Value squeezed = conv(aggregation / 0, op::concat(all, 1), stage.out / 2, {}, "relu", affine);
  const Value made = conv(aggregation / 1, squeezed, stage.out, {}, "relu", affine);
  return residual ? op::add(made, x) : made;
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(c.stages));
  std::vector<Value> all = {embed(s / "embedder", c, pixel_values)};
  for (std::size_t i = 0; i < c.stages.size(); ++i) {
    const Scope at = s / "encoder" / "stages" / static_cast<std::int64_t>(i);
    const Stage& stage = c.stages[i];
    Value x = all.back();
    if (stage.downsample)
      x = conv(at / "downsample", x, stage.in, {.size = 3, .stride = 2, .groups = stage.in}, "", false);
    for (std::int64_t j = 0; j < stage.blocks; ++j)
      x = block(at / "blocks" / j, stage, c.learnable_affine, x, j > 0);
    all.push_back(x);
  }
  return stage_features(all, stages);
}

}  // namespace

void register_hgnet_v2(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "hgnet_v2", .tasks = {}, .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
