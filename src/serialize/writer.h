/// Writes a lowered graph as ONNX files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "onnx/onnx_graph.h"

namespace onnxport::serialize {

/// Protobuf ends at 2 GiB. The margin is for clients that add something and write the file again.
inline constexpr std::uint64_t largest_message = (std::uint64_t{1} << 31) - (std::uint64_t{1} << 24);

enum class ExternalData {
  automatic,  ///< in `<path>_data`, when the message would pass 2 GB
  always,     ///< in `<path>_data`
  never,
  shared,      ///< one file for all models that are written together
  checkpoint,  ///< where the checkpoint has them, which lies in the same folder; the rest in `<path>_data`
};

struct WriteOptions {
  ExternalData external_data = ExternalData::automatic;
  std::string shared_name = "model.onnx_data";    ///< of the file that models share, beside them
  std::int64_t external_threshold = 1024;         ///< smaller tensors stay in the message, bytes
  std::uint64_t alignment = 0;                    ///< of tensors in data files, a power of two; 0: see below
  std::uint64_t message_limit = largest_message;  ///< bytes of the .onnx file above which data goes outside
  bool check = true;                              ///< official full check and strict shape inference
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress;  ///< bytes of payload
};

struct WrittenFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};

/// Lowest IR version that an opset of ai.onnx needs, so that older clients load the file.
int ir_version_for(int opset);

/// A graph and the .onnx file that it becomes.
struct ModelFile {
  const OnnxGraph* graph;
  std::filesystem::path path;
};

/// Writes the models, all in one folder, and external data beside them where needed: tensors at multiples of
/// `alignment`, without one of 64 bytes, from 1 MiB on of 4096. Equal tensors share their place in a data
/// file. Payloads are streamed by all processors: memory is bounded by a few tiles. Everything is written
/// under temporary names in the same folder (made when it is missing), checked (see `check_model_file`) and
/// renamed at the end, the .onnx files last; on any failure nothing is left. Byte-identical for equal input.
/// Returns each .onnx file with its own data file behind it, a shared one at the end. Throws ExportError(io |
/// internal).
std::vector<WrittenFile> write_models(const std::vector<ModelFile>& models, const WriteOptions& options = {});
/// The same for one model.
std::vector<WrittenFile> write_model(const OnnxGraph& graph, const std::filesystem::path& path,
                                     const WriteOptions& options = {});

/// The official full check and strict shape inference on a written file, with payloads replaced by external
/// references into the bytes on disk, so that memory stays flat. Static dims declared for outputs must equal
/// the inferred ones. Throws ExportError(internal) with the checker's words.
void check_model_file(const std::filesystem::path& path);

}  // namespace onnxport::serialize
