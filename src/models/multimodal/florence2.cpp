// Florence-2: DaViT's features of an image in front of the text that BART's encoder reads. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/florence2/modeling_florence2.py
#include <fmt/format.h>

#include "models/multimodal/common/davit.h"
#include "models/multimodal/common/multimodal_decoder.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/vision.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default: no knob

bool has_past(std::string_view task) { return task.ends_with("-with-past"); }

PretrainedConfig language_config(const PretrainedConfig& c) { return c.sub("text_config", "bart"); }
PretrainedConfig tower_config_of(const PretrainedConfig& c) {
  return c.sub("vision_config", "florence_vision");
}

// Vectors of tokens: [batch_size, encoder_sequence_length, width], or in the decoder
// decoder_sequence_length.
class DummyEmbedsGenerator : public DummyFloatInputGenerator {
 public:
  explicit DummyEmbedsGenerator(std::int64_t width) : width_(width) {}
  bool supports_input(std::string_view name) const override { return name == "inputs_embeds"; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const AxisSpec* const axis = context.axis(name, 1);
    const bool decodes = axis == nullptr || axis->length == Dim::symbol("decoder_sequence_length");
    const std::int64_t own = shapes.decoder_sequence_length;
    const std::int64_t length = decodes && own > 0 ? own : shapes.sequence_length;
    return {context.float_dtype, {shapes.batch_size, length, width_}};
  }

 private:
  std::int64_t width_;
};

// A client puts the features of the image in front of the vectors of the text, and both go through the
// encoder. The decoder takes vectors, too.
class Florence2OnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  using OnnxSeq2SeqConfigWithPast::OnnxSeq2SeqConfigWithPast;
  std::string part() const override {
    if (behavior() != ConfigBehavior::monolith) return OnnxSeq2SeqConfigWithPast::part();
    return options().part.empty() ? kVisionEncoder : options().part;
  }
  void describe(ExportPlan& plan, const PlanRequest& request) const override;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  std::vector<StateSpec> states() const override {
    return behavior() == ConfigBehavior::decoder ? OnnxSeq2SeqConfigWithPast::states()
                                                 : std::vector<StateSpec>();
  }
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    if (part() == kVisionEncoder)
      return NormalizedVisionConfig(tower_config_of(c)).with_args({{"num_channels", "in_channels"}});
    return NormalizedSeq2SeqConfig(language_config(c));
  }
  DummyInputGenerators dummy_input_generators() const override {
    if (part() == kVisionEncoder) return {std::make_shared<const DummyVisionInputGenerator>()};
    return {std::make_shared<const DummyEmbedsGenerator>(normalized_config()["hidden_size"]),
            std::make_shared<const DummySeq2SeqInputGenerator>(encoder_width()),
            std::make_shared<const DummyTextInputGenerator>()};
  }
};

void Florence2OnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  const auto add = [&](const char* name, const OnnxConfig& described) {
    plan.components.push_back(described.component(name, request.shapes, request.dynamic_axes));
  };
  for (const char* part : {kVisionEncoder, kEmbedTokens}) {
    OnnxConfigOptions of_part = options();
    of_part.part = part;
    add(part, *options().make(config(), task(), of_part));
  }
  const bool past = has_past(task());
  add("encoder_model", *with_behavior(ConfigBehavior::encoder));
  add("decoder_model", *with_behavior(ConfigBehavior::decoder, past));
  if (!past) return;
  add("decoder_with_past_model", *with_behavior(ConfigBehavior::decoder, true, true));
  if (request.split != Split::merged) return;
  plan.merges.push_back({.name = kDecoder,
                         .stem = kDecoder,
                         .without_past = "decoder_model",
                         .with_past = "decoder_with_past_model"});
}

AxesByName Florence2OnnxConfig::inputs() const {
  const Axes encoded = {{0, "batch_size"}, {1, "encoder_sequence_length"}};
  if (part() == kVisionEncoder) return {{"pixel_values", {{0, "batch_size"}, {2, "height"}, {3, "width"}}}};
  if (part() == kEmbedTokens) return {{"input_ids", {{0, "batch_size"}, {1, "sequence_length"}}}};
  if (behavior() == ConfigBehavior::encoder) return {{"inputs_embeds", encoded}, {"attention_mask", encoded}};
  AxesByName names = decoder_inputs();
  for (auto& [name, axes] : names)
    if (name == "input_ids") name = "inputs_embeds";
  return names;
}

