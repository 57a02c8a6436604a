/// Writes a lowered graph as ONNX files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "onnx/onnx_graph.h"

namespace onnxport::serialize {

/// Protobuf is limited to 2 GiB. The margin is for clients that add something and write the file again.
inline constexpr std::uint64_t largest_message = (std::uint64_t{1} << 31) - (std::uint64_t{1} << 24);

enum class ExternalData {
  automatic,  ///< in `<path>_data`, when the message would pass 2 GB
  always,     ///< in `<path>_data`
  never,
  shared,      ///< in ModelFile::shared_name
  checkpoint,  ///< in the checkpoint's files in the same folder; the rest in `<path>_data`
};

struct WriteOptions {
  ExternalData external_data = ExternalData::automatic;
  std::int64_t external_threshold = 1024;         ///< smaller tensors stay in the message, bytes
  std::uint64_t alignment = 0;                    ///< of tensors in data files, a power of two; 0: see below
  std::uint64_t message_limit = largest_message;  ///< bytes of the .onnx file above which data goes outside
  std::uint64_t data_chunk_limit = 0;             ///< bytes of a data file; 0: see write_models
  bool check = true;                              ///< official full check and strict shape inference
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress;  ///< bytes of payload
  /// Called after writing for each weight that has elements beyond the range of its half precision.
  std::function<void(const Weight& weight, std::int64_t count)> on_overflow = {};
};

struct WrittenFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};

/// Lowest IR version for an opset of ai.onnx, so that older clients can load the file.
int ir_version_for(int opset);

struct LazyModel;

/// A graph and the .onnx file that it becomes.
struct ModelFile {
  const OnnxGraph* graph;  ///< null: `changed` is written
  std::filesystem::path path;
  /// With ExternalData::shared: the data file beside the model. Models of the same folder and name share it.
  std::string shared_name = "model.onnx_data";
  const LazyModel* changed = nullptr;  ///< a file that was read
  bool check = true;                   ///< unless WriteOptions::check is off
};

/// Writes the models, such as all variants of all components, with external data beside them if needed.
/// Tensors in it are at multiples of `alignment`, by default 64 bytes, and 4096 from 1 MiB on. Equal tensors
/// share their place in a data file. With `data_chunk_limit`, no data file is larger, and the rest goes to
/// `<data file>_1`, `<data file>_2`, and so on; tensors are not split.
///
/// All processors stream payloads, and memory is bounded by a few tiles. Stored bytes that several weights
/// are made of in the same order are read once (see Streaming). Everything is written under temporary names
/// in the folders of the models (which are created if necessary), checked (see `check_model_file`) and
/// renamed at the end, the .onnx files last. A failure leaves no files. Equal input gives identical bytes.
/// Returns each .onnx file followed by its own data files, and the shared data files at the end. Throws
/// ExportError(io | internal), or (invalid_argument) for a tensor beyond `data_chunk_limit`.
std::vector<WrittenFile> write_models(const std::vector<ModelFile>& models, const WriteOptions& options = {});
/// The same for one model.
std::vector<WrittenFile> write_model(const OnnxGraph& graph, const std::filesystem::path& path,
                                     const WriteOptions& options = {});

/// Runs the official full check and strict shape inference on a written file, with payloads replaced by
/// external references to the bytes on disk, so memory stays flat. Static dims declared for outputs must
/// equal the inferred ones. Throws ExportError(internal) with the checker's message.
void check_model_file(const std::filesystem::path& path);

}  // namespace onnxport::serialize
