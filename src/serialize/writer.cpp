#include "serialize/writer.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <mutex>
#include <set>
#include <string_view>
#include <unordered_map>

#include "onnxport/error.h"
#include "serialize/check.h"
#include "serialize/checkpoint_files.h"
#include "serialize/layout.h"
#include "serialize/model_proto.h"
#include "serialize/tiles.h"
#include "serialize/wire.h"
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

// --- layout of the files -----------------------------------------------------------------------------------

/// A file of external data while it is filled.
struct DataFile {
  fs::path path;
  std::uint64_t threshold = 0;  ///< smaller tensors stay in the message, bytes
  std::uint64_t alignment = 0;  ///< of all tensors; 0: by their size
  Layout layout;
  CheckpointFiles* checkpoint = nullptr;                  ///< asked first; null: all goes here
  std::unordered_map<std::string, std::uint64_t> places;  ///< offsets by fingerprint

  /// The place of a weight, which is added if it is new.
  std::uint64_t place(const Weight& weight) {
    const auto [it, is_new] = places.emplace(weight.fingerprint(), 0);
    if (is_new) {
      // Aligned to cache lines for arithmetic, and to pages for mmap.
      const std::uint64_t by_size = byte_size(weight) < (1 << 20) ? 64 : 4096;
      layout.align(alignment == 0 ? by_size : alignment);
      it->second = layout.size();
      layout.add(weight);
    }
    return it->second;
  }
};

/// A stored tensor as TensorProto. raw_data is its last field, as in protobuf's own order.
Layout tensor_layout(const OnnxInitializer& initializer, DataFile* data) {
  onnx::TensorProto header = tensor_header(initializer.weight, initializer.name);
  const std::uint64_t bytes = byte_size(initializer.weight);
  Layout layout;
  if (data != nullptr && bytes > 0 && bytes >= data->threshold) {
    const auto stored =
        data->checkpoint == nullptr ? std::nullopt : data->checkpoint->location(initializer.weight);
    if (stored) {
      set_external(header, *stored, initializer.weight.view()->offset, bytes);
    } else {
      set_external(header, data->path.filename().string(), data->place(initializer.weight), bytes);
    }
    layout.add(serialize(header));
  } else {
    layout.add(serialize(header));
    if (bytes > 0) {  // the checker takes empty data for a contradiction
      layout.add(bytes_prefix(onnx::TensorProto::kRawDataFieldNumber, bytes));
      layout.add(initializer.weight);
    }
  }
  return layout;
}

/// The whole ModelProto. `data`: the file for large tensors; null: all tensors stay inside.
Layout model_layout(const OnnxGraph& graph, DataFile* data) {
  Layout body;  // in the order of field numbers
  body.add(serialize(nodes_proto(graph)));
  for (const OnnxInitializer& initializer : graph.initializers) {
    body.add_field(onnx::GraphProto::kInitializerFieldNumber, tensor_layout(initializer, data));
  }
  body.add(serialize(interface_proto(graph)));

  onnx::ModelProto head, tail;
  head.set_ir_version(ir_version_for(graph.opsets.at("")));
  head.set_producer_name("onnxport");
  head.set_producer_version(ONNXPORT_VERSION);
  for (const auto& [domain, version] : graph.opsets) {
    onnx::OperatorSetIdProto& opset = *tail.add_opset_import();
    opset.set_domain(domain);
    opset.set_version(version);
  }
  Layout model;
  model.add(serialize(head));
  model.add_field(onnx::ModelProto::kGraphFieldNumber, body);
  model.add(serialize(tail));
  return model;
}

// --- writing -----------------------------------------------------------------------------------------------

/// Makes a folder and its parents, and removes the new ones again unless keep() is called.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& folder) {
    std::error_code error;
    for (fs::path path = folder; !path.empty() && !fs::exists(path, error); path = path.parent_path()) {
      made_.push_back(path);
    }
    fs::create_directories(folder, error);
    if (!error) return;
    remove();
    throw io_error("create folder", folder, error.value());
  }
  ~NewFolder() { remove(); }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  void keep() { made_.clear(); }

 private:
  void remove() const {
    std::error_code ignored;  // a folder that someone else has put something into stays
    for (const fs::path& path : made_) fs::remove(path, ignored);
  }
  std::vector<fs::path> made_;  // innermost first
};

/// One model, laid out.
struct Plan {
  fs::path path;
  Layout model;
  DataFile data;  ///< of its own; empty where it has none
};

