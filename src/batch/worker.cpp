#include "batch/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "support/file.h"
#include "support/json.h"
#include "support/text.h"

namespace onnxport::batch {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

std::vector<std::string> arguments_of(const Job& job, const ManyOptions& options) {
  std::vector<std::string> words(options.command.begin() + 1, options.command.end());
  words.insert(words.end(),
               {"export", "onnx", "--model", job.entry.model, (options.output / job.folder).string()});
  words.insert(words.end(), job.entry.flags.begin(), job.entry.flags.end());
  words.emplace_back("--json");
  return words;
}

fs::path log_file(const Job& job, const ManyOptions& options, const char* extension) {
  return options.output / "logs" / (job.folder + extension);
}

/// The last line of a log that is not empty.
std::string last_line(const fs::path& log) {
  std::string text;
  try {
    text = read_text_file(log);
  } catch (const ExportError&) {
    return "";
  }
  const std::string_view whole = text::trimmed(text);
  const std::size_t start = whole.rfind('\n');
  return std::string(start == std::string_view::npos ? whole : whole.substr(start + 1));
}

}  // namespace

Worker::Worker(Job job, const ManyOptions& options)
    : job_(std::move(job)),
      output_(options.output / job_.folder),
      report_(log_file(job_, options, ".json")),
      log_(log_file(job_, options, ".log")),
      process_(options.command.at(0), arguments_of(job_, options), report_, log_) {
  ++job_.attempts;
}

void Worker::stop(std::string why) {
  if (stopped_) return;
  stopped_ = true;
  why_ = std::move(why);
  process_.send(SIGKILL);
}

std::optional<ManyResult> Worker::poll() {
  const std::optional<Exit> exit = process_.poll();
  if (!exit) return std::nullopt;
  ManyResult result{job_.entry.model, job_.entry.flags, job_.folder, "failed"};
  result.exit_status = exit->status;
  result.signal = exit->signal;
  result.peak_memory = exit->peak_memory;
  result.attempts = job_.attempts;
  result.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  if (exit->signal != 0) remove_unfinished(output_);
  if (stopped_ && exit->signal != 0) {
    result.error = why_;
    if (why_.empty()) result.status = "open";
    return result;
  }
  if (exit->signal != 0) {
    result.error = fmt::format("ended by signal {} ({})", exit->signal, strsignal(exit->signal));
    return result;
  }
  std::string text;
  try {
    text = read_text_file(report_);
  } catch (const ExportError&) {  // too large, or removed
  }
  const json report = try_parse_json<json>(text);
  if (report.is_object()) result.report = report.dump(-1, ' ', false, json::error_handler_t::replace);
  if (exit->status == 0 && report.is_object()) {
    result.status = "ok";
  } else if (report.is_object() && report.contains("error") && report["error"].is_string()) {
    result.error = report["error"].get<std::string>();
    result.report.clear();
  } else {
    result.error = last_line(log_);
    constexpr std::string_view kPrefix = "onnxport: error: ";
    if (result.error.starts_with(kPrefix)) result.error.erase(0, kPrefix.size());
    if (result.error.empty()) result.error = fmt::format("ended with status {}", exit->status);
  }
  return result;
}

std::uint64_t weights_of(const std::string& model) {
  const auto is_weights = [](const fs::path& path) {
    static constexpr std::array<std::string_view, 3> kExtensions = {".safetensors", ".bin", ".gguf"};
    return std::ranges::find(kExtensions, path.extension().string()) != kExtensions.end();
  };
  std::error_code error;
  if (fs::is_regular_file(model, error) && is_weights(model)) return fs::file_size(model, error);
  std::uint64_t bytes = 0;
  if (!fs::is_directory(model, error)) return bytes;
  for (const fs::directory_entry& entry : fs::directory_iterator(model, error)) {
    if (!is_weights(entry.path())) continue;
    const std::uint64_t size = fs::file_size(entry.path(), error);
    if (!error) bytes += size;
  }
  return bytes;
}

void remove_unfinished(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with('.') && name.ends_with(".tmp")) files.push_back(it->path());
  }
  for (const fs::path& file : files) fs::remove(file, error);
}

}  // namespace onnxport::batch
