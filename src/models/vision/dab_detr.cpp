// DAB-DETR: queries are boxes. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dab_detr/modeling_dab_detr.py
#include <fmt/format.h>

#include <numbers>
#include <tuple>

#include "models/vision/common/conditional_attention.h"
#include "models/vision/common/detector_backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // not configurable

struct Config {
  explicit Config(const PretrainedConfig& c)
      : width(c.integer("hidden_size")),
        num_queries(c.integer("num_queries")),
        num_labels(c.num_labels()),
        patterns(c.integer("num_patterns")),
        encoder_layers(c.integer("encoder_layers")),
        encoder_heads(c.integer("encoder_attention_heads")),
        encoder_ffn_dim(c.integer("encoder_ffn_dim")),
        decoder_layers(c.integer("decoder_layers")),
        decoder_heads(c.integer("decoder_attention_heads")),
        decoder_ffn_dim(c.integer("decoder_ffn_dim")),
        activation(c.string("activation_function")),
        sines{
            .down = c.real("temperature_height"),
            .across = c.real("temperature_width"),
            .turns = c.real("sine_position_embedding_scale", 2 * std::numbers::pi) / (2 * std::numbers::pi)},
        keep_query_pos(c.flag("keep_query_pos")),
        normalize_before(c.flag("normalize_before")) {
    // The number of encoder layers again; values at the start of training; losses.
    c.harmless({"num_hidden_layers", "random_refpoints_xy", "is_encoder_decoder", "auxiliary_loss",
                "initializer_bias_prior_prob", "tie_word_embeddings"});
    check_multiple(c, "hidden_size", width, "encoder_attention_heads", encoder_heads);
    check_multiple(c, "hidden_size", width, "decoder_attention_heads", decoder_heads);
    const std::int64_t query_dim = c.integer("query_dim");
    if (query_dim != 4 || width % 4 != 0 || num_queries < 1 || decoder_layers < 1 || patterns < 0 ||
        patterns > 1 << 16 || !(sines.down > 0) || !(sines.across > 0)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: query_dim {}, hidden_size {}, num_queries {}, decoder_layers {}, num_patterns {}, "
              "temperatures {} and {}: expected 4, a multiple of 4, at least 1, 1 and 0, and positive "
              "numbers",
              c.origin(), query_dim, width, num_queries, decoder_layers, patterns, sines.down, sines.across));
    }
  }

  std::int64_t width, num_queries, num_labels, patterns;
  std::int64_t encoder_layers, encoder_heads, encoder_ffn_dim, decoder_layers, decoder_heads, decoder_ffn_dim;
  std::string activation;
  PositionSines sines;
  bool keep_query_pos, normalize_before;
};

class DabDetrOnnxConfig : public FixedQueriesOnnxConfig {
 public:
  using FixedQueriesOnnxConfig::FixedQueriesOnnxConfig;
  AxesByName inputs() const override {
    AxesByName names = FixedQueriesOnnxConfig::inputs();
    names.emplace_back("pixel_mask", Axes{{0, "batch_size"}, {1, "height"}, {2, "width"}});
    return names;
  }
};

// With its residual and norm. Keys: fc1, fc2, final_layer_norm; activation_fn of a learned slope.
Value feed_forward(const Scope& s, const Config& c, std::int64_t inner, Value x) {
  Value y = nn::Linear(s / "fc1", c.width, inner)(x);
  if (c.activation == "prelu") {
    const Value slope = y.graph().weight((s / "activation_fn").weight("weight", {1}));
    const Value below = op::mul(op::relu(op::neg(y)), slope);
    y = op::sub(op::relu(y), below);
  } else {
    y = nn::Activation(c.activation)(y);
  }
  const Value out = nn::Linear(s / "fc2", inner, c.width)(y);
  return nn::LayerNorm(s / "final_layer_norm", c.width, kEps)(op::add(x, out));
}

Value scales(const Scope& s, const Config& c, Value x) {
  return linear_stack(s / "query_scale", x, c.width, c.width, 2);
}

DetrMemory encode(const Scope& base, const Config& c, Value image, Value pixel_mask) {
  const ImagePositions positions(base / "backbone" / "position_embedding", ImagePositionsKind::sine, c.width,
                                 c.sines);
  const Value seen = mask_at(pixel_mask, image);
  DetrMemory memory{.positions = positions(image, seen)};
  const nn::Conv2d projection(base / "input_projection", *image.dim(1).constant(), c.width, {1, 1});
  memory.tokens = nn::image_to_tokens(projection(image));
  if (seen) memory.seen = op::flatten(seen, 1, 2);
  const Scope s = base / "encoder";
  for (std::int64_t i = 0; i < c.encoder_layers; ++i) {
    const Scope layer = s / "layers" / i;
    const Value x = memory.tokens;
    const Value places = op::mul(memory.positions, scales(s, c, x));
    const ModulePath at(x, layer.path());
    const Value placed = op::add(x, places);
    const Value mixed =
        DetrAttention(layer / "self_attn", c.width, c.encoder_heads)(placed, placed, x, memory.seen);
    const Value normed = nn::LayerNorm(layer / "self_attn_layer_norm", c.width, kEps)(op::add(x, mixed));
    memory.tokens = feed_forward(layer, c, c.encoder_ffn_dim, normed);
  }
  if (c.encoder_layers < 1) s.ignore("query_scale");
  if (c.normalize_before) memory.tokens = nn::LayerNorm(s / "norm", c.width, kEps)(memory.tokens);
  return memory;
}