/// `shared`: the data file of all models, or null. `checkpoint`: asked when data goes there.
Plan plan(const ModelFile& file, const WriteOptions& options, DataFile* shared, CheckpointFiles& checkpoint) {
  check_names(*file.graph, file.path.string());
  Plan plan{.path = file.path,
            .model = {},
            .data = {.path = file.path.string() + "_data",
                     .threshold = static_cast<std::uint64_t>(options.external_threshold),
                     .alignment = options.alignment}};
  const bool automatic = options.external_data == ExternalData::automatic;
  if (automatic || options.external_data == ExternalData::never)
    plan.model = model_layout(*file.graph, nullptr);
  const bool stored = options.external_data == ExternalData::checkpoint;
  if (stored) plan.data.checkpoint = &checkpoint;
  if (shared != nullptr) {
    plan.model = model_layout(*file.graph, shared);
  } else if (stored || options.external_data == ExternalData::always ||
             (automatic && plan.model.size() > options.message_limit)) {
    plan.model = model_layout(*file.graph, &plan.data);
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

/// Calls on_overflow once per weight: for the small ones, then for those of the tiles, in the order of the
/// files.
void report_overflows(const std::vector<Weight>& small, const std::vector<Tile>& tiles,
                      const std::vector<std::int64_t>& overflows, const WriteOptions& options) {
  if (!options.on_overflow) return;
  std::set<std::string_view> told;
  const auto tell = [&](const Weight& weight, std::int64_t count) {
    if (count > 0 && told.insert(weight.fingerprint()).second) options.on_overflow(weight, count);
  };
  for (const Weight& weight : small) tell(weight, count_overflows(weight));
  for (std::size_t i = 0; i < tiles.size();) {
    const Weight& weight = *tiles[i].weight;
    std::int64_t count = 0;
    for (; i < tiles.size() && tiles[i].weight == &weight; ++i) count += overflows[i];
    tell(weight, count);
  }
}

/// Gives all files their names, the models last. If the process is killed in between, there must be no old
/// model with new data and, if possible, no models of an export without the others.
void commit(std::deque<AtomicFile>& data_files, std::deque<AtomicFile>& model_files) {
  std::error_code ignored;
  const bool several = data_files.size() + model_files.size() > 1;
  if (several) {
    for (const AtomicFile& model : model_files) fs::remove(model.target(), ignored);
  }
  std::vector<fs::path> named;
  try {
    for (std::deque<AtomicFile>* files : {&data_files, &model_files}) {
      for (AtomicFile& file : *files) {
        file.commit();
        named.push_back(file.target());
      }
    }
  } catch (...) {
    for (const fs::path& path : named) fs::remove(path, ignored);
    throw;
  }
}

}  // namespace

int ir_version_for(int opset) {
  // First opsets of IR versions 4, 5, …; older models are IR 3. ONNX Runtime accepts up to 13.
  constexpr int first_opsets[] = {9, 10, 11, 12, 15, 19, 21, 23, 24, 25};
  return 3 + static_cast<int>(std::ranges::upper_bound(first_opsets, opset) - std::begin(first_opsets));
}

std::vector<WrittenFile> write_models(const std::vector<ModelFile>& models, const WriteOptions& options) {
  if (models.empty()) return {};
  const fs::path folder = models.front().path.has_parent_path() ? models.front().path.parent_path() : ".";
  const bool sharing = options.external_data == ExternalData::shared;
  const auto threshold = static_cast<std::uint64_t>(options.external_threshold);
  DataFile shared{
      .path = folder / options.shared_name, .threshold = threshold, .alignment = options.alignment};
  std::vector<Plan> plans;
  plans.reserve(models.size());
  CheckpointFiles checkpoint(folder);
  for (const ModelFile& model : models)
    plans.push_back(plan(model, options, sharing ? &shared : nullptr, checkpoint));

  std::uint64_t bytes = shared.layout.size(), total = shared.layout.payload_bytes();
  for (const Plan& one : plans) {
    bytes += one.model.size() + one.data.layout.size();
    total += one.model.payload_bytes() + one.data.layout.payload_bytes();
  }
  NewFolder new_folder(folder);
  check_free_space(folder, bytes);
  std::vector<Tile> tiles;
  std::deque<AtomicFile> data_files, model_files;  // tiles point to them
  std::map<std::string, std::string> renamed;
  const auto start_data = [&](const DataFile& data) {
    if (data.layout.size() == 0) return;
    AtomicFile& file = data_files.emplace_back(data.path);
    start(file, data.layout, tiles);
    renamed[data.path.filename().string()] = file.temporary().filename().string();
  };
  for (const Plan& one : plans) {
    start(model_files.emplace_back(one.path), one.model, tiles);
    start_data(one.data);
  }
  start_data(shared);

  std::uint64_t done = total;  // the small ones were in the text
  for (const Tile& tile : tiles) done -= tile.count * size_of(tile.weight->dtype());
  std::mutex progress;
  std::vector<std::int64_t> overflows(tiles.size());
  const auto write_tile = [&](std::size_t i) {
    overflows[i] = tiles[i].write();
    if (!options.on_progress) return;
    const std::lock_guard lock(progress);
    done += tiles[i].count * size_of(tiles[i].weight->dtype());
    options.on_progress(done, total);
  };
  // For less than a tile, starting a thread costs more than it saves.
  const std::uint64_t threads = std::min<std::uint64_t>(available_threads(), 1 + total / tile_bytes);
  parallel_for(tiles.size(), write_tile, static_cast<unsigned>(threads));
  std::vector<Weight> small = shared.layout.written_weights();
  for (const Plan& one : plans) {
    for (const Layout* layout : {&one.model, &one.data.layout})
      small.insert(small.end(), layout->written_weights().begin(), layout->written_weights().end());
  }
  report_overflows(small, tiles, overflows, options);

  if (options.check) {
    for (std::size_t i = 0; i < plans.size(); ++i)
      check_written(model_files[i].temporary(), plans[i].path.string(), renamed);
  }
  commit(data_files, model_files);
  new_folder.keep();

  std::vector<WrittenFile> written;
  for (const Plan& one : plans) {
    written.push_back({one.path, one.model.size()});
    if (one.data.layout.size() > 0) written.push_back({one.data.path, one.data.layout.size()});
  }
  if (shared.layout.size() > 0) written.push_back({shared.path, shared.layout.size()});
  return written;
}

std::vector<WrittenFile> write_model(const OnnxGraph& graph, const fs::path& path,
                                     const WriteOptions& options) {
  return write_models({{&graph, path}}, options);
}

}  // namespace onnxport::serialize
