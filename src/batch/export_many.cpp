#include "onnxport/export_many.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "batch/elsewhere.h"
#include "batch/list.h"
#include "batch/pool.h"
#include "batch/results.h"
#include "batch/summary.h"
#include "batch/worker.h"
#include "support/atomic_file.h"
#include "support/fail.h"
#include "support/hash.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using batch::Job;

/// The folder of each export: that of an earlier run, or one that no other export has.
class Folders {
 public:
  explicit Folders(const std::map<std::string, ManyResult>& earlier) {
    for (const auto& [key, result] : earlier) add(key, result.folder);
  }

  const std::string& of(const batch::Entry& entry) {
    if (const auto found = folders_.find(entry.key); found != folders_.end()) return found->second;
    constexpr std::size_t kDigits = 8;
    std::string name = batch::folder_name(entry.model);
    if (taken_.contains(name))
      name += "-" + hash128(std::as_bytes(std::span(entry.key.data(), entry.key.size()))).substr(0, kDigits);
    return add(entry.key, name);
  }

 private:
  const std::string& add(const std::string& key, const std::string& name) {
    taken_.insert(name);
    return folders_[key] = name;
  }

  std::map<std::string, std::string> folders_;
  std::set<std::string> taken_ = {"logs", "results.jsonl", "summary.md"};
};

void write_summary(const fs::path& file, const ManyReport& report) {
  AtomicFile page(file);
  page.append(batch::summary_page(report));
  page.flush();
  page.commit();
}

}  // namespace

std::size_t ManyReport::count(const std::string& status) const {
  return static_cast<std::size_t>(std::ranges::count(results, status, &ManyResult::status));
}

ManyReport export_many(const ManyOptions& options) {
  const std::vector<batch::Entry> entries =
      batch::parse_list(batch::read_list(options.list), options.flags, options.on_notice);
  std::error_code error;
  fs::create_directories(options.output / "logs", error);
  if (error) fail(ErrorCode::io, "cannot create {}: {}", (options.output / "logs").string(), error.message());
  const batch::FolderLock lock(options.output);
  // What was exported counts as long as it is there.
  const auto drop = [&](const ManyResult& result) {
    return result.status == "ok" ? !fs::exists(options.output / result.folder) : options.retry;
  };
  batch::Results results(options.output / "results.jsonl", drop, options.on_notice);
  const std::map<std::string, ManyResult> earlier = results.found();
  Folders folders(earlier);
  std::deque<Job> jobs;
  std::vector<std::string> names;
  for (const batch::Entry& entry : entries) {
    names.push_back(folders.of(entry));
    if (!earlier.contains(entry.key)) jobs.push_back({entry, names.back(), batch::weights_of(entry.model)});
  }
  ManyReport report;
  std::size_t done = entries.size() - jobs.size();
  const std::size_t total = entries.size();
  const batch::Record record = [&, done](const batch::Entry& entry, const ManyResult& result) mutable {
    results.add(entry.key, result);
    if (options.on_result) options.on_result(result, ++done, total);
  };
  if (options.engine) {
    batch::run_elsewhere(options, std::move(jobs), record, report);
  } else {
    batch::Pool(options, std::move(jobs), record).run(report);
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto found = results.found().find(entries[i].key);
    if (found == results.found().end()) {
      report.results.push_back({entries[i].model, entries[i].flags, names[i], "open"});
      continue;
    }
    report.results.push_back(found->second);
    report.results.back().skipped = earlier.contains(entries[i].key);
  }
  write_summary(options.output / "summary.md", report);
  return report;
}

}  // namespace onnxport