AxesByName Florence2OnnxConfig::outputs() const {
  if (part() == kVisionEncoder) return {{"image_features", {{0, "batch_size"}, {1, "num_image_tokens"}}}};
  if (part() == kEmbedTokens) return {{"inputs_embeds", {{0, "batch_size"}, {1, "sequence_length"}}}};
  if (behavior() == ConfigBehavior::encoder) return OnnxSeq2SeqConfigWithPast::outputs();
  AxesByName names = {{"logits", {{0, "batch_size"}, {1, "decoder_sequence_length"}}}};
  if (use_past()) add_past_key_values(names, Direction::outputs);
  return names;
}

// Learned vectors of the column, then of the row of each token: [rows * columns, width]. A larger image fails
// when it runs.
Value placed(const Scope& s, Graph& graph, const Dim& rows, const Dim& columns, std::int64_t places,
             std::int64_t width) {
  const ModulePath at(graph, s.path());
  const std::int64_t half = width / 2;
  const nn::Embedding of_row(s / "row_embeddings", places, half),
      of_column(s / "column_embeddings", places, width - half);
  const Value across = op::unsqueeze(of_column.first(graph, columns), 0);
  const Value down = op::unsqueeze(of_row.first(graph, rows), 1);
  const Value repeated = op::expand(across, {rows, columns, width - half});
  const Value both = op::concat({repeated, op::expand(down, {rows, columns, half})}, 2);
  return op::reshape(both, {rows * columns, width});
}

// The mean of all tokens, then the tokens: [B, 1 + tokens, projection_dim].
Value encode_image(const Model& model, Value images) {
  const PretrainedConfig vision = tower_config_of(model.config());
  const DaVitConfig c(vision);
  const Value features = encode_davit(model.scope() / "vision_tower", c, images);
  const Scope s = model.scope() / "multi_modal_projector";
  Graph& graph = images.graph();
  const ModulePath at(graph, s.path());
  const std::int64_t width = c.stages.back().width, out = vision.integer("projection_dim");
  const Value positions = placed(s / "image_position_embed", graph, features.dim(2), features.dim(3),
                                 vision.integer("max_position_embeddings"), width);
  const Value tokens = op::add(nn::image_to_tokens(features), positions);
  // An image is the first moment of a film.
  const Weight moments = (s / "visual_temporal_embed")
                             .weight("pos_idx_to_embed", {vision.integer("max_temporal_embeddings"), width});
  const Value moved = op::add(tokens, graph.weight(moments.slice(0, 0, 1)));
  const Value all = op::concat({op::mean(moved, 1, true), moved}, 1);
  const nn::Linear project(s / "image_projection", width, out, false);
  return nn::LayerNorm(s / "image_proj_norm", out, kEps)(project(all));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  // Each file reads only the keys of its part; the language model has flags of its own.
  c.harmless({"text_config", "vision_config", "image_token_id", "is_encoder_decoder", "tie_word_embeddings",
              "pad_token_id"});
  if (component.part == kVisionEncoder)
    return {{"image_features", encode_image(model, inputs["pixel_values"])}};
  const PretrainedConfig text = language_config(c);
  if (text.model_type() != "bart") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: the language model of florence2 is of type '{}', expected bart",
                                  c.origin(), text.model_type()));
  }
  const auto type = tasks.get_definition("bart");
  Component language = component;
  language.task = has_past(component.task) ? "text2text-generation-with-past" : "text2text-generation";
  return type->forward(inputs, model.part(text, "language_model", type, language.task), language);
}

}  // namespace

void register_florence2(TasksManager& tasks) {
  KeyNames names = multimodal_key_names();
  names.embeddings = {"language_model.model.shared.weight"};
  tasks.register_model<Florence2OnnxConfig>(
      {.model_type = "florence2",
       .tasks = {"image-text-to-text", "image-text-to-text-with-past"},
       .forward = bound(tasks, forward),
       .key_names = names});
}

}  // namespace onnxport::models
