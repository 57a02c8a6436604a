#include "layout/transformers_js.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "onnxport/error.h"

namespace onnxport::layout {
namespace {

using json = nlohmann::ordered_json;

bool has_cache(const ExportPlan& plan) {
  return std::any_of(plan.components.begin(), plan.components.end(),
                     [](const Component& component) { return !component.interface.states.empty(); });
}

}  // namespace

ExportPlan arrange_transformers_js(ExportPlan plan) {
  for (const Variant& variant : plan.variants) {
    if (variant.dtype == DType::bf16) {
      throw ExportError(ErrorCode::unsupported,
                        "transformers.js does not know models in bfloat16; use --dtype fp16 or fp32");
    }
  }
  const auto move = [](std::string& folder) {
    folder = (std::filesystem::path("onnx") / folder).lexically_normal().string();
    if (folder.ends_with('/')) folder.pop_back();
  };
  for (Component& component : plan.components) move(component.folder);
  for (Merge& merge : plan.merges) move(merge.folder);
  return plan;
}

std::string transformers_js_config(const ExportPlan& plan, std::string_view config,
                                   const std::map<std::string, std::int64_t>& data_files) {
  json whole = json::parse(config, nullptr, false);
  if (!whole.is_object()) {
    throw ExportError(ErrorCode::bad_config,
                      "config.json is not a JSON object, so it cannot get 'transformers.js_config'");
  }
  json settings = whole.value("transformers.js_config", json::object());
  if (!settings.is_object()) settings = json::object();
  settings.erase("use_external_data_format");
  for (const auto& [model, count] : data_files) settings["use_external_data_format"][model] = count;
  if (plan.variants.size() == 1) settings["dtype"] = plan.variants.front().name;
  settings.erase("kv_cache_dtype");
  for (const Variant& variant : plan.variants) {
    if (variant.dtype == DType::f16 && has_cache(plan)) settings["kv_cache_dtype"][variant.name] = "float16";
  }
  if (settings.empty()) {
    whole.erase("transformers.js_config");
  } else {
    whole["transformers.js_config"] = std::move(settings);
  }
  return whole.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace onnxport::layout
