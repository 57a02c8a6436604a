#include <algorithm>
#include <limits>

#include "models/vision/common/detector.h"
#include "models/vision/common/detector_backbone.h"
#include "models/vision/common/grounding_dino.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"

namespace onnxport::models {
namespace {

class GroundingOnnxConfig : public FixedQueriesOnnxConfig {
 public:
  using FixedQueriesOnnxConfig::FixedQueriesOnnxConfig;
  AxesByName inputs() const override {
    AxesByName names = FixedQueriesOnnxConfig::inputs();
    const Axes text = {{0, "batch_size"}, {1, "sequence_length"}};
    for (const char* name : {"input_ids", "token_type_ids", "attention_mask"}) names.emplace_back(name, text);
    names.emplace_back("pixel_mask", Axes{{0, "batch_size"}, {1, "height"}, {2, "width"}});
    return names;
  }
  NormalizedConfig normalized_config() const override {
    return FixedQueriesOnnxConfig::normalized_config().with_args(
        {{"vocab_size", "text_config.vocab_size"}, {"max_position_embeddings", "max_text_len"}});
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = FixedQueriesOnnxConfig::dummy_input_generators();
    generators.push_back(std::make_shared<DummyTextInputGenerator>());
    return generators;
  }
  std::optional<std::int64_t> longest_sequence() const override {
    const PretrainedConfig c = config().unaccounted();
    return std::min(c.integer("max_text_len"),
                    c.sub("text_config", "bert").integer("max_position_embeddings"));
  }
  // There must be as many pixels in the feature maps as queries. The norm of a map of few pixels is mostly
  // rounding errors.
  ImageSize smallest_image() const override {
    const std::int64_t queries = config().unaccounted().integer("num_queries");
    std::int64_t side = 160;
    while (side / 8 * (side / 8) < queries && side < 4096) side += 32;
    return {side, side};
  }
};

// Where the decoder starts.
struct Start {
  Value target;  // [1 or B, Q, d_model]
  Value boxes;   // float32 [1 or B, Q, 4]
};

Start start(const Scope& base, const GroundingConfig& c, Contrast contrast, const FeatureLevels& maps,
            Value memory, const GroundingText& text) {
  Graph& graph = memory.graph();
  const auto learned = [&](const char* name, std::int64_t width) {
    return op::unsqueeze(graph.weight(base.weight(name, {c.num_queries, width})), 0);
  };
  const Value target = learned("query_position_embeddings.weight", c.d_model);
  if (!c.two_stage) return {target, op::sigmoid(op::cast(learned("reference_points.weight", 4), DType::f32))};
  const PixelBoxes around = pixel_boxes(maps);
  const Value zero = op::scalar(graph, 0, memory.dtype());
  const Value kept = op::where(around.valid, memory, zero);
  const Value mixed = nn::Linear(base / "enc_output", c.d_model, c.d_model)(kept);
  const Value hidden = nn::LayerNorm(base / "enc_output_norm", c.d_model, c.eps)(mixed);
  const Value scores = op::cast(
      op::amax(similarity(base / "encoder_output_class_embed", contrast, hidden, text), 2), DType::f32);
  const Value best = op::unsqueeze(op::topk(scores, c.num_queries, 1).indices, 2);
  const Value moved =
      op::cast(linear_stack(base / "encoder_output_bbox_embed", hidden, c.d_model, 4, 3), DType::f32);
  const Value all = op::add(moved, around.logits);
  const Value chosen = op::gather(all, 1, op::expand(best, {all.dim(0), c.num_queries, 4}));
  return {target, op::sigmoid(chosen)};
}

// Keys: self_attn, encoder_attn_text, encoder_attn, a norm of each, fc1, fc2, final_layer_norm.
Value decoder_layer(const Scope& s, const GroundingConfig& c, Value x, Value positions, Value references,
                    Value memory, const FeatureLevels& maps, const GroundingText& text) {
  const ModulePath at(x, s.path());
  const auto norm = [&](const char* name, Value y) { return nn::LayerNorm(s / name, c.d_model, c.eps)(y); };
  const Value placed = op::add(x, positions);
  const Value mixed = grounding_attention(s / "self_attn", c.d_model, c.decoder_heads, placed, placed, x);
  x = norm("self_attn_layer_norm", op::add(x, mixed));
  const op::AttentionMask mask = nn::padding_mask(text.real);
  const Value read = grounding_attention(s / "encoder_attn_text", c.d_model, c.decoder_heads,
                                         op::add(x, positions), text.tokens, text.tokens, mask);
  x = norm("encoder_attn_text_layer_norm", op::add(x, read));
  const nn::DeformableAttention attention(s / "encoder_attn", c.sampling(c.decoder_heads, c.decoder_points));
  const Value seen = attention(op::add(x, positions), references, memory, maps.sizes, maps.seen);
  x = norm("encoder_attn_layer_norm", op::add(x, seen));
  const Value wide = nn::Activation(c.activation)(nn::Linear(s / "fc1", c.d_model, c.decoder_ffn_dim)(x));
  return norm("final_layer_norm", op::add(x, nn::Linear(s / "fc2", c.decoder_ffn_dim, c.d_model)(wide)));
}

// Where the heads of the decoder's layers are, which a checkpoint may store once for all, and in two places.
struct Heads {
  Scope root, decoder;
  bool shared;         // by all layers
  bool apart = false;  // the decoder refines its boxes with copies of its own, where the file has them

