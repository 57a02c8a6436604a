#include "models/multimodal/common/decoders/multimodal_seq2seq.h"

#include <fmt/format.h>

#include "models/common/parts.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// The task of the language model in a task of the whole model.
std::string language_task(std::string_view task) {
  return has_past(task) ? "text2text-generation-with-past" : "text2text-generation";
}

// Vectors of tokens: [batch_size, sequence_length, width], or as many as the decoder reads.
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

}  // namespace

bool is_seq2seq_type(std::string_view model_type) { return model_type == "bart" || model_type == "t5"; }

std::string MultimodalSeq2SeqOnnxConfig::part() const {
  if (behavior() != ConfigBehavior::monolith) return OnnxSeq2SeqConfigWithPast::part();
  return options().part.empty() ? kVisionEncoder : options().part;
}

void MultimodalSeq2SeqOnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  const auto add = [&](const char* name, const OnnxConfig& described) {
    plan.components.push_back(described.component(name, request.shapes, request.dynamic_axes));
  };
  describe_parts(*this, {kVisionEncoder, kEmbedTokens}, plan, request);
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

std::shared_ptr<const OnnxConfig> MultimodalSeq2SeqOnnxConfig::language() const {
  const PretrainedConfig c = text_config();
  OnnxConfigOptions of_language = options();
  of_language.part.clear();
  const auto type = TasksManager::instance().get_definition(c.model_type());
  return type->onnx_config(c, language_task(task()), of_language);
}

AxesByName MultimodalSeq2SeqOnnxConfig::inputs() const {
  if (encodes()) return images()->inputs();
  if (part() == kEmbedTokens) return {{"input_ids", {{0, "batch_size"}, {1, "sequence_length"}}}};
  AxesByName names = language()->inputs();
  for (auto& [name, axes] : names)
    if (name == "input_ids") name = "inputs_embeds";
  return names;
}

AxesByName MultimodalSeq2SeqOnnxConfig::outputs() const {
  if (encodes()) return images()->outputs();
  if (part() == kEmbedTokens) return {{"inputs_embeds", {{0, "batch_size"}, {1, "sequence_length"}}}};
  return language()->outputs();
}

std::vector<StateSpec> MultimodalSeq2SeqOnnxConfig::states() const {
  return behavior() == ConfigBehavior::decoder ? language()->states() : std::vector<StateSpec>();
}

NormalizedConfig MultimodalSeq2SeqOnnxConfig::normalized_config() const {
  return encodes() ? images()->normalized_config() : language()->normalized_config();
}

DummyInputGenerators MultimodalSeq2SeqOnnxConfig::dummy_input_generators() const {
  if (encodes()) return images()->dummy_input_generators();
  DummyInputGenerators generators = language()->dummy_input_generators();
  generators.insert(generators.begin(),
                    std::make_shared<const DummyEmbedsGenerator>(normalized_config()["hidden_size"]));
  return generators;
}

NamedValues forward_multimodal_seq2seq(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                       const Component& component, const PretrainedConfig& text) {
  if (!is_seq2seq_type(text.model_type())) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: the language model is of type '{}', expected bart or t5",
                                  model.config().origin(), text.model_type()));
  }
  const auto type = tasks.get_definition(text.model_type());
  Component language = component;
  language.task = language_task(component.task);
  return type->forward(inputs, model.part(text, "language_model", type, language.task), language);
}

}  // namespace onnxport::models
