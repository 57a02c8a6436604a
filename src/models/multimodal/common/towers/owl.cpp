#include "models/multimodal/common/towers/owl.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <vector>

#include "models/multimodal/common/towers/clip_encoders.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

constexpr const char* kDetection = "zero-shot-object-detection";

// Texts for detection: as many for each image.
class DummyQueriesInputGenerator : public DummyTextInputGenerator {
 public:
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return DummyTextInputGenerator::type(name, context, filled(shapes));
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    return DummyTextInputGenerator::generate(name, context, filled(shapes), seed);
  }

 private:
  static DummyShapes filled(DummyShapes shapes) {
    const std::int64_t images = std::max<std::int64_t>(shapes.batch_size, 1);
    const std::int64_t wanted = shapes.text_batch_size > 0 ? shapes.text_batch_size : 2 * images;
    shapes.text_batch_size = (wanted + images - 1) / images * images;
    return shapes;
  }
};

class OwlOnnxConfig : public ClipOnnxConfig {
 public:
  using ClipOnnxConfig::ClipOnnxConfig;
  std::vector<std::string> variants() const override { return {"default"}; }
  AxesByName outputs() const override {
    if (!detects()) return ClipOnnxConfig::outputs();
    return {{"logits", {{0, "image_batch_size"}, {2, "num_queries"}}},
            {"pred_boxes", {{0, "image_batch_size"}}},
            {"text_embeds", {{0, "text_batch_size"}, {1, "max_text_queries"}}},
            {"image_embeds", {{0, "image_batch_size"}}}};
  }
  // All texts for the first image come first, then those for the second one, and so on.
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override {
    if (!detects()) return ClipOnnxConfig::axis_length(tensor, symbol);
    if (symbol == "max_text_queries") return Dim::symbol("num_queries");
    if (symbol != "text_batch_size") return ClipOnnxConfig::axis_length(tensor, symbol);
    const Dim images = Dim::symbol("image_batch_size");
    return tensor == "text_embeds" ? images : images * Dim::symbol("num_queries");
  }
  DummyInputGenerators dummy_input_generators() const override {
    if (!detects()) return ClipOnnxConfig::dummy_input_generators();
    return {std::make_shared<const DummyVisionInputGenerator>(),
            std::make_shared<const DummyQueriesInputGenerator>()};
  }

 private:
  bool detects() const { return task() == kDetection; }
};

// What is added to the boxes of a square of patches, before the sigmoid: [patches, 4]. Without it, each box
// is a patch at its place.
Weight box_bias(std::int64_t side) {
  const auto logit = [](float x) { return std::log(x + 1e-4F) - std::log1p(-x + 1e-4F); };
  const auto part = [&](std::int64_t i) { return logit(static_cast<float>(i) / static_cast<float>(side)); };
  std::vector<double> values;
  for (std::int64_t row = 1; row <= side; ++row) {
    for (std::int64_t column = 1; column <= side; ++column)
      values.insert(values.end(), {part(column), part(row), part(1), part(1)});
  }
  return Weight::from_doubles(DType::f32, {side * side, 4}, values);
}

// Keys: dense0, dense1, dense2.
Value boxes(const Scope& s, Value features, std::int64_t side) {
  const ModulePath at(features, s.path());
  const std::int64_t width = *features.dim(2).constant();
  Value x = op::gelu(nn::Linear(s / "dense0", width, width)(features));
  x = op::gelu(nn::Linear(s / "dense1", width, width)(x));
  x = nn::Linear(s / "dense2", width, 4)(x);
  return op::sigmoid(op::add(x, x.graph().weight(box_bias(side))));
}

// Vectors of length 1.
Value unit(Value x) {
  const Value length = op::sqrt(op::sum(op::mul(x, x), -1, true));
  return op::div(x, op::add(length, 1e-6));
}

