// LayoutLMv3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/layoutlmv3/modeling_layoutlmv3.py
// Text with the places of its tokens, followed by patches of the page's image.
#include <cmath>
#include <memory>

#include "models/common/definition.h"
#include "models/text_encoders/common/layout.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/nn/vision.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kPage = 1000;  // coordinates on a page are 0 to this

// How distances choose a row of a table.
struct Buckets {
  std::int64_t count, max_distance;
};

struct Config : TextEncoderConfig {
  std::int64_t pad_token_id, max_2d_positions, coordinate_size, shape_size, channels, patch, grid;
  bool relative, spatial;
  Buckets order, places;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        pad_token_id(c.integer("pad_token_id")),
        max_2d_positions(c.integer("max_2d_position_embeddings")),
        coordinate_size(c.integer("coordinate_size")),
        shape_size(c.integer("shape_size")),
        channels(c.integer("num_channels")),
        patch(c.integer("patch_size")),
        grid(0),
        relative(c.flag("has_relative_attention_bias")),
        spatial(c.flag("has_spatial_attention_bias")),
        order{c.integer("rel_pos_bins"), c.integer("max_rel_pos")},
        places{c.integer("rel_2d_pos_bins"), c.integer("max_rel_2d_pos")} {
    const std::int64_t image = c.integer("input_size");
    check_multiple(c, "input_size", image, "patch_size", patch);
    grid = image / patch;
    constexpr std::int64_t kMostPatches = 4096;  // in a row; the boxes of patches are constants
    if (grid > kMostPatches) refuse(c, fmt::format("input_size {} has too many patches of {}", image, patch));
    if (!c.flag("text_embed") || !c.flag("visual_embed"))
      throw ExportError(
          ErrorCode::unsupported,
          fmt::format("{}: text_embed or visual_embed is false, only true is known", c.origin()));
    if (4 * coordinate_size + 2 * shape_size != hidden_size)
      refuse(c, fmt::format("4 times coordinate_size {} and 2 times shape_size {} are not hidden_size {}",
                            coordinate_size, shape_size, hidden_size));
    for (const Buckets& b : {order, places}) {
      constexpr std::int64_t kMost = 1 << 20;
      if (b.count < 4 || b.count % 2 != 0 || b.max_distance <= b.count / 4 || b.max_distance > kMost)
        refuse(c, fmt::format("{} bins for distances up to {}, expected an even number of bins from 4, and "
                              "more than a quarter as many distances, up to {}",
                              b.count, b.max_distance, kMost));
    }
  }
  nn::TextEmbeddingsParameters bare_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.norm = false;
    p.add_positions = true;
    return p;
  }
  std::int64_t visual_tokens() const { return grid * grid + 1; }
};

class LayoutLMv3OnnxConfig : public BoxedTextOnnxConfig {
 public:
  using BoxedTextOnnxConfig::BoxedTextOnnxConfig;
  AxesByName inputs() const override {
    AxesByName inputs = text_inputs({"input_ids", "attention_mask", "bbox"});
    inputs.emplace_back("pixel_values", Axes{{0, "batch_size"}});
    return inputs;
  }
  // Where patches follow the tokens, the list has the name of the length of the text for the whole.
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    Dim length = OnnxConfig::axis_length(tensor, symbol);
    const bool whole = tensor == "last_hidden_state" || tensor == "start_logits" || tensor == "end_logits";
    if (!whole || symbol != "sequence_length") return length;
    return length + Config(config().unaccounted()).visual_tokens();
  }
  NormalizedConfig normalized_config() const override {
    return BoxedTextOnnxConfig::normalized_config().with_args(
        {{"image_size", "input_size"}, {"num_channels", "num_channels"}});
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = BoxedTextOnnxConfig::dummy_input_generators();
    generators.push_back(std::make_shared<const DummyVisionInputGenerator>());
    return generators;
  }
};

