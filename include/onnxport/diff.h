/// Compares two .onnx files of any producers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/bench.h"
#include "onnxport/export_macro.h"
#include "onnxport/file_inputs.h"
#include "onnxport/validate.h"

namespace onnxport {

/// When to compare the values inside of two files.
enum class NodeValues { if_outputs_differ, always, never };

struct DiffOptions {
  AxisSizes sizes;                  ///< of the inputs, see make_file_inputs()
  std::optional<double> atol = {};  ///< default: 1e-5, for bfloat16 5e-3, for float16 1e-2
  int threads = 0;                  ///< of ONNX Runtime; 0: its choice
  double seconds = 3;               ///< for timing each file
  bool run = true;                  ///< compare outputs
  bool time = false;                ///< compare latencies
  NonFinite non_finite = NonFinite::allow;
  NodeValues node_values = NodeValues::if_outputs_differ;
};

/// Something that both files have, or one of them: texts are empty where it is absent.
struct TextDiff {
  std::string name, a, b;
  bool operator==(const TextDiff&) const = default;
};

/// An input or output: "int64[batch_size, sequence_length]".
struct ValueDiff {
  std::string name, a, b;
  bool output = false;
  bool only_axis_names = false;  ///< a client does not see the difference
};

struct CountDiff {
  std::string name;  ///< of an operator, with its domain unless that is ai.onnx
  std::size_t a = 0, b = 0;
};

/// A tensor that is not the same in both files.
struct WeightDiff {
  std::string a, b;            ///< names; empty: the file has no such tensor
  std::string type_a, type_b;  ///< "float32[384, 384]"
  std::uint64_t bytes = 0;     ///< in A, or in B if only B has it
  double max_difference = 0;   ///< of tensors with the same name and shape
};

/// Constants of fewer than 8 elements that differ or have no partner are counted, but not listed: shapes and
/// axes depend on the exporter.
struct WeightsDiff {
  std::size_t count_a = 0, count_b = 0;
  std::uint64_t bytes_a = 0, bytes_b = 0;
  std::size_t same = 0;              ///< tensors of A with the same name and content in B
  std::vector<TextDiff> renamed;     ///< the same content under another name
  std::vector<TextDiff> transposed;  ///< the same content with permuted axes
  std::vector<WeightDiff>
      changed;  ///< the same name and shape, but other values or another type; the largest difference first
  std::vector<WeightDiff> only_a, only_b;
  std::size_t small_a = 0, small_b = 0;  ///< small constants without an equal one of the same name
  /// Whether all weights have the same values, wherever they are.
  bool same_values() const { return changed.empty() && only_a.empty() && only_b.empty(); }
};

/// Nodes with the same name that are not the same.
struct NodeDiff {
  std::string a, b;                  ///< their names, with the place of a graph inside of another node
  std::string op_a, op_b;            ///< with the domain unless that is ai.onnx
  std::vector<TextDiff> attributes;  ///< that differ; a default counts as given
  std::vector<TextDiff> results;     ///< types and shapes of outputs that differ: "float32[rows, 4]"
};

/// A result of two nodes with the same name, on the same inputs. Shapes may differ if they have as many
/// elements.
struct NodeValue {
  std::string node, op;         ///< in A
  OutputComparison comparison;  ///< B against A
  double part = 0;              ///< the largest difference as a part of max(1, the largest |value|)
  double part_before = 0;       ///< the largest `part` of the compared values that it is computed from
  bool begins = false;          ///< it differs, and all compared values that it is computed from agree
  bool reaches_output = false;  ///< no value that agrees lies between it and an output that differs
};

/// Nodes have the same name if their names are the same without a slash in front and with dots for all
/// slashes but the last ("/encoder/layer.0/MatMul", "encoder.layer.0/MatMul"), or else if that is so for
/// their first results, which keep their names when a fusion makes new nodes. The last nodes of a
/// module without others inside ("encoder.layer.0.output.dense") and without such a partner are compared by
/// their values only, if they have as many elements.
struct NodesDiff {
  std::size_t count_a = 0, count_b = 0;  ///< without constants, with those in branches and bodies
  std::size_t same_name = 0;             ///< pairs
  std::size_t same_module = 0;           ///< pairs of the last nodes of modules, without the same name
  std::vector<NodeDiff> differing;       ///< in the order of A
  std::string case_name;                 ///< of the inputs; empty: values were not compared
  std::vector<NodeValue> values;         ///< of the main graph, in the order of A
  std::size_t not_compared = 0;          ///< pairs of values that are no tensors, or floats in only one file
};

struct ONNXPORT_API FileDiff {
  std::filesystem::path a, b;
  std::vector<ValueDiff> values;  ///< inputs and outputs that differ
  std::vector<TextDiff> opsets;   ///< that differ: domain and versions
  std::vector<CountDiff> ops;     ///< all operators, with those in branches and bodies; most frequent first
  WeightsDiff weights;
  NodesDiff nodes = {};
  double atol = 0;
  std::vector<ValidationCase> cases;  ///< B against A, for the outputs that both have
  std::vector<Drift> drift = {};      ///< over all cases
  std::string run_error;              ///< why a file could not be run; empty: both ran, or were not asked to
  std::optional<BenchResult> time_a = {}, time_b = {};

  /// Whether a client can take one for the other: inputs and outputs have the same names, types and fixed
  /// extents, and the outputs agree; if nothing was run, the weights have the same values.
  bool interchangeable() const;
  /// Whether also opsets, operators with their attributes, weights and their names are the same.
  bool identical() const;
  /// The first case with an output that differs, or null.
  const ValidationCase* first_failed() const;
};

/// Compares two files. Weights are read in tiles, and the files are loaded one after the other. Differences
/// are no errors. Throws ExportError(io | unsupported), and (runtime) if ONNX Runtime is missing.
ONNXPORT_API FileDiff diff_files(const std::filesystem::path& a, const std::filesystem::path& b,
                                 const DiffOptions& options = {});

/// The nodes alone, without their values.
ONNXPORT_API NodesDiff diff_nodes(const std::filesystem::path& a, const std::filesystem::path& b);

/// The weights alone.
ONNXPORT_API WeightsDiff diff_weights(const std::filesystem::path& a, const std::filesystem::path& b);

/// The files with the same path in two folders.
struct FolderDiff {
  std::vector<std::filesystem::path> both;            ///< paths below the folders, sorted
  std::vector<std::filesystem::path> only_a, only_b;  ///< the same
};
/// Throws ExportError(io) if one of them has no .onnx file.
ONNXPORT_API FolderDiff pair_files(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace onnxport