  void ignore(const char* name, std::int64_t layer) const {
    for (const Scope& place : {root, decoder}) (place / name).ignore(std::to_string(layer));
  }
  Scope of_result(const char* name, std::int64_t layer) const {
    ignore(name, layer);
    if (Scope own = root / name / layer; apart && own.exists()) return own;
    const std::int64_t i = shared ? 0 : layer;
    const Scope first = root / name / i;
    return first.exists() ? first : decoder / name / i;
  }
  Scope of_refinement(const char* name, std::int64_t layer) const {
    const Scope own = decoder / name / layer;
    return apart && own.exists() ? own : of_result(name, layer);
  }
};

// Whether version 5 of MM Grounding DINO takes the heads of the first layer for all. Version 4 has no such
// key.
bool shares_heads(const PretrainedConfig& config, const char* key) {
  return config.flag(key, true) && config.flag("tie_word_embeddings", true);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model, Contrast contrast) {
  const PretrainedConfig& config = model.config();
  const GroundingConfig c(config);
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const Value pixel_values = inputs["pixel_values"];
  GroundingText text = encode_text(base, config, c, inputs);
  const std::vector<Value> features =
      detector_backbone(tasks, base / "backbone" / "conv_encoder" / "model", config, pixel_values);
  const ImagePositions positions(base / "backbone" / "position_embedding", c.positions, c.d_model,
                                 {.down = c.temperature, .across = c.temperature});
  const FeatureLevels maps = feature_levels(base, {c.d_model, c.levels, positions, "input_proj_vision"},
                                            features, inputs.get("pixel_mask"));
  const Value memory = ground(base / "encoder", c, maps, text);
  const Start from = start(base, c, contrast, maps, memory, text);

  const Scope s = base / "decoder";
  Heads boxes_of{root, s, contrast == Contrast::product && config.flag("decoder_bbox_embed_share")};
  Heads scores_of{root, s, false};
  if (contrast != Contrast::product && config.transformers_major() >= 5) {
    boxes_of = {root, s, shares_heads(config, "decoder_bbox_embed_share"), true};
    scores_of = {root, s, shares_heads(config, "decoder_cls_embed_share"), true};
  }
  const nn::LayerNorm norm(s / "layer_norm", c.d_model, c.eps);
  const auto moved = [&](const Scope& head, Value x, Value boxes) {
    const Value change = linear_stack(head, x, c.d_model, 4, 3);
    const Value inside = op::clamp(boxes, 1e-5, 1 - 1e-5);
    const Value logits = op::log(op::div(inside, op::sub(1.0, inside)));
    return op::sigmoid(op::add(op::cast(change, DType::f32), logits));
  };
  Value x = op::expand(from.target, {memory.dim(0), c.num_queries, c.d_model});
  Value boxes = from.boxes, last;
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    const Value references = level_references(maps, boxes);
    const Value first = op::select(references, 2, 0);
    const auto waves = [&](std::int64_t j) { return sines_of(op::select(first, 2, j), c.d_model / 2); };
    const Value column = waves(0), row = waves(1), width = waves(2), height = waves(3);
    const Value sines = op::cast(op::concat({row, column, width, height}, 2), x.dtype());
    const Value places = linear_stack(s / "reference_points_head", sines, c.d_model, c.d_model, 2);
    x = decoder_layer(s / "layers" / i, c, x, places, references, memory, maps, text);
    last = boxes;
    if (i + 1 < c.decoder_layers) {
      boxes = moved(boxes_of.of_refinement("bbox_embed", i), x, boxes);
      boxes_of.ignore("bbox_embed", i);
      scores_of.ignore("class_embed", i);
    }
  }
  const std::int64_t end = c.decoder_layers - 1;
  const Value hidden = norm(x);
  const Value scores = similarity(scores_of.of_result("class_embed", end), contrast, hidden, text);
  const Value found = moved(boxes_of.of_result("bbox_embed", end), hidden, last);
  const Value logits = op::pad(scores, {0, 0, 0}, {0, 0, c.max_text_len - scores.dim(2)},
                               -std::numeric_limits<double>::infinity());
  return {{"logits", logits}, {"pred_boxes", op::cast(found, logits.dtype())}};
}

}  // namespace

void register_grounding_dino_type(TasksManager& tasks, const std::string& type, Contrast contrast) {
  tasks.register_model<GroundingOnnxConfig>(
      {.model_type = type,
       .tasks = {"zero-shot-object-detection"},
       .forward = [&tasks, contrast](const Inputs& inputs, const Model& model, const Component&) {
         return forward(tasks, inputs, model, contrast);
       }});
}

}  // namespace onnxport::models
