// Segment Anything: an image encoder with windows, points as prompts, and a mask decoder (sam_decoder.cpp).
// Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sam/modeling_sam.py
#include "models/vision/common/sam.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-6;  // of the norms after convolutions; not configurable

template <class... Args>
void require(bool fits, fmt::format_string<Args...> message, Args&&... args) {
  if (!fits) throw ExportError(ErrorCode::bad_config, fmt::format(message, std::forward<Args>(args)...));
}

struct VisionConfig {
  std::int64_t hidden_size, heads, layers, channels, image_size, patch_size, window_size, num_pos_feats;
  std::int64_t output_channels, mlp_dim;
  std::vector<std::int64_t> global_layers;
  std::string hidden_act;
  double eps;
  bool qkv_bias, absolute, relative;

  explicit VisionConfig(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        heads(c.integer("num_attention_heads")),
        layers(c.integer("num_hidden_layers")),
        channels(c.integer("num_channels")),
        image_size(c.integer("image_size")),
        patch_size(c.integer("patch_size")),
        window_size(c.integer("window_size")),
        num_pos_feats(c.integer("num_pos_feats")),
        output_channels(c.integer("output_channels")),
        mlp_dim(c.maybe_integer("mlp_dim").value_or(
            static_cast<std::int64_t>(static_cast<double>(hidden_size) * c.real("mlp_ratio")))),
        global_layers(c.integers("global_attn_indexes")),
        hidden_act(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        qkv_bias(c.flag("qkv_bias")),
        absolute(c.flag("use_abs_pos")),
        relative(c.flag("use_rel_pos")) {
    check_heads(c, hidden_size, heads);
    require(patch_size > 0 && image_size >= patch_size && window_size >= 0,
            "{}: image_size {}, patch_size {}, window_size {}: expected a patch, and a window >= 0",
            c.origin(), image_size, patch_size, window_size);
  }
  std::int64_t grid() const { return image_size / patch_size; }
  std::int64_t head_dim() const { return hidden_size / heads; }
};

struct Config {
  VisionConfig vision;
  SamDecoderConfig decoder;

  explicit Config(const PretrainedConfig& c)
      : vision(c.sub("vision_config", "sam_vision_model")), decoder(c.sub("mask_decoder_config")) {
    // The others concern masks and boxes as inputs, which the exported interface does not have. The class
    // computes the last one.
    const PretrainedConfig prompt = c.sub("prompt_encoder_config");
    prompt.harmless({"mask_input_channels", "num_point_embeddings", "hidden_act", "layer_norm_eps",
                     "image_embedding_size"});
    const std::int64_t width = prompt.integer("hidden_size");
    const std::int64_t size = prompt.integer("image_size"), patch = prompt.integer("patch_size");
    require(size == vision.image_size && patch == vision.patch_size,
            "{}: images of {} with patches of {} in prompt_encoder_config, of {} with {} in vision_config",
            c.origin(), size, patch, vision.image_size, vision.patch_size);
    require(
        width == decoder.hidden_size && width == vision.output_channels && width == 2 * vision.num_pos_feats,
        "{}: hidden_size of prompt_encoder_config is {}, expected that of mask_decoder_config ({}), "
        "output_channels ({}) and twice num_pos_feats ({}) of vision_config",
        c.origin(), width, decoder.hidden_size, vision.output_channels, vision.num_pos_feats);
  }
};

// ---- the exported interface ----

constexpr const char* kVisionEncoder = "vision_encoder";
constexpr const char* kMaskDecoder = "prompt_encoder_mask_decoder";

/// input_points: pixels [batch_size, point_batch_size, nb_points_per_image, 2]; input_labels: every label
/// that the prompt encoder knows; image_embeddings and image_positional_embeddings.
class DummySamInputGenerator : public DummyInputGenerator {
 public:
  explicit DummySamInputGenerator(const Config& c)
      : width_(c.decoder.hidden_size), grid_(c.vision.grid()), image_size_(c.vision.image_size) {}
  bool supports_input(std::string_view name) const override {
    return name.starts_with("input_") || name.starts_with("image_");
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    if (name.starts_with("image_")) return {context.float_dtype, {shapes.batch_size, width_, grid_, grid_}};
    const Shape points = {shapes.batch_size, shapes.point_batch_size, shapes.nb_points_per_image};
    if (name == "input_labels") return {context.int_dtype, points};
    return {context.float_dtype, {points[0], points[1], points[2], 2}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (name.starts_with("image_")) return random_floats(seed, name, type);
    const std::vector<std::int64_t> shape = static_shape(type.shape).value();
    if (name == "input_labels") {
      constexpr std::int64_t kLabels[] = {1, 0, -1, -10};
      std::vector<std::int64_t> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = kLabels[(i + seed) % std::size(kLabels)];
      return Tensor::from_ints(type.dtype, shape, values);
    }
    std::vector<double> pixels = random_floats(seed, name, DType::f32, shape).to_doubles();
    for (double& pixel : pixels) pixel = std::floor((pixel + 1) / 2 * static_cast<double>(image_size_));
    return Tensor::from_doubles(type.dtype, shape, pixels);
  }

 private:
  std::int64_t width_, grid_, image_size_;
};

/// Two components, so that an image is encoded once for many points, or one.
class SamOnnxConfig : public OnnxConfig {
 public:
  explicit SamOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                         std::string part = {})
      : OnnxConfig(std::move(config), std::move(task), std::move(options)), part_(std::move(part)) {}

  std::string part() const override { return part_; }
  std::vector<std::string> variants() const override { return {"default", "split", "monolith"}; }
  void describe(ExportPlan& plan, const PlanRequest& request) const override {
    if (request.split == Split::monolith || request.variant == "monolith")
      return OnnxConfig::describe(plan, request);
    for (const char* part : {kVisionEncoder, kMaskDecoder}) {
      const SamOnnxConfig described(config(), task(), options(), part);
      plan.components.push_back(described.component(part, request.shapes, request.dynamic_axes));
    }
  }
  AxesByName inputs() const override {
    const Axes images = {{0, "batch_size"}};
    const Axes points = {{0, "batch_size"}, {1, "point_batch_size"}, {2, "nb_points_per_image"}};
    AxesByName names;
    if (part_ == kMaskDecoder)
      names = {{"image_positional_embeddings", images}, {"image_embeddings", images}};
    else
      names = {{"pixel_values", images}};
    if (part_ == kVisionEncoder) return names;
    names.emplace_back("input_points", points);
    names.emplace_back("input_labels", points);
    return names;
  }
  AxesByName outputs() const override {
    const Axes images = {{0, "batch_size"}};
    if (part_ == kVisionEncoder)
      return {{"image_embeddings", images}, {"image_positional_embeddings", images}};
    const Axes points = {{0, "batch_size"}, {1, "point_batch_size"}};
    return {{"iou_scores", points}, {"pred_masks", points}};
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedVisionConfig(config().unaccounted().sub("vision_config", "sam_vision_model"));
  }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummyVisionInputGenerator>(),
            std::make_shared<const DummySamInputGenerator>(Config(config().unaccounted()))};
  }

