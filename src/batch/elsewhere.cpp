#include "batch/elsewhere.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "batch/results.h"
#include "support/fail.h"
#include "support/json.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using batch::Job;
using json = nlohmann::ordered_json;

std::string task_of(const Job& job, const ManyOptions& options) {
  // Workers have other working folders.
  std::error_code error;
  const bool local = fs::exists(job.entry.model, error);
  return json{{"model", local ? fs::absolute(job.entry.model).string() : job.entry.model},
              {"name", job.entry.model},
              {"flags", job.entry.flags},
              {"key", job.entry.key},
              {"output", fs::absolute(options.output).string()},
              {"folder", job.folder},
              {"max_memory", options.max_memory},
              {"min_free_disk", options.min_free_disk}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

/// The result of a task that did not return one.
ManyResult lost(const Job& job, const std::string& error) {
  ManyResult result{job.entry.model, job.entry.flags, job.folder, "failed"};
  result.error = "its worker was lost: " + error;
  return result;
}

class Engine {
 public:
  Engine(const ManyOptions& options, std::deque<Job> jobs, const batch::Record& record)
      : options_(options), waiting_(std::move(jobs)), record_(record) {}

  void run(ManyReport& report) {
    while (!waiting_.empty() || !running_.empty()) {
      if (options_.interrupts && options_.interrupts() > 0) {
        report.interrupted = true;
        return stop();
      }
      while (!waiting_.empty() && running_.size() < options_.jobs && !report.disk_full) start();
      if (running_.empty()) return;  // the disk is full
      for (const ManyEnd& end : options_.engine.poll()) finish(end, report);
    }
  }

 private:
  void start() {
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    ++job.attempts;
    options_.engine.start(next_, task_of(job, options_));
    running_.emplace(next_++, std::move(job));
  }

  void finish(const ManyEnd& end, ManyReport& report) {
    auto found = running_.extract(end.id);
    if (found.empty()) return;
    Job job = std::move(found.mapped());
    auto line = batch::read_line(end.result);
    if (!line && job.attempts < batch::kMostAttempts) {
      if (options_.on_notice) {
        options_.on_notice(fmt::format("{} was lost with its worker ({}): it is exported again at the end",
                                       job.entry.model, end.error));
      }
      waiting_.push_back(std::move(job));
      return;
    }
    ManyResult result = line ? std::move(line->second) : lost(job, end.error);
    if (result.status == "open") {  // there was no room for it
      report.disk_full = true;
      return;
    }
    result.attempts = std::max(result.attempts, job.attempts);
    record_(job.entry, result);
  }

  void stop() {
    options_.engine.stop();
    for (const auto& [id, job] : running_) batch::remove_unfinished(options_.output / job.folder);
  }

  const ManyOptions& options_;
  std::deque<Job> waiting_;
  std::map<std::size_t, Job> running_;
  const batch::Record& record_;
  std::size_t next_ = 0;
};

}  // namespace

namespace batch {

void run_elsewhere(const ManyOptions& options, std::deque<Job> jobs, const Record& record,
                   ManyReport& report) {
  Engine(options, std::move(jobs), record).run(report);
}

}  // namespace batch

std::string run_many_task(const std::string& task, const std::vector<std::string>& command) {
  const json given = try_parse_json<json>(task);
  batch::Job job;
  ManyOptions options;
  options.command = command;
  std::string name;
  try {
    given.at("model").get_to(job.entry.model);
    given.at("name").get_to(name);
    given.at("flags").get_to(job.entry.flags);
    given.at("key").get_to(job.entry.key);
    given.at("folder").get_to(job.folder);
    options.output = given.at("output").get<std::string>();
    given.at("max_memory").get_to(options.max_memory);
    given.at("min_free_disk").get_to(options.min_free_disk);
  } catch (const json::exception&) {
    fail(ErrorCode::invalid_argument, "expected a task of export_many() of the same version, got {}", task);
  }
  std::error_code error;
  if (!fs::is_directory(options.output / "logs", error)) {
    fail(ErrorCode::io, "{} is not on the machine of this worker: expected a folder that all machines share",
         options.output.string());
  }
  // An attempt that was killed with its worker may have left files.
  batch::remove_unfinished(options.output / job.folder);
  const std::string key = job.entry.key;
  ManyResult result{name, job.entry.flags, job.folder, "open"};
  ManyReport report;
  batch::Pool(options, {std::move(job)}, [&](const batch::Entry&, const ManyResult& one) {
    result = one;
    result.model = name;
  }).run(report);
  return batch::line_of(key, result);
}

}  // namespace onnxport
