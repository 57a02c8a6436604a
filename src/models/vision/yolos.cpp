// YOLOS. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/yolos/modeling_yolos.py
#include <fmt/format.h>

#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config : ViTConfig {
  std::int64_t num_detection_tokens;
  bool mid_positions;

  explicit Config(const PretrainedConfig& c)
      : ViTConfig(c),
        num_detection_tokens(c.integer("num_detection_tokens")),
        mid_positions(c.flag("use_mid_position_embeddings") && num_hidden_layers > 1) {
    constexpr std::int64_t most = std::int64_t{1} << 20;
    if (num_detection_tokens < 1 || num_detection_tokens > most) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: num_detection_tokens is {}, expected 1 to {}",
                                                           c.origin(), num_detection_tokens, most));
    }
  }

  nn::ImageTokensParameters tokens() const {
    nn::ImageTokensParameters p = ViTConfig::tokens();
    p.behind = {{"detection_tokens", num_detection_tokens}};
    return p;
  }
};

/// Positions that are added between layers, with one table per gap.
struct MidPositions {
  std::string path;
  std::int64_t gaps;
  Weight cls, detection;
  nn::GridTable patches;

  static Weight table(const Scope& s, const Config& c) {
    const std::int64_t gaps = c.num_hidden_layers - 1;
    const std::int64_t tokens = 1 + c.grid.height * c.grid.width + c.num_detection_tokens;
    return s.weight("mid_position_embeddings", {gaps, 1, tokens, c.hidden_size})
        .reshape({gaps, tokens, c.hidden_size});
  }

  MidPositions(const Scope& s, const Config& c) : MidPositions(s.path(), table(s, c), c) {}
  MidPositions(std::string where, const Weight& table, const Config& c)
      : path(std::move(where)),
        gaps(table.shape()[0]),
        cls(table.slice(1, 0, 1)),
        detection(table.slice(1, table.shape()[1] - c.num_detection_tokens, table.shape()[1])),
        patches(table.slice(1, 1, table.shape()[1] - c.num_detection_tokens), c.grid, "cubic") {}

  // -> [1, tokens, hidden_size] for each gap
  std::vector<Value> operator()(Graph& graph, const Dim& rows, const Dim& columns) const {
    const ModulePath at(graph, path);
    const Value placed = patches(graph, rows, columns);
    const Value all = op::concat({graph.weight(cls), placed, graph.weight(detection)}, 1);
    return op::split(all, 0, std::vector<std::int64_t>(static_cast<std::size_t>(gaps), 1));
  }
};

Value encode(const Scope& s, const Config& c, Value pixel_values) {
  const nn::ImageTokens embeddings(s / "embeddings", c.tokens());
  const nn::PreNormEncoder encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer());
  const nn::LayerNorm norm(s / "layernorm", c.hidden_size, c.layer_norm_eps);
  std::vector<Value> positions;
  if (c.mid_positions) {
    const Dim rows = pixel_values.dim(2).floor_div(c.patch.height);
    const Dim columns = pixel_values.dim(3).floor_div(c.patch.width);
    positions = MidPositions(s / "encoder", c)(pixel_values.graph(), rows, columns);
  }
  Value hidden = embeddings(pixel_values);
  for (std::size_t i = 0; i < encoder.layers().size(); ++i) {
    hidden = encoder.layers()[i](hidden);
    if (i < positions.size()) hidden = op::add(hidden, positions[i]);
  }
  return norm(hidden);
}

/// Three linear layers. Keys: layers.0, layers.1, layers.2.
Value predict(const Scope& s, Value x, std::int64_t width, std::int64_t out) {
  const Scope layers = s / "layers";
  x = op::relu(nn::Linear(layers / 0, width, width)(x));
  x = op::relu(nn::Linear(layers / 1, width, width)(x));
  return nn::Linear(layers / 2, width, out)(x);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("vit"), c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const Value found = op::slice(hidden, 1, hidden.dim(1) - c.num_detection_tokens, hidden.dim(1));
  // One extra class: no object.
  const Value logits = predict(root / "class_labels_classifier", found, c.hidden_size, c.num_labels + 1);
  const Value boxes = op::sigmoid(predict(root / "bbox_predictor", found, c.hidden_size, 4));
  return {{"logits", logits}, {"pred_boxes", boxes}};
}

}  // namespace

void register_yolos(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "yolos",
       .tasks = {"feature-extraction", "object-detection"},
       .forward = forward,
       .ignorable_keys = {"*pooler.dense.*"},
       .key_names = {
           .newer = {{"encoder.mid_position_embeddings", "encoder.interpolation.mid_position_embeddings"}}}});
}

}  // namespace onnxport::models
