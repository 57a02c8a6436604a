// Conditional DETR. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/conditional_detr/modeling_conditional_detr.py
#include "models/common/definition.h"
#include "models/vision/common/conditional_attention.h"
#include "models/vision/common/detector_backbone.h"
#include "models/vision/common/detr.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // not configurable

const ConditionalNames kToQueries = {"sa_qcontent_proj", "sa_qpos_proj", "sa_kcontent_proj",
                                     "sa_kpos_proj",     "sa_v_proj",    "self_attn.out_proj"};
const ConditionalNames kToMemory = {"ca_qcontent_proj", "ca_qpos_proj", "ca_kcontent_proj",
                                    "ca_kpos_proj",     "ca_v_proj",    "encoder_attn.out_proj",
                                    "ca_qpos_sine_proj"};

// `queries` [1, Q, width], `sines` of their places [1 or B, Q, width].
Value decoder_layer(const Scope& s, const DetrConfig& c, bool first, Value x, Value queries, Value sines,
                    const DetrMemory& memory) {
  const ModulePath at(x, s.path());
  const auto norm = [&](const char* name, Value y) { return nn::LayerNorm(s / name, c.d_model, kEps)(y); };
  const ConditionalAttention self{s, kToQueries, c.d_model, c.decoder_heads};
  x = norm("self_attn_layer_norm", op::add(x, self.to_queries(x, queries)));
  const ConditionalAttention cross{s, kToMemory, c.d_model, c.decoder_heads};
  x = norm("encoder_attn_layer_norm", op::add(x, cross.to_memory(x, queries, sines, memory, first)));
  return DetrFeedForward(s, c.d_model, c.decoder_ffn_dim, c.activation)(x);
}

// Sines of the row, then of the column: x [1, Q, 2], which holds the column first -> [1, Q, width].
Value sines_of_centres(Value x, std::int64_t width) {
  const Value column = sines_of(op::select(x, 2, 0), width / 2);
  return op::concat({sines_of(op::select(x, 2, 1), width / 2), column}, 2);
}

struct Decoded {
  Value hidden;   // [B, Q, width]
  Value centres;  // [1, Q, 2]
};

Decoded decode(const Scope& base, const DetrConfig& c, const DetrMemory& memory) {
  const Scope s = base / "decoder";
  const Weight table = base.weight("query_position_embeddings.weight", {c.num_queries, c.d_model});
  const nn::LayerNorm norm(s / "layernorm", c.d_model, kEps);
  const ModulePath at(memory.tokens, s.path());
  const Value queries = op::unsqueeze(memory.tokens.graph().weight(table), 0);
  const Value centres = op::sigmoid(linear_stack(s / "ref_point_head", queries, c.d_model, 2, 2));
  const Value sines = sines_of_centres(op::cast(centres, DType::f32), c.d_model);
  const Value placed = op::cast(sines, queries.dtype());
  const std::vector<double> none(static_cast<std::size_t>(c.num_queries * c.d_model));
  Value x = queries.graph().weight(Weight::from_doubles(DType::f32, {1, c.num_queries, c.d_model}, none));
  if (c.decoder_layers == 1) s.ignore("query_scale");
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    Value scaled = placed;
    if (i > 0) scaled = op::mul(placed, linear_stack(s / "query_scale", x, c.d_model, c.d_model, 2));
    x = decoder_layer(s / "layers" / i, c, i == 0, x, queries, scaled, memory);
    if (c.norm_each_layer) x = norm(x);
  }
  return {norm(x), centres};
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const DetrConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const Value image = detector_backbone(tasks, base / "backbone" / "conv_encoder" / "model", model.config(),
                                        inputs["pixel_values"])
                          .back();
  const DetrMemory memory = DetrEncoder(base, c, *image.dim(1).constant())(image, inputs.get("pixel_mask"));
  const auto [hidden, centres] = decode(base, c, memory);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};

  const Value logits = nn::Linear(root / "class_labels_classifier", c.d_model, c.num_labels)(hidden);
  const Value box = linear_stack(root / "bbox_predictor", hidden, c.d_model, 4, 3);
  const Value from = inverse_sigmoid(centres);
  const Value centre = op::add(op::slice(box, 2, 0, 2), from);
  const Value moved = op::concat({centre, op::slice(box, 2, 2, 4)}, 2);
  return {{"logits", logits}, {"pred_boxes", op::sigmoid(moved)}};
}

}  // namespace

void register_conditional_detr(TasksManager& tasks) {
  tasks.register_model<DetectorOnnxConfig>(
      {.model_type = "conditional_detr",
       .tasks = {"feature-extraction", "object-detection"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .key_names = {.newer = {{"backbone.conv_encoder", "backbone"},
                               {"self_attn.out_proj", "self_attn.o_proj"},
                               {"encoder_attn.out_proj", "encoder_attn.o_proj"},
                               {"layers.*.fc1", "layers.*.mlp.fc1"},
                               {"layers.*.fc2", "layers.*.mlp.fc2"},
                               {"layers.*.sa_qcontent_proj", "layers.*.self_attn.q_content_proj"},
                               {"layers.*.sa_qpos_proj", "layers.*.self_attn.q_pos_proj"},
                               {"layers.*.sa_kcontent_proj", "layers.*.self_attn.k_content_proj"},
                               {"layers.*.sa_kpos_proj", "layers.*.self_attn.k_pos_proj"},
                               {"layers.*.sa_v_proj", "layers.*.self_attn.v_proj"},
                               {"layers.*.ca_qcontent_proj", "layers.*.encoder_attn.q_content_proj"},
                               {"layers.*.ca_qpos_proj", "layers.*.encoder_attn.q_pos_proj"},
                               {"layers.*.ca_kcontent_proj", "layers.*.encoder_attn.k_content_proj"},
                               {"layers.*.ca_kpos_proj", "layers.*.encoder_attn.k_pos_proj"},
                               {"layers.*.ca_v_proj", "layers.*.encoder_attn.v_proj"},
                               {"layers.*.ca_qpos_sine_proj", "layers.*.encoder_attn.q_pos_sine_proj"}}}});
}

}  // namespace onnxport::models
