#include "onnxport/onnx_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

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

/// The outputs that architectures have in common, by task.
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

/// Refuses sizes that give no tensor, or one that no machine holds.
void check(const DummyShapes& shapes) {
  const std::pair<std::string_view, std::int64_t> sizes[] = {
      {"batch_size", shapes.batch_size},
      {"sequence_length", shapes.sequence_length},
      {"num_choices", shapes.num_choices},
      {"width", shapes.width},
      {"height", shapes.height},
      {"num_channels", shapes.num_channels},
      {"feature_size", shapes.feature_size},
      {"nb_max_frames", shapes.nb_max_frames},
      {"audio_sequence_length", shapes.audio_sequence_length},
      {"point_batch_size", shapes.point_batch_size},
      {"nb_points_per_image", shapes.nb_points_per_image},
      {"visual_seq_length", shapes.visual_seq_length},
  };
  constexpr std::int64_t largest = 1 << 20;
  if (shapes.past_sequence_length < 0 || shapes.past_sequence_length > largest) {
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("past_sequence_length of the dummy inputs is {}, expected 0 to {}",
                                  shapes.past_sequence_length, largest));
  }
  for (const auto& [name, size] : sizes) {
    if (size < 1 || size > largest) {
      throw ExportError(ErrorCode::invalid_argument,
                        fmt::format("{} of the dummy inputs is {}, expected 1 to {}", name, size, largest));
    }
  }
}

}  // namespace

OnnxConfig::OnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options)
    : config_(std::move(config)),
      task_(std::move(task)),
      options_(std::move(options)),
      int_dtype_(pick_dtype(options_.int_dtype, "integer", {{"int64", DType::i64}, {"int32", DType::i32}})),
      float_dtype_(pick_dtype(options_.float_dtype, "float",
                              {{"fp32", DType::f32}, {"fp16", DType::f16}, {"bf16", DType::bf16}})) {
  task_ = TasksManager::map_from_synonym(task_);
}

Dim OnnxConfig::axis_length(std::string_view /*tensor*/, const std::string& symbol) const {
  return Dim::parse(symbol);
}

std::optional<std::int64_t> OnnxConfig::longest_sequence() const {
  return normalized_config().maybe("max_position_embeddings");
}

AxesByName OnnxConfig::outputs() const { return common_outputs(task_); }

const AxesByName& OnnxConfig::common_outputs(std::string_view task) const {
  static const auto table = make_common_outputs();
  if (const auto it = table.find(task); it != table.end()) return it->second;
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format("task '{}' has no outputs in common between architectures: the configuration class of "
                  "'{}' must list its own",
                  task, config_.model_type()));
}

std::vector<OnnxFile> OnnxConfig::files(bool /*monolith*/) const { return {{"model", shared_from_this()}}; }

NamedTensors OnnxConfig::generate_dummy_inputs(const DummyShapes& shapes, std::uint64_t seed) const {
  check(shapes);
  const DummyInputGenerators generators = dummy_input_generators();
  NamedTensors tensors;
  for (const auto& [name, axes] : inputs()) {
    const auto it = std::find_if(generators.begin(), generators.end(), [&name = name](const auto& generator) {
      return generator->supports_input(name);
    });
    if (it == generators.end()) {
      throw ExportError(ErrorCode::internal, fmt::format("no dummy input generator of '{}' makes input '{}'",
                                                         config_.model_type(), name));
    }
    tensors.emplace_back(name, (*it)->generate(name, *this, shapes, seed));
  }
  return tensors;
}

std::vector<std::pair<std::string, TensorType>> OnnxConfig::input_types(const DummyShapes& shapes,
                                                                        bool dynamic_axes) const {
  const AxesByName axes_by_name = inputs();
  // What a long past would hold takes its time to make up, only to be forgotten.
  DummyShapes small = shapes;
  if (dynamic_axes) small.past_sequence_length = std::min<std::int64_t>(shapes.past_sequence_length, 1);
  const NamedTensors tensors = generate_dummy_inputs(small);
  std::vector<std::pair<std::string, TensorType>> types;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    TensorType type{tensor.dtype, Shape(tensor.shape.begin(), tensor.shape.end())};
    for (const auto& [axis, symbol] : axes_by_name[i].second) {
      if (axis < 0 || axis >= static_cast<int>(type.shape.size())) {
        throw ExportError(ErrorCode::internal,
                          fmt::format("input '{}' of '{}' names axis {} '{}', the dummy tensor has {} axes",
                                      name, config_.model_type(), axis, symbol, type.shape.size()));
      }
      if (dynamic_axes) type.shape[axis] = axis_length(name, symbol);
    }
    types.emplace_back(name, std::move(type));
  }
  return types;
}

}  // namespace onnxport