const ConditionalNames kToQueries = {"self_attn_query_content_proj", "self_attn_query_pos_proj",
                                     "self_attn_key_content_proj",   "self_attn_key_pos_proj",
                                     "self_attn_value_proj",         "self_attn.output_proj"};
const ConditionalNames kToMemory = {"cross_attn_query_content_proj", "cross_attn_query_pos_proj",
                                    "cross_attn_key_content_proj",   "cross_attn_key_pos_proj",
                                    "cross_attn_value_proj",         "cross_attn.output_proj",
                                    "cross_attn_query_pos_sine_proj"};

Value decoder_layer(const Scope& s, const Config& c, bool first, Value x, Value places, Value sines,
                    const DetrMemory& memory) {
  const ModulePath at(x, s.path());
  const Scope self = s / "self_attn", cross = s / "cross_attn";
  const ConditionalAttention mix{self, kToQueries, c.width, c.decoder_heads};
  const Value mixed = op::add(x, mix.to_queries(x, places));
  x = nn::LayerNorm(self / "self_attn_layer_norm", c.width, kEps)(mixed);
  const ConditionalAttention look{cross, kToMemory, c.width, c.decoder_heads};
  const Value seen = op::add(x, look.to_memory(x, places, sines, memory, first || c.keep_query_pos));
  x = nn::LayerNorm(cross / "cross_attn_layer_norm", c.width, kEps)(seen);
  return feed_forward(s / "mlp", c, c.decoder_ffn_dim, x);
}

// The first states and boxes of the queries: [1, Q, width], float32 [1, Q, 4].
std::pair<Value, Value> queries_of(const Scope& base, const Config& c, Graph& graph) {
  const Weight boxes = base.weight("query_refpoint_embeddings.weight", {c.num_queries, 4});
  const Value logits = op::cast(op::unsqueeze(graph.weight(boxes), 0), DType::f32);
  if (c.patterns == 0) {
    const std::vector<double> none(static_cast<std::size_t>(c.num_queries * c.width));
    const Weight zeros = Weight::from_doubles(DType::f32, {1, c.num_queries, c.width}, none);
    return {graph.weight(zeros), op::sigmoid(logits)};
  }
  // Each pattern with each box.
  const Value patterns =
      graph.weight(base.weight("patterns.weight", {c.patterns, c.width}).reshape({c.patterns, 1, c.width}));
  const Value each = op::expand(patterns, {c.patterns, c.num_queries, c.width});
  const Value all = op::concat(std::vector<Value>(static_cast<std::size_t>(c.patterns), logits), 1);
  return {op::reshape(each, {1, c.patterns * c.num_queries, c.width}), op::sigmoid(all)};
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const Value image = detector_backbone(tasks, base / "backbone" / "conv_encoder" / "model", model.config(),
                                        inputs["pixel_values"])
                          .back();
  const DetrMemory memory = encode(base, c, image, inputs.get("pixel_mask"));
  const Scope s = base / "decoder";
  const bool inside = (s / "bbox_embed").exists();
  const Scope predictor = inside ? s / "bbox_embed" : root / "bbox_predictor";
  if (inside) root.ignore("bbox_predictor");
  const nn::LayerNorm norm(s / "layernorm", c.width, kEps);
  Value x, boxes;  // clang before 16 cannot capture structured bindings
  std::tie(x, boxes) = queries_of(base, c, image.graph());
  Value last;
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    const ModulePath at(x, s.path());
    const auto part = [&](std::int64_t j) { return op::slice(boxes, 2, j, j + 1); };
    const auto waves = [&](std::int64_t j) {
      return op::cast(sines_of(op::select(boxes, 2, j), c.width / 2), x.dtype());
    };
    const Value column = waves(0), row = waves(1), width = waves(2), height = waves(3);
    const Value all = op::concat({row, column, width, height}, 2);
    const Value places = linear_stack(s / "ref_point_head", all, c.width, c.width, 2);
    const Value size =
        op::sigmoid(op::cast(linear_stack(s / "ref_anchor_head", x, c.width, 2, 2), DType::f32));
    const auto ratio = [&](std::int64_t j) {
      const Value of_box = part(j + 2);
      return op::cast(op::div(op::slice(size, 2, j, j + 1), of_box), x.dtype());
    };
    const Value wide = ratio(0), high = ratio(1);
    Value down = op::mul(row, high), right = op::mul(column, wide);
    Value sines = op::concat({down, right}, 2);
    if (i > 0) sines = op::mul(sines, scales(s, c, x));
    x = decoder_layer(s / "layers" / i, c, i == 0, x, places, sines, memory);
    last = boxes;
    if (i + 1 == c.decoder_layers) continue;
    const Value moved = op::cast(linear_stack(predictor, x, c.width, 4, 3), DType::f32);
    boxes = op::sigmoid(op::add(moved, inverse_sigmoid(boxes)));
  }
  if (c.decoder_layers == 1) s.ignore("query_scale");
  const Value hidden = norm(x);
  const Value logits = nn::Linear(root / "class_embed", c.width, c.num_labels)(hidden);
  const Value moved = op::cast(linear_stack(predictor, hidden, c.width, 4, 3), DType::f32);
  const Value found = op::sigmoid(op::add(moved, inverse_sigmoid(last)));
  return {{"logits", logits}, {"pred_boxes", op::cast(found, logits.dtype())}};
}

}  // namespace

void register_dab_detr(TasksManager& tasks) {
  tasks.register_model<DabDetrOnnxConfig>(
      {.model_type = "dab-detr",
       .tasks = {"object-detection"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component&) {
         return forward(tasks, inputs, model);
       }});
}

}  // namespace onnxport::models
