// Pyramid Vision Transformer (PVT). Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/pvt/modeling_pvt.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/vision/common/reduced_attention.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

/// Images of one size: the original asks for as many patches as there are stored positions.
class PvtOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

struct Config {
  std::int64_t num_channels, num_labels, image_size, stages;
  std::vector<std::int64_t> depths, ratios, hidden_sizes, patch_sizes, strides, heads;
  std::vector<double> mlp_ratios;
  std::string hidden_act;
  double layer_norm_eps;
  bool qkv_bias;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        image_size(moderate(c, "image_size")),
        stages(c.integer("num_encoder_blocks")),
        depths(per_stage(c, "depths", stages, 0)),
        ratios(per_stage(c, "sequence_reduction_ratios", stages)),
        hidden_sizes(per_stage(c, "hidden_sizes", stages)),
        patch_sizes(per_stage(c, "patch_sizes", stages)),
        strides(per_stage(c, "strides", stages)),
        heads(per_stage(c, "num_attention_heads", stages)),
        mlp_ratios(reals_per_stage(c, "mlp_ratios", stages)),
        hidden_act(c.string("hidden_act")),
        layer_norm_eps(c.real("layer_norm_eps")),
        qkv_bias(c.flag("qkv_bias")) {
    check_stage_heads(c, "hidden_sizes", hidden_sizes, "num_attention_heads", heads);
    const auto last = static_cast<std::size_t>(stages - 1);
    if (stages < 1 || stages > 16 || ratios[last] != 1) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: num_encoder_blocks is {}, and sequence_reduction_ratios is [{}], expected 1 "
                      "to 16 blocks, and a ratio of 1 in the last one, which has a class token",
                      c.origin(), stages, fmt::join(ratios, ", ")));
    }
  }
};

struct Layer {
  std::string path;
  nn::LayerNorm layer_norm_1, layer_norm_2;
  ReducedAttention attention;
  nn::Linear dense1, dense2;
  nn::Activation activation;

  Layer(const Scope& s, const Config& c, std::size_t stage)
      : Layer(s, s / "attention" / "self", c, stage, c.hidden_sizes[stage],
              static_cast<std::int64_t>(static_cast<double>(c.hidden_sizes[stage]) * c.mlp_ratios[stage])) {}

  Layer(const Scope& s, const Scope& self, const Config& c, std::size_t stage, std::int64_t width,
        std::int64_t inner)
      : path(s.path()),
        layer_norm_1(s / "layer_norm_1", width, c.layer_norm_eps),
        layer_norm_2(s / "layer_norm_2", width, c.layer_norm_eps),
        attention(s / "attention",
                  {.width = width,
                   .heads = c.heads[stage],
                   .qkv_bias = c.qkv_bias,
                   .query = "self.query",
                   .key = "self.key",
                   .value = "self.value",
                   .output = "output.dense"},
                  patch_reduction(self / "sequence_reduction", self / "layer_norm", width, c.ratios[stage],
                                  c.layer_norm_eps)),
        dense1(s / "mlp" / "dense1", width, inner),
        dense2(s / "mlp" / "dense2", inner, width),
        activation(c.hidden_act) {}

  Value operator()(Value x, const Dim& rows, const Dim& columns) const {
    const ModulePath at(x, path);
    const Value attended = attention(layer_norm_1(x), rows, columns);
    const Value middle = op::add(x, attended);
    const Value fed = dense2(activation(dense1(layer_norm_2(middle))));
    return op::add(middle, fed);
  }
};

// An image -> the tokens of a stage; the last stage has a class token in front.
Value run_stage(Value image, const Scope& s, const Config& c, std::int64_t stage) {
  const auto i = static_cast<std::size_t>(stage);
  const Scope embeddings = s / "patch_embeddings" / stage;
  const std::int64_t width = c.hidden_sizes[i], kernel = c.strides[i], step = c.patch_sizes[i];
  const std::int64_t size = stage == 0 ? c.image_size : c.image_size >> (stage + 1);
  const std::int64_t first = stage + 1 == c.stages ? 1 : 0, patches = size / step * (size / step);

  // The kernel is as large as the stride of the configuration, and the other way round.
  const nn::Conv2d projection(embeddings / "projection", stage == 0 ? c.num_channels : c.hidden_sizes[i - 1],
                              width, {kernel, kernel}, true, {.stride = {step, step}});
  const Value projected = projection(image);
  const Dim &rows = projected.dim(2), &columns = projected.dim(3);
  const ModulePath at(image, embeddings.path());
  Graph& graph = image.graph();
  Value x = nn::LayerNorm(embeddings / "layer_norm", width, c.layer_norm_eps)(nn::image_to_tokens(projected));
  if (first == 1) {
    const Value token = graph.weight(embeddings.weight("cls_token", {1, 1, width}));
    x = op::concat({op::expand(token, {x.dim(0), 1, width}), x}, 1);
  }
  x = op::add(x, graph.weight(embeddings.weight("position_embeddings", {1, first + patches, width})));
  for (std::int64_t j = 0; j < c.depths[i]; ++j) x = Layer(s / "block" / stage / j, c, i)(x, rows, columns);
  return first == 1 ? x : nn::tokens_to_image(x, rows, columns);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope encoder = root.base_model("pvt") / "encoder";
  Value x = inputs["pixel_values"];
  for (std::int64_t stage = 0; stage < c.stages; ++stage) x = run_stage(x, encoder, c, stage);
  const std::int64_t width = c.hidden_sizes[static_cast<std::size_t>(c.stages - 1)];
  const Value hidden = nn::LayerNorm(encoder / "layer_norm", width, c.layer_norm_eps)(x);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  return {{"logits", nn::Linear(root / "classifier", width, c.num_labels)(nn::first_token(hidden))}};
}

}  // namespace

void register_pvt(TasksManager& tasks) {
  tasks.register_model<PvtOnnxConfig>(
      {.model_type = "pvt", .tasks = {"feature-extraction", "image-classification"}, .forward = forward});
}

}  // namespace onnxport::models
