#include "pipeline/pipeline_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "config/class_defaults.h"
#include "config/json.h"
#include "exporter/diffusers_definition.h"
#include "onnxport/diffusers.h"
#include "pipeline/companions.h"
#include "support/atomic_file.h"
#include "support/text.h"

namespace onnxport::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr std::array kFolders = {"scheduler",   "tokenizer",         "tokenizer_2",
                                 "tokenizer_3", "feature_extractor", "image_processor"};
// Models that pipelines can do without, and that Optimum does not export either.
constexpr std::array kLeftOut = {"safety_checker", "image_encoder"};

// "vae" for vae_encoder, if that is no component itself.
std::string key_of(const std::vector<std::string>& components, const std::string& model) {
  if (std::find(components.begin(), components.end(), model) != components.end()) return model;
  return model.substr(0, model.rfind('_'));
}

// Clients read settings that older files do not have, because their class has defaults.
std::string completed(const fs::path& file, const PretrainedConfig& part) {
  nlohmann::ordered_json values = config::parse_ordered_json(config::read_json_text(file), file.string());
  const bool of_diffusers = find_diffusers_class(TasksManager::instance(), part.model_type()) != nullptr;
  const auto defaults = of_diffusers ? config::class_defaults(part.model_type()) : nullptr;
  if (defaults != nullptr) {
    for (const auto& [key, value] : defaults->items()) {
      if (!values.contains(key)) values[key] = value;
    }
  }
  return values.dump(2) + "\n";
}

}  // namespace

bool is_pipeline_companion(std::string_view path) {
  if (path == exporter::kModelIndex) return true;
  const std::size_t slash = path.find('/');
  if (slash == path.npos) return false;
  const std::string_view folder = path.substr(0, slash), name = path.substr(slash + 1);
  if (std::find(kFolders.begin(), kFolders.end(), folder) == kFolders.end()) return false;
  return name == "scheduler_config.json" || (name != "config.json" && Companions().includes(name));
}

std::vector<fs::path> copy_pipeline_companions(const fs::path& from, const fs::path& to,
                                               const PretrainedConfig& config,
                                               const std::vector<std::string>& models) {
  std::set<fs::path> written;
  std::error_code ignored;
  fs::create_directories(to, ignored);
  const bool in_place = fs::equivalent(from, to, ignored);
  std::vector<std::string> paths = {exporter::kModelIndex};
  for (const char* folder : kFolders) {
    for (const fs::directory_entry& entry : fs::directory_iterator(from / folder, ignored)) {
      std::string path = fmt::format("{}/{}", folder, entry.path().filename().string());
      if (entry.is_regular_file(ignored) && is_pipeline_companion(path)) paths.push_back(std::move(path));
    }
  }
  for (const std::string& path : paths) {
    if (in_place) break;
    fs::create_directories((to / path).parent_path());
    copy_atomically(from / path, to / path);
    written.insert(to / path);
  }
  const PretrainedConfig reader = config.unaccounted();
  const std::vector<std::string> components = components_of(reader);
  for (const std::string& model : models) {
    const std::string key = key_of(components, model);
    const fs::path target = to / model / "config.json";
    if (in_place && key == model) continue;
    fs::create_directories(target.parent_path());
    AtomicFile file(target);
    file.append(completed(from / key / "config.json", reader.sub(key)));
    file.commit();
    written.insert(target);
  }
  return {written.begin(), written.end()};
}

std::vector<std::string> left_out_of_pipeline(const fs::path& folder) {
  const fs::path file = folder / exporter::kModelIndex;
  const nlohmann::json index = config::parse_json(config::read_json_text(file), file.string());
  std::vector<std::string> names;
  for (const char* name : kLeftOut) {
    const auto found = index.find(name);
    const bool named =
        found != index.end() && found->is_array() && !found->empty() && found->front().is_string();
    if (named) names.emplace_back(name);
  }
  if (names.empty()) return {};
  return {fmt::format("{} of the pipeline {} left out, as Optimum does: pipelines run without",
                      text::join(names), names.size() == 1 ? "is" : "are")};
}

}  // namespace onnxport::pipeline
