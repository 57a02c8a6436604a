#include "models/multimodal/common/decoders/multimodal_decoder.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "models/common/parts.h"
#include "models/multimodal/common/features/placeholders.h"
#include "models/multimodal/common/patches/patch_grid.h"
#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

// The task of the language model in a task of the whole model.
std::string language_task(std::string_view task) {
  return has_past(task) ? "text-generation-with-past" : "text-generation";
}

// These models have an output layer of their own, which neither scales nor caps the logits.
PretrainedConfig with_plain_logits(PretrainedConfig text) {
  const PretrainedConfig reader = text.unaccounted();
  for (const char* key : {"logit_scale", "logits_scaling", "lm_head_multiplier"})
    if (reader.has(key)) text = text.settled(key, "1");
  if (reader.has("final_logit_softcapping")) text = text.settled("final_logit_softcapping", "null");
  return text;
}

// Version 5 obeys the flag of the whole where the file has no output layer.
bool tied_as_a_whole(const Model& model, const std::string& prefix) {
  const PretrainedConfig reader = model.config().unaccounted();
  return reader.transformers_major() >= 5 && reader.flag("tie_word_embeddings", false) &&
         !(model.scope() / prefix / "lm_head").has("weight");
}

// image_features -> num_image_tokens
std::string tokens_axis(std::string_view features) {
  return "num_" + std::string(features.substr(0, features.find('_'))) + "_tokens";
}

// Images have a batch of their own.
AxesByName per_image(AxesByName names) {
  for (auto& [name, axes] : names) {
    for (auto& [axis, symbol] : axes)
      if (symbol == "batch_size") symbol = "num_images";
  }
  return names;
}

// Features without an axis of images, where the interface has none.
NamedValues as_rows(NamedValues features, const Interface& interface) {
  for (auto& [name, value] : features) {
    const std::string tokens = tokens_axis(name);
    const bool rows = std::any_of(
        interface.outputs.begin(), interface.outputs.end(), [&, &of = name](const TensorSpec& output) {
          const auto first = output.axes.find(0);
          return output.name == of && first != output.axes.end() && first->second.name == tokens;
        });
    if (rows && value.shape().size() == 3) value = op::flatten(value, 0, 1);
  }
  return features;
}

}  // namespace

bool has_past(std::string_view task) { return task.ends_with("-with-past"); }

bool is_multimodal_task(std::string_view task) {
  if (has_past(task)) task.remove_suffix(std::string_view("-with-past").size());
  return task.ends_with("-text-to-text");
}

std::string MultimodalDecoderOnnxConfig::part() const {
  const std::string& part = options().part;
  if (part.empty()) return kDecoder;
  return of_rows() ? part.substr(0, part.size() - kOfRows.size()) : part;
}

void MultimodalDecoderOnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  std::vector<std::string> parts = encoders();
  const bool embeds_features = request.layout == "genai";
  parts.insert(parts.end(), {embeds_features ? kEmbedding : kEmbedTokens, kDecoder});
  if (embeds_features)
    for (std::string& part : parts) part += kOfRows;
  describe_parts(*this, parts, plan, request);
  for (Component& component : plan.components) component.name = component.stem = component.part;  // no suffix
}

PretrainedConfig MultimodalDecoderOnnxConfig::text_config() const {
  return config().unaccounted().sub("text_config");
}

PretrainedConfig MultimodalDecoderOnnxConfig::vision_config() const {
  return config().unaccounted().sub("vision_config");
}

std::shared_ptr<const OnnxConfig> MultimodalDecoderOnnxConfig::language() const {
  const PretrainedConfig c = text_config();
  const auto type = TasksManager::instance().get_part(c, "text_config", Role::language_model);
  OnnxConfigOptions of_language = options();
  of_language.part.clear();
  return type->onnx_config(c, language_task(task()), of_language);
}

std::shared_ptr<const OnnxConfig> MultimodalDecoderOnnxConfig::tower() const {
  const PretrainedConfig c = vision_config();
  const auto type = TasksManager::instance().get_part(c, "vision_config", Role::vision_tower);
  OnnxConfigOptions of_tower = options();
  of_tower.part.clear();
  return type->onnx_config(c, "feature-extraction", of_tower);
}

AxesByName MultimodalDecoderOnnxConfig::encoder_inputs() const { return per_image(tower()->inputs()); }

AxesByName MultimodalDecoderOnnxConfig::encoder_outputs() const {
  Axes features = {{0, "num_images"}};
  const AxesByName images = encoder_inputs();
  if (images.front().second.contains(2)) features.emplace(1, "num_image_tokens");
  return {{"image_features", features}};
}

DummyInputGenerators MultimodalDecoderOnnxConfig::encoder_dummies() const {
  return tower()->dummy_input_generators();
}

NormalizedConfig MultimodalDecoderOnnxConfig::encoder_normalized() const {
  return tower()->normalized_config();
}

AxesByName MultimodalDecoderOnnxConfig::inputs() const {
  if (encodes()) return encoder_inputs();
  const Axes tokens = {{0, "batch_size"}, {1, "sequence_length"}};
  if (part() == kEmbedTokens) return {{"input_ids", tokens}};
  if (part() == kEmbedding) {
    AxesByName names = {{"input_ids", tokens}};
    const AxesByName features = feature_inputs();
    names.insert(names.end(), features.begin(), features.end());
    return names;
  }
  AxesByName names = {{"inputs_embeds", tokens}};
  const AxesByName extras = token_extras();
  names.insert(names.end(), extras.begin(), extras.end());
  const auto positions = position_axes();
  for (auto& [name, axes] : language()->inputs()) {
    if (name == "input_ids" || name == "position_ids") continue;
    names.emplace_back(name, axes);
    if (name == "attention_mask" && positions) names.emplace_back("position_ids", *positions);
  }
  return names;
}

