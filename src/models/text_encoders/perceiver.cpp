// Perceiver IO for text and for images. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/perceiver/modeling_perceiver.py
// A few latent vectors look at the input once, then at each other; the output looks at them.
#include <fmt/format.h>

#include <memory>
#include <numbers>

#include "models/common/definition.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;              // a default of the original's norms; the config's does not count
constexpr std::int64_t kImageWidth = 256;  // of learned features and positions
constexpr std::int64_t kConvWidth = 64;
constexpr std::int64_t kBands = 64;

struct Config {
  std::int64_t vocab_size, max_positions, width, latents, latent_width, blocks, layers, image_size,
      num_labels;
  std::int64_t self_heads, cross_heads, self_widening, cross_widening;
  std::optional<std::int64_t> qk_channels, v_channels;
  bool query_residual, qk_of_queries;
  std::string activation;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        max_positions(c.integer("max_position_embeddings")),
        width(c.integer("d_model")),
        latents(c.integer("num_latents")),
        latent_width(c.integer("d_latents")),
        blocks(c.integer("num_blocks")),
        layers(c.integer("num_self_attends_per_block")),
        image_size(c.integer("image_size")),
        num_labels(c.num_labels()),
        self_heads(c.integer("num_self_attention_heads")),
        cross_heads(c.integer("num_cross_attention_heads")),
        self_widening(c.integer("self_attention_widening_factor")),
        cross_widening(c.integer("cross_attention_widening_factor")),
        qk_channels(c.maybe_integer("qk_channels")),
        v_channels(c.maybe_integer("v_channels")),
        query_residual(c.flag("use_query_residual")),
        qk_of_queries(c.string("cross_attention_shape_for_attention") == "q"),
        activation(c.string("hidden_act")) {
    if (const std::string of = c.string("cross_attention_shape_for_attention"); !qk_of_queries && of != "kv")
      refuse(c, fmt::format("cross_attention_shape_for_attention is '{}', expected q or kv", of));
    for (const auto& [key, heads] :
         {std::pair{"num_self_attention_heads", self_heads}, {"num_cross_attention_heads", cross_heads}}) {
      check_multiple(c, "d_latents", latent_width, key, heads);
      check_multiple(c, "qk_channels", qk_channels.value_or(heads), key, heads);
      check_multiple(c, "v_channels", v_channels.value_or(heads), key, heads);
    }
    if (!v_channels && !qk_of_queries && !qk_channels)
      check_multiple(c, "d_model", width, "num_cross_attention_heads", cross_heads);
    constexpr std::int64_t kMost = 4096;
    for (const auto& [key, count] :
         {std::pair{"num_blocks", blocks}, {"num_self_attends_per_block", layers}}) {
      if (count < 0 || count > kMost) refuse(c, fmt::format("{} is {}, expected 0 to {}", key, count, kMost));
    }
    // Of video, sound, and optical flow.
    c.harmless({"layer_norm_eps", "train_size", "num_frames", "audio_samples_per_frame", "samples_per_patch",
                "output_shape", "output_num_channels", "_label_trainable_num_channels", "num_channels"});
  }
};

class PerceiverOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    if (task() != "image-classification") return TextEncoderOnnxConfig::inputs();
    const std::vector<std::string> names = config().architectures();
    const bool any_size =
        !names.empty() && (names.front() == "PerceiverForImageClassificationFourier" ||
                           names.front() == "PerceiverForImageClassificationConvProcessing");
    if (!any_size) return {{"pixel_values", {{0, "batch_size"}}}};
    return {{"pixel_values", {{0, "batch_size"}, {2, "width"}, {3, "height"}}}};
  }
  // Masked text has a prediction for each position that there is.
  AxesByName outputs() const override { return {{"logits", {{0, "batch_size"}}}}; }
  NormalizedConfig normalized_config() const override {
    return TextEncoderOnnxConfig::normalized_config().with_args(
        {{"image_size", "image_size"}, {"num_channels", "num_channels"}});
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = TextEncoderOnnxConfig::dummy_input_generators();
    generators.push_back(std::make_shared<const DummyVisionInputGenerator>());
    return generators;
  }
  ImageSizes image_sizes() const override { return {.step = 1, .smallest = {16, 16}}; }
};

struct LayerParameters {
  std::int64_t query_width = 0, key_width = 0, heads = 1, widening = 1;
  std::int64_t qk_channels = 0, v_channels = 0, output_width = 0;
  bool cross = false, residual = true;
};

// Attention of queries to inputs, or to each other, and a feed-forward.
struct Layer {
  std::string path;
  LayerParameters p;
  nn::LayerNorm query_norm;
  std::optional<nn::LayerNorm> key_norm;
  nn::Linear query, key, value, output;
  nn::LayerNorm mlp_norm;
  nn::Mlp mlp;

