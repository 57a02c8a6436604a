#include "onnxport/onnx_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"

namespace onnxport {
namespace {

DType pick_dtype(std::string_view text, std::string_view what,
                 std::initializer_list<std::pair<std::string_view, DType>> choices) {
  std::string names;
  for (const auto& [name, dtype] : choices) {
    if (name == text) return dtype;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw ExportError(ErrorCode::invalid_argument,
                    fmt::format("{} dtype '{}', expected one of {}", what, text, names));
}

/// The common outputs of architectures, by task.
std::map<std::string, AxesByName, std::less<>> make_common_outputs() {
  const Axes rows = {{0, "batch_size"}};
  const Axes tokens = {{0, "batch_size"}, {1, "sequence_length"}};
  const Axes image = {{0, "batch_size"}, {1, "num_channels"}, {2, "height"}, {3, "width"}};
  const Axes queries = {{0, "batch_size"}, {1, "num_queries"}};
  const Axes image_rows = {{0, "image_batch_size"}, {1, "text_batch_size"}};
  const Axes text_rows = {{0, "text_batch_size"}, {1, "image_batch_size"}};
  return {
      {"feature-extraction", {{"last_hidden_state", tokens}}},
      // text
      {"fill-mask", {{"logits", tokens}}},
      {"text-generation", {{"logits", tokens}}},
      {"text2text-generation", {{"logits", {{0, "batch_size"}, {1, "decoder_sequence_length"}}}}},
      {"text-classification", {{"logits", rows}}},
      {"token-classification", {{"logits", tokens}}},
      {"question-answering", {{"start_logits", tokens}, {"end_logits", tokens}}},
      {"multiple-choice", {{"logits", {{0, "batch_size"}, {1, "num_choices"}}}}},
      // vision
      {"image-classification", {{"logits", rows}}},
      {"image-segmentation", {{"logits", {{0, "batch_size"}, {2, "height"}, {3, "width"}}}}},
      {"semantic-segmentation",
       {{"logits", {{0, "batch_size"}, {1, "num_labels"}, {2, "height"}, {3, "width"}}}}},
      {"object-detection", {{"logits", queries}, {"pred_boxes", queries}}},
      {"depth-estimation", {{"predicted_depth", {{0, "batch_size"}, {1, "height"}, {2, "width"}}}}},
      {"keypoint-detection",
       {{"heatmaps", {{0, "batch_size"}, {1, "num_keypoints"}, {2, "height"}, {3, "width"}}}}},
      {"image-to-image", {{"reconstruction", image}}},
      {"image-matting", {{"alphas", {{0, "batch_size"}, {2, "height"}, {3, "width"}}}}},
      {"video-classification", {{"logits", rows}}},
      {"masked-im", {{"reconstruction", rows}}},
      {"zero-shot-image-classification",
       {{"logits_per_image", image_rows},
        {"logits_per_text", text_rows},
        {"text_embeds", {{0, "text_batch_size"}}},
        {"image_embeds", {{0, "image_batch_size"}}}}},
      // audio and time series
      {"audio-classification", {{"logits", rows}}},
      {"audio-frame-classification", {{"logits", tokens}}},
      {"audio-xvector", {{"logits", rows}, {"embeddings", rows}}},
      {"automatic-speech-recognition", {{"logits", tokens}}},
      {"time-series-forecasting", {{"prediction_outputs", rows}}},
  };
}

}  // namespace

OnnxConfig::OnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options)
    : config_(std::move(config)),
      task_(std::move(task)),
      options_(std::move(options)),
      int_dtype_(pick_dtype(options_.int_dtype, "integer",
                            {{"int64", DType::i64}, {"int32", DType::i32}, {"int8", DType::i8}})),
      float_dtype_(pick_dtype(options_.float_dtype, "float",
                              {{"fp32", DType::f32}, {"fp16", DType::f16}, {"bf16", DType::bf16}})) {
  task_ = TasksManager::map_from_synonym(task_);
}

Dim OnnxConfig::axis_length(std::string_view /*tensor*/, const std::string& symbol) const {
  return Dim::parse(symbol);
}

std::optional<std::int64_t> OnnxConfig::longest_sequence() const {
  // Learned tables, computed ones, and those of the two halves of an encoder-decoder.
  constexpr std::string_view kNames[] = {"max_position_embeddings", "max_target_positions",
                                         "max_source_positions", "n_positions"};
  const NormalizedConfig normalized = normalized_config();
  std::optional<std::int64_t> longest;
  for (const std::string_view name : kNames) {
    if (const auto rows = normalized.maybe(name)) longest = std::min(longest.value_or(*rows), *rows);
  }
  return longest;
}

AxesByName OnnxConfig::outputs() const { return common_outputs(task_); }

const AxesByName& OnnxConfig::common_outputs(std::string_view task) const {
  static const auto table = make_common_outputs();
  if (const auto it = table.find(task); it != table.end()) return it->second;
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format("task '{}' has no common outputs: the configuration class of '{}' must list its own", task,
                  config_.model_type()));
}

}  // namespace onnxport
