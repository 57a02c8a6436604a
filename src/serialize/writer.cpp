#include "serialize/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <string_view>
#include <unordered_map>

#include "onnxport/error.h"
#include "serialize/check.h"
#include "serialize/checkpoint_files.h"
#include "serialize/data_files.h"
#include "serialize/layout.h"
#include "serialize/lazy_layout.h"
#include "serialize/model_layout.h"
#include "serialize/new_folders.h"
#include "serialize/tiles.h"
#include "support/atomic_file.h"
#include "support/parallel.h"
#include "support/text.h"

namespace onnxport::serialize {
namespace {

namespace fs = std::filesystem;

/// Checks that names are defined once and that there are outputs. The checker would find this too, but later
/// and with a worse message.
void check_names(const OnnxGraph& graph, const std::string& file) {
  const auto fail = [&](const std::string& message) {
    throw ExportError(ErrorCode::internal, file + ": " + message);
  };
  if (graph.outputs.empty()) fail("the graph has no outputs");
  if (!graph.opsets.contains("")) fail("the graph does not say which opset of ai.onnx it uses");
  std::unordered_map<std::string_view, std::string> givers;
  const auto define = [&](const std::string& name, std::string_view giver) {
    if (name.empty()) fail(fmt::format("{} has no name", giver));
    const auto [other, is_new] = givers.emplace(name, giver);
    if (!is_new)
      fail(fmt::format("the name '{}' is given twice: to {} and to {}", name, other->second, giver));
  };
  for (const OnnxValueInfo& input : graph.inputs) define(input.name, "an input");
  for (const OnnxInitializer& initializer : graph.initializers) define(initializer.name, "an initializer");
  for (const OnnxNode& node : graph.nodes) {
    for (const std::string& output : node.outputs) {
      if (!output.empty()) define(output, "an output of " + node.op_type);
    }
  }
}

/// One model, laid out.
struct Plan {
  fs::path path;
  Layout model;
  DataFiles data;  ///< of its own; empty where it has none
};

/// `shared`: the data of several models, or null. `checkpoint`: asked when data goes there.
Plan plan(const ModelFile& file, const WriteOptions& options, DataFiles* shared,
          CheckpointFiles& checkpoint) {
  if (file.graph != nullptr) check_names(*file.graph, file.path.string());
  const auto layout = [&](DataFiles* data) {
    return file.graph != nullptr ? model_layout(*file.graph, data) : lazy_layout(*file.changed, data);
  };
  const bool stored = options.external_data == ExternalData::checkpoint;
  Plan plan{file.path, {}, {file.path.string() + "_data", options, stored ? &checkpoint : nullptr}};
  const bool automatic = options.external_data == ExternalData::automatic;
  if (automatic || options.external_data == ExternalData::never) plan.model = layout(nullptr);
  if (shared != nullptr) {
    plan.model = layout(shared);
  } else if (stored || options.external_data == ExternalData::always ||
             (automatic && plan.model.size() > options.message_limit)) {
    plan.model = layout(&plan.data);
  }
  if (plan.model.size() > options.message_limit) {
    throw ExportError(ErrorCode::io,
                      fmt::format("{}: the model has {}, more than the {} that an onnx file can hold; allow "
                                  "external data",
                                  file.path.string(), text::human_bytes(plan.model.size()),
                                  text::human_bytes(options.message_limit)));
  }
  return plan;
}

/// Calls on_overflow once per weight: for the small ones, then for the streamed ones, in the order of the
/// files.
void report_overflows(const std::vector<const Layout*>& layouts, const Streaming& work,
                      const WriteOptions& options) {
  if (!options.on_overflow) return;
  std::set<std::string_view> told;
  const auto tell = [&](const Weight& weight, std::int64_t count) {
    if (count > 0 && told.insert(weight.fingerprint()).second) options.on_overflow(weight, count);
  };
  for (const Layout* layout : layouts) {
    for (const Weight& weight : layout->written_weights()) tell(weight, count_overflows(weight));
  }
  for (std::size_t i = 0; i < work.weights(); ++i) tell(work.weight(i), work.overflows(i));
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : "."; }

}  // namespace

int ir_version_for(int opset) {
  // First opsets of IR versions 4, 5, …; older models are IR 3. ONNX Runtime accepts up to 13.
  constexpr int first_opsets[] = {9, 10, 11, 12, 15, 19, 21, 23, 24, 25};
  return 3 + static_cast<int>(std::ranges::upper_bound(first_opsets, opset) - std::begin(first_opsets));
}

std::vector<WrittenFile> write_models(const std::vector<ModelFile>& models, const WriteOptions& options) {
  std::deque<Plan> plans;
  std::map<fs::path, CheckpointFiles> checkpoints;  // by folder
  std::map<fs::path, DataFiles> shared;             // by the path of the first file
  for (const ModelFile& model : models) {
    const fs::path folder = folder_of(model.path);
    DataFiles* data = nullptr;
    if (options.external_data == ExternalData::shared) {
      const fs::path path = folder / model.shared_name;
      data = &shared.try_emplace(path, path, options).first->second;
    }
    plans.push_back(plan(model, options, data, checkpoints.try_emplace(folder, folder).first->second));
  }

  NewFolders folders;
  Streaming work;
  std::deque<AtomicFile> data_files, model_files;  // the work points to them
  std::vector<const Layout*> layouts;              // the shared ones first
  std::map<fs::path, std::uint64_t> bytes;         // by folder
  std::uint64_t total = 0;
  const auto count = [&](const fs::path& path, const Layout& layout) {
    layouts.push_back(&layout);
    bytes[folder_of(path)] += layout.size();
    total += layout.payload_bytes();
  };
  for (const auto& [path, data] : shared) {
    for (const DataFiles::File& file : data.files()) count(file.path, file.layout);
  }
  for (const Plan& one : plans) {
    count(one.path, one.model);
    for (const DataFiles::File& file : one.data.files()) count(file.path, file.layout);
  }
  for (const auto& [folder, needed] : bytes) folders.make(folder);
  check_free_space(bytes);

  std::map<fs::path, std::map<std::string, std::string>> renamed;  // by folder
  const auto start_data = [&](const DataFiles& data) {
    for (const DataFiles::File& file : data.files()) {
      AtomicFile& made = data_files.emplace_back(file.path);
      work.add(made, file.layout);
      renamed[folder_of(file.path)][file.path.filename().string()] = made.temporary().filename().string();
    }
  };
  for (const Plan& one : plans) {
    work.add(model_files.emplace_back(one.path), one.model);
    start_data(one.data);
  }
  for (const auto& [path, data] : shared) start_data(data);
  work.plan();

  std::uint64_t done = total - work.bytes();  // the small ones were in the text
  std::mutex progress;
  const auto run = [&](std::size_t piece) {
    const std::uint64_t written = work.run(piece);
    if (!options.on_progress) return;
    const std::lock_guard lock(progress);
    done += written;
    options.on_progress(done, total);
  };
  // For less than a tile, starting a thread costs more than it saves.
  const std::uint64_t threads = std::min<std::uint64_t>(available_threads(), 1 + total / tile_bytes);
  parallel_for(work.size(), run, static_cast<unsigned>(threads));
  report_overflows(layouts, work, options);

  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (options.check && models[i].check)
      check_written(model_files[i].temporary(), plans[i].path.string(), renamed[folder_of(plans[i].path)]);
  }
  commit(data_files, model_files);
  folders.keep();

  std::vector<WrittenFile> written;
  const auto tell = [&](const DataFiles& data) {
    for (const DataFiles::File& file : data.files()) written.push_back({file.path, file.layout.size()});
  };
  for (const Plan& one : plans) {
    written.push_back({one.path, one.model.size()});
    tell(one.data);
  }
  for (const auto& [path, data] : shared) tell(data);
  return written;
}

std::vector<WrittenFile> write_model(const OnnxGraph& graph, const fs::path& path,
                                     const WriteOptions& options) {
  return write_models({{&graph, path}}, options);
}

}  // namespace onnxport::serialize