// A learned bias for each bucket of differences between the places of two tokens. Key: weight [heads,
// buckets].
struct DistanceBias {
  std::int64_t farthest;
  Weight table;  // [2 * farthest + 1, heads], a row for each difference

  DistanceBias(const Scope& s, const Buckets& b, std::int64_t heads) {
    const std::int64_t per_side = b.count / 2;
    const std::vector<std::int64_t> steps = nn::relative_bucket_thresholds(per_side, b.max_distance);
    farthest = steps.back();
    std::vector<std::int64_t> rows;
    for (std::int64_t d = -farthest; d <= farthest; ++d) {
      std::int64_t bucket = d > 0 ? per_side : 0;
      for (const std::int64_t step : steps) bucket += std::abs(d) >= step ? 1 : 0;
      rows.push_back(bucket);
    }
    const Weight stored = s.weight("weight", {heads, b.count}).permute({1, 0});
    table = stored.take(Weight::from_ints({2 * farthest + 1}, rows));
  }
  // places int [N, T] -> [N, heads, T, T]
  Value operator()(Value places) const {
    const Value from = op::unsqueeze(places, 2);
    const Value difference = op::sub(op::unsqueeze(places, 1), from);
    const auto far = static_cast<double>(farthest);
    const Value within = op::minimum(op::maximum(op::add(difference, far), 0.0), 2 * far);
    return op::permute(op::embedding(places.graph().weight(table), within), {0, 3, 1, 2});
  }
};

// Left and lower edges of the patches on the page, the class token first: int64 [1, visual tokens].
struct PatchEdges {
  std::vector<std::int64_t> left = {1}, lower = {kPage - 1};

  explicit PatchEdges(std::int64_t grid) {
    for (std::int64_t row = 0; row < grid; ++row) {
      for (std::int64_t column = 0; column < grid; ++column) {
        left.push_back(column * kPage / grid);
        lower.push_back((row + 1) * kPage / grid);
      }
    }
  }
};

struct LayoutLMv3 {
  Config config;
  nn::TextEmbeddings embeddings;
  BoxEmbeddings boxes;
  nn::LayerNorm embeddings_norm, visual_norm, norm;
  nn::Conv2d patch_embed;
  Weight cls_token, pos_embed;
  std::optional<DistanceBias> order_bias, x_bias, y_bias;
  nn::PostNormEncoder encoder;

  LayoutLMv3(const Scope& s, const Config& c)
      : config(c),
        embeddings(s / "embeddings", c.bare_embeddings()),
        boxes(s / "embeddings", {.rows = c.max_2d_positions,
                                 .coordinate_width = c.coordinate_size,
                                 .size_width = c.shape_size,
                                 .largest_size = 1023}),
        embeddings_norm(s / "embeddings" / "LayerNorm", c.hidden_size, c.layer_norm_eps),
        visual_norm(s / "norm", c.hidden_size, 1e-6),
        norm(s / "LayerNorm", c.hidden_size, c.layer_norm_eps),
        patch_embed(s / "patch_embed" / "proj", c.channels, c.hidden_size, {c.patch, c.patch}, true,
                    {.stride = {c.patch, c.patch}}),
        cls_token(s.weight("cls_token", {1, 1, c.hidden_size})),
        pos_embed(s.weight("pos_embed", {1, c.visual_tokens(), c.hidden_size})),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {
    const Scope biases = s / "encoder";
    const std::int64_t heads = c.num_attention_heads;
    if (c.relative) order_bias.emplace(biases / "rel_pos_bias", c.order, heads);
    if (c.relative && c.spatial) {  // without the first, the original does not add the others
      x_bias.emplace(biases / "rel_pos_x_bias", c.places, heads);
      y_bias.emplace(biases / "rel_pos_y_bias", c.places, heads);
    }
    for (const char* unused : {"rel_pos_x_bias", "rel_pos_y_bias"}) biases.ignore(unused);
  }

