// ViLT: text and patches of an image as one sequence. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vilt/modeling_vilt.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/vision/common/detector.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr const char* kRetrieval = "image-text-retrieval";
constexpr const char* kQuestions = "visual-question-answering";

class ViltOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  AxesByName inputs() const override {
    const Axes text = {{0, "batch_size"}, {1, "sequence_length"}};
    return {{"input_ids", text},
            {"attention_mask", text},
            {"token_type_ids", text},
            {"pixel_values", {{0, "batch_size"}, {2, "height"}, {3, "width"}}},
            {"pixel_mask", {{0, "batch_size"}, {1, "height"}, {2, "width"}}}};
  }
  AxesByName outputs() const override { return {{"logits", {{0, "batch_size"}}}}; }
  NormalizedConfig normalized_config() const override { return NormalizedTextConfig(config()); }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = TextAndVisionOnnxConfig::dummy_input_generators();
    generators.insert(generators.begin(), std::make_shared<const DummyPixelMaskGenerator>());
    return generators;
  }
};

// How much of each row of a table of `from` rows is in each of `to` places, of which the first `count` [B]
// cover the table from its first row to its last one: float32 [B, to, from].
Value shares(Value count, const Dim& to, std::int64_t from) {
  Graph& graph = count.graph();
  const Value steps = op::cast(op::maximum(op::sub(count, 1.0), 1.0), DType::f32);
  const Value step = op::div(op::scalar(graph, static_cast<double>(from - 1), DType::f32), steps);
  const Value number = op::reshape(op::cast(op::arange(graph, to), DType::f32), {1, to, 1});
  const Value place = op::mul(op::reshape(step, {step.dim(0), 1, 1}), number);
  const Value row = op::reshape(op::cast(op::arange(graph, from), DType::f32), {1, 1, from});
  const Value distance = op::abs(op::sub(place, row));
  return op::maximum(op::sub(1.0, distance), 0.0);
}

// Positions of the patches of images whose real part has its own size: the table is stretched over it.
// `real`: bool [B, rows, columns] -> [B, rows * columns, H]. Patches beyond it are hidden, whatever their
// position.
Value stretched_positions(const Weight& table, std::int64_t side, Value real) {
  Graph& graph = real.graph();
  const Dim& batch = real.dim(0);
  const Dim& rows = real.dim(1);
  const Dim& columns = real.dim(2);
  const std::int64_t width = table.shape().back();
  const Value counts = op::cast(real, DType::i64);
  const Value down = shares(op::select(op::sum(counts, 1), 1, 0), rows, side);
  const Value across = shares(op::select(op::sum(counts, 2), 1, 0), columns, side);
  const Value by_row = graph.weight_as_is(table.cast(DType::f32).reshape({side, side * width}));
  const Value vertical = op::reshape(op::matmul(down, by_row), {batch, rows, side, width});
  const Value both = op::matmul(op::unsqueeze(across, 1), vertical);  // [B, rows, columns, H]
  return op::cast(op::reshape(both, {batch, rows * columns, width}), graph.float_dtype());
}

struct Sequence {
  Value states;  ///< [B, L, H]
  Value real;    ///< bool [B, L]
};

// The original draws patches, in any order, so that an image has at most max_image_length of them. Without a
// limit, all real patches take part, and their order does not matter.
Sequence embed_image(const Scope& s, const PretrainedConfig& config, const Inputs& inputs) {
  const ViTConfig c(config);
  if (const std::int64_t most = config.integer("max_image_length"); most >= 0) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: max_image_length is {}, with which the original leaves out patches at "
                                  "random, expected -1",
                                  config.origin(), most));
  }
  if (c.grid.height != c.grid.width) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} by {} patches, expected a square",
                                                         config.origin(), c.grid.height, c.grid.width));
  }
  const std::int64_t width = c.hidden_size, count = 1 + c.grid.height * c.grid.width;
  const nn::Conv2d projection(s / "patch_embeddings.projection", c.num_channels, width, c.patch, true,
                              {.stride = {c.patch.height, c.patch.width}});
  const Value image = projection(inputs["pixel_values"]);
  const ModulePath at(image, s.path());
  Graph& graph = image.graph();
  const Value real = mask_at(inputs["pixel_mask"], image);
  const Weight table = s.weight("position_embeddings", {1, count, width});
  const Value positions = stretched_positions(table.slice(1, 1, count), c.grid.height, real);
  const Value patches = op::add(nn::image_to_tokens(image), positions);
  const Weight token = s.weight("cls_token", {1, 1, width}).add(table.slice(1, 0, 1));
  const Value first = op::expand(graph.weight(token), {image.dim(0), 1, width});
  const Value yes = op::eq(op::reshape(op::scalar(graph, 1, DType::i64), {1, 1}), 1.0);
  const Value first_real = op::expand(yes, {image.dim(0), 1});
  const Value states = op::concat({first, patches}, 1);
  return {states, op::concat({first_real, op::flatten(real, 1, 2)}, 1)};
}

// Text, then the image -> the states of all.
Value encode(const Scope& s, const PretrainedConfig& config, const Inputs& inputs) {
  config.harmless({"num_images", "tie_word_embeddings"});  // of other heads
  const Scope e = s / "embeddings";
  const nn::TextEmbeddings words(e / "text_embeddings", TextEncoderConfig(config).embeddings());
  const Value text = words(inputs["input_ids"], inputs["token_type_ids"]);
  const Sequence image = embed_image(e, config, inputs);
  const ViTEncoderConfig c(config);
  const Weight kinds = (e / "token_type_embeddings")
                           .weight("weight", {config.integer("modality_type_vocab_size"), c.hidden_size});
  Value x, real;
  {
    const ModulePath at(text, e.path());
    Graph& graph = text.graph();
    const Value of_text = op::add(text, graph.weight(kinds.slice(0, 0, 1)));
    const Value of_image = op::add(image.states, graph.weight(kinds.slice(0, 1, 2)));
    x = op::concat({of_text, of_image}, 1);
    real = op::concat({op::ne(inputs["attention_mask"], 0.0), image.real}, 1);
  }
  const nn::PreNormEncoder encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer());
  return nn::LayerNorm(s / "layernorm", c.hidden_size, c.layer_norm_eps)(encoder(x, nn::padding_mask(real)));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Scope root = model.scope(), base = root.base_model("vilt");
  const std::int64_t width = config.integer("hidden_size");
  const Value hidden = encode(base, config, inputs);
  const Value pooled = nn::Pooler(base / "pooler" / "dense", width)(hidden);
  if (component.task == kRetrieval) return {{"logits", nn::Linear(root / "rank_output", width, 1)(pooled)}};
  const Scope s = root / "classifier";
  const Value wide = nn::Linear(s / 0, width, 2 * width)(pooled);
  const Value normed = nn::LayerNorm(s / 1, 2 * width, 1e-5)(wide);
  return {{"logits", nn::Linear(s / 3, 2 * width, config.num_labels())(op::gelu(normed))}};
}

}  // namespace

void register_vilt(TasksManager& tasks) {
  tasks.register_model<ViltOnnxConfig>(
      {.model_type = "vilt",
       .tasks = {kRetrieval, kQuestions},
       .forward = forward,
       .ignorable_keys = {"*embeddings.position_ids", "*embeddings.token_type_ids", "itm_score.*",
                          "mlm_score.*"}});
}

}  // namespace onnxport::models
