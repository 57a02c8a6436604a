/// The values inside of two files on the same inputs.
#pragma once

#include <cstddef>
#include <filesystem>

#include "measure/node_pairs.h"
#include "onnxport/diff.h"
#include "onnxport/tensor.h"

namespace onnxport::measure {

/// A file that ONNX Runtime can run, and what it gets.
struct FileRun {
  const std::filesystem::path& file;
  const NamedTensors& inputs;
};

/// Bytes of values of both files that are held at a time, unless a single value has more.
inline constexpr std::size_t kValueBytes = 256 << 20;

/// Compares the results of nodes of the main graphs, and fills the values of `diff.nodes`. ONNX Runtime runs
/// the files without its optimizations, which remove values, with some of the values as outputs at a time.
/// `outputs`: the comparison of the outputs on these inputs.
void compare_node_values(const PairedNodes& nodes, const FileRun& a, const FileRun& b,
                         const ValidationCase& outputs, const DiffOptions& options, FileDiff& diff);

}  // namespace onnxport::measure
