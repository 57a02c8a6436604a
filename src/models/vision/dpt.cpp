// DPT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dpt/modeling_dpt.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

/// Images of any size, unless a convolutional backbone comes before the encoder.
class DptOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return !config().unaccounted().flag("is_hybrid"); }
};

struct Config {
  std::int64_t fusion_hidden_size, head_in_index, num_labels;
  std::vector<std::int64_t> neck_hidden_sizes;
  std::vector<double> reassemble_factors;
  std::string readout_type, hidden_act, origin;
  bool hybrid, own_encoder, add_projection, batch_norm, residual_bias;

  explicit Config(const PretrainedConfig& c)
      : fusion_hidden_size(c.integer("fusion_hidden_size")),
        head_in_index(c.integer("head_in_index")),
        num_labels(c.num_labels()),
        neck_hidden_sizes(c.integers("neck_hidden_sizes")),
        reassemble_factors(c.reals("reassemble_factors")),
        readout_type(c.string("readout_type")),
        hidden_act(c.string("hidden_act")),
        origin(c.origin()),
        hybrid(c.flag("is_hybrid")),
        own_encoder(hybrid || !c.has("backbone_config")),
        add_projection(c.flag("add_projection")),
        batch_norm(c.flag("use_batch_norm_in_fusion_residual")),
        residual_bias(c.flag("use_bias_in_fusion_residual", !batch_norm)) {
    // The auxiliary segmentation head is only for a loss. The shape of the backbone's features is inferred.
    c.harmless({"use_auxiliary_head", "backbone_featmap_shape", "use_autobackbone"});
    for (const char* key : {"backbone", "backbone_kwargs"}) {
      if (c.has(key)) refuse(key, "a backbone given by its name", "null and a backbone_config");
    }
    if (c.flag("use_timm_backbone") || c.flag("use_pretrained_backbone"))
      refuse("use_timm_backbone or use_pretrained_backbone", "true", "false");
    const auto known = {"ignore", "add", "project"};
    if (std::find(known.begin(), known.end(), readout_type) == known.end() ||
        (hybrid && readout_type != "project"))
      refuse("readout_type", readout_type, hybrid ? "project" : "ignore, add, project");
    if (hybrid && c.integers("neck_ignore_stages") != std::vector<std::int64_t>{0, 1})
      refuse("neck_ignore_stages", "others", "0 and 1");
    if (!hybrid) c.harmless({"neck_ignore_stages"});
    for (const double factor : reassemble_factors) {
      const bool in_range = factor >= 1.0 / 64 && factor <= 64;
      if (!in_range || (factor > 1 && factor != std::floor(factor)))
        refuse("reassemble_factors", fmt::format("[{}]", fmt::join(reassemble_factors, ", ")),
               "whole numbers and fractions, 1/64 to 64");
    }
    const auto stages = static_cast<std::int64_t>(neck_hidden_sizes.size());
    if (stages == 0 || reassemble_factors.size() != neck_hidden_sizes.size() || fusion_hidden_size < 1 ||
        head_in_index < -stages || head_in_index >= stages) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: {} neck_hidden_sizes, {} reassemble_factors, fusion_hidden_size {} "
                      "and head_in_index {} do not fit",
                      origin, stages, reassemble_factors.size(), fusion_hidden_size, head_in_index));
    }
  }

  [[noreturn]] void refuse(std::string_view key, std::string_view got, std::string_view known) const {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: {} is {}, known: {}", origin, key, got, known));
  }
};

/// The results of an encoder.
struct Encoded {
  std::vector<Value> states;  ///< [B, 1 + rows * columns, hidden_size]: the embeddings and each layer's
  std::vector<Value> maps;    ///< [B, C, H, W]: of a convolutional backbone
  std::int64_t hidden_size = 0;
  Dim rows, columns;
};