AxesByName MultimodalDecoderOnnxConfig::outputs() const {
  if (encodes()) {
    AxesByName features = encoder_outputs();
    if (of_rows())
      for (auto& [name, axes] : features) axes = {{0, tokens_axis(name)}};
    return features;
  }
  if (part() == kDecoder) return language()->outputs();
  AxesByName names = {{"inputs_embeds", {{0, "batch_size"}, {1, "sequence_length"}}}};
  const AxesByName extras = token_extras();
  names.insert(names.end(), extras.begin(), extras.end());
  return names;
}

std::vector<StateSpec> MultimodalDecoderOnnxConfig::states() const {
  return part() == kDecoder ? language()->states() : std::vector<StateSpec>();
}

NormalizedConfig MultimodalDecoderOnnxConfig::normalized_config() const {
  return encodes() ? encoder_normalized() : language()->normalized_config();
}

DummyInputGenerators MultimodalDecoderOnnxConfig::dummy_input_generators() const {
  if (encodes()) return encoder_dummies();
  DummyInputGenerators generators = language()->dummy_input_generators();
  if (part() != kEmbedding) return generators;
  const DummyInputGenerators features = feature_dummies();
  generators.insert(generators.begin(), features.begin(), features.end());
  return generators;
}

AxesByName MultimodalDecoderOnnxConfig::feature_inputs() const {
  AxesByName names;
  for (const std::string& encoder : encoders()) {
    OnnxConfigOptions of_part = options();
    of_part.part = encoder + std::string(of_rows() ? kOfRows : "");
    for (const auto& [name, axes] : options().make(config(), task(), of_part)->outputs())
      names.emplace_back(name, axes);
  }
  return names;
}

DummyInputGenerators MultimodalDecoderOnnxConfig::feature_dummies() const {
  const std::int64_t width = normalized_config()["hidden_size"];
  DummyInputGenerators generators;
  for (const auto& [name, axes] : feature_inputs())
    generators.push_back(std::make_shared<const DummyRowsGenerator>(name, width, axes.contains(1)));
  return generators;
}

ImageSizes MultimodalDecoderOnnxConfig::image_sizes() const {
  return part() == kVisionEncoder ? tower()->image_sizes() : ImageSizes();
}

void MultimodalDecoderOnnxConfig::apply(const InterfaceOptions& interface_options, AxesByName& inputs,
                                        AxesByName& outputs) const {
  if (part() == kDecoder) language()->apply(interface_options, inputs, outputs);
}

std::int64_t text_width(const PretrainedConfig& whole) {
  return whole.unaccounted().sub("text_config").integer("hidden_size");
}

void leave_other_keys(const PretrainedConfig& whole, std::string_view own) {
  const auto keys = nlohmann::json::parse(whole.text());
  for (const auto& [key, value] : keys.items())
    if (key != own) whole.harmless({key});
}

NamedValues forward_multimodal_decoder(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                       const Component& component, const FindTextConfig& find_text,
                                       const EncodeModality& encode, const std::string& prefix,
                                       LogitsOf logits) {
  // Each file reads only the keys of its part. The language model has a flag of its own.
  model.config().harmless({"text_config", "vision_config", "audio_config", "tie_word_embeddings",
                           "vocab_size", "_vocab_size", "pad_token_id", "ignore_index"});
  if (component.part != kEmbedTokens && component.part != kEmbedding && component.part != kDecoder)
    return as_rows(encode(inputs, component), component.interface);
  PretrainedConfig text = find_text(model.config());
  if (logits == LogitsOf::whole) text = with_plain_logits(text);
  if (tied_as_a_whole(model, prefix)) text = text.settled("tie_word_embeddings", "true");
  const auto type = tasks.get_part(text, "text_config", Role::language_model);
  Component language = component;
  language.task = language_task(component.task);
  language.part.clear();
  const Model part = model.part(text, prefix, type, language.task);
  NamedValues outputs = type->roles.language_model->decode(inputs, part, language);
  if (component.part == kEmbedding) write_all_features(model.config(), inputs, outputs);
  return outputs;
}

Forward image_text_forward(const TasksManager& tasks, EncodeImages encode,
                           std::initializer_list<std::string_view> of_clients) {
  return [&tasks, encode, keys = std::vector<std::string_view>(of_clients)](
             const Inputs& inputs, const Model& model, const Component& component) {
    const PretrainedConfig& c = model.config();
    for (const std::string_view key : keys) c.harmless({key});
    return forward_multimodal_decoder(
        tasks, inputs, model, component,
        [](const PretrainedConfig& whole) { return whole.sub("text_config"); },
        [&](const Inputs& in, const Component&) -> NamedValues {
          return {{"image_features", encode(tasks, in, model)}};
        });
  };
}

Forward bound(const TasksManager& tasks, ForwardWithTasks forward) {
  return [&tasks, forward](const Inputs& inputs, const Model& model, const Component& component) {
    return forward(tasks, inputs, model, component);
  };
}

EncoderStates encode_with_tower(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                const PretrainedConfig& vision_config, const char* key,
                                const std::string& prefix) {
  return encode_tower(tasks, Role::vision_tower, key, vision_config, inputs, model, prefix);
}

KeyNames multimodal_key_names(const std::vector<std::string>& others) {
  KeyNames names = tied("language_model.model.embed_tokens", "language_model.lm_head");
  names.newer = {{"language_model.model.", "language_model."},
                 {"language_model.lm_head", "lm_head"},
                 {"language_model.", "model.language_model."},
                 {"vision_tower.", "model.vision_tower."}};
  for (const std::string& module : others) names.newer.emplace_back(module, "model." + module);
  return names;
}

}  // namespace onnxport::models
