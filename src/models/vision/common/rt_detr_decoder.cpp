#include <fmt/format.h>

#include <limits>

#include "models/vision/common/rt_detr.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Anchors {
  Value boxes;  // float32 [S, 4]: before the sigmoid; the largest number where invalid
  Value valid;  // bool [S, 1]
};

// Boxes around the pixels of all maps, twice as large in each next map.
Anchors anchors_of(Graph& graph, const std::vector<nn::MapSize>& sizes) {
  const auto centres = [&](const Dim& extent) {
    const Value place = op::add(op::cast(op::arange(graph, extent), DType::f32), 0.5);
    return op::div(place, op::cast(op::size(graph, extent), DType::f32));
  };
  std::vector<Value> maps;
  double side = 0.05;
  for (const auto& [rows, columns] : sizes) {
    const Shape all = {rows, columns, 1};
    const Value x = op::expand(op::reshape(centres(columns), {1, columns, 1}), all);
    const Value y = op::expand(op::reshape(centres(rows), {rows, 1, 1}), all);
    const Value extent = op::expand(op::scalar(graph, side, DType::f32), {rows, columns, 2});
    maps.push_back(op::reshape(op::concat({x, y, extent}, 2), {rows * columns, 4}));
    side *= 2;
  }
  constexpr double kEps = 0.01;
  const Value boxes = op::concat(maps, 0);
  const Value above = op::gt(boxes, kEps);
  const Value inside = op::logical_and(above, op::lt(boxes, 1 - kEps));
  const Value outside = op::cast(op::logical_not(inside), DType::f32);
  const Value valid = op::eq(op::amax(outside, 1, true), 0);
  const Value logits = op::log(op::div(boxes, op::sub(1.0, boxes)));
  const Value highest = op::scalar(graph, std::numeric_limits<float>::max(), DType::f32);
  return {op::where(valid, logits, highest), valid};
}

void check_anchors(const PretrainedConfig& config, const RtDetrConfig& c,
                   const std::vector<nn::MapSize>& sizes) {
  if (c.anchor_image_size.empty()) return;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const Dim rows = c.anchor_image_size[0] / c.feat_strides[i],
              columns = c.anchor_image_size[1] / c.feat_strides[i];
    if (sizes[i].rows == rows && sizes[i].columns == columns) continue;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format(
            "{}: anchors for {} x {} pixels (anchor_image_size and feat_strides), but map {} has {} x {}",
            config.origin(), rows.str(), columns.str(), i, sizes[i].rows.str(), sizes[i].columns.str()));
  }
}

// Rows of x [B, S, D] for each query: [B, Q, D].
Value rows_of(Value x, Value indices) {
  const Shape shape = {x.dim(0), indices.dim(1), x.dim(2)};
  return op::gather(x, 1, op::expand(op::unsqueeze(indices, 2), shape));
}

}  // namespace

std::vector<Value> decoder_inputs(const Scope& base, const RtDetrConfig& c, const std::vector<Value>& maps) {
  std::vector<Value> inputs;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const Scope s = base / "decoder_input_proj" / static_cast<std::int64_t>(i);
    const nn::Conv2d conv(s / 0, c.decoder_in_channels[i], c.d_model, {1, 1}, false);
    inputs.push_back(nn::NormedConv2d{conv, nn::BatchNorm2d(s / 1, c.d_model, c.batch_norm_eps)}(maps[i]));
  }
  return inputs;
}

Proposals propose(const Scope& base, const PretrainedConfig& config, const RtDetrConfig& c,
                  const std::vector<Value>& maps) {
  Proposals p;
  p.sizes = nn::sizes_of(maps);
  check_anchors(config, c, p.sizes);
  const ModulePath at(maps.front(), base.path());
  std::vector<Value> tokens;
  for (const Value& map : maps) tokens.push_back(nn::image_to_tokens(map));
  p.memory = op::concat(tokens, 1);
  const Anchors anchors = anchors_of(p.memory.graph(), p.sizes);
  const Value kept = op::mul(p.memory, op::cast(anchors.valid, p.memory.dtype()));
  const Scope output = base / "enc_output";
  const nn::LayerNorm norm(output / 1, c.d_model, c.layer_norm_eps);
  const Value hidden = norm(nn::Linear(output / 0, c.d_model, c.d_model)(kept));
  const Value scores = nn::Linear(base / "enc_score_head", c.d_model, c.num_labels)(hidden);
  // ONNX has no TopK of bfloat16.
  const Value highest = op::cast(op::amax(scores, 2), DType::f32);
  const Value best = op::topk(highest, c.num_queries, 1).indices;
  p.target = rows_of(hidden, best);
  // The original computes the boxes of all pixels before it chooses.
  const Value moved = op::cast(linear_stack(base / "enc_bbox_head", p.target, c.d_model, 4, 3), DType::f32);
  p.boxes = op::sigmoid(op::add(moved, op::embedding(anchors.boxes, best)));
  base.ignore("denoising_class_embed");  // for training
  for (const char* buffer : {"anchors", "valid_mask"}) base.ignore(buffer);
  return p;
}

Value attend_to_queries(const Scope& s, const RtDetrConfig& c, Value x, Value positions) {
  const Value placed = op::add(x, positions);
  const Value attended = DetrAttention(s / "self_attn", c.d_model, c.decoder_heads)(placed, placed, x);
  return nn::LayerNorm(s / "self_attn_layer_norm", c.d_model, c.layer_norm_eps)(op::add(x, attended));
}

Scope rt_detr_heads(const Scope& root, const Scope& base) {
  const Scope decoder = base / "decoder";
  const bool inside = (decoder / "class_embed").exists();
  const Scope heads = inside ? decoder : root;
  if (inside) {
    for (const char* copy : {"class_embed", "bbox_embed"}) root.ignore(copy);
  }
  return heads;
}

}  // namespace onnxport::models