PretrainedConfig bit_config(const PretrainedConfig& c) {
  if (c.has("backbone_config")) return c.sub("backbone_config", "bit");
  return PretrainedConfig::from_json(
      R"({"global_padding": "same", "layer_type": "bottleneck", "depths": [3, 4, 9],
          "out_features": ["stage1", "stage2", "stage3"], "embedding_dynamic_padding": true})",
      c.origin(), "bit");
}

BackboneFeatures backbone(const TasksManager& tasks, const Scope& s, const PretrainedConfig& config,
                          Value pixel_values) {
  const auto type = tasks.get_part(config, "backbone_config", Role::backbone);
  return type->roles.backbone->features(s, config, pixel_values);
}

Encoded encode(const TasksManager& tasks, const Scope& s, const PretrainedConfig& config, bool hybrid,
               Value pixel_values) {
  const ViTConfig c(config);
  Encoded encoded;
  encoded.hidden_size = c.hidden_size;
  nn::ImageTokensParameters tokens = c.tokens();
  tokens.resampling = "linear";
  Value image = pixel_values;
  if (hybrid) {
    encoded.maps = backbone(tasks, s / "embeddings" / "backbone", bit_config(config), pixel_values).stages;
    image = encoded.maps.back();
    if (encoded.maps.size() != 3 || image.rank() != 4 || image.dim(2) != Dim(c.grid.height) ||
        image.dim(3) != Dim(c.grid.width)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: the backbone returns {} maps, the last one {}, expected 3 and {} by {}",
                      config.origin(), encoded.maps.size(), to_string(image.type()), c.grid.height,
                      c.grid.width));
    }
    encoded.maps.pop_back();
    tokens.projection = "projection";
    tokens.channels = *image.dim(1).constant();
    tokens.patch = {1, 1};
  }
  const nn::ImageTokens embeddings(s / "embeddings", tokens);
  const nn::PreNormEncoder encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer());
  encoded.rows = image.dim(2).floor_div(tokens.patch.height);
  encoded.columns = image.dim(3).floor_div(tokens.patch.width);
  encoded.states = {embeddings(image)};
  for (const nn::PreNormEncoderLayer& layer : encoder.layers())
    encoded.states.push_back(layer(encoded.states.back()));
  return encoded;
}

/// The states of the layers that the neck takes.
Encoded neck_inputs(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                    const Config& c, Value pixel_values) {
  Encoded encoded = encode(tasks, root.base_model("dpt"), config, c.hybrid, pixel_values);
  std::vector<std::int64_t> layers = config.integers("backbone_out_indices");
  if (c.hybrid)
    layers.erase(layers.begin(), layers.begin() + std::min<std::ptrdiff_t>(2, std::ssize(layers)));
  std::vector<Value> chosen = encoded.maps;
  for (std::size_t i = 1; i < encoded.states.size(); ++i) {
    if (std::find(layers.begin(), layers.end(), static_cast<std::int64_t>(i) - 1) != layers.end())
      chosen.push_back(encoded.states[i]);
  }
  encoded.states = std::move(chosen);
  return encoded;
}

/// The same with a backbone of another type as encoder.
Encoded backbone_inputs(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                        Value pixel_values) {
  // Settings of an encoder that does not exist.
  config.harmless({"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                   "layer_norm_eps", "image_size", "patch_size", "num_channels", "qkv_bias",
                   "backbone_out_indices", "pooler_output_size", "pooler_act"});
  const PretrainedConfig inner = config.sub("backbone_config");
  BackboneFeatures features = backbone(tasks, root / "backbone", inner, pixel_values);
  const Value last = features.stages.back();
  if (last.rank() != 3) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: a backbone of type '{}' returns images, expected tokens",
                                  config.origin(), inner.model_type()));
  }
  return {std::move(features.stages), {}, *last.dim(2).constant(), features.rows, features.columns};
}

/// Hidden states as an image at its own resolution.
struct Reassemble {
  std::string path;
  std::string readout_type;
  std::optional<nn::Linear> of_patches, of_cls;  // halves of one layer: the first token is the same for all
  nn::Activation activation;
  nn::Linear projection;
  std::optional<nn::ConvTranspose2d> up;
  std::optional<nn::Conv2d> down;

