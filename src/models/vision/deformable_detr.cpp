// Deformable DETR. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deformable_detr/modeling_deformable_detr.py
#include <fmt/format.h>

#include "models/vision/common/detector_backbone.h"
#include "models/vision/common/detr.h"
#include "models/vision/common/feature_levels.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // not configurable

struct Config : DetrConfig {
  explicit Config(const PretrainedConfig& c)
      : DetrConfig(c),
        levels(c.integer("num_feature_levels")),
        encoder_points(c.integer("encoder_n_points")),
        decoder_points(c.integer("decoder_n_points")),
        proposals(c.integer("two_stage_num_proposals")),
        two_stage(c.flag("two_stage")),
        refines(c.flag("with_box_refine")) {
    c.harmless({"max_position_embeddings", "disable_custom_kernels", "return_intermediate",
                "tie_word_embeddings", "auxiliary_loss"});
    if (positions == ImagePositionsKind::sine) positions = ImagePositionsKind::centred;
    if (levels < 1 || levels > 64 || proposals < 1 || (two_stage && !refines)) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: num_feature_levels {}, two_stage_num_proposals {}, two_stage {}: "
                                    "expected at most 64, at least 1, and true only with with_box_refine",
                                    c.origin(), levels, proposals, two_stage));
    }
  }
  nn::DeformableParameters sampling(std::int64_t heads, std::int64_t points) const {
    return {.width = d_model,
            .heads = heads,
            .points = std::vector<std::int64_t>(static_cast<std::size_t>(levels), points)};
  }

  std::int64_t levels, encoder_points, decoder_points, proposals;
  bool two_stage, refines;
};

// The heads of the decoder's layers, and one for a first stage. Without refinement they share one set, which
// the checkpoint may store several times.
struct Heads {
  Scope s;
  const Config& c;

  std::int64_t place(std::int64_t layer) const { return c.refines ? layer : 0; }
  Value boxes(std::int64_t layer, Value x) const {
    const Value made = linear_stack(s / "bbox_embed" / place(layer), x, c.d_model, 4, 3);
    return op::cast(made, DType::f32);
  }
  Value scores(std::int64_t layer, Value x) const {
    return nn::Linear(s / "class_embed" / place(layer), c.d_model, c.num_labels)(x);
  }
  // Those of other layers are for training.
  void ignore_others() const {
    for (std::int64_t i = 0; i <= c.decoder_layers; ++i) {
      const std::string name = std::to_string(i);
      if (!c.refines && i > 0) (s / "bbox_embed").ignore(name);
      const bool used = i == place(c.decoder_layers - 1) || (c.two_stage && i == c.decoder_layers);
      if (!used) (s / "class_embed").ignore(name);
    }
  }
};

// Where the decoder starts.
struct Queries {
  Value target, positions;  // [1 or B, Q, width]
  Value boxes;              // float32 [1 or B, Q, 2 or 4]
};

Queries learned_queries(const Scope& base, const Config& c, Graph& graph) {
  const Weight table = base.weight("query_position_embeddings.weight", {c.num_queries, 2 * c.d_model});
  const Value both = op::unsqueeze(graph.weight(table), 0);
  const Value positions = op::slice(both, 2, 0, c.d_model);
  const Value places = nn::Linear(base / "reference_points", c.d_model, 2)(positions);
  return {op::slice(both, 2, c.d_model, 2 * c.d_model), positions, op::sigmoid(op::cast(places, DType::f32))};
}

// The pixels that the first stage finds most likely.
Queries proposed_queries(const Scope& base, const Config& c, const Heads& heads, const FeatureLevels& maps,
                         Value memory) {
  const PixelBoxes around = pixel_boxes(maps);
  const Value kept = op::mul(memory, op::cast(around.valid, memory.dtype()));
  const Value mixed = nn::Linear(base / "enc_output", c.d_model, c.d_model)(kept);
  const Value hidden = nn::LayerNorm(base / "enc_output_norm", c.d_model, kEps)(mixed);
  const Value scores = op::cast(op::select(heads.scores(c.decoder_layers, hidden), 2, 0), DType::f32);
  const Value best = op::unsqueeze(op::topk(scores, c.proposals, 1).indices, 2);
  const Value moved = op::add(heads.boxes(c.decoder_layers, hidden), around.logits);
  const Value boxes = op::sigmoid(op::gather(moved, 1, op::expand(best, {moved.dim(0), c.proposals, 4})));
  const Value sines = op::cast(op::flatten(sines_of(boxes, c.d_model / 2), 2, 3), memory.dtype());
  const Value placed = nn::Linear(base / "pos_trans", 2 * c.d_model, 2 * c.d_model)(sines);
  const Value both = nn::LayerNorm(base / "pos_trans_norm", 2 * c.d_model, kEps)(placed);
  return {op::slice(both, 2, c.d_model, 2 * c.d_model), op::slice(both, 2, 0, c.d_model), boxes};
}

