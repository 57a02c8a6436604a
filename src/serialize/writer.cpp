#include "serialize/writer.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <iterator>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "onnxport/error.h"
#include "serialize/check.h"
#include "serialize/layout.h"
#include "serialize/model_proto.h"
#include "serialize/wire.h"
#include "support/atomic_file.h"
#include "support/parallel.h"
#include "support/text.h"

namespace onnxport::serialize {
namespace {

namespace fs = std::filesystem;

/// What one worker computes at a time, and what it lets the kernel copy.
constexpr std::uint64_t tile_bytes = std::uint64_t{2} << 20;
constexpr std::uint64_t copy_bytes = std::uint64_t{16} << 20;

/// Names are defined once, and something comes out. The checker would find that too, but later and less
/// clearly.
void check_names(const lower::OnnxGraph& graph, const std::string& file) {
  const auto fail = [&](const std::string& message) {
    throw ExportError(ErrorCode::internal, file + ": " + message);
  };
  if (graph.outputs.empty()) fail("the graph has no outputs");
  if (!graph.opsets.contains("")) fail("the graph does not say which opset of ai.onnx it uses");
  std::unordered_map<std::string_view, std::string_view> givers;
  const auto define = [&](const std::string& name, std::string_view giver) {
    if (name.empty()) fail(fmt::format("{} has no name", giver));
    const auto [other, is_new] = givers.emplace(name, giver);
    if (!is_new)
      fail(fmt::format("the name '{}' is given twice: to {} and to {}", name, other->second, giver));
  };
  for (const lower::OnnxValueInfo& input : graph.inputs) define(input.name, "an input");
  for (const lower::OnnxInitializer& initializer : graph.initializers)
    define(initializer.name, "an initializer");
  for (const lower::OnnxNode& node : graph.nodes) {
    for (const std::string& output : node.outputs) {
      if (!output.empty()) define(output, "an output of " + node.op_type);
    }
  }
}

// --- layout of the files -----------------------------------------------------------------------------------

/// The file of external data, as it is filled.
struct DataFile {
  std::string name;
  std::uint64_t threshold;  ///< smaller tensors stay in the message, bytes
  Layout layout;
};

/// A stored tensor as TensorProto. raw_data is its last field, as protobuf itself would order them.
Layout tensor_layout(const lower::OnnxInitializer& initializer, DataFile* data) {
  onnx::TensorProto header = tensor_header(initializer.weight, initializer.name);
  const std::uint64_t bytes = byte_size(initializer.weight);
  Layout layout;
  if (data != nullptr && bytes > 0 && bytes >= data->threshold) {
    data->layout.align(bytes < (1 << 20) ? 64 : 4096);  // cache lines for arithmetic in place, pages for mmap
    set_external(header, data->name, data->layout.size(), bytes);
    data->layout.add(initializer.weight);
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

/// The whole ModelProto. `data`: where large tensors go; null: all stay inside.
Layout model_layout(const lower::OnnxGraph& graph, DataFile* data) {
  Layout body;  // in the order of field numbers
  body.add(serialize(nodes_proto(graph)));
  for (const lower::OnnxInitializer& initializer : graph.initializers) {
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

/// A part of a payload: what one worker does at a time.
struct Tile {
  AtomicFile* file;
  std::uint64_t offset;
  const Weight* weight;
  std::int64_t begin, count;  // elements

  void write() const {
    const std::size_t element = size_of(weight->dtype());
    if (const TensorView* view = weight->view()) {
      file->copy_from(*view->file, view->offset + begin * element, offset, count * element);
      return;
    }
    thread_local std::vector<std::byte> buffer;
    buffer.resize(tile_bytes);
    weight->read(begin, count, buffer.data());
    file->write_at(offset, std::span(buffer).first(count * element));
  }
};

/// Writes the text and appends what is left to do to `tiles`.
void start(AtomicFile& file, const Layout& layout, std::vector<Tile>& tiles) {
  file.reserve(layout.size());
  for (const Layout::Text& text : layout.texts())
    file.write_at(text.offset, std::as_bytes(std::span(text.bytes)));
  for (const auto& [offset, weight] : layout.payloads()) {
    const auto element = static_cast<std::int64_t>(size_of(weight.dtype()));
    const std::int64_t step = (weight.view() != nullptr ? copy_bytes : tile_bytes) / element;
    for (std::int64_t begin = 0; begin < weight.numel(); begin += step) {
      tiles.push_back(
          {&file, offset + begin * element, &weight, begin, std::min(step, weight.numel() - begin)});
    }
  }
}

/// Makes a folder with those above it, and takes away again what it has made unless keep() is called.
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

}  // namespace

int ir_version_for(int opset) {
  // First opsets of IR versions 4, 5, …; older models are IR 3. ONNX Runtime takes up to 13.
  constexpr int first_opsets[] = {9, 10, 11, 12, 15, 19, 21, 23, 24, 25};
  return 3 + static_cast<int>(std::ranges::upper_bound(first_opsets, opset) - std::begin(first_opsets));
}

std::vector<WrittenFile> write_model(const lower::OnnxGraph& graph, const std::filesystem::path& path,
                                     const WriteOptions& options) {
  check_names(graph, path.string());
  const fs::path data_path = path.string() + "_data";
  DataFile data{data_path.filename().string(), static_cast<std::uint64_t>(options.external_threshold), {}};
  Layout model;
  if (options.external_data != ExternalData::always) model = model_layout(graph, nullptr);
  if (options.external_data == ExternalData::always ||
      (options.external_data == ExternalData::automatic && model.size() > options.message_limit)) {
    model = model_layout(graph, &data);
  }
  if (model.size() > options.message_limit) {
    throw ExportError(ErrorCode::io,
                      fmt::format("{}: the model has {}, more than the {} that an onnx file can hold; allow "
                                  "external data",
                                  path.string(), text::human_bytes(model.size()),
                                  text::human_bytes(options.message_limit)));
  }

  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  NewFolder new_folder(folder);
  check_free_space(folder, model.size() + data.layout.size());
  std::vector<Tile> tiles;
  AtomicFile model_file(path);
  start(model_file, model, tiles);
  std::optional<AtomicFile> data_file;
  if (data.layout.size() > 0) start(data_file.emplace(data_path), data.layout, tiles);

  const std::uint64_t total = model.payload_bytes() + data.layout.payload_bytes();
  std::uint64_t done = total;  // the small ones were in the text
  for (const Tile& tile : tiles) done -= tile.count * size_of(tile.weight->dtype());
  std::mutex progress;
  const auto write_tile = [&](std::size_t i) {
    tiles[i].write();
    if (!options.on_progress) return;
    const std::lock_guard lock(progress);
    done += tiles[i].count * size_of(tiles[i].weight->dtype());
    options.on_progress(done, total);
  };
  // For less than a tile, a thread costs more to start than it brings.
  const std::uint64_t threads = std::min<std::uint64_t>(available_threads(), 1 + total / tile_bytes);
  parallel_for(tiles.size(), write_tile, static_cast<unsigned>(threads));

  if (options.check) {
    std::map<std::string, std::string> renamed;
    if (data_file) renamed[data.name] = data_file->temporary().filename().string();
    check_written(model_file.temporary(), path.string(), renamed);
  }
  std::vector<WrittenFile> written{{path, model.size()}};
  if (!data_file) {
    model_file.commit();
  } else {
    // A kill between the two renames must not leave an old model with new data.
    std::error_code ignored;
    fs::remove(path, ignored);
    data_file->commit();
    try {
      model_file.commit();
    } catch (...) {
      fs::remove(data_path, ignored);
      throw;
    }
    written.push_back({data_path, data.layout.size()});
  }
  new_folder.keep();
  return written;
}

}  // namespace onnxport::serialize