  Layer(const Scope& s, const LayerParameters& with, const std::string& activation)
      : path(s.path()),
        p(with),
        query_norm(s / "attention.self.layernorm1", p.query_width, kEps),
        query(s / "attention.self.query", p.query_width, p.qk_channels),
        key(s / "attention.self.key", p.key_width, p.qk_channels),
        value(s / "attention.self.value", p.key_width, p.v_channels),
        output(s / "attention.output.dense", p.v_channels, p.output_width),
        mlp_norm(s / "layernorm", p.query_width, kEps),
        mlp((s / "mlp").path(), nn::Linear(s / "mlp.dense1", p.query_width, p.widening * p.query_width),
            nn::Linear(s / "mlp.dense2", p.widening * p.query_width, p.query_width), activation) {
    if (p.cross) key_norm.emplace(s / "attention.self.layernorm2", p.key_width, kEps);
  }

  Value operator()(Value x, Value inputs = {}, const op::AttentionMask& mask = {}) const {
    const ModulePath at(x, path);
    const Value normed = query_norm(x);
    const Value seen = inputs ? (*key_norm)(inputs) : normed;
    const Value queries = query(normed);
    const Value keys = key(seen);
    const op::AttentionOperands operands = {
        .query = queries, .key = keys, .value = value(seen), .mask = mask};
    Value attended = output(op::attention(operands, p.heads, p.heads).output);
    if (p.residual) attended = op::add(attended, x);
    return op::add(mlp(mlp_norm(attended)), attended);
  }
};

LayerParameters cross_parameters(const Config& c, std::int64_t query_width, std::int64_t key_width) {
  LayerParameters p{
      .query_width = query_width, .key_width = key_width, .output_width = query_width, .cross = true};
  p.qk_channels = c.qk_of_queries ? query_width : key_width;
  p.v_channels = p.qk_channels;
  return p;
}

// x [1, rows, width] for each text or image of a batch.
Value for_each(Value x, const Dim& batch) { return op::expand(x, {batch, x.dim(1), x.dim(2)}); }

// inputs [B, T, width] -> latents [B, latents, latent_width]
Value encode(const Scope& s, const Config& c, Value inputs, const op::AttentionMask& mask) {
  const std::int64_t width = c.latent_width;
  LayerParameters cross = cross_parameters(c, width, inputs.dim(2).constant().value());
  if (c.qk_channels) cross.qk_channels = *c.qk_channels;
  cross.v_channels = c.v_channels.value_or(cross.qk_channels);
  cross.heads = c.cross_heads;
  cross.widening = c.cross_widening;
  cross.residual = c.query_residual;
  LayerParameters own{
      .query_width = width, .key_width = width, .heads = c.self_heads, .widening = c.self_widening};
  own.qk_channels = c.qk_channels.value_or(width);
  own.v_channels = c.v_channels.value_or(own.qk_channels);
  own.output_width = own.v_channels;
  const Layer read(s / "encoder.cross_attention", cross, c.activation);
  std::vector<Layer> layers;
  for (std::int64_t i = 0; i < c.layers; ++i)
    layers.emplace_back(s / "encoder" / "self_attends" / i, own, c.activation);
  const Weight stored =
      (s / "embeddings").weight("latents", {c.latents, width}).reshape({1, c.latents, width});
  Value x = read(for_each(inputs.graph().weight(stored), inputs.dim(0)), inputs, mask);
  for (std::int64_t block = 0; block < c.blocks; ++block) {
    for (const Layer& layer : layers) x = layer(x);
  }
  return x;
}

// Queries that are learned, one for each of `rows` positions: [B, rows, width].
Value learned_queries(const Scope& decoder, std::int64_t rows, std::int64_t width, Value latents) {
  const Scope s = decoder / "output_position_encodings";
  const Weight stored = s.weight("position_embeddings", {rows, width}).reshape({1, rows, width});
  return for_each(latents.graph().weight(stored), latents.dim(0));
}

Value classify(const Scope& base, const Config& c, Value latents) {
  const Scope s = base / "decoder.decoder";
  const Layer read(s / "decoding_cross_attention", cross_parameters(c, c.latent_width, c.latent_width),
                   c.activation);
  const nn::Linear final_layer(s / "final_layer", c.latent_width, c.num_labels);
  return op::select(final_layer(read(learned_queries(s, 1, c.latent_width, latents), latents)), 1, 0);
}

