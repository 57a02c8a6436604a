#include <fmt/format.h>

#include "exporter/task_name.h"
#include "onnxport/error.h"
#include "onnxport/onnx_config.h"

namespace onnxport {

using exporter::base_task;

bool OnnxConfigWithPast::use_past() const { return exporter::has_past(task()); }

bool OnnxConfigWithPast::use_past_in_inputs() const {
  return use_past() && base_task(task()) != "feature-extraction";
}

CacheSizes OnnxConfigWithPast::cache_sizes() const {
  CacheSizes sizes = cache_sizes_by("num_layers", "num_attention_heads");
  sizes.heads = normalized_config().maybe("num_key_value_heads").value_or(sizes.heads);
  return sizes;
}

CacheSizes OnnxConfigWithPast::cache_sizes_by(const char* layers_key, const char* heads_key) const {
  const NormalizedConfig normalized = normalized_config();
  const std::int64_t heads = normalized[heads_key];
  if (heads < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} attention heads, expected at least 1", config().origin(), heads));
  }
  const std::int64_t head_dim = normalized.maybe("head_dim").value_or(normalized["hidden_size"] / heads);
  return {.layers = normalized[layers_key], .heads = heads, .key_dim = head_dim, .value_dim = head_dim};
}

void OnnxConfigWithPast::add_past_key_values(AxesByName& names, Direction direction) const {
  const bool inputs = direction == Direction::inputs;
  const char* prefix = inputs ? "past_key_values" : "present";
  const std::string length = inputs ? "past_sequence_length" : "past_sequence_length + sequence_length";
  const std::int64_t layers = cache_sizes().layers;
  for (std::int64_t i = 0; i < layers; ++i) {
    for (const char* part : {"key", "value"})
      names.emplace_back(fmt::format("{}.{}.{}", prefix, i, part), Axes{{0, "batch_size"}, {2, length}});
  }
}

AxesByName OnnxConfigWithPast::outputs() const {
  AxesByName outputs = common_outputs(base_task(task()));
  if (use_past()) add_past_key_values(outputs, Direction::outputs);
  return outputs;
}

AxesByName TextDecoderOnnxConfig::inputs() const {
  const bool past = use_past_in_inputs();
  AxesByName inputs = {
      {"input_ids", {{0, "batch_size"}, {1, "sequence_length"}}},
      {"attention_mask",
       {{0, "batch_size"}, {1, past ? "past_sequence_length + sequence_length" : "sequence_length"}}}};
  if (past) add_past_key_values(inputs, Direction::inputs);
  return inputs;
}

NormalizedConfig TextDecoderOnnxConfig::normalized_config() const { return NormalizedTextConfig(config()); }

DummyInputGenerators TextDecoderOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyTextInputGenerator>(),
          std::make_shared<const DummyPastKeyValuesGenerator>()};
}

AxesByName TextDecoderWithPositionIdsOnnxConfig::inputs() const {
  AxesByName inputs = TextDecoderOnnxConfig::inputs();
  const std::string base = base_task(task());
  if (base == "feature-extraction" || base == "text-generation")
    inputs.emplace_back("position_ids", Axes{{0, "batch_size"}, {1, "sequence_length"}});
  return inputs;
}

}  // namespace onnxport
