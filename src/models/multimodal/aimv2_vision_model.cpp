// The image tower of AIMv2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/aimv2/modeling_aimv2.py
#include <fmt/format.h>

#include <cmath>

#include "models/multimodal/common/towers/aimv2.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config : Aimv2Config {
  std::int64_t num_channels, image_size, patch_size;
  bool use_head, is_native;

  explicit Config(const PretrainedConfig& c)
      : Aimv2Config(c),
        num_channels(c.integer("num_channels")),
        image_size(c.integer("image_size")),
        patch_size(c.integer("patch_size")),
        use_head(c.flag("use_head")),
        is_native(c.flag("is_native")) {
    if (patch_size < 1 || image_size < patch_size || (is_native && hidden_size % 4 != 0)) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: image_size is {}, patch_size {} and hidden_size {}; expected at "
                                    "least one patch, and a multiple of 4 if is_native is true",
                                    c.origin(), image_size, patch_size, hidden_size));
    }
  }
};

/// Images of any size if positions are computed.
class Aimv2VisionModelOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return config().unaccounted().flag("is_native"); }
  ImageSize smallest_image() const override {
    const std::int64_t patch = config().unaccounted().integer("patch_size");
    return {patch, patch};
  }
  AxesByName outputs() const override {
    AxesByName outputs = {{"last_hidden_state", {{0, "batch_size"}}}};
    if (config().unaccounted().flag("use_head")) outputs.push_back({"pooler_output", {{0, "batch_size"}}});
    return outputs;
  }
};

// Sines and cosines of columns and rows for a grid of patches: [1, rows * columns, hidden_size]. The first
// half of the width is for columns.
Value grid_sines(Graph& graph, const Config& c, const Dim& rows, const Dim& columns) {
  const std::int64_t quarter = c.hidden_size / 4;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < quarter; ++i)
    frequencies.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(quarter)));
  const Value turns = graph.weight_as_is(Weight::from_doubles(DType::f32, {1, quarter}, frequencies));
  const auto sines = [&](const Dim& count) {
    const Value place = op::unsqueeze(op::cast(op::arange(graph, count), DType::f32), 1);
    const Value angles = op::mul(place, turns);
    const Value sine = op::sin(angles);
    return op::concat({sine, op::cos(angles)}, 1);
  };
  const Dim width = 2 * quarter;
  const Value across = op::expand(op::unsqueeze(sines(columns), 0), {rows, columns, width});
  const Value down = op::expand(op::unsqueeze(sines(rows), 1), {rows, columns, width});
  const Value grid = op::reshape(op::concat({across, down}, 2), {1, rows * columns, width * 2});
  return op::cast(grid, graph.float_dtype());
}

Value embed(const Scope& s, const Config& c, Value pixel_values) {
  const std::int64_t patch = c.patch_size, side = c.image_size / c.patch_size;
  const nn::Conv2d projection(s / "patch_embed", c.num_channels, c.hidden_size, {patch, patch}, true,
                              {.stride = {patch, patch}});
  const Value image = projection(pixel_values);
  const Value tokens = c.norm(s / "rms_norm")(nn::image_to_tokens(image));
  const ModulePath at(tokens, s.path());
  Graph& graph = tokens.graph();
  if (c.is_native) return op::add(tokens, grid_sines(graph, c, image.dim(2), image.dim(3)));
  const Weight table = (s / "position_embedding").weight("weight", {side * side, c.hidden_size});
  return op::add(tokens, graph.weight(table));
}

// A learned query attends to all tokens: [B, S, H] -> [B, H].
Value pool(const Scope& s, const Config& c, Value tokens) {
  const std::int64_t width = c.hidden_size, heads = c.num_attention_heads;
  const ModulePath at(tokens, s.path());
  const Value key = nn::Linear(s / "k_proj", width, width, c.qkv_bias)(tokens);
  const Value value = nn::Linear(s / "v_proj", width, width, c.qkv_bias)(tokens);
  const Value query =
      op::expand(tokens.graph().weight(s.weight("cls_token", {1, 1, width})), {tokens.dim(0), 1, width});
  const Value context = op::attention({.query = query, .key = key, .value = value}, heads, heads).output;
  return op::squeeze(nn::Linear(s / "output_proj", width, width)(context), 1);
}

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const Config c(model.config());
  const Scope s = model.scope().base_model("vision_model");
  const Value hidden = run_aimv2_layers(s, c, embed(s / "embeddings", c, inputs["pixel_values"]));
  return {hidden, c.use_head ? pool(s / "head", c, hidden) : Value()};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const EncoderStates image = encode(inputs, model, component);
  NamedValues outputs = {{"last_hidden_state", image.hidden}};
  if (image.pooled) outputs.emplace_back("pooler_output", image.pooled);
  return outputs;
}

}  // namespace

void register_aimv2_vision_model(TasksManager& tasks) {
  tasks.register_model<Aimv2VisionModelOnnxConfig>({.model_type = "aimv2_vision_model",
                                                    .tasks = {"feature-extraction"},
                                                    .forward = forward,
                                                    .ignorable_keys = {"*.embeddings.position_ids"},
                                                    .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