 private:
  std::string part_;
};

// ---- the image encoder ----

// Relative positions along an axis, as a matrix for each query: [query, d, key].
Weight relative_positions(const Scope& s, const char* name, std::int64_t size, std::int64_t head_dim) {
  const Weight table = s.weight(name, {2 * size - 1, head_dim});
  std::vector<std::int64_t> rows;
  for (std::int64_t query = 0; query < size; ++query) {
    for (std::int64_t key = 0; key < size; ++key) rows.push_back(query - key + size - 1);
  }
  return table.take(Weight::from_ints({size, size}, rows)).permute({0, 2, 1});
}

// The row and the column of each key of a window, as one-hot vectors: [keys, 2 * window].
Weight rows_and_columns(std::int64_t window) {
  std::vector<double> values(static_cast<std::size_t>(window * window * 2 * window));
  for (std::int64_t key = 0; key < window * window; ++key) {
    double* const marks = values.data() + key * 2 * window;
    marks[key / window] = 1;
    marks[window + key % window] = 1;
  }
  return Weight::from_doubles(DType::f32, {1, 1, window * window, 2 * window}, values);
}

// Attention within windows: x [B, side, side, C] -> the same, without the output projection.
Value attend(const Scope& s, const VisionConfig& c, Value x, std::int64_t window) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const std::int64_t width = c.hidden_size, heads = c.heads, head_dim = c.head_dim();
  const std::int64_t side = *x.dim(1).constant(), count = side / window, tokens = window * window;
  const Dim batch = x.dim(0), windows = batch * (count * count);

  const Weight weight = (s / "qkv").weight("weight", {3 * width, width});
  const Weight bias = c.qkv_bias ? (s / "qkv").weight("bias", {3 * width}) : Weight();
  // One transposition sorts by window and head: [windows, heads, tokens, head_dim].
  const auto project = [&](std::int64_t part) {
    const auto of_part = [&](const Weight& all) { return all.slice(0, part * width, (part + 1) * width); };
    const nn::Linear linear((s / "qkv").path(), of_part(weight), bias ? of_part(bias) : Weight());
    const Value spread = op::reshape(linear(x), {batch, count, window, count, window, heads, head_dim});
    return op::reshape(op::permute(spread, {0, 1, 3, 5, 2, 4, 6}), {windows, heads, tokens, head_dim});
  };
  Value query = project(0);
  Value key = project(1);
  const Value value = project(2);
  op::AttentionOptions options;
  if (c.relative) {
    // A score is scale * query * key + rows[key's row] + columns[key's column]. This is one product of longer
    // vectors; separate terms would need more memory than the scores. The position terms use the unscaled
    // query.
    key = op::mul(key, 1 / std::sqrt(static_cast<double>(head_dim)));
    options.scale = 1.0;
    const Value by_row = graph.weight(relative_positions(s, "rel_pos_h", window, head_dim));
    const Value by_column = graph.weight(relative_positions(s, "rel_pos_w", window, head_dim));
    const Value grid = op::reshape(query, {windows, heads, window, window, head_dim});
    const Value rows = op::reshape(op::matmul(grid, by_row), {windows, heads, tokens, window});
    const Value transposed = op::matmul(op::transpose(grid, 2, 3), by_column);
    const Value columns = op::reshape(op::transpose(transposed, 2, 3), {windows, heads, tokens, window});
    const Value marks = graph.weight(rows_and_columns(window));
    query = op::concat({query, rows, columns}, 3);
    key = op::concat({key, op::expand(marks, {windows, heads, tokens, 2 * window})}, 3);
  }
  const Value context = op::scaled_dot_product_attention(query, key, value, {}, options);
  const Value spread = op::reshape(context, {batch, count, count, heads, window, window, head_dim});
  return op::reshape(op::permute(spread, {0, 1, 4, 2, 5, 3, 6}), {batch, side, side, width});
}

