/// Looks at the values inside of an .onnx file.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace onnx {
class ModelProto;
}

namespace onnxport::serialize {

/// Makes models whose outputs are values inside of a file. The file stays as it is.
class Probe {
 public:
  /// Reads everything except large payloads. Throws like read_skeleton().
  explicit Probe(const std::filesystem::path& path);

  /// The message of a model with these outputs, which are results of nodes of the main graph. It has only the
  /// nodes that come before them. Its weights are external data: bytes of the file, or of its own external
  /// data, with names relative to the folder of the file.
  std::string with_outputs(const std::vector<std::string>& values) const;

 private:
  std::shared_ptr<const onnx::ModelProto> model_;
};

}  // namespace onnxport::serialize
