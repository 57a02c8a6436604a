/// Times .onnx files of any producer in ONNX Runtime.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/file_inputs.h"

namespace onnxport {

struct BenchOptions {
  AxisSizes sizes;               ///< see make_file_inputs()
  int threads = 0;               ///< that work on one operator; 0: ONNX Runtime's choice
  std::string provider = "cpu";  ///< "cuda", … runs the nodes that it takes
  std::int64_t runs = 0;         ///< timed runs of a file; 0: as many as `seconds` allow, at least 5
  double seconds = 3;            ///< of timed runs, if `runs` is 0
};

/// Times of runs, in seconds. The percentile p is the smallest time that p % of the runs do not exceed.
struct Latency {
  double mean = 0, least = 0, p50 = 0, p90 = 0, p99 = 0, most = 0;
};
/// `seconds`: of at least one run.
ONNXPORT_API Latency summarize_latency(std::span<const double> seconds);

struct BenchResult {
  std::filesystem::path file;
  std::string error;        ///< why it could not be timed; empty: it was
  std::uint64_t bytes = 0;  ///< of the file, and of the files with its external data
  std::vector<std::pair<std::string, std::string>> inputs;  ///< name and type: "int64[2, 16]"
  AxisSizes sizes;                                          ///< of the symbols in the types
  double load_seconds = 0;                                  ///< until the file could be run
  double first_seconds = 0;                                 ///< of the first run, which is not counted below
  std::int64_t runs = 0;
  Latency latency;
  std::int64_t tokens = 0;  ///< of a run; 0 without a sequence of tokens
  std::optional<double> tokens_per_second = {};
  std::uint64_t peak_memory = 0;  ///< of the process while this file was loaded and run, in bytes
};

/// The files of a folder in order, also those of its folder `onnx`; or the file itself. Throws
/// ExportError(io) if there are none.
ONNXPORT_API std::vector<std::filesystem::path> find_onnx_files(const std::filesystem::path& path);

/// Loads a file, runs it once, and then times runs on the same inputs, with all of its outputs. Throws
/// ExportError(io | runtime | unsupported | invalid_argument).
ONNXPORT_API BenchResult bench_file(const std::filesystem::path& file, const BenchOptions& options);

/// One after the other. A file that cannot be timed has an error in its result. Throws
/// ExportError(invalid_argument) if no file has an axis that `options.sizes` names, and (runtime) if ONNX
/// Runtime is missing.
ONNXPORT_API std::vector<BenchResult> bench_files(const std::vector<std::filesystem::path>& files,
                                                  const BenchOptions& options);

}  // namespace onnxport
