// DETR. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/detr/modeling_detr.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "models/common/definition.h"
#include "models/vision/common/detector_backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

class DetrOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  AxesByName outputs() const override {
    if (task() != "image-segmentation") return VisionOnnxConfig::outputs();
    const Axes axes = {{0, "batch_size"}, {1, "num_queries"}};
    return {{"logits", axes}, {"pred_masks", axes}};
  }
};

[[noreturn]] void refuse(const PretrainedConfig& c, const std::string& what) {
  throw ExportError(ErrorCode::bad_config, c.origin() + ": " + what);
}

struct Config {
  std::int64_t d_model, num_queries, num_labels;
  std::int64_t encoder_layers, encoder_heads, encoder_ffn_dim, decoder_layers, decoder_heads, decoder_ffn_dim;
  std::string activation;
  bool sine_positions, norm_each_layer;

  explicit Config(const PretrainedConfig& c)
      : d_model(either(c, "hidden_size", "d_model")),
        num_queries(c.integer("num_queries")),
        num_labels(c.num_labels()),
        encoder_layers(c.integer("encoder_layers")),
        encoder_heads(either(c, "num_attention_heads", "encoder_attention_heads")),
        encoder_ffn_dim(c.integer("encoder_ffn_dim")),
        decoder_layers(c.integer("decoder_layers")),
        decoder_heads(c.integer("decoder_attention_heads")),
        decoder_ffn_dim(c.integer("decoder_ffn_dim")),
        activation(c.string("activation_function")),
        // With losses for all layers, the states between the decoder's layers are normed.
        norm_each_layer(c.flag("auxiliary_loss")) {
    // The number of encoder layers again; the backbone has its own number of channels.
    c.harmless({"is_encoder_decoder", "num_hidden_layers", "num_channels"});
    const std::string positions = c.string("position_embedding_type");
    if (positions != "sine" && positions != "learned") {
      refuse(c, fmt::format("position_embedding_type '{}', expected sine or learned", positions));
    }
    sine_positions = positions == "sine";
    const bool heads = encoder_heads > 0 && decoder_heads > 0 && d_model > 0 &&
                       d_model % encoder_heads == 0 && d_model % decoder_heads == 0;
    if (!heads || num_queries < 1 || decoder_layers < 1 || d_model % (sine_positions ? 4 : 2) != 0) {
      refuse(c,
             fmt::format("d_model {} with {} and {} heads and {} positions, num_queries {}, decoder_layers "
                         "{}: d_model must be a multiple of the heads and of {}, and the others at least 1",
                         d_model, encoder_heads, decoder_heads, positions, num_queries, decoder_layers,
                         sine_positions ? 4 : 2));
    }
  }
};

// ---- positions ----

// Alternating sines and cosines of the angles for width / 2 frequencies: [count, width].
Value sine_positions(Graph& graph, const Dim& count, std::int64_t width) {
  constexpr double turn = 2 * std::numbers::pi;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < width; i += 2)
    frequencies.push_back(turn / std::pow(10000.0, static_cast<double>(i) / static_cast<double>(width)));
  // Computed in float32 for every dtype, like the original.
  const Value place = op::cast(op::arange(graph, count, 1), DType::f32);
  const Value all = op::add(op::cast(op::size(graph, count), DType::f32), 1e-6);
  const Value part = op::unsqueeze(op::div(place, all), 1);
  const Value angles =
      op::mul(part, graph.weight_as_is(Weight::from_doubles(DType::f32, {width / 2}, frequencies)));
  const Value sine = op::unsqueeze(op::sin(angles), 2), cosine = op::unsqueeze(op::cos(angles), 2);
  return op::flatten(op::concat({sine, cosine}, 2), 1, 2);
}

struct PositionEmbedding {
  static constexpr std::int64_t kLearned = 50;  // rows and columns, whatever the configuration
  std::string path;
  std::int64_t d_model;
  Weight row_embeddings, column_embeddings;  // empty: sines

  PositionEmbedding(const Scope& s, const Config& c) : path(s.path()), d_model(c.d_model) {
    if (c.sine_positions) return;
    row_embeddings = s.weight("row_embeddings.weight", {kLearned, d_model / 2});
    column_embeddings = s.weight("column_embeddings.weight", {kLearned, d_model / 2});
  }

