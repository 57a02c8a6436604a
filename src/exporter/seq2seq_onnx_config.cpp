#include <fmt/format.h>

#include "exporter/task_name.h"
#include "onnxport/error.h"
#include "onnxport/middle_end.h"
#include "onnxport/plan.h"

namespace onnxport {
namespace {

using exporter::base_task;

// Whether the task has an encoder and a decoder that a client calls separately.
bool generates(const std::string& task) {
  const std::string base = base_task(task);
  return base == "text2text-generation" || base == "automatic-speech-recognition" || base == "image-to-text";
}

}  // namespace

std::shared_ptr<const OnnxSeq2SeqConfigWithPast> OnnxSeq2SeqConfigWithPast::with_behavior(
    ConfigBehavior behavior, bool use_past, bool use_past_in_inputs) const {
  OnnxConfigOptions part = options();
  part.behavior = behavior;
  part.use_past =
      use_past_in_inputs ? UsePast::inputs_and_outputs : (use_past ? UsePast::outputs : UsePast::no);
  if (part.make == nullptr) {
    throw ExportError(ErrorCode::internal, fmt::format("the configuration class of '{}' was not created by "
                                                       "its registration, so it cannot create its parts",
                                                       config().model_type()));
  }
  const std::shared_ptr<const OnnxConfig> made = part.make(config(), task(), part);
  return std::dynamic_pointer_cast<const OnnxSeq2SeqConfigWithPast>(made);
}

std::string OnnxSeq2SeqConfigWithPast::part() const {
  if (behavior() == ConfigBehavior::monolith) return {};
  return behavior() == ConfigBehavior::encoder ? "encoder" : "decoder";
}

void OnnxSeq2SeqConfigWithPast::describe(ExportPlan& plan, const PlanRequest& request) const {
  if (behavior() == ConfigBehavior::encoder) return OnnxConfig::describe(plan, request);
  const bool past = exporter::has_past(task());
  const bool monolith = request.split == Split::monolith;
  if (monolith && past) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("--monolith: task '{}' has a cache, which a single file cannot have; use '{}'", task(),
                    base_task(task())));
  }
  if (!past && (monolith || !generates(task()))) return OnnxConfig::describe(plan, request);
  const auto add = [&](const char* name, const OnnxConfig& config) {
    plan.components.push_back(config.component(name, request.shapes, request.dynamic_axes));
  };
  add("encoder_model", *with_behavior(ConfigBehavior::encoder));
  add("decoder_model", *with_behavior(ConfigBehavior::decoder, past));
  if (!past) return;
  add("decoder_with_past_model", *with_behavior(ConfigBehavior::decoder, true, true));
  if (request.split != Split::merged) return;
  plan.merges.push_back({.name = "decoder_model_merged",
                         .stem = "decoder_model_merged",
                         .without_past = "decoder_model",
                         .with_past = "decoder_with_past_model"});
}

std::vector<StateSpec> OnnxSeq2SeqConfigWithPast::states() const {
  const NormalizedConfig normalized = normalized_config();
  const std::int64_t heads = normalized["decoder_num_attention_heads"];
  return behind_encoder(key_values(normalized["decoder_num_layers"], heads, head_dim(heads)));
}

std::int64_t OnnxSeq2SeqConfigWithPast::encoder_width() const { return normalized_config()["hidden_size"]; }

// In the order of a layer: decoder.key, decoder.value, encoder.key, encoder.value.
std::vector<StateSpec> OnnxSeq2SeqConfigWithPast::behind_encoder(const std::vector<StateSpec>& alone) const {
  if (!caches_encoder()) return alone;
  std::vector<StateSpec> states, of_encoder;
  for (std::size_t i = 0; i < alone.size(); ++i) {
    StateSpec own = alone[i];
    own.input = fmt::format("past_key_values.{}.decoder.{}", own.layer, own.part);
    own.output = fmt::format("present.{}.decoder.{}", own.layer, own.part);
    own.shape[2] = Dim::symbol("past_decoder_sequence_length");
    own.grown = "past_decoder_sequence_length + decoder_sequence_length";
    StateSpec cross = alone[i];
    cross.input = fmt::format("past_key_values.{}.encoder.{}", cross.layer, cross.part);
    // They do not change, so a decoder that takes them does not return them.
    cross.output = use_past_in_inputs() ? "" : fmt::format("present.{}.encoder.{}", cross.layer, cross.part);
    cross.shape[2] = Dim::symbol("encoder_sequence_length");
    cross.growing_axis.reset();
    cross.grown.clear();
    cross.part = "encoder." + cross.part;
    states.push_back(std::move(own));
    of_encoder.push_back(std::move(cross));
    if (i + 1 < alone.size() && alone[i + 1].layer == alone[i].layer) continue;
    states.insert(states.end(), of_encoder.begin(), of_encoder.end());
    of_encoder.clear();
  }
  return states;
}

AxesByName OnnxSeq2SeqConfigWithPast::decoder_inputs() const {
  const Axes states = {{0, "batch_size"}, {1, "encoder_sequence_length"}};
  AxesByName inputs = {{"encoder_hidden_states", states}};
  if (has_encoder_mask()) inputs.emplace_back("encoder_attention_mask", states);
  inputs.emplace_back("input_ids", Axes{{0, "batch_size"}, {1, "decoder_sequence_length"}});
  if (use_past_in_inputs()) add_past_key_values(inputs, Direction::inputs);
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
  if (use_past()) add_past_key_values(outputs, Direction::outputs);
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
  return {std::make_shared<const DummySeq2SeqInputGenerator>(encoder_width()),
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
  const bool divided = of_states && symbol == "encoder_sequence_length" && any_frames();
  return Dim::parse(divided ? states_length() : symbol);
}

NormalizedConfig AudioToTextOnnxConfig::normalized_config() const {
  return NormalizedSeq2SeqConfig(config());
}

DummyInputGenerators AudioToTextOnnxConfig::dummy_input_generators() const {
  const AudioFeatures audio = features();
  const auto most_frames = audio.any_frames ? std::optional(audio.frames) : std::nullopt;
  return {std::make_shared<const DummyAudioFeaturesInputGenerator>(audio),
          std::make_shared<const DummySeq2SeqInputGenerator>(encoder_width(), most_frames),
          std::make_shared<const DummyTextInputGenerator>()};
}

}  // namespace onnxport
