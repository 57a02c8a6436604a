// Finds a base model and its adapters.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "checkpoint/adapter_keys.h"
#include "checkpoint/weight_files.h"
#include "exporter/adapter_config.h"
#include "onnxport/hub.h"
#include "pipeline/model_folder.h"
#include "support/fail.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using exporter::AdapterConfig;
using exporter::kAdapterConfig;
using pipeline::FoundFolder;
using pipeline::Holds;

bool is_same(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return a == b || fs::equivalent(a, b, ignored);
}

void add(std::vector<fs::path>& folders, const fs::path& folder) {
  const auto same = [&](const fs::path& one) { return is_same(one, folder); };
  if (std::none_of(folders.begin(), folders.end(), same)) folders.push_back(folder);
}

/// Whether a folder holds a whole model too.
bool has_model(const fs::path& folder) {
  std::error_code ignored;
  const std::vector<std::string> names = weight_file_names();
  return fs::exists(folder / "config.json", ignored) &&
         std::any_of(names.begin(), names.end(),
                     [&](const std::string& file) { return fs::exists(folder / file, ignored); });
}

/// The next step if a base model is not found.
std::string next_step(const fs::path& adapter) {
  return fmt::format("give it with --model BASE --adapter '{}', or {}{}", adapter.string(), kMergeFirst,
                     has_model(adapter) ? fmt::format("; if the folder holds the merged model, remove its {}",
                                                      kAdapterConfig)
                                        : "");
}

/// The base model that an adapter names.
struct Base {
  FoundFolder found;    ///< it may be another adapter
  std::string id = {};  ///< of its repository; empty for a local folder
};

Base find_base(const fs::path& adapter, const HubOptions& options) {
  const AdapterConfig config = exporter::read_adapter_config(adapter);
  const std::string origin = (adapter / kAdapterConfig).string();
  if (exporter::has_pipeline_adapter(adapter)) {
    fail(ErrorCode::bad_config, "{}: an adapter of a diffusion pipeline, which does not say of which one; {}",
         config.lora.origin, next_step(adapter));
  }
  if (config.base.empty()) {
    fail(ErrorCode::bad_config,
         "{}: key 'base_model_name_or_path' is missing or empty, expected the base model "
         "of the adapter; {}",
         origin, next_step(adapter));
  }
  std::error_code ignored;
  const fs::path beside = (adapter / config.base).lexically_normal();
  const bool local = fs::exists(config.base, ignored), relative = !local && fs::exists(beside, ignored);
  HubOptions of_base = options;
  of_base.subfolder.clear();
  of_base.revision = local || relative ? "" : config.revision;
  try {
    return {
        pipeline::find_folder(relative ? beside : fs::path(config.base), of_base, Holds::model_or_adapter),
        local || relative ? "" : config.base};
  } catch (const ExportError& error) {
    fail(error.code(), "{}: the base model '{}' (key 'base_model_name_or_path') was not found: {}; {}",
         origin, config.base, error.what(), next_step(adapter));
  }
}

/// The model beside an adapter that names its own folder or repository as its base model.
fs::path find_model_beside(const Base& base, const HubOptions& options) {
  const fs::path& folder = base.found.path;
  if (!base.id.empty()) return pipeline::find_folder(base.id, options, Holds::model).path;
  if (has_model(folder)) return folder;
  fail(ErrorCode::bad_checkpoint,
       "'{}' holds an adapter ({}), whose key 'base_model_name_or_path' names the same folder, but no "
       "config.json "
       "and weights of a base model; {}",
       folder.string(), kAdapterConfig, next_step(folder));
}

/// The modules around an adapter are not those of its base model.
void require_no_modules(const fs::path& adapter) {
  std::error_code ignored;
  if (!fs::exists(adapter / "modules.json", ignored)) return;
  fail(
      ErrorCode::unsupported,
      "'{}' holds modules of sentence-transformers (modules.json) around an adapter, which are not supported "
      "together; merge the adapter with peft (merge_and_unload, save_pretrained) and save the whole model",
      adapter.string());
}

}  // namespace

ModelSource get_model_source(const fs::path& model, const std::vector<fs::path>& adapters,
                             const HubOptions& options) {
  ModelSource source;
  FoundFolder found = pipeline::find_folder(model, options, Holds::model_or_adapter);
  std::vector<fs::path> chain;  // adapters on the way to the base model
  while (found.adapter) {
    chain.push_back(found.path);
    const Base base = find_base(found.path, options);
    const bool again = std::any_of(chain.begin(), chain.end(),
                                   [&](const fs::path& one) { return is_same(one, base.found.path); });
    found = again ? FoundFolder{find_model_beside(base, options)} : base.found;
  }
  source.model = found.path;
  source.pipeline_tag = found.pipeline_tag;
  for (const fs::path& one : chain) {
    if (!is_same(one, source.model)) require_no_modules(one);
  }
  std::for_each(chain.rbegin(), chain.rend(), [&](const fs::path& one) { add(source.adapters, one); });

  HubOptions of_adapter = options;
  of_adapter.revision.clear();
  of_adapter.subfolder.clear();
  for (const fs::path& adapter : adapters) {
    const FoundFolder one = pipeline::find_folder(adapter, of_adapter, Holds::adapter);
    exporter::read_adapter_config(one.path);
    add(source.adapters, one.path);
  }
  return source;
}

}  // namespace onnxport