Value predict_words(const Scope& root, const Config& c, Value latents, const Weight& words) {
  const Scope s = root / "perceiver.decoder";
  LayerParameters p = cross_parameters(c, c.width, c.latent_width);
  p.heads = 8;
  p.qk_channels = 8 * 32;
  p.v_channels = c.width;
  p.residual = false;
  const Layer read(s / "decoding_cross_attention", p, c.activation);
  const Value hidden = read(learned_queries(s, c.max_positions, c.width, latents), latents);
  const Scope head = root / "embedding_decoder";
  return nn::Linear(head.path(), words, head.weight("bias", {c.vocab_size}))(hidden);
}

// `bands` frequencies from 1 to half of the resolution, for rows and columns: sines, then cosines, behind the
// places themselves, from -1 to 1. [1, rows * columns, 2 + 4 * bands]
Value fourier_positions(Graph& graph, const Dim& rows, const Dim& columns, double resolution) {
  const ModulePath at(graph, "position_embeddings");
  const auto places = [&](const Dim& count) {
    const Value last = op::sub(op::size(graph, count), 1.0);
    const Value steps = op::sub(op::mul(op::arange(graph, count), 2.0), last);
    const Value most = op::cast(last, DType::f32);
    return op::div(op::cast(steps, DType::f32), most);
  };
  const auto spread = [&](Value x, std::int64_t axis) {
    return op::reshape(op::expand(op::unsqueeze(x, axis), {rows, columns}), {rows * columns, 1});
  };
  const Value down = spread(places(rows), 1);
  const Value across = spread(places(columns), 0);
  std::vector<double> bands;
  for (std::int64_t i = 0; i < kBands; ++i)
    bands.push_back(1 + (resolution / 2 - 1) * static_cast<double>(i) / static_cast<double>(kBands - 1));
  const Value frequencies = graph.weight_as_is(Weight::from_doubles(DType::f32, {1, kBands}, bands));
  const Value waves_down = op::mul(down, frequencies);
  const Value waves = op::concat({waves_down, op::mul(across, frequencies)}, 1);
  const Value angles = op::mul(waves, std::numbers::pi);
  const Value sines = op::sin(angles);
  return op::unsqueeze(op::concat({down, across, sines, op::cos(angles)}, 1), 0);
}

// Features of the pixels beside their positions: [B, pixels, width].
Value read_image(const Scope& s, const Config& c, Value image) {
  Graph& graph = image.graph();
  const std::int64_t channels = image.dim(1).constant().value();
  if (const Scope learned = s / "convnet_1x1"; learned.exists()) {
    const Value features = nn::image_to_tokens(nn::Conv2d(learned, channels, kImageWidth, {1, 1})(image));
    const std::int64_t pixels = c.image_size * c.image_size;
    const Weight table = (s / "position_embeddings").weight("position_embeddings", {pixels, kImageWidth});
    const nn::Linear project(s / "positions_projection", kImageWidth, kImageWidth);
    const Value positions = project(graph.weight(table.reshape({1, pixels, kImageWidth})));
    return op::concat({features, for_each(positions, image.dim(0))}, 2);
  }
  double resolution = 224;
  if (const Scope convnet = s / "convnet"; convnet.exists()) {
    const nn::Conv2d conv(convnet / "conv", channels, kConvWidth, {7, 7}, false,
                          {.stride = {2, 2}, .padding = {3, 3}});
    const nn::BatchNorm2d norm(convnet / "batchnorm", kConvWidth);
    image = op::max_pool2d(op::relu(norm(conv(image))), {3, 3}, {.stride = {2, 2}});
    resolution = 56;
  }
  const Value positions = fourier_positions(graph, image.dim(2), image.dim(3), resolution);
  const Value repeated = for_each(op::cast(positions, image.dtype()), image.dim(0));
  return op::concat({nn::image_to_tokens(image), repeated}, 2);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root / "perceiver";
  const Scope input = base / "input_preprocessor";
  if (component.task == "image-classification")
    return {{"logits", classify(base, c, encode(base, c, read_image(input, c, inputs["pixel_values"]), {}))}};
  const nn::Embedding words(input / "embeddings", c.vocab_size, c.width);
  const nn::Embedding positions(input / "position_embeddings", c.max_positions, c.width);
  const Value ids = inputs["input_ids"];
  const Value embedded = op::add(words(ids), positions.first(ids.graph(), ids.dim(1)));
  const Value latents = encode(base, c, embedded, nn::padding_mask(inputs.get("attention_mask")));
  if (component.task == "text-classification") return {{"logits", classify(base, c, latents)}};
  return {{"logits", predict_words(root, c, latents, words.weight())}};
}

}  // namespace

void register_perceiver(TasksManager& tasks) {
  tasks.register_model<PerceiverOnnxConfig>(
      {.model_type = "perceiver",
       .tasks = {"fill-mask", "text-classification", "image-classification"},
       .forward = forward,
       .ignorable_keys = {"*num_batches_tracked"}});
}

}  // namespace onnxport::models