  // A 1 x 1 convolution, applied before tokens become an image.
  static nn::Linear one_pixel(const Scope& s, std::int64_t in, std::int64_t out) {
    const Weight weight = s.weight("weight", {out, in, 1, 1}).reshape({out, in});
    return {s.path(), weight, s.weight("bias", {out})};
  }

  Reassemble(const Scope& s, const Config& c, std::int64_t width, std::size_t i)
      : path((s / "layers" / static_cast<std::int64_t>(i)).path()),
        readout_type(c.readout_type),
        activation(c.hidden_act),
        projection(one_pixel(s / "layers" / static_cast<std::int64_t>(i) / "projection", width,
                             c.neck_hidden_sizes[i])) {
    const std::int64_t channels = c.neck_hidden_sizes[i];
    const double factor = c.reassemble_factors[i];
    const Scope resize = s / "layers" / static_cast<std::int64_t>(i) / "resize";
    if (factor > 1) {
      const auto times = static_cast<std::int64_t>(factor);
      up.emplace(resize, channels, channels, nn::KernelSize{times, times}, true,
                 op::ConvOptions{.stride = {times, times}});
    } else if (factor < 1) {
      const auto stride = static_cast<std::int64_t>(1 / factor);
      down.emplace(resize, channels, channels, nn::KernelSize{3, 3}, true,
                   op::ConvOptions{.stride = {stride, stride}, .padding = {1, 1}});
    }
    if (readout_type != "project") return;
    const Scope readout = s / "readout_projects" / static_cast<std::int64_t>(i) / 0;
    const Weight weight = readout.weight("weight", {width, 2 * width});
    of_patches.emplace(readout.path(), weight.slice(1, 0, width), Weight());
    of_cls.emplace(readout.path(), weight.slice(1, width, 2 * width), readout.weight("bias", {width}));
  }

  Value operator()(Value tokens, const Dim& rows, const Dim& columns) const {
    const ModulePath at(tokens, path);
    Value patches = op::slice(tokens, 1, 1, tokens.dim(1));
    if (readout_type != "ignore") {
      const Value cls = op::slice(tokens, 1, 0, 1);
      if (readout_type == "add") {
        patches = op::add(patches, cls);
      } else {
        const Value theirs = (*of_cls)(cls);
        patches = activation(op::add((*of_patches)(patches), theirs));
      }
    }
    const Value image = nn::tokens_to_image(projection(patches), rows, columns);
    if (up) return (*up)(image);
    return down ? (*down)(image) : image;
  }
};

Value upsample(Value x, bool align_corners = true) {
  return op::interpolate(x, {x.dim(2) * 2, x.dim(3) * 2}, "linear", align_corners);
}

nn::Conv2d conv3x3(const Scope& s, std::int64_t in, std::int64_t out, bool bias = true) {
  return {s, in, out, {3, 3}, bias, {.padding = {1, 1}}};
}

/// x + convolution2(relu(convolution1(relu(x))))
Value residual_unit(const Scope& s, const Config& c, Value x) {
  const std::int64_t width = c.fusion_hidden_size;
  const auto step = [&](int i, Value y) {
    y = conv3x3(s / fmt::format("convolution{}", i), width, width, c.residual_bias)(op::relu(y));
    return c.batch_norm ? nn::BatchNorm2d(s / fmt::format("batch_norm{}", i), width)(y) : y;
  };
  const ModulePath at(x, s.path());
  const Value inner = step(1, x);
  return op::add(step(2, inner), x);
}