// Keys: self_attn, encoder_attn, a norm of each, and those of the feed-forward.
Value decoder_layer(const Scope& s, const Config& c, Value x, const Queries& q, Value boxes, Value memory,
                    const FeatureLevels& maps) {
  const ModulePath at(x, s.path());
  const auto norm = [&](const char* name, Value y) { return nn::LayerNorm(s / name, c.d_model, kEps)(y); };
  const Value asking = op::add(x, q.positions);
  const Value mixed = DetrAttention(s / "self_attn", c.d_model, c.decoder_heads)(asking, asking, x);
  x = norm("self_attn_layer_norm", op::add(x, mixed));
  const nn::DeformableAttention attention(s / "encoder_attn", c.sampling(c.decoder_heads, c.decoder_points));
  const Value references = level_references(maps, boxes);
  const Value seen = attention(op::add(x, q.positions), references, memory, maps.sizes, maps.seen);
  x = norm("encoder_attn_layer_norm", op::add(x, seen));
  return DetrFeedForward(s, c.d_model, c.decoder_ffn_dim, c.activation)(x);
}

// A box or a centre, moved by a prediction [B, Q, 4].
Value moved_box(Value change, Value box) {
  const Value from = inverse_sigmoid(box);
  if (box.dim(2) == Dim(4)) return op::sigmoid(op::add(change, from));
  const Value centre = op::add(op::slice(change, 2, 0, 2), from);
  return op::sigmoid(op::concat({centre, op::slice(change, 2, 2, 4)}, 2));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const Config c(model.config());
  const bool detects = component.task == "object-detection";
  if (c.two_stage && !detects) {
    throw ExportError(ErrorCode::unsupported,
                      model.config().origin() + ": two_stage is true; the original detects objects only");
  }
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const std::vector<Value> features =
      detector_backbone(tasks, base / "backbone" / "conv_encoder" / "model", model.config(),
                        inputs["pixel_values"], c.levels > 1 ? 2 : 4);
  const ImagePositions positions(base / "backbone" / "position_embedding", c.positions, c.d_model);
  const FeatureLevels maps =
      feature_levels(base, {c.d_model, c.levels, positions}, features, inputs.get("pixel_mask"));

  const Value references = pixel_references(maps);
  const DeformableLayerParameters layer = {.attention = c.sampling(c.encoder_heads, c.encoder_points),
                                           .inner = c.encoder_ffn_dim,
                                           .activation = c.activation};
  Value memory = maps.tokens;
  for (std::int64_t i = 0; i < c.encoder_layers; ++i)
    memory = deformable_layer(base / "encoder" / "layers" / i, layer, memory, maps, references);

  const Heads heads{
      (base / "decoder" / "bbox_embed").exists() && !(root / "bbox_embed").exists() ? base / "decoder" : root,
      c};
  const Queries q =
      c.two_stage ? proposed_queries(base, c, heads, maps, memory) : learned_queries(base, c, memory.graph());
  Value x = op::expand(q.target, {memory.dim(0), q.target.dim(1), c.d_model});
  Value boxes = q.boxes, last;
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    x = decoder_layer(base / "decoder" / "layers" / i, c, x, q, boxes, memory, maps);
    last = boxes;
    if (c.refines && detects) boxes = moved_box(heads.boxes(i, x), boxes);
  }
  if (!detects) return {{"last_hidden_state", x}};

  const std::int64_t end = c.decoder_layers - 1;
  if (!c.refines) boxes = moved_box(heads.boxes(end, x), last);
  heads.ignore_others();
  for (const char* copy : {"class_embed", "bbox_embed"}) (base / "decoder").ignore(copy);
  const Value logits = heads.scores(end, x);
  return {{"logits", logits}, {"pred_boxes", op::cast(boxes, x.dtype())}};
}

}  // namespace

void register_deformable_detr(TasksManager& tasks) {
  tasks.register_model<DetectorOnnxConfig>(
      {.model_type = "deformable_detr",
       .tasks = {"feature-extraction", "object-detection"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .key_names = {.newer = {{"backbone.conv_encoder", "backbone"},
                               {"self_attn.out_proj", "self_attn.o_proj"},
                               {"layers.*.fc1", "layers.*.mlp.fc1"},
                               {"layers.*.fc2", "layers.*.mlp.fc2"}}}});
}

}  // namespace onnxport::models
