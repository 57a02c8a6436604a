// CLIPSeg: a CLIP, and a decoder that marks the region of an image that a text names. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clipseg/modeling_clipseg.py
#include <fmt/format.h>

#include <vector>

#include "models/multimodal/common/towers/clip_encoders.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr const char* kSegmentation = "image-segmentation";

class ClipSegOnnxConfig : public ClipOnnxConfig {
 public:
  using ClipOnnxConfig::ClipOnnxConfig;
  std::vector<std::string> variants() const override {
    return task() == kSegmentation ? std::vector<std::string>{"default"} : ClipOnnxConfig::variants();
  }
  AxesByName inputs() const override {
    const Axes text = {{0, "batch_size"}, {1, "sequence_length"}};
    if (task() == kSegmentation) {
      return {{"input_ids", text},
              {"attention_mask", text},
              {"pixel_values", {{0, "batch_size"}, {2, "height"}, {3, "width"}}}};
    }
    AxesByName names = ClipOnnxConfig::inputs();
    for (auto& [name, axes] : names) {
      if (name == "pixel_values") axes.insert({{2, "height"}, {3, "width"}});
    }
    return names;
  }
  // The logits have a size of their own, which processors scale to the image's.
  AxesByName outputs() const override {
    if (task() != kSegmentation) return ClipOnnxConfig::outputs();
    return {{"logits", {{0, "batch_size"}, {1, "height"}, {2, "width"}}}};
  }
};

struct DecoderConfig {
  std::int64_t reduce_dim, conditional_layer, patch_size;
  std::vector<std::int64_t> extract_layers;
  nn::EncoderLayerParameters layer;
  bool complex;

  DecoderConfig(const PretrainedConfig& c, const ImageTowerConfig& vision)
      : reduce_dim(c.integer("reduce_dim")),
        conditional_layer(c.integer("conditional_layer")),
        patch_size(vision.patch_size),
        extract_layers(c.integers("extract_layers")),
        layer(vision.layer()),
        complex(c.flag("use_complex_transposed_convolution")) {
    c.harmless({"decoder_hidden_act"});  // the original takes relu, whatever it says
    const std::int64_t heads = c.integer("decoder_num_attention_heads");
    check_multiple(c, "reduce_dim", reduce_dim, "decoder_num_attention_heads", heads);
    layer.attention.hidden_size = reduce_dim;
    layer.attention.heads = heads;
    layer.intermediate_size = c.integer("decoder_intermediate_size");
    layer.activation = "relu";
    for (const std::int64_t one : extract_layers) {
      if (one < 0 || one >= vision.num_hidden_layers)
        refuse(c, "extract_layers", one, vision.num_hidden_layers);
    }
    const std::int64_t count = std::ssize(extract_layers);
    if (conditional_layer < 0 || conditional_layer >= count)
      refuse(c, "conditional_layer", conditional_layer, count);
    if (complex && (patch_size < 4 || reduce_dim < 2)) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: patch_size is {} and reduce_dim {}, expected at least 4 and 2 with "
                                    "use_complex_transposed_convolution",
                                    c.origin(), patch_size, reduce_dim));
    }
  }

 private:
  [[noreturn]] static void refuse(const PretrainedConfig& c, const char* key, std::int64_t value,
                                  std::int64_t count) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} has {}, expected a layer from 0 to {}",
                                                         c.origin(), key, value, count - 1));
  }
};

// Maps of patches to maps of pixels: [B, reduce_dim, rows, columns] -> [B, 1, height, width].
Value enlarge(const Scope& s, const DecoderConfig& c, Value map) {
  const ModulePath at(map, s.path());
  if (!c.complex) {
    const std::int64_t size = c.patch_size;
    return nn::ConvTranspose2d(s, c.reduce_dim, 1, {size, size}, true, {.stride = {size, size}})(map);
  }
  const std::int64_t size = c.patch_size / 4, half = c.reduce_dim / 2;
  const op::ConvOptions step{.stride = {size, size}};
  map = nn::Conv2d(s / 0, c.reduce_dim, c.reduce_dim, {3, 3}, true, {.padding = {1, 1}})(map);
  map = nn::ConvTranspose2d(s / 2, c.reduce_dim, half, {size, size}, true, step)(op::relu(map));
  return nn::ConvTranspose2d(s / 4, half, 1, {size, size}, true, step)(op::relu(map));
}

// `layers`: the states of the image tower; `text`: the vectors of the texts [B, D].
Value decode(const Scope& s, const DecoderConfig& c, const std::vector<Value>& layers, Value text) {
  Value x;
  for (std::int64_t i = 0; i < std::ssize(c.extract_layers); ++i) {
    const std::int64_t from = c.extract_layers[c.extract_layers.size() - 1 - static_cast<std::size_t>(i)];
    const Value states = layers.at(static_cast<std::size_t>(from) + 1);
    const std::int64_t width = *states.dim(2).constant(), given = *text.dim(1).constant();
    const Value reduced = nn::Linear(s / "reduces" / i, width, c.reduce_dim)(states);
    x = x ? op::add(reduced, x) : reduced;
    if (i == c.conditional_layer) {
      const Value factor = nn::Linear(s / "film_mul", given, c.reduce_dim)(text);
      const Value shift = nn::Linear(s / "film_add", given, c.reduce_dim)(text);
      const ModulePath at(x, s.path());
      x = op::mul(x, op::unsqueeze(factor, 1));
      x = op::add(x, op::unsqueeze(shift, 1));
    }
    x = nn::PostNormEncoderLayer(s / "layers" / i, c.layer)(x, {});
  }
  const ModulePath at(x, s.path());
  return op::slice(x, 1, 1, x.dim(1));  // without the class token
}

NamedValues segment(const TasksManager& tasks, const Inputs& inputs, const Model& base, const Scope& root) {
  const PretrainedConfig& config = base.config();
  config.harmless({"logit_scale_init_value"});
  const PretrainedConfig vision = tower_config(config, "vision_config");
  const DecoderConfig c(config, ImageTowerConfig(vision));
  const EncoderStates image = encode_tower(tasks, Role::vision_tower, "vision_config", vision, inputs, base);
  const Value text = clip_text_embeds(tasks, inputs, base);
  const Value patches = decode(root / "decoder", c, image.layers, text);
  const Value pixels = inputs["pixel_values"];
  const Value map = nn::tokens_to_image(patches, pixels.dim(2).floor_div(c.patch_size),
                                        pixels.dim(3).floor_div(c.patch_size));
  return {{"logits", op::squeeze(enlarge(root / "decoder" / "transposed_convolution", c, map), 1)}};
}

}  // namespace

void register_clipseg(TasksManager& tasks) {
  register_clip_text_tower(tasks, "clipseg", TextEnd::id_or_highest);
  register_clip_image_tower(tasks, "clipseg", {.any_size = true});
  tasks.register_model<ClipSegOnnxConfig>(
      {.model_type = "clipseg",
       .tasks = {"feature-extraction", kSegmentation},
       .forward = [&tasks, whole = clip_forward(tasks)](const Inputs& inputs, const Model& model,
                                                        const Component& component) -> NamedValues {
         const Model base = inside_head(tasks, model, "clip");
         if (component.task == kSegmentation) return segment(tasks, inputs, base, model.scope());
         model.config().harmless({"extract_layers", "reduce_dim", "conditional_layer", "decoder_hidden_act",
                                  "decoder_num_attention_heads", "decoder_intermediate_size",
                                  "use_complex_transposed_convolution"});
         return whole(inputs, base, component);
       },
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
