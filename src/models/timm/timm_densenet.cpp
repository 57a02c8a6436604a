// DenseNet. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/densenet.py
#include <fmt/format.h>

#include <map>

#include "models/timm/common/family.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pooling.h"

namespace onnxport::models {
namespace {

struct DenseNet {
  std::int64_t growth;
  std::vector<std::int64_t> layers;  // of each block
  const char* stem = "";             // "deep": three 3x3 convolutions; else one of 7x7
};

const std::map<std::string, DenseNet, std::less<>>& architectures() {
  static const std::map<std::string, DenseNet, std::less<>> entries = {
      {"densenet121", {32, {6, 12, 24, 16}}},          {"densenet161", {48, {6, 12, 36, 24}}},
      {"densenet169", {32, {6, 12, 32, 32}}},          {"densenet201", {32, {6, 12, 48, 32}}},
      {"densenet264d", {48, {6, 12, 64, 48}, "deep"}},
  };
  return entries;
}

struct Config {
  std::int64_t growth, factor;
  std::vector<std::int64_t> layers;
  bool deep;
  std::string activation;

  explicit Config(const TimmConfig& c) {
    const DenseNet& usual = architecture_in(architectures(), c);
    growth = c.positive("growth_rate", usual.growth);
    factor = c.positive("bn_size", 4);
    layers = c.integers("block_config", usual.layers);
    activation = c.string("act_layer", "relu");
    const std::string stem = c.string("stem_type", usual.stem);
    deep = stem == "deep";
    if (!deep && !stem.empty()) c.refuse(fmt::format("stem_type is '{}', expected deep or nothing", stem));
    if (layers.empty()) c.fail("model_args.block_config is empty");
  }
};

// activation(norm(x))
Value normed(const Scope& s, const Config& c, Value x) {
  const nn::BatchNorm2d norm(s, *x.dim(1).constant());
  return timm_activation(c.activation)(norm(x));
}

Value convolved(const Scope& s, Value x, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  const std::int64_t around = kernel / 2;
  return nn::Conv2d(s, *x.dim(1).constant(), out, {kernel, kernel}, false,
                    {.stride = {stride, stride}, .padding = {around, around}})(x);
}

Value run_stem(const Scope& s, const Config& c, Value x) {
  const std::int64_t out = 2 * c.growth;
  if (!c.deep) return normed(s / "norm0", c, convolved(s / "conv0", x, out, 7, 2));
  x = normed(s / "norm0", c, convolved(s / "conv0", x, c.growth, 3, 2));
  x = normed(s / "norm1", c, convolved(s / "conv1", x, c.growth, 3));
  return normed(s / "norm2", c, convolved(s / "conv2", x, out, 3));
}

// Every layer sees the results of all layers before it, and adds a few channels.
Value run_block(const Scope& s, const Config& c, std::int64_t layers, Value x) {
  std::vector<Value> all = {x};
  for (std::int64_t i = 0; i < layers; ++i) {
    const Scope layer = s / fmt::format("denselayer{}", i + 1);
    const ModulePath at(x, layer.path());
    Value y = all.size() == 1 ? x : op::concat(all, 1);
    y = convolved(layer / "conv1", normed(layer / "norm1", c, y), c.factor * c.growth, 1);
    all.push_back(convolved(layer / "conv2", normed(layer / "norm2", c, y), c.growth, 3));
  }
  return all.size() == 1 ? x : op::concat(all, 1);
}

Value halve(const Scope& s, const Config& c, Value x) {
  const Value narrow = convolved(s / "conv", normed(s / "norm", c, x), *x.dim(1).constant() / 2, 1);
  return nn::average_pool2d(narrow, {.kernel = {2, 2}, .stride = {2, 2}});
}

// The results of the stem and of the blocks up to number `last`; the last of them has a norm.
std::vector<Value> run_stages(const Scope& s, const Config& c, Value pixel_values, std::int64_t last) {
  const Scope features = s / "features";
  std::vector<Value> all = {run_stem(features, c, pixel_values)};
  if (last == 0) return all;
  Value x = op::max_pool2d(all.front(), {3, 3}, {.stride = {2, 2}, .padding = {1, 1}});
  for (std::size_t i = 0; i < c.layers.size() && static_cast<std::int64_t>(i) < last; ++i) {
    if (i > 0) x = halve(features / fmt::format("transition{}", i), c, x);
    x = run_block(features / fmt::format("denseblock{}", i + 1), c, c.layers[i], x);
    if (i + 1 == c.layers.size()) x = normed(features / "norm5", c, x);
    all.push_back(x);
  }
  return all;
}

TimmOutputs run(const Scope& s, const TimmConfig& timm, Value pixel_values) {
  const Value x = run_stages(s, Config(timm), pixel_values, TimmFamily::kAll).back();
  return {x, classify_image(s / "classifier", timm, x, *x.dim(1).constant())};
}

std::vector<Value> stages(const Scope& s, const TimmConfig& timm, Value pixel_values, std::int64_t last) {
  return run_stages(s, Config(timm), pixel_values, last);
}

}  // namespace

void register_timm_densenet(TasksManager& tasks) {
  tasks.register_model<TimmOnnxConfig>(
      timm_definition({.name = "densenet",
                       .architectures = architectures_of(architectures()),
                       .run = run,
                       .stages = stages,
                       .key_names = {.newer = {{"features.", "features_"}}}}));
}

}  // namespace onnxport::models
