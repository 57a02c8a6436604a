/// Quantizes .onnx files into others.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "onnxport/dynamic_quantization.h"
#include "serialize/writer.h"

namespace onnxport::serialize {

struct FileToQuantize {
  std::filesystem::path from, to;
};

struct QuantizedFile {
  std::filesystem::path from, to;
  std::uint64_t bytes_before = 0, bytes = 0;   ///< with the files of external data
  std::map<std::string, std::int64_t> nodes;   ///< quantized nodes by type
  std::vector<std::filesystem::path> written;  ///< `to` and its data files
};

struct QuantizeFilesOptions {
  DynamicQuantization how;
  WriteOptions write;
  std::function<void(const std::string&)> on_notice = {};
  std::function<void()> before_writing = {};  ///< called after everything that depends on the models
};

/// Quantizes all files (see quantize_model), or none if one of them fails. Memory does not depend on the size
/// of the weights, which are streamed from file to file. If the official checker refuses a file, its result
/// is not checked either, and `on_notice` hears so. Throws ExportError(io | unsupported | bad_checkpoint).
std::vector<QuantizedFile> quantize_files(const std::vector<FileToQuantize>& files,
                                          const QuantizeFilesOptions& options);

}  // namespace onnxport::serialize