  // For the pixels of an image [B, C, H', W']: [1, H' * W', d_model].
  Value operator()(Value image) const {
    const ModulePath at(image, path);
    Graph& graph = image.graph();
    const Dim &height = image.dim(2), &width = image.dim(3);
    const Shape places = {height, width, d_model / 2};
    const auto by_row = [&](Value table) { return op::expand(op::unsqueeze(table, 1), places); };
    const auto by_column = [&](Value table) { return op::expand(op::unsqueeze(table, 0), places); };
    Value both;
    if (row_embeddings) {
      const Value right = by_column(op::slice(graph.weight(column_embeddings), 0, 0, width));
      const Value down = by_row(op::slice(graph.weight(row_embeddings), 0, 0, height));
      both = op::concat({right, down}, 2);
    } else {
      const Value down = by_row(sine_positions(graph, height, d_model / 2));
      const Value right = by_column(sine_positions(graph, width, d_model / 2));
      both = op::cast(op::concat({down, right}, 2), image.dtype());
    }
    return op::reshape(both, {1, height * width, d_model});
  }
};

// ---- encoder and decoder ----

struct Attention {
  std::string path;
  std::int64_t heads;
  nn::Linear q_proj, k_proj, v_proj, out_proj;

  Attention(const Scope& s, std::int64_t width, std::int64_t heads_in)
      : path(s.path()),
        heads(heads_in),
        q_proj(s / "q_proj", width, width),
        k_proj(s / "k_proj", width, width),
        v_proj(s / "v_proj", width, width),
        out_proj(s / "out_proj", width, width) {}

  Value operator()(Value query_input, Value key_input, Value value_input) const {
    const ModulePath at(query_input, path);
    Value query = q_proj(query_input);
    const Value key = k_proj(key_input);
    const Value value = v_proj(value_input);
    if (query.dim(0) != key.dim(0)) query = op::expand(query, {key.dim(0), query.dim(1), query.dim(2)});
    return out_proj(op::attention({.query = query, .key = key, .value = value}, heads, heads).output);
  }

  // The result of attention to zeros, for every query: [1, 1, width]. All values are then the bias, and so is
  // every mean of them.
  Value of_zeros(Graph& graph) const {
    const ModulePath at(graph, path);
    return out_proj(graph.weight(v_proj.bias().reshape({1, 1, v_proj.bias().numel()})));
  }
};

struct FeedForward {
  nn::Linear fc1, fc2;
  nn::Activation activation;
  nn::LayerNorm norm;

  FeedForward(const Scope& s, std::int64_t width, std::int64_t inner, const Config& c)
      : fc1(s / "fc1", width, inner),
        fc2(s / "fc2", inner, width),
        activation(c.activation),
        norm(s / "final_layer_norm", width, 1e-5) {}

  Value operator()(Value x) const { return norm(op::add(x, fc2(activation(fc1(x))))); }
};

struct EncoderLayer {
  std::string path;
  Attention self_attn;
  nn::LayerNorm self_attn_norm;
  FeedForward feed_forward;

  EncoderLayer(const Scope& s, const Config& c)
      : path(s.path()),
        self_attn(s / "self_attn", c.d_model, c.encoder_heads),
        self_attn_norm(s / "self_attn_layer_norm", c.d_model, 1e-5),
        feed_forward(s, c.d_model, c.encoder_ffn_dim, c) {}

  Value operator()(Value x, Value positions) const {
    const ModulePath at(x, path);
    const Value placed = op::add(x, positions);
    const Value attended = self_attn(placed, placed, x);
    return feed_forward(self_attn_norm(op::add(x, attended)));
  }
};

struct DecoderLayer {
  std::string path;
  Attention self_attn, encoder_attn;
  nn::LayerNorm self_attn_norm, encoder_attn_norm;
  FeedForward feed_forward;

  DecoderLayer(const Scope& s, const Config& c)
      : path(s.path()),
        self_attn(s / "self_attn", c.d_model, c.decoder_heads),
        encoder_attn(s / "encoder_attn", c.d_model, c.decoder_heads),
        self_attn_norm(s / "self_attn_layer_norm", c.d_model, 1e-5),
        encoder_attn_norm(s / "encoder_attn_layer_norm", c.d_model, 1e-5),
        feed_forward(s, c.d_model, c.decoder_ffn_dim, c) {}

