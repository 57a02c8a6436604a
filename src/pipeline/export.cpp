#include "onnxport/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "lower/lower.h"
#include "onnx/merge_decoders.h"
#include "onnx/refer_to_checkpoint.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"
#include "pipeline/companions.h"
#include "pipeline/lower_model.h"
#include "runtime/session.h"
#include "serialize/checkpoint_files.h"
#include "serialize/writer.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

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

lower::Target target_of(int opset, const TargetOptions& options) {
  lower::Target target{.opset = opset};
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
    target.group_query_attention = true;
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

// Smaller tensors may be shapes, which clients and checkers want to see in the file.
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

void say(const std::function<void(const std::string&)>& listener, const std::string& text) {
  if (listener) listener(text);
}

// Equal sums print alike, but clients know an axis by the words of the configuration class, also where it is
// what strides make of another.
void name_axes(std::vector<OnnxValueInfo>& values, const AxesByName& declared, const OnnxConfig& config) {
  for (std::size_t i = 0; i < values.size() && i < declared.size(); ++i) {
    for (const auto& [axis, symbol] : declared[i].second) {
      const Dim& dim = values[i].type.shape.at(static_cast<std::size_t>(axis));
      if (dim.has_floor() || (!dim.is_constant() && dim == config.axis_length(declared[i].first, symbol)))
        values[i].axis_names[axis] = symbol;
    }
  }
}

// What is wrong with the model or the options is found here and in check_accounting, before anything is
// written.
OnnxGraph prepare(const Model& model, const OnnxConfig& config, int opset, const ExportOptions& options) {
  check_opset(opset, config.float_dtype());
  const lower::Target target = target_of(opset, options.target);
  external_data(options.external_data);
  check_threshold(options.external_data_threshold);
  check_alignment(options.external_data_alignment);
  Graph graph = model.build(config, options.shapes, options.dynamic_axes);
  say(options.on_detail, fmt::format("the definition built {} ops", graph.nodes().size()));
  OnnxGraph lowered = pipeline::lower_graph(std::move(graph), target);
  name_axes(lowered.inputs, config.inputs(), config);
  name_axes(lowered.outputs, config.outputs(), config);
  say(options.on_detail, fmt::format("lowered to {} nodes and {} initializers of opset {}",
                                     lowered.nodes.size(), lowered.initializers.size(), opset));
  return lowered;
}

// When all files are built: what one of them can not build is said first, rather than that it was not read.
void check_accounting(const Model& model, const ExportOptions& options) {
  for (const std::string& ignored : model.check_accounting(options.ignore_unexpected))
    say(options.on_notice, ignored);
  if (const std::vector<std::string> unknown = model.config().unknown_keys(); !unknown.empty()) {
    say(options.on_notice, fmt::format("{}: keys that the class does not declare, ignored: {}",
                                       model.config().origin(), fmt::join(unknown, ", ")));
  }
}

// A file with its graph.
struct Prepared {
  fs::path path;
  OnnxGraph graph;
};

// With external data in the checkpoint: weights become what it stores, and its files must lie where the
// models will.
void place_weights(std::vector<Prepared>& prepared, const ExportOptions& options) {
  if (external_data(options.external_data) != serialize::ExternalData::checkpoint) return;
  serialize::CheckpointFiles files(prepared.front().path.parent_path());
  for (Prepared& one : prepared) {
    refer_to_checkpoint(one.graph, options.external_data_threshold);
    for (const OnnxInitializer& initializer : one.graph.initializers) {
      const Weight& weight = initializer.weight;
      const auto bytes = weight.numel() * static_cast<std::int64_t>(size_of(weight.dtype()));
      if (bytes >= options.external_data_threshold) files.location(weight);
    }
  }
}

std::vector<serialize::WrittenFile> write(const std::vector<Prepared>& prepared,
                                          const ExportOptions& options) {
  std::vector<serialize::ModelFile> models;
  for (const Prepared& one : prepared) models.push_back({&one.graph, one.path});
  const std::string first = models.front().path.filename().string();
  return serialize::write_models(models,
                                 {.external_data = external_data(options.external_data),
                                  .shared_name = models.size() == 1 ? first + "_data" : "model.onnx_data",
                                  .external_threshold = options.external_data_threshold,
                                  .alignment = static_cast<std::uint64_t>(options.external_data_alignment),
                                  .on_progress = options.on_progress});
}

// Releases as numbers: "4.57.6.dev0" -> {4, 57, 6}.
std::vector<int> release(const std::string& version) {
  std::vector<int> numbers;
  for (std::size_t at = 0;
       at < version.size() && std::isdigit(static_cast<unsigned char>(version[at])) != 0;) {
    std::size_t used = 0;
    numbers.push_back(std::stoi(version.substr(at, 6), &used));
    at += used;
    if (at < version.size() && version[at] == '.') ++at;
  }
  return numbers;
}

// A checkpoint of a library older than the architecture cannot be what it says.
void check_library_version(const OnnxConfig& config) {
  const std::string needed = config.min_transformers_version();
  const std::string given = config.config().string("transformers_version", "");
  if (needed.empty() || given.empty() || release(given) >= release(needed)) return;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: transformers_version is {}, but {} came with {}; save the checkpoint with a newer one",
                  config.config().origin(), given, config.config().model_type(), needed));
}

