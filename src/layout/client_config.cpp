#include "layout/client_config.h"

#include <algorithm>
#include <string>
#include <utility>

#include "config/class_defaults.h"

namespace onnxport::layout {
namespace {

using json = nlohmann::ordered_json;

// Source: getNormalizedConfig() in src/configs.js of version 4.3.2.
constexpr const char* kSizes[] = {
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_size",
    "head_dim",
    "n_layer",
    "n_head",
    "n_embd",
    "num_layers",
    "num_heads",
    "d_model",
    "decoder_layers",
    "encoder_layers",
    "qk_head_dim",
    "decoder_attention_heads",
    "encoder_attention_heads",
};

// A nested configuration leaves out the defaults of its class.
void fill_in_parts(json& object) {
  for (auto& [name, part] : object.items()) {
    if (!part.is_object() || !part.contains("model_type") || !part["model_type"].is_string()) continue;
    const auto defaults = config::class_defaults(part["model_type"].get<std::string>());
    for (const char* key : kSizes) {
      if (!defaults || part.contains(key)) continue;
      const auto size = defaults->find(key);
      if (size != defaults->end() && size->is_number_integer()) part[key] = *size;
    }
    fill_in_parts(part);
  }
}

// Versions of transformers write the sizes of caches in two places. For qwen2_vl, the client reads the top
// level; for qwen2_5_vl, text_config.
void place_sizes(json& whole) {
  const std::string type = whole.value("model_type", std::string());
  const bool nested = whole.contains("text_config") && whole["text_config"].is_object();
  const auto copy = [](const json& from, json& to) {
    for (const char* key :
         {"num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_size", "head_dim"})
      if (from.contains(key) && !to.contains(key)) to[key] = from[key];
  };
  if (type == "qwen2_vl" && nested) {
    const json text = whole["text_config"];
    copy(text, whole);
  } else if (type == "qwen2_5_vl" && !nested) {
    json text = {{"model_type", "qwen2_5_vl_text"}};
    copy(whole, text);
    whole["text_config"] = std::move(text);
  }
}

// For an image encoder with several outputs, the client reads their number from vision_config.
void count_feature_levels(const ExportPlan& plan, json& whole) {
  if (!whole.contains("vision_config") || !whole["vision_config"].is_object()) return;
  for (const Component& component : plan.components) {
    const auto& outputs = component.interface.outputs;
    const auto levels = std::count_if(outputs.begin(), outputs.end(), [](const TensorSpec& output) {
      return output.name.starts_with("image_embeddings.");
    });
    if (levels > 0) whole["vision_config"]["num_feature_levels"] = levels;
  }
}

}  // namespace

void complete_config(const ExportPlan& plan, json& whole) {
  fill_in_parts(whole);
  place_sizes(whole);
  count_feature_levels(plan, whole);
}

}  // namespace onnxport::layout