// How well patches [B, P, W] fit queries [B, Q, D]: [B, P, Q]. Keys: dense0, logit_shift, logit_scale.
Value class_logits(const Scope& s, Value features, Value queries) {
  const ModulePath at(features, s.path());
  const std::int64_t width = *features.dim(2).constant(), out = *queries.dim(2).constant();
  const Value patches = unit(nn::Linear(s / "dense0", width, out)(features));
  const Value cosines = op::matmul(patches, op::transpose(unit(queries), 1, 2));
  const Value shifted = op::add(cosines, nn::Linear(s / "logit_shift", width, 1)(features));
  // elu(x) + 1
  const Value x = nn::Linear(s / "logit_scale", width, 1)(features);
  const Value below = op::exp(op::minimum(x, 0.0));
  return op::mul(shifted, op::add(op::relu(x), below));
}

// The number of texts for each image.
Dim queries_per_image(const Value& input_ids, const Dim& images) {
  if (const auto queries = input_ids.dim(0).exact_div(images)) return *queries;
  throw ExportError(ErrorCode::invalid_argument,
                    fmt::format("{} texts for {} images: expected the same number of texts for each image",
                                input_ids.dim(0).str(), images.str()));
}

// `base`: the model without the heads of `root`.
NamedValues detect(const TasksManager& tasks, const Inputs& inputs, const Model& base, const Scope& root) {
  const PretrainedConfig& config = base.config();
  const PretrainedConfig vision = tower_config(config, "vision_config");
  const ImageTowerConfig c(vision);
  const std::int64_t side = c.image_size / c.patch_size;
  const Value hidden = encode_tower(tasks, Role::vision_tower, "vision_config", vision, inputs, base).hidden;
  const Scope tower = base.scope() / "vision_model";
  const Value normed = nn::LayerNorm(tower / "post_layernorm", c.hidden_size, c.layer_norm_eps)(hidden);
  const Value of_class = op::slice(normed, 1, 0, 1);
  const Value of_patches = op::slice(normed, 1, 1, normed.dim(1));
  const nn::LayerNorm norm(root / "layer_norm", c.hidden_size, c.layer_norm_eps);
  const Value features = norm(op::mul(of_patches, of_class));

  const Value input_ids = inputs["input_ids"];
  const Dim& images = features.dim(0);
  const Dim queries = queries_per_image(input_ids, images);
  const Value texts = op::normalize(clip_text_embeds(tasks, inputs, base), 1);
  const std::int64_t width = *texts.dim(1).constant();
  const std::int64_t compared = tower_config(config, "text_config").integer("hidden_size");
  if (width != compared) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: projection_dim is {} and hidden_size of text_config {}, expected the same width",
                    config.origin(), width, compared));
  }
  const Value text_embeds = op::reshape(texts, {images, queries, width});
  Value logits = class_logits(root / "class_head", features, text_embeds);
  {
    // A text that begins with id 0 is none.
    const ModulePath at(logits, (root / "class_head").path());
    const Value first = op::reshape(op::select(input_ids, 1, 0), {images, 1, queries});
    logits = op::masked_fill(logits, op::logical_not(op::gt(first, 0.0)), lowest(logits.dtype()));
  }
  return {{"logits", logits},
          {"pred_boxes", boxes(root / "box_head", features, side)},
          {"text_embeds", text_embeds},
          {"image_embeds", op::reshape(features, {images, side, side, c.hidden_size})}};
}

}  // namespace

void register_owl(TasksManager& tasks, const std::string& type) {
  register_clip_text_tower(tasks, type, TextEnd::highest);
  register_clip_image_tower(tasks, type, {.first_norm = "pre_layernorm"});
  tasks.register_model<OwlOnnxConfig>(
      {.model_type = type,
       .tasks = {"feature-extraction", kDetection},
       .forward = [&tasks, type, whole = clip_forward(tasks)](const Inputs& inputs, const Model& model,
                                                              const Component& component) -> NamedValues {
         model.config().harmless({"return_dict", "logit_scale_init_value"});
         const Model base = inside_head(tasks, model, type);
         if (component.task != kDetection) return whole(inputs, base, component);
         return detect(tasks, inputs, base, model.scope());
       },
       // The last one scores patches for the boxes of images as queries.
       .ignorable_keys = {"*.embeddings.position_ids", "objectness_head.*"}});
}

}  // namespace onnxport::models