  // x: the state of the queries [Q, d_model]; absent in the first layer, where it is zero. `placed`: the
  // memory with its positions.
  Value operator()(Value x, Value queries, Value memory, Value placed) const {
    const ModulePath at(memory, path);
    if (x) {
      const Value asking = op::add(x, queries);
      const Value attended = self_attn(asking, asking, x);
      x = op::add(x, attended);
    } else {
      x = self_attn.of_zeros(memory.graph());
    }
    x = self_attn_norm(x);
    const Value attended = encoder_attn(op::add(x, queries), placed, memory);
    return feed_forward(encoder_attn_norm(op::add(x, attended)));
  }
};

struct Detr {
  std::string path;
  PositionEmbedding position_embedding;
  nn::Conv2d input_projection;
  Weight queries;
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;
  nn::LayerNorm norm;
  bool norm_each_layer;

  // `channels`: those of the backbone's last used features.
  Detr(const Scope& s, const Config& c, std::int64_t channels)
      : path(s.path()),
        position_embedding(s / "backbone" / "position_embedding", c),
        input_projection(s / "input_projection", channels, c.d_model, {1, 1}),
        queries(s.weight("query_position_embeddings.weight", {c.num_queries, c.d_model})),
        norm(s / "decoder" / "layernorm", c.d_model, 1e-5),
        norm_each_layer(c.norm_each_layer) {
    for (std::int64_t i = 0; i < c.encoder_layers; ++i) encoder.emplace_back(s / "encoder" / "layers" / i, c);
    for (std::int64_t i = 0; i < c.decoder_layers; ++i) decoder.emplace_back(s / "decoder" / "layers" / i, c);
  }

  struct Results {
    std::vector<Value> features;  // of the backbone, [B, C, H', W']
    Value projected;              // the last of them, [B, d_model, H', W']
    Value memory;                 // [B, H' * W', d_model]
    Value hidden;                 // of the queries, [B, Q, d_model]
  };

  // If there is no pixel mask, the original uses ones, so no pixel is hidden.
  Results operator()(std::vector<Value> features) const {
    const ModulePath at(features.back(), path);
    Results r;
    r.features = std::move(features);
    const Value positions = position_embedding(r.features.back());
    r.projected = input_projection(r.features.back());
    r.memory = nn::image_to_tokens(r.projected);
    for (const EncoderLayer& layer : encoder) r.memory = layer(r.memory, positions);
    const Value placed = op::add(r.memory, positions);
    const Value asking = r.memory.graph().weight(queries);
    for (const DecoderLayer& layer : decoder) {
      r.hidden = layer(r.hidden, asking, r.memory, placed);
      if (norm_each_layer) r.hidden = norm(r.hidden);
    }
    r.hidden = norm(r.hidden);
    return r;
  }
};

// ---- heads ----

Value predict_boxes(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  for (std::int64_t i = 0; i < 3; ++i) {
    if (i > 0) x = op::relu(x);
    x = nn::Linear(s / "layers" / i, c.d_model, i < 2 ? c.d_model : 4)(x);
  }
  return op::sigmoid(x);
}

// The attention of each query to each pixel, by head: [B * Q, heads, H', W']. The values of a query sum to
// one over all heads and pixels.
Value attention_maps(const Scope& s, const Config& c, const Detr::Results& r) {
  const ModulePath at(r.hidden, s.path());
  const std::int64_t heads = c.encoder_heads;
  const Value query = nn::split_heads(nn::Linear(s / "q_linear", c.d_model, c.d_model)(r.hidden), heads);
  const Value key = nn::split_heads(nn::Linear(s / "k_linear", c.d_model, c.d_model)(r.memory), heads);
  const std::int64_t head_dim = c.d_model / heads;
  const Value scaled = op::mul(query, 1.0 / std::sqrt(static_cast<double>(head_dim)));
  const Value scores = op::transpose(op::matmul(scaled, op::transpose(key, 2, 3)), 1, 2);
  const Value maps = op::softmax(op::flatten(scores, 2, 3), -1);
  return op::reshape(maps, {maps.dim(0) * maps.dim(1), heads, r.projected.dim(2), r.projected.dim(3)});
}

// Computes the mask of each query from its attention, with features of the image of increasing size.
struct MaskHead {
  Scope s;
  std::int64_t queries;