  Value see(Value pixel_values) const {
    Graph& graph = pixel_values.graph();
    const Value patches = nn::image_to_tokens(patch_embed(pixel_values));
    const Value first = op::expand(graph.weight(cls_token), {patches.dim(0), 1, config.hidden_size});
    const Value tokens = op::concat({first, patches}, 1);
    return visual_norm(op::add(tokens, graph.weight(pos_embed)));
  }

  // [B or 1, heads, T, T]
  Value bias(Value bbox) const {
    Graph& graph = bbox.graph();
    const Value text = op::arange(graph, bbox.dim(1));
    const Value patches = op::arange(graph, config.visual_tokens());
    Value sum = (*order_bias)(op::unsqueeze(op::concat({text, patches}, 0), 0));
    if (x_bias) {
      const PatchEdges edges(config.grid);
      const auto places = [&](std::int64_t column, const std::vector<std::int64_t>& of_patches) {
        const Value fixed = graph.weight(Weight::from_ints({1, config.visual_tokens()}, of_patches));
        const Value repeated = op::expand(fixed, {bbox.dim(0), config.visual_tokens()});
        return op::concat({op::select(bbox, 2, column), repeated}, 1);
      };
      sum = op::add(sum, (*x_bias)(places(0, edges.left)));
      sum = op::add(sum, (*y_bias)(places(3, edges.lower)));
    }
    const std::int64_t head_dim = config.hidden_size / config.num_attention_heads;
    return op::mul(sum, 1 / std::sqrt(static_cast<double>(head_dim)));
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    const Value bbox = in["bbox"];
    const Value words = embeddings(ids, {}, nn::position_ids_from_input_ids(ids, config.pad_token_id));
    const Value text = embeddings_norm(op::add(words, op::concat(boxes(bbox), 2)));
    const Value embedded = norm(op::concat({text, see(in["pixel_values"])}, 1));
    const Value kept = op::ne(in["attention_mask"], 0.0);
    const Value one = op::eq(op::arange(ids.graph(), 1), 0.0);
    const Value patches = op::expand(op::unsqueeze(one, 0), {ids.dim(0), config.visual_tokens()});
    op::AttentionMask mask = nn::padding_mask(op::concat({kept, patches}, 1));
    if (order_bias) mask.bias = bias(bbox);
    return encoder(embedded, mask);
  }
};

// out_proj(tanh(dense(x))): [..., H] -> [..., labels]
Value classify(const Scope& s, Value x, const Config& c) {
  const nn::Linear dense(s / "dense", c.hidden_size, c.hidden_size);
  return nn::Linear(s / "out_proj", c.hidden_size, c.num_labels)(op::tanh(dense(x)));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const LayoutLMv3 layoutlmv3(root.base_model("layoutlmv3"), c);
  const Value hidden = layoutlmv3(inputs);
  const Scope classifier = root / "classifier";
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  if (component.task == "text-classification")
    return {{"logits", classify(classifier, nn::first_token(hidden), c)}};
  if (component.task == "token-classification") {
    const Value text = op::slice(hidden, 1, 0, inputs["input_ids"].dim(1));
    if (c.num_labels >= 10) return {{"logits", classify(classifier, text, c)}};
    return {{"logits", nn::Linear(classifier, c.hidden_size, c.num_labels)(text)}};
  }
  const Value logits = classify(root / "qa_outputs", hidden, c);
  const Value start = op::select(logits, 2, 0);
  return {{"start_logits", start}, {"end_logits", op::select(logits, 2, 1)}};
}

}  // namespace

void register_layoutlmv3(TasksManager& tasks) {
  tasks.register_model<LayoutLMv3OnnxConfig>(
      {.model_type = "layoutlmv3",
       .tasks = {"feature-extraction", "question-answering", "text-classification", "token-classification"},
       .forward = forward});
}

}  // namespace onnxport::models
