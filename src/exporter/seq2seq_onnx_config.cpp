#include <fmt/format.h>

#include "exporter/task_name.h"
#include "onnxport/error.h"
#include "onnxport/onnx_config.h"

namespace onnxport {
namespace {

using exporter::base_task;

// Has the task an encoder and a decoder that a client calls one after the other?
bool generates(const std::string& task) {
  const std::string base = base_task(task);
  return base == "text2text-generation" || base == "automatic-speech-recognition" || base == "image-to-text";
}

}  // namespace

std::shared_ptr<const OnnxSeq2SeqConfigWithPast> OnnxSeq2SeqConfigWithPast::with_behavior(
    ConfigBehavior behavior, bool use_past, bool use_past_in_inputs) const {
  OnnxConfigOptions part = options();
  part.behavior = behavior;
  part.use_past = use_past;
  part.use_past_in_inputs = use_past_in_inputs;
  if (part.make == nullptr) {
    throw ExportError(ErrorCode::internal, fmt::format("the configuration class of '{}' was not made by its "
                                                       "registration, so it cannot make its parts",
                                                       config().model_type()));
  }
  const std::shared_ptr<const OnnxConfig> made = part.make(config(), task(), part);
  return std::dynamic_pointer_cast<const OnnxSeq2SeqConfigWithPast>(made);
}

std::vector<OnnxFile> OnnxSeq2SeqConfigWithPast::files(bool monolith) const {
  const bool past = exporter::has_past(task());
  if (monolith && past) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("--monolith: task '{}' has a cache, which one file cannot keep; ask for '{}'", task(),
                    base_task(task())));
  }
  if (!past && (monolith || !generates(task()))) return {{"model", shared_from_this()}};
  std::vector<OnnxFile> files = {{"encoder_model", with_behavior(ConfigBehavior::encoder)},
                                 {"decoder_model", with_behavior(ConfigBehavior::decoder, past)}};
  if (past) files.push_back({"decoder_with_past_model", with_behavior(ConfigBehavior::decoder, true, true)});
  return files;
}

CacheSizes OnnxSeq2SeqConfigWithPast::cache_sizes() const {
  return cache_sizes_by("decoder_num_layers", "decoder_num_attention_heads");
}

std::int64_t OnnxSeq2SeqConfigWithPast::encoder_width() const { return normalized_config()["hidden_size"]; }

void OnnxSeq2SeqConfigWithPast::add_seq2seq_past(AxesByName& names, Direction direction) const {
  if (!caches_encoder()) return add_past_key_values(names, direction);
  const bool inputs = direction == Direction::inputs;
  const char* prefix = inputs ? "past_key_values" : "present";
  const std::string length =
      inputs ? "past_decoder_sequence_length" : "past_decoder_sequence_length + decoder_sequence_length";
  const std::int64_t layers = cache_sizes().layers;
  for (std::int64_t i = 0; i < layers; ++i) {
    for (const char* part : {"key", "value"})
      names.emplace_back(fmt::format("{}.{}.decoder.{}", prefix, i, part),
                         Axes{{0, "batch_size"}, {2, length}});
    // What attends to the encoder does not change: a decoder that takes it does not give it back.
    if (!inputs && use_past_in_inputs()) continue;
    for (const char* part : {"key", "value"})
      names.emplace_back(fmt::format("{}.{}.encoder.{}", prefix, i, part),
                         Axes{{0, "batch_size"}, {2, "encoder_sequence_length"}});
  }
}

AxesByName OnnxSeq2SeqConfigWithPast::decoder_inputs() const {
  const Axes states = {{0, "batch_size"}, {1, "encoder_sequence_length"}};
  AxesByName inputs = {{"encoder_hidden_states", states}};
  if (has_encoder_mask()) inputs.emplace_back("encoder_attention_mask", states);
  inputs.emplace_back("input_ids", Axes{{0, "batch_size"}, {1, "decoder_sequence_length"}});
  if (use_past_in_inputs()) add_seq2seq_past(inputs, Direction::inputs);
  return inputs;
}

AxesByName OnnxSeq2SeqConfigWithPast::outputs() const {
  if (behavior() == ConfigBehavior::encoder)
    return {{"last_hidden_state", {{0, "batch_size"}, {1, "encoder_sequence_length"}}}};
  const std::string base = base_task(task());
  const bool features = base == "feature-extraction";
  if (!features && !generates(task())) return common_outputs(base);
  AxesByName outputs = {
      {features ? "last_hidden_state" : "logits", {{0, "batch_size"}, {1, "decoder_sequence_length"}}}};
  if (use_past()) add_seq2seq_past(outputs, Direction::outputs);
  return outputs;
}

AxesByName TextSeq2SeqOnnxConfig::inputs() const {
  if (behavior() == ConfigBehavior::decoder) return decoder_inputs();
  const std::string base = base_task(task());
  const bool both = base == "feature-extraction" || generates(task());
  const Axes tokens = {{0, "batch_size"}, {1, both ? "encoder_sequence_length" : "sequence_length"}};
  AxesByName inputs = {{"input_ids", tokens}, {"attention_mask", tokens}};
  if (both && behavior() == ConfigBehavior::monolith)
    inputs.emplace_back("decoder_input_ids", Axes{{0, "batch_size"}, {1, "decoder_sequence_length"}});
  return inputs;
}

NormalizedConfig TextSeq2SeqOnnxConfig::normalized_config() const {
  return NormalizedSeq2SeqConfig(config());
}

DummyInputGenerators TextSeq2SeqOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummySeq2SeqInputGenerator>(),
          std::make_shared<const DummyTextInputGenerator>()};
}

AxesByName AudioToTextOnnxConfig::inputs() const {
  if (behavior() == ConfigBehavior::decoder) return decoder_inputs();
  Axes frames = {{0, "batch_size"}};
  if (any_frames()) frames[1] = "encoder_sequence_length";
  AxesByName inputs = {{"input_features", frames}};
  if (any_frames()) inputs.emplace_back("attention_mask", frames);
  if (behavior() == ConfigBehavior::monolith && task() != "audio-classification")
    inputs.emplace_back("decoder_input_ids", Axes{{0, "batch_size"}, {1, "decoder_sequence_length"}});
  return inputs;
}

AxesByName AudioToTextOnnxConfig::outputs() const {
  Axes states = {{0, "batch_size"}};
  if (any_frames()) states[1] = states_length();
  if (behavior() == ConfigBehavior::encoder) return {{"last_hidden_state", states}};
  AxesByName outputs = OnnxSeq2SeqConfigWithPast::outputs();
  if (behavior() == ConfigBehavior::monolith && task() != "audio-classification")
    outputs.emplace_back("encoder_last_hidden_state", states);
  return outputs;
}

Dim AudioToTextOnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  const bool of_states = tensor == "encoder_hidden_states" || tensor.find(".encoder.") != tensor.npos;
  const bool divided = any_frames() && of_states && symbol == "encoder_sequence_length";
  return Dim::parse(divided ? states_length() : symbol);
}

std::int64_t AudioToTextOnnxConfig::dummy_encoder_length(const DummyShapes& shapes) const {
  return any_frames() ? feature_shape(shapes).front() : shapes.sequence_length;
}

NormalizedConfig AudioToTextOnnxConfig::normalized_config() const {
  return NormalizedSeq2SeqConfig(config());
}

DummyInputGenerators AudioToTextOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyAudioFeaturesInputGenerator>(),
          std::make_shared<const DummySeq2SeqInputGenerator>(),
          std::make_shared<const DummyTextInputGenerator>()};
}

}  // namespace onnxport