// Where the decoder's files without and with a past are, in this order; nowhere when an export has not both.
std::vector<std::size_t> branches_of(const std::vector<OnnxFile>& files) {
  std::vector<std::size_t> branches;
  for (const bool takes_past : {false, true}) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      const OnnxConfigOptions& part = files[i].config->options();
      if (part.behavior == ConfigBehavior::decoder && part.use_past && part.use_past_in_inputs == takes_past)
        branches.push_back(i);
    }
  }
  if (branches.size() != 2) branches.clear();
  return branches;
}

std::vector<std::string> keys(const AxesByName& axes) {
  std::vector<std::string> names;
  for (const auto& [name, symbols] : axes) names.push_back(name);
  return names;
}

}  // namespace

bool ExportReport::passed() const {
  return std::all_of(validation.begin(), validation.end(),
                     [](const ValidationReport& report) { return report.passed(); });
}

std::pair<std::vector<std::string>, std::vector<std::string>> export_onnx(const Model& model,
                                                                          const OnnxConfig& config,
                                                                          const fs::path& output, int opset,
                                                                          const ExportOptions& options) {
  std::vector<Prepared> prepared;
  prepared.push_back(
      {output, prepare(model, config, opset == 0 ? config.default_onnx_opset() : opset, options)});
  check_accounting(model, options);
  place_weights(prepared, options);
  write(prepared, options);
  return {keys(config.inputs()), keys(config.outputs())};
}

ExportReport main_export(const MainExportOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto notice = [&](const std::string& text) { say(options.export_options.on_notice, text); };
  const TasksManager& tasks = TasksManager::instance();
  HubOptions hub = options.hub;
  if (!hub.on_notice) hub.on_notice = options.export_options.on_notice;
  const fs::path folder = get_model_folder(options.model, hub);
  Model model = tasks.get_model_from_task(options.task, folder, options.library);
  for (const auto& [key, value] : options.config_values)
    model = model.with_config(model.config().with(key, value));
  const OnnxConfigConstructor constructor = tasks.get_exporter_config_constructor(model);
  const std::shared_ptr<const OnnxConfig> config =
      constructor(model.config(), model.task(),
                  {.float_dtype = options.dtype, .legacy = options.legacy, .variant = options.variant});
  const std::vector<std::string> variants = config->variants();
  if (std::find(variants.begin(), variants.end(), options.variant) == variants.end()) {
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("--variant '{}': {} has {}", options.variant, model.config().model_type(),
                                  fmt::join(variants, ", ")));
  }
  check_library_version(*config);
  for (const std::string& text : model.notices()) notice(text);
  if (options.task == "auto") notice("task: " + model.task() + " (inferred)");

  ExportReport report;
  report.model_type = model.config().model_type();
  report.task = model.task();
  report.library = model.definition().library;
  report.dtype = options.dtype;
  report.opset = options.opset == 0 ? config->default_onnx_opset() : options.opset;
  report.parameters = model.num_parameters();
  const std::vector<OnnxFile> files = config->files(options.monolith);
  if (files.size() == 1) {
    report.inputs = keys(config->inputs());
    report.outputs = keys(config->outputs());
  }
  std::vector<Prepared> prepared;
  for (const OnnxFile& file : files) {
    prepared.push_back({options.output / (file.stem + ".onnx"),
                        prepare(model, *file.config, report.opset, options.export_options)});
  }
  check_accounting(model, options.export_options);
  // A decoder with and without past also as one file, of which a client switches the branch.
  std::vector<std::size_t> branches;
  if (options.post_process) branches = branches_of(files);
  if (!branches.empty()) {
    OnnxGraph merged = merge_decoders(prepared[branches[0]].graph, prepared[branches[1]].graph);
    prepared.push_back({options.output / "decoder_model_merged.onnx", std::move(merged)});
  }
  place_weights(prepared, options.export_options);
  // Companions first: whoever sees a model may rely on the rest being there.
  const std::string made_config = model.has_made_config() ? model.config().text() : std::string();
  for (const fs::path& path : pipeline::copy_companions(model.folder(), options.output, made_config)) {
    report.files.push_back({path, fs::file_size(path)});
  }
  for (const serialize::WrittenFile& written : write(prepared, options.export_options))
    report.files.push_back({written.path, written.bytes});
  report.export_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!options.validate) return report;
  const auto validate = [&](const OnnxFile& file, const fs::path& path, const ValidationOptions& how) {
    report.validation.push_back(
        compare_model_outputs(*file.config, model, path, keys(file.config->outputs()), options.atol, how));
  };
  ValidationOptions how = {.shapes = options.export_options.shapes,
                           .dynamic_axes = options.export_options.dynamic_axes,
                           .reference = options.reference};
  for (std::size_t i = 0; i < files.size(); ++i) validate(files[i], prepared[i].path, how);
  how.reference.reset();
  for (const std::size_t branch : branches) {
    how.merged_with_past = branch == branches[1];
    validate(files[branch], prepared.back().path, how);
  }
  return report;
}

}  // namespace onnxport
