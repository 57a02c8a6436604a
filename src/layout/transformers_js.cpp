#include "layout/transformers_js.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/json.h"
#include "layout/client_config.h"
#include "layout/component_inputs.h"
#include "onnxport/error.h"

namespace onnxport::layout {
namespace {

using json = nlohmann::ordered_json;

bool has_cache(const ExportPlan& plan) {
  return std::any_of(plan.components.begin(), plan.components.end(),
                     [](const Component& component) { return !component.interface.states.empty(); });
}

// Python writes Infinity, which no other parser of JSON takes. All of them read this number as infinity.
std::string with_infinities(std::string text) {
  for (const auto& [quoted, number] : {std::pair(R"("inf")", "1e999"), std::pair(R"("-inf")", "-1e999")}) {
    const std::string_view from = quoted;
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at))
      text.replace(at, from.size(), number);
  }
  return text;
}

// What the client loads if nobody asks for a precision: the only one of all files, or of each.
void set_dtype(const ExportPlan& plan, json& settings) {
  const std::vector<Variant>& variants = plan.variants;
  if (variants.size() == 1) {
    settings["dtype"] = variants.front().name;
    return;
  }
  json of_files = json::object();
  for (const Variant& variant : variants) {
    if (variant.files.empty()) return;
    for (const std::string& file : variant.files) {
      if (of_files.contains(file)) return;
      of_files[file] = variant.name;
    }
  }
  settings["dtype"] = std::move(of_files);
}

// The client gives samples to moonshine without a mask.
Component without_masks(Component component) {
  if (component.interface.find_input("input_values") != nullptr)
    return without_input(std::move(component), "attention_mask");
  return without_mask_of_samples(std::move(component));
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
  const bool is_moonshine = plan.model.config().model_type() == "moonshine";
  for (Component& component : plan.components) {
    move(component.folder);
    if (is_moonshine) component = without_masks(std::move(component));
  }
  for (Merge& merge : plan.merges) move(merge.folder);
  return plan;
}

std::string transformers_js_config(const ExportPlan& plan, std::string_view text,
                                   const std::map<std::string, std::int64_t>& data_files) {
  json whole = config::parse_ordered_json(text, "config.json");
  if (!whole.is_object()) {
    throw ExportError(ErrorCode::bad_config,
                      "config.json is not a JSON object, so it cannot get 'transformers.js_config'");
  }
  complete_config(plan, whole);
  json settings = whole.value("transformers.js_config", json::object());
  if (!settings.is_object()) settings = json::object();
  settings.erase("use_external_data_format");
  for (const auto& [model, count] : data_files) settings["use_external_data_format"][model] = count;
  set_dtype(plan, settings);
  settings.erase("kv_cache_dtype");
  for (const Variant& variant : plan.variants) {
    if (variant.dtype == DType::f16 && has_cache(plan)) settings["kv_cache_dtype"][variant.name] = "float16";
  }
  if (settings.empty()) {
    whole.erase("transformers.js_config");
  } else {
    whole["transformers.js_config"] = std::move(settings);
  }
  return with_infinities(whole.dump(2, ' ', false, json::error_handler_t::replace)) + "\n";
}

}  // namespace onnxport::layout