// x [B, grid, grid, C]; a window of 0 is the whole grid.
Value vision_layer(const Scope& s, const VisionConfig& c, Value x, std::int64_t window) {
  const ModulePath at(x, s.path());
  const std::int64_t grid = c.grid(), side = window == 0 ? grid : (grid + window - 1) / window * window;
  Value y = nn::LayerNorm(s / "layer_norm1", c.hidden_size, c.eps)(x);
  if (side > grid) y = op::pad(y, {0, 0, 0, 0}, {0, side - grid, side - grid, 0});
  y = attend(s / "attn", c, y, window == 0 ? grid : window);
  for (const std::int64_t axis : {1, 2}) {
    if (side > grid) y = op::slice(y, axis, 0, grid);
  }
  x = op::add(x, nn::Linear(s / "attn" / "proj", c.hidden_size, c.hidden_size)(y));
  const Value normed = nn::LayerNorm(s / "layer_norm2", c.hidden_size, c.eps)(x);
  return op::add(x, sam_mlp(s / "mlp", c.hidden_size, c.mlp_dim, c.hidden_act, normed));
}

// [B, channels, size, size] -> [B, output_channels, grid, grid]
Value encode(const Scope& s, const VisionConfig& c, Value pixel_values) {
  const ModulePath at(pixel_values, s.path());
  const std::int64_t grid = c.grid(), patch = c.patch_size, out = c.output_channels;
  const nn::Conv2d projection(s / "patch_embed" / "projection", c.channels, c.hidden_size, {patch, patch},
                              true, {.stride = {patch, patch}});
  Value x = op::permute(projection(pixel_values), {0, 2, 3, 1});
  if (c.absolute) x = op::add(x, x.graph().weight(s.weight("pos_embed", {1, grid, grid, c.hidden_size})));
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const bool global = std::find(c.global_layers.begin(), c.global_layers.end(), i) != c.global_layers.end();
    x = vision_layer(s / "layers" / i, c, x, global ? 0 : c.window_size);
  }
  const Scope neck = s / "neck";
  const auto norm_channels = [&](const Scope& norm, Value image) {
    const Value last = op::permute(image, {0, 2, 3, 1});
    return op::permute(nn::LayerNorm(norm, out, kEps)(last), {0, 3, 1, 2});
  };
  x = nn::Conv2d(neck / "conv1", c.hidden_size, out, {1, 1}, false)(op::permute(x, {0, 3, 1, 2}));
  x = norm_channels(neck / "layer_norm1", x);
  x = nn::Conv2d(neck / "conv2", out, out, {3, 3}, false, {.padding = {1, 1}})(x);
  return norm_channels(neck / "layer_norm2", x);
}

// ---- positions ----

