#include "batch/results.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "support/atomic_file.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/json.h"

namespace onnxport::batch {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

constexpr mode_t kMode = 0644;
constexpr std::uint64_t kMostBytes = 4'000'000'000;

}  // namespace

std::string line_of(const std::string& key, const ManyResult& result) {
  json line = {{"model", result.model},       {"flags", result.flags},
               {"status", result.status},     {"folder", result.folder},
               {"seconds", result.seconds},   {"peak_memory_bytes", result.peak_memory},
               {"attempts", result.attempts}, {"exit_status", result.exit_status}};
  if (result.signal != 0) line["signal"] = result.signal;
  if (!result.error.empty()) line["error"] = result.error;
  line["key"] = key;
  if (!result.report.empty()) line["report"] = try_parse_json<json>(result.report);
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::optional<std::pair<std::string, ManyResult>> read_line(const std::string& text) {
  try {
    const json line = parse_json<json>(text);
    ManyResult result;
    line.at("model").get_to(result.model);
    line.at("flags").get_to(result.flags);
    line.at("status").get_to(result.status);
    line.at("folder").get_to(result.folder);
    result.seconds = line.value("seconds", 0.0);
    result.peak_memory = line.value("peak_memory_bytes", std::uint64_t{0});
    result.attempts = line.value("attempts", 1);
    result.exit_status = line.value("exit_status", 0);
    result.signal = line.value("signal", 0);
    result.error = line.value("error", "");
    if (line.contains("report")) result.report = line["report"].dump();
    return std::pair(line.at("key").get<std::string>(), std::move(result));
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

FolderLock::FolderLock(const fs::path& folder) {
  const fs::path path = folder / ".lock";
  descriptor_ = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, kMode);
  if (descriptor_ < 0) throw io_error("create", path, errno);
  if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  close(descriptor_);
  fail(ErrorCode::io, "another run exports to {}: wait for its end, or name another folder", folder.string());
}

FolderLock::~FolderLock() { close(descriptor_); }

Results::Results(fs::path file, const std::function<bool(const ManyResult&)>& drop,
                 const std::function<void(const std::string&)>& on_notice)
    : file_(std::move(file)) {
  std::error_code error;
  if (!fs::exists(file_, error)) return;
  std::istringstream in(read_text_file(file_, kMostBytes));
  std::vector<std::string> order;
  bool changed = false;
  for (std::string text; std::getline(in, text);) {
    auto line = read_line(text);
    if (!line || drop(line->second)) {
      if (!line && on_notice)
        on_notice(fmt::format("{}: a line was unfinished and is removed", file_.string()));
      if (line && found_.erase(line->first) > 0) std::erase(order, line->first);
      changed = true;
      continue;
    }
    const auto [place, added] = found_.insert_or_assign(line->first, std::move(line->second));
    if (added) order.push_back(place->first);
    changed = changed || !added;
  }
  const std::string whole = in.str();
  if (!changed && (whole.empty() || whole.ends_with('\n'))) return;
  AtomicFile rewritten(file_);
  for (const std::string& key : order) rewritten.append(line_of(key, found_.at(key)));
  rewritten.flush();
  rewritten.commit();
}

void Results::add(const std::string& key, const ManyResult& result) {
  const std::string line = line_of(key, result);
  const int descriptor = open(file_.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, kMode);
  if (descriptor < 0) throw io_error("write", file_, errno);
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = write(descriptor, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int code = errno;
      close(descriptor);
      throw io_error("write", file_, code);
    }
    done += static_cast<std::size_t>(n);
  }
  fdatasync(descriptor);
  close(descriptor);
  found_.insert_or_assign(key, result);
}

}  // namespace onnxport::batch