/// Reassembles hidden states and fuses them, from the last to the first. Returns the result of each step, [B,
/// fusion_hidden_size, H', W'].
std::vector<Value> neck(const Scope& s, const Config& c, const Encoded& encoded) {
  if (encoded.states.size() != c.neck_hidden_sizes.size()) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} hidden states for {} neck_hidden_sizes", c.origin,
                                  encoded.states.size(), c.neck_hidden_sizes.size()));
  }
  std::vector<Value> features;
  for (std::size_t i = 0; i < encoded.states.size(); ++i) {
    Value x = encoded.states[i];
    if (x.rank() == 3)
      x = Reassemble(s / "reassemble_stage", c, encoded.hidden_size, i)(x, encoded.rows, encoded.columns);
    const Scope conv = s / "convs" / static_cast<std::int64_t>(i);
    features.push_back(conv3x3(conv, c.neck_hidden_sizes[i], c.fusion_hidden_size, false)(x));
  }
  std::reverse(features.begin(), features.end());

  const Scope layers = s / "fusion_stage" / "layers";
  (layers / 0).ignore("residual_layer1");  // the first step has nothing to add
  std::vector<Value> fused;
  for (std::size_t i = 0; i < features.size(); ++i) {
    const Scope layer = layers / static_cast<std::int64_t>(i);
    Value x = features[i];
    const ModulePath at(x, layer.path());
    if (!fused.empty()) {
      const Value before = fused.back();
      // If strides left a remainder, sizes differ.
      if (x.shape() != before.shape()) x = op::interpolate(x, {before.dim(2), before.dim(3)}, "linear");
      x = op::add(before, residual_unit(layer / "residual_layer1", c, x));
    }
    x = residual_unit(layer / "residual_layer2", c, x);
    const nn::Conv2d projection(layer / "projection", c.fusion_hidden_size, c.fusion_hidden_size, {1, 1});
    fused.push_back(projection(upsample(x)));
  }
  return fused;
}

Value depth(const Scope& s, const Config& c, Value x) {
  constexpr std::int64_t projection_width = 256;  // as it is in the original's code
  if (c.add_projection) x = op::relu(conv3x3(s / "projection", projection_width, projection_width)(x));
  const Scope head = s / "head";
  const std::int64_t half = c.fusion_hidden_size / 2;
  x = upsample(conv3x3(head / 0, c.fusion_hidden_size, half)(x));
  x = op::relu(conv3x3(head / 2, half, 32)(x));
  x = op::relu(nn::Conv2d(head / 4, 32, 1, {1, 1})(x));
  return op::squeeze(x, 1);
}

Value segmentation(const Scope& s, const Config& c, Value x) {
  const std::int64_t width = c.fusion_hidden_size;
  const nn::BatchNorm2d norm(s / 1, width);
  x = op::relu(norm(conv3x3(s / 0, width, width, false)(x)));
  return upsample(nn::Conv2d(s / 4, width, c.num_labels, {1, 1})(x));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope();
  const Value pixel_values = inputs["pixel_values"];
  if (component.task == "feature-extraction") {
    config.harmless({"backbone_out_indices"});
    const Scope base = root.base_model("dpt");
    const Encoded encoded = encode(tasks, base, config, c.hybrid, pixel_values);
    const nn::LayerNorm norm(base / "layernorm", encoded.hidden_size, config.real("layer_norm_eps"));
    return {{"last_hidden_state", norm(encoded.states.back())}};
  }
  const Encoded encoded = c.own_encoder ? neck_inputs(tasks, root, config, c, pixel_values)
                                        : backbone_inputs(tasks, root, config, pixel_values);
  const std::vector<Value> fused = neck(root / "neck", c, encoded);
  const std::int64_t index = c.head_in_index < 0 ? c.head_in_index + std::ssize(fused) : c.head_in_index;
  const Value features = fused[static_cast<std::size_t>(index)];
  if (component.task == "depth-estimation") return {{"predicted_depth", depth(root / "head", c, features)}};
  return {{"logits", segmentation(root / "head" / "head", c, features)}};
}

}  // namespace

void register_dpt(TasksManager& tasks) {
  tasks.register_model<DptOnnxConfig>(
      {.model_type = "dpt",
       .tasks = {"feature-extraction", "depth-estimation", "image-segmentation", "semantic-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .ignorable_keys = {"*pooler.dense.*", "auxiliary_head.*"}});
}

}  // namespace onnxport::models
