#include <utility>

#include "models/vision/common/rt_detr.h"

namespace onnxport::models {
namespace {

// Keys: self_attn, encoder_attn, a norm of each, fc1, fc2, final_layer_norm.
Value decoder_layer(const Scope& s, const RtDetrConfig& c, const nn::DeformableParameters& points, Value x,
                    Value positions, Value boxes, const Proposals& from) {
  const ModulePath at(x, s.path());
  x = attend_to_queries(s, c, x, positions);
  const nn::DeformableAttention attention(s / "encoder_attn", points);
  (s / "encoder_attn").ignore("n_points_scale");  // follows from decoder_n_points
  const Value around = op::unsqueeze(boxes, 2);
  const Value seen = attention(op::add(x, positions), around, from.memory, from.sizes);
  x = nn::LayerNorm(s / "encoder_attn_layer_norm", c.d_model, c.layer_norm_eps)(op::add(x, seen));
  const Value inner =
      nn::Activation(c.decoder_activation)(nn::Linear(s / "fc1", c.d_model, c.decoder_ffn_dim)(x));
  const Value out = nn::Linear(s / "fc2", c.decoder_ffn_dim, c.d_model)(inner);
  return nn::LayerNorm(s / "final_layer_norm", c.d_model, c.layer_norm_eps)(op::add(x, out));
}

}  // namespace

NamedValues run_rt_detr(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                        const RtDetrConfig& c, const nn::DeformableParameters& points) {
  const PretrainedConfig& config = model.config();
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const std::int64_t inner =
      static_cast<std::int64_t>(static_cast<double>(c.encoder_hidden_dim) * c.hidden_expansion);
  const std::int64_t width = c.encoder_hidden_dim;
  const auto csp = [&](const Scope& s) { return csp_rep_layer(s, 2 * width, inner, width, 3, c); };
  const PyramidParts parts = {
      .lateral = [&](const Scope& s) { return rt_detr_conv(s, width, width, 1, 1, c, c.activation); },
      .fpn = csp,
      .downsample = [&](const Scope& s) { return rt_detr_conv(s, width, width, 3, 2, c, c.activation); },
      .pan = csp};
  std::vector<Value> maps =
      rt_detr_features(tasks, base, config, c, detector_images(inputs), "rt_detr_resnet");
  maps = hybrid_encoder(base / "encoder", c, std::move(maps), parts);
  const Proposals start = propose(base, config, c, decoder_inputs(base, c, maps));

  const Scope decoder = base / "decoder", heads = rt_detr_heads(root, base);
  const ModulePath at(start.target, decoder.path());
  Value x = start.target, boxes = start.boxes;
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    const Value places = op::cast(boxes, x.dtype());
    const Value positions = linear_stack(decoder / "query_pos_head", places, 2 * c.d_model, c.d_model, 2);
    x = decoder_layer(decoder / "layers" / i, c, points, x, positions, boxes, start);
    const Value moved = op::cast(linear_stack(heads / "bbox_embed" / i, x, c.d_model, 4, 3), DType::f32);
    boxes = op::sigmoid(op::add(moved, inverse_sigmoid(boxes)));
    if (i + 1 < c.decoder_layers) (heads / "class_embed").ignore(std::to_string(i));
  }
  const Value logits = nn::Linear(heads / "class_embed" / (c.decoder_layers - 1), c.d_model, c.num_labels)(x);
  return detector_outputs(inputs, logits, op::cast(boxes, x.dtype()));
}

void register_rt_detr_type(TasksManager& tasks, const std::string& type, RtDetrPoints points) {
  tasks.register_model<RtDetrOnnxConfig>(
      {.model_type = type,
       .tasks = {"object-detection"},
       .forward =
           [&tasks, points = std::move(points)](const Inputs& inputs, const Model& model, const Component&) {
             const RtDetrConfig c(model.config());
             return run_rt_detr(tasks, inputs, model, c, points(model.config(), c));
           },
       .key_names = rt_detr_names("mlp.fc1", "mlp.fc2")});
}

nn::DeformableParameters rt_detr_points(const PretrainedConfig& config, const RtDetrConfig& c) {
  const std::int64_t points = config.integer("decoder_n_points");
  nn::DeformableParameters p = {.width = c.d_model, .heads = c.decoder_heads};
  p.points.assign(static_cast<std::size_t>(c.levels), points);
  return p;
}

}  // namespace onnxport::models