// Random frequencies of x and y, in radians: [2, features].
Weight frequencies(const Scope& root, const VisionConfig& c) {
  const double turn = 2 * std::numbers::pi;
  return (root / "shared_image_embedding")
      .weight("positional_embedding", {2, c.num_pos_feats})
      .cast(DType::f32)
      .mul(Weight::from_doubles(DType::f32, {}, {&turn, 1}));
}

// The embeddings of the centres of all patches: [1, 2 * features, grid, grid].
Weight image_positions(const Scope& root, const VisionConfig& c) {
  const std::int64_t grid = c.grid(), features = c.num_pos_feats;
  std::vector<double> centres;
  for (std::int64_t i = 0; i < grid; ++i)
    centres.push_back(2 * (static_cast<double>(i) + 0.5) / static_cast<double>(grid) - 1);
  const Weight both = frequencies(root, c);
  const auto along = [&](std::int64_t part, const std::vector<std::int64_t>& shape) {
    const Weight frequency = both.slice(0, part, part + 1).reshape({features, 1, 1});
    return Weight::from_doubles(DType::f32, shape, centres).mul(frequency);
  };
  const Weight angles = along(0, {1, 1, grid}).add(along(1, {1, grid, 1}));
  const Weight parts[] = {angles.sin(), angles.cos()};
  return Weight::concat(parts, 0).reshape({1, 2 * features, grid, grid}).named("image_positional_embeddings");
}

// input_points [B, P, N, 2] and input_labels [B, P, N] -> [B, P, N + 1, C]; the last one is a padding point.
Value embed_points(const Scope& root, const Config& c, Value points, Value labels) {
  const Scope s = root / "prompt_encoder";
  const ModulePath at(points, s.path());
  Graph& graph = points.graph();
  const std::int64_t width = c.decoder.hidden_size;
  const auto embedding = [&](const Scope& of) { return graph.weight(of.weight("weight", {1, width})); };
  const Value centres = op::add(op::cast(points, DType::f32), 0.5);  // angles are float32 in every dtype
  const Value scaled = op::sub(op::mul(centres, 2 / static_cast<double>(c.vision.image_size)), 1.0);
  const Value angles = op::matmul(scaled, graph.weight_as_is(frequencies(root, c.vision)));
  const Value placed = op::cast(op::concat({op::sin(angles), op::cos(angles)}, 3), points.dtype());

  const Value label = op::unsqueeze(labels, 3);
  const Value background = embedding(s / "point_embed" / 0);
  const Value foreground = embedding(s / "point_embed" / 1);
  const Value not_a_point = embedding(s / "not_a_point_embed");
  const Value zero = op::scalar(graph, 0, points.dtype());
  Value kind = op::where(op::eq(label, 0.0), background, zero);
  kind = op::where(op::eq(label, 1.0), foreground, kind);
  Value embedded = op::add(placed, kind);
  embedded = op::where(op::eq(label, -10.0), zero, embedded);  // what the processor fills up with
  embedded = op::where(op::eq(label, -1.0), not_a_point, embedded);
  const Value last = op::expand(not_a_point, {points.dim(0), points.dim(1), 1, width});
  return op::concat({embedded, last}, 2);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  Value image, positions;
  if (component.part == kMaskDecoder) {
    image = inputs["image_embeddings"];
    positions = inputs["image_positional_embeddings"];
  } else {
    image = encode(root / "vision_encoder", c.vision, inputs["pixel_values"]);
    positions = image.graph().weight(image_positions(root, c.vision));
  }
  if (component.part == kVisionEncoder)
    return {{"image_embeddings", image},
            {"image_positional_embeddings", op::expand(positions, image.shape())}};

  const Value prompts = embed_points(root, c, inputs["input_points"], inputs["input_labels"]);
  const Weight no_mask =
      (root / "prompt_encoder" / "no_mask_embed").weight("weight", {1, c.decoder.hidden_size});
  const Value placed =
      op::add(image, image.graph().weight(no_mask.reshape({1, c.decoder.hidden_size, 1, 1})));
  return decode_masks(root / "mask_decoder", c.decoder, placed, positions, prompts);
}

}  // namespace

void register_sam(TasksManager& tasks) {
  // The exported model does not take masks or boxes as prompts. The last key is a copy of
  // shared_image_embedding.
  tasks.register_model<SamOnnxConfig>(
      {.model_type = "sam",
       .tasks = {"feature-extraction"},
       .forward = forward,
       .ignorable_keys = {"prompt_encoder.mask_embed.*", "prompt_encoder.point_embed.2.weight",
                          "prompt_encoder.point_embed.3.weight",
                          "prompt_encoder.shared_embedding.positional_embedding"}});
}

}  // namespace onnxport::models
