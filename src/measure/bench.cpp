#include "onnxport/bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <set>

#include "measure/peak_memory.h"
#include "onnxport/inspect.h"
#include "runtime/session.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::uint64_t bytes_of(const fs::path& file, const ModelSummary& model) {
  std::set<std::string> names;
  for (const InitializerSummary& one : model.graph.initializers) {
    if (!one.file.empty()) names.insert(one.file);
  }
  std::uint64_t bytes = fs::file_size(file);
  for (const std::string& name : names) {
    std::error_code error;
    const std::uint64_t size = fs::file_size(file.parent_path() / name, error);
    if (!error) bytes += size;
  }
  return bytes;
}

/// Throws if no file has an axis of such a name. The names of the flags of `export onnx` always count.
void check_sizes(const std::vector<fs::path>& files, const AxisSizes& sizes) {
  std::vector<std::string> open;
  for (const auto& [name, size] : sizes) {
    if (!default_axis_sizes().contains(name)) open.push_back(name);
  }
  if (open.empty()) return;
  std::set<std::string> known;
  for (const fs::path& file : files) {
    const ModelSummary model = summarize(file);
    for (std::string& name : axis_names(model)) known.insert(std::move(name));
    for (const ValueSummary& input : model.graph.inputs) known.insert(input.shape.begin(), input.shape.end());
  }
  for (const std::string& name : open) {
    if (known.contains(name)) continue;
    std::erase_if(known, [](const std::string& text) {
      return text == "?" || text.find_first_not_of("0123456789") == text.npos;
    });
    fail(ErrorCode::invalid_argument, "no input has an axis '{}': the axes are {}", name,
         fmt::join(known, ", "));
  }
}

}  // namespace

Latency summarize_latency(std::span<const double> seconds) {
  std::vector<double> sorted(seconds.begin(), seconds.end());
  std::ranges::sort(sorted);
  const auto count = static_cast<double>(sorted.size());
  const auto percentile = [&](double p) {
    const double rank = std::ceil(p / 100 * count);
    return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
  };
  return {std::accumulate(sorted.begin(), sorted.end(), 0.0) / count,
          sorted.front(),
          percentile(50),
          percentile(90),
          percentile(99),
          sorted.back()};
}

std::vector<fs::path> find_onnx_files(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    if (fs::exists(path, error)) return {path};
    fail(ErrorCode::io, "there is no {}: expected an .onnx file, or a folder that has some", path.string());
  }
  std::vector<fs::path> files;
  for (const fs::path& folder : {path, path / "onnx"}) {
    if (!fs::is_directory(folder, error)) continue;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (entry.is_regular_file() && entry.path().extension() == ".onnx") files.push_back(entry.path());
    }
  }
  if (files.empty()) fail(ErrorCode::io, "{} has no .onnx file: export a model to it first", path.string());
  std::ranges::sort(files);
  return files;
}

BenchResult bench_file(const fs::path& file, const BenchOptions& options) {
  constexpr std::int64_t kLeastRuns = 5;
  BenchResult result;
  result.file = file;
  const ModelSummary model = summarize(file);
  result.bytes = bytes_of(file, model);
  measure::reset_peak_memory();
  const FileInputs inputs = make_file_inputs(model, options.sizes);
  result.sizes = inputs.sizes;
  result.tokens = inputs.tokens;
  for (const auto& [name, tensor] : inputs.tensors) {
    result.inputs.emplace_back(name,
                               fmt::format("{}{}", to_string(tensor.dtype), text::shape_text(tensor.shape)));
  }
  const Clock::time_point start = Clock::now();
  const runtime::Session session(
      file,
      {.intra_op_threads = options.threads, .provider = options.provider, .use = runtime::Use::service});
  result.load_seconds = seconds_since(start);
  session.time_runs(inputs.tensors, [&](double seconds) {
    result.first_seconds = seconds;
    return false;
  });
  std::vector<double> times;
  double spent = 0;
  session.time_runs(inputs.tensors, [&](double seconds) {
    times.push_back(seconds);
    spent += seconds;
    const auto runs = static_cast<std::int64_t>(times.size());
    return options.runs > 0 ? runs < options.runs : runs < kLeastRuns || spent < options.seconds;
  });
  result.runs = static_cast<std::int64_t>(times.size());
  result.latency = summarize_latency(times);
  if (result.tokens > 0) result.tokens_per_second = static_cast<double>(result.tokens) / result.latency.mean;
  result.peak_memory = measure::peak_memory();
  return result;
}

std::vector<BenchResult> bench_files(const std::vector<fs::path>& files, const BenchOptions& options) {
  runtime::version();  // a missing library is no fault of a file
  check_sizes(files, options.sizes);
  std::vector<BenchResult> results;
  for (const fs::path& file : files) {
    try {
      results.push_back(bench_file(file, options));
    } catch (const ExportError& error) {
      BenchResult& failed = results.emplace_back();
      failed.file = file;
      failed.error = error.what();
    }
  }
  return results;
}

}  // namespace onnxport
