#include "pipeline/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "ir/weight_steps.h"
#include "lower/lower.h"
#include "onnx/refer_to_checkpoint.h"
#include "onnxport/error.h"
#include "pass/rebuild.h"
#include "pipeline/lower_model.h"
#include "runtime/session.h"
#include "serialize/checkpoint_files.h"
#include "support/text.h"
#include "transform/approximate_gelu.h"
#include "transform/float32_outputs.h"

namespace onnxport::pipeline {
namespace {

void check_opset(int opset, DType float_dtype) {
  if (opset < lower::oldest_opset || opset > runtime::newest_opset) {
    throw ExportError(ErrorCode::invalid_argument, fmt::format("--opset {}: expected {} to {}", opset,
                                                               lower::oldest_opset, runtime::newest_opset));
  }
  constexpr int kFirstWithBfloat16 = 13;
  if (float_dtype == DType::bf16 && opset < kFirstWithBfloat16) {
    throw ExportError(
        ErrorCode::invalid_argument,
        fmt::format("--dtype bf16 needs --opset {} or newer, got {}", kFirstWithBfloat16, opset));
  }
}

lower::Target target_of(int opset, const TargetOptions& options, const Recipe& recipe = {}) {
  lower::Target target{.opset = opset};
  if (const auto* blocks = std::get_if<BlockRecipe>(&recipe.scheme)) {
    target.accuracy_level = blocks->accuracy_level;
    target.standard_quantization = blocks->standard_ops;
  } else if (const auto* kept = std::get_if<KeepRecipe>(&recipe.scheme)) {
    target.accuracy_level = kept->accuracy_level;
  }
  const auto refuse = [](const char* flag, const std::string& got, const char* expected) {
    throw ExportError(ErrorCode::invalid_argument, fmt::format("{} '{}': expected {}", flag, got, expected));
  };
  if (options.runtime == "ort") {
    target.runtime = lower::Runtime::ort;
  } else if (options.runtime != "any") {
    refuse("--target", options.runtime, "any or ort");
  }
  if (options.attention == "gqa") {
    if (target.runtime != lower::Runtime::ort)
      refuse("--attention", options.attention, "auto, unless --target is ort");
    target.group_query = lower::GroupQuery::any_padding;
  } else if (options.attention != "auto") {
    refuse("--attention", options.attention, "auto or gqa");
  }
  return target;
}

serialize::ExternalData external_data(const std::string& text) {
  if (text == "auto") return serialize::ExternalData::automatic;
  if (text == "always") return serialize::ExternalData::always;
  if (text == "never") return serialize::ExternalData::never;
  if (text == "shared") return serialize::ExternalData::shared;
  if (text == "checkpoint") return serialize::ExternalData::checkpoint;
  throw ExportError(
      ErrorCode::invalid_argument,
      fmt::format("--external-data '{}': expected auto, always, never, shared or checkpoint", text));
}

// Smaller tensors may be shapes, which clients and checkers need in the file.
void check_threshold(std::int64_t threshold) {
  constexpr std::int64_t kSmallest = 1024;
  if (threshold >= kSmallest) return;
  throw ExportError(
      ErrorCode::invalid_argument,
      fmt::format("--external-data-threshold {}: expected {} bytes or more", threshold, kSmallest));
}

void check_alignment(std::int64_t alignment) {
  constexpr std::int64_t kLargest = std::int64_t{64} << 20;
  const bool power = alignment > 0 && (alignment & (alignment - 1)) == 0;
  if (alignment == 0 || (power && alignment <= kLargest)) return;
  throw ExportError(ErrorCode::invalid_argument,
                    fmt::format("--external-data-alignment {}: expected a power of two, at most {} bytes",
                                alignment, kLargest));
}

// Equal sums print alike, but clients know an axis by its name in the interface, even if it is the length of
// another axis after strides.
void name_axes(std::vector<OnnxValueInfo>& values, const std::vector<TensorSpec>& specs) {
  for (std::size_t i = 0; i < values.size() && i < specs.size(); ++i) {
    for (const auto& [axis, called] : specs[i].axes) {
      const Dim& dim = values[i].type.shape.at(static_cast<std::size_t>(axis));
      // A length may also have a name of its own, which no input has.
      const bool own_name = called.length.is_symbol() && called.length.str() == called.name;
      if (dim.has_floor() || (!dim.is_constant() && (own_name || dim == called.length)))
        values[i].axis_names[axis] = called.name;
    }
  }
}

// Whether only GroupQueryAttention reads the cache, so that it may be a buffer with more positions.
bool shares_cache(const OnnxGraph& graph, const std::vector<StateSpec>& states) {
  std::set<std::string> past;
  for (const StateSpec& state : states) past.insert(state.input);
  bool any = false;
  for (const OnnxNode& node : graph.nodes) {
    const bool reads = std::any_of(node.inputs.begin(), node.inputs.end(),
                                   [&](const std::string& input) { return past.contains(input); });
    if (reads && node.op_type != "GroupQueryAttention") return false;
    any = any || reads;
  }
  return any;
}

OnnxGraph lower_for(const Component& component, Graph graph, const lower::Target& target,
                    const ExportOptions& options) {
  say(options.on_detail,
      fmt::format("the definition built {} ops for component {}", graph.nodes().size(), component.name));
  OnnxGraph lowered = lower_graph(std::move(graph), target);
  name_axes(lowered.inputs, component.interface.inputs);
  name_axes(lowered.outputs, component.interface.outputs);
  say(options.on_detail, fmt::format("lowered to {} nodes and {} initializers of opset {}",
                                     count_nodes(lowered), lowered.initializers.size(), target.opset));
  return lowered;
}

}  // namespace

void say(const std::function<void(const std::string&)>& listener, const std::string& text) {
  if (listener) listener(text);
}

void check_options(const ExportOptions& options, int opset, DType float_dtype) {
  check_opset(opset, float_dtype);
  target_of(opset, options.target);
  external_data(options.external_data);
  check_threshold(options.external_data_threshold);
  check_alignment(options.external_data_alignment);
}

Graph build_component(const Model& model, const Component& component, const Variant& variant,
                      const Layout& layout) {
  Graph graph = model.build(component);
  if (variant.gelu == Gelu::tanh) graph = transform::approximate_gelu(std::move(graph));
  if (!layout.float32_io()) return graph;
  std::set<std::string> states;
  for (const StateSpec& state : component.interface.states) states.insert(state.output);
  return transform::float32_outputs(std::move(graph), states);
}

Graph quantize_component(Graph graph, const Recipe& recipe, transform::QuantizeSummary& summary) {
  if (recipe.keeps()) return transform::quantize(std::move(graph), recipe, summary);
  return transform::quantize(fold_for_codes(std::move(graph)), recipe, summary);
}

OnnxGraph lower_component(const Component& component, Graph graph, int opset, const ExportOptions& options,
                          const Recipe& recipe) {
  return lower_for(component, std::move(graph), target_of(opset, options.target, recipe), options);
}

std::optional<OnnxGraph> lower_with_shared_cache(const Component& component, const Graph& graph, int opset,
                                                 const ExportOptions& options, const Recipe& recipe) {
  lower::Target target = target_of(opset, options.target, recipe);
  if (target.runtime != lower::Runtime::ort) return {};
  target.group_query = lower::GroupQuery::right_padding;
  OnnxGraph lowered = lower_for(component, pass::copy(graph), target, options);
  if (!shares_cache(lowered, component.interface.states)) return {};
  return lowered;
}

void check_accounting(const Model& model, const ExportOptions& options) {
  for (const std::string& ignored : model.check_accounting(options.ignore_unexpected))
    say(options.on_notice, ignored);
  for (const std::string& text : model.build_notices()) say(options.on_notice, text);
  if (const std::vector<std::string> unknown = model.config().unknown_keys(); !unknown.empty()) {
    say(options.on_notice, fmt::format("{}: ignored keys that the class does not declare: {}",
                                       model.config().origin(), fmt::join(unknown, ", ")));
  }
}

void place_weights(std::vector<Prepared>& prepared, const ExportOptions& options) {
  if (external_data(options.external_data) != serialize::ExternalData::checkpoint) return;
  std::map<std::filesystem::path, serialize::CheckpointFiles> by_folder;
  std::map<std::string, std::int64_t> rewritten;  // bytes by fingerprint
  for (Prepared& one : prepared) {
    refer_to_checkpoint(one.graph, options.external_data_threshold);
    const std::filesystem::path folder = one.path.parent_path();
    serialize::CheckpointFiles& files = by_folder.try_emplace(folder, folder).first->second;
    for (const OnnxInitializer& initializer : one.graph.initializers) {
      const Weight& weight = initializer.weight;
      const auto bytes = weight.numel() * static_cast<std::int64_t>(size_of(weight.dtype()));
      if (bytes >= options.external_data_threshold && !files.location(weight))
        rewritten.emplace(weight.fingerprint(), bytes);
    }
  }
  std::int64_t bytes = 0;
  for (const auto& [fingerprint, size] : rewritten) bytes += size;
  constexpr std::int64_t kWorthANotice = 1 << 20;
  if (bytes < kWorthANotice) return;
  say(options.on_notice,
      fmt::format("--external-data checkpoint: {} weights of {} together are not in the checkpoint as the "
                  "graph needs them, and are written beside it",
                  rewritten.size(), text::human_bytes(static_cast<std::uint64_t>(bytes))));
}

std::vector<serialize::WrittenFile> write(const std::vector<Prepared>& prepared, const ExportOptions& options,
                                          std::uint64_t largest_data_file) {
  std::vector<serialize::ModelFile> models;
  for (const Prepared& one : prepared) {
    const bool own = one.shared_data.empty();
    models.push_back({&one.graph, one.path, own ? one.path.filename().string() + "_data" : one.shared_data});
  }
  const auto on_overflow = [&](const Weight& weight, std::int64_t count) {
    const Weight before = cast_of(weight);
    const bool f16 = weight.dtype() == DType::f16;
    say(options.on_notice,
        fmt::format(
            "tensor '{}': {} of {} values are beyond {} (at most {:.6g}) and become infinite; use --dtype "
            "{} for this model",
            (before ? before : weight).name(), count, weight.numel(), f16 ? "float16" : "bfloat16",
            highest(weight.dtype()), f16 ? "bf16 or fp32" : "fp32"));
  };
  return serialize::write_models(models,
                                 {.external_data = external_data(options.external_data),
                                  .external_threshold = options.external_data_threshold,
                                  .alignment = static_cast<std::uint64_t>(options.external_data_alignment),
                                  .data_chunk_limit = largest_data_file,
                                  .on_progress = options.on_progress,
                                  .on_overflow = on_overflow});
}

}  // namespace onnxport::pipeline