  Value normed(Value x, int i) const {
    const std::int64_t channels = *x.dim(1).constant();
    const std::int64_t groups = std::min<std::int64_t>(8, channels);
    return op::relu(nn::GroupNorm(s / fmt::format("gn{}", i), groups, channels)(x));
  }

  // Adds values per image, [B, C, H, W], to values per query, [B * Q, C, H, W].
  Value add_to_each(Value image, Value x) const {
    const Shape& shape = x.shape();
    const Value apart = op::reshape(x, {image.dim(0), queries, shape[1], shape[2], shape[3]});
    return op::reshape(op::add(apart, op::unsqueeze(image, 1)), shape);
  }

  // [B, Q, H, W]
  Value operator()(const Config& c, const Detr::Results& r, Value maps) const {
    const ModulePath at(maps, s.path());
    std::int64_t width = c.d_model + c.encoder_heads;
    const op::ConvOptions around = {.padding = {1, 1}};
    // The first layer takes the image and the map of each query. The image's share is computed once.
    const Scope first = s / "lay1";
    const Weight weight = first.weight("weight", {width, width, 3, 3});
    const nn::Conv2d of_image(first.path(), weight.slice(1, 0, c.d_model), first.weight("bias", {width}),
                              around);
    const nn::Conv2d of_maps(first.path(), weight.slice(1, c.d_model, width), {}, around);
    const Value image = of_image(r.projected);
    Value x = normed(add_to_each(image, of_maps(maps)), 1);
    const auto layer = [&](int i, std::int64_t out) {
      x = normed(nn::Conv2d(s / fmt::format("lay{}", i), width, out, {3, 3}, true, around)(x), i);
      width = out;
    };
    layer(2, c.d_model / 2);
    for (int i = 1; i <= 3; ++i) {
      const auto stage = static_cast<std::size_t>(3 - i);
      const std::int64_t channels = *r.features[stage].dim(1).constant();
      const nn::Conv2d adapter(s / fmt::format("adapter{}", i), channels, width, {1, 1});
      const Value larger = adapter(r.features[stage]);
      x = add_to_each(larger, op::interpolate(x, {larger.dim(2), larger.dim(3)}, "nearest"));
      layer(i + 2, c.d_model >> (i + 1));
    }
    x = nn::Conv2d(s / "out_lay", width, 1, {3, 3}, true, around)(x);
    return op::reshape(x, {r.hidden.dim(0), queries, x.dim(2), x.dim(3)});
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope detection = root.base_model("detr");
  const Scope base = detection.base_model("model");
  std::vector<Value> features;
  {
    const ModulePath at(inputs["pixel_values"], base.path());
    features = detector_backbone(tasks, base / "backbone" / "conv_encoder" / "model", model.config(),
                                 inputs["pixel_values"]);
  }
  const Detr detr(base, c, *features.back().dim(1).constant());
  const Detr::Results r = detr(features);
  if (component.task == "feature-extraction") return {{"last_hidden_state", r.hidden}};

  // One extra label: no object.
  const nn::Linear classifier(detection / "class_labels_classifier", c.d_model, c.num_labels + 1);
  const Value logits = classifier(r.hidden);
  if (component.task == "object-detection")
    return {{"logits", logits}, {"pred_boxes", predict_boxes(detection / "bbox_predictor", c, r.hidden)}};

  if (r.features.size() < 3 || c.d_model % 16 != 0 || (c.d_model + c.encoder_heads) % 8 != 0) {
    refuse(model.config(),
           fmt::format("a mask head needs three stages of the backbone, a d_model that is a multiple of 16, "
                       "and a sum of d_model and encoder heads that is a multiple of 8; got {}, {} and {}",
                       r.features.size(), c.d_model, c.encoder_heads));
  }
  const Value maps = attention_maps(root / "bbox_attention", c, r);
  return {{"logits", logits}, {"pred_masks", MaskHead{root / "mask_head", c.num_queries}(c, r, maps)}};
}

}  // namespace

void register_detr(TasksManager& tasks) {
  tasks.register_model<DetrOnnxConfig>(
      {.model_type = "detr",
       .tasks = {"feature-extraction", "object-detection", "image-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& component) {
         return forward(tasks, inputs, model, component);
       }});
}

}  // namespace onnxport::models
