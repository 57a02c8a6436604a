#include "serialize/quantize/quantize_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "onnxport/error.h"
#include "serialize/quantize/quantize_model.h"
#include "support/parallel.h"

namespace onnxport::serialize {
namespace {

namespace fs = std::filesystem;

struct Job {
  LazyModel model;
  QuantizedNodes nodes;
};

std::uint64_t bytes_of(const fs::path& path, const LazyModel& model) {
  std::uint64_t bytes = fs::file_size(path);
  for (const fs::path& data : model.data_files) bytes += fs::file_size(data);
  return bytes;
}

/// Finds the ranges of all weights, with all processors. The first part of a scale does it.
void compute_scales(const std::vector<Weight>& scales, const std::string& file) {
  const auto compute = [&](std::size_t i) {
    std::byte scale[sizeof(float)];
    try {
      scales[i].read(0, 1, scale);
    } catch (const ExportError& error) {
      throw ExportError(error.code(), file + ": " + error.what());
    }
  };
  parallel_for(scales.size(), compute);
}

bool passes_check(const fs::path& path, const QuantizeFilesOptions& options) {
  try {
    if (options.write.check) check_model_file(path);
    return true;
  } catch (const ExportError& error) {
    if (options.on_notice)
      options.on_notice(fmt::format("the result is not checked, like its original: {}", error.what()));
    return false;
  }
}

/// Names that the options list, but no model has.
void tell_unknown_names(const std::deque<Job>& jobs, const QuantizeFilesOptions& options) {
  if (!options.on_notice) return;
  for (const auto* names : {&options.how.nodes, &options.how.excluded_nodes}) {
    for (const std::string& name : *names) {
      const auto has_name = [&](const Job& job) { return job.nodes.names.contains(name); };
      if (!std::ranges::any_of(jobs, has_name))
        options.on_notice(fmt::format("no node has the name '{}', which is listed for quantization", name));
    }
  }
}

}  // namespace

std::vector<QuantizedFile> quantize_files(const std::vector<FileToQuantize>& files,
                                          const QuantizeFilesOptions& options) {
  std::deque<Job> jobs;
  std::vector<ModelFile> models;
  std::vector<QuantizedFile> results;
  for (const FileToQuantize& file : files) {
    Job& job = jobs.emplace_back(Job{read_lazy_model(file.from), {}});
    QuantizedFile& result = results.emplace_back();
    result.from = file.from;
    result.to = file.to;
    result.bytes_before = bytes_of(file.from, job.model);
    job.nodes = quantize_model(job.model, options.how);
    result.nodes = job.nodes.by_type;
    models.push_back({.graph = nullptr, .path = file.to, .changed = &job.model});
  }
  tell_unknown_names(jobs, options);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    compute_scales(jobs[i].nodes.scales, files[i].from.string());
    models[i].check = passes_check(files[i].from, options);
  }
  if (options.before_writing) options.before_writing();
  std::size_t at = 0;
  for (const WrittenFile& written : write_models(models, options.write)) {
    if (at + 1 < results.size() && written.path == results[at + 1].to) ++at;  // its data files follow
    results[at].written.push_back(written.path);
    results[at].bytes += written.bytes;
  }
  return results;
}

}  // namespace onnxport::serialize
