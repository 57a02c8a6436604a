#include "exporter/diffusers_definition.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "checkpoint/weight_files.h"
#include "config/json.h"
#include "exporter/quantization.h"
#include "onnxport/diffusers.h"
#include "onnxport/error.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kLibrary = "diffusers";
constexpr const char *kClass = "_class_name", *kConfig = "config.json";
constexpr std::array kComponents = {"text_encoder", "text_encoder_2", "text_encoder_3",
                                    "unet",         "transformer",    "vae"};

bool is_pipeline_class(const ModelDefinition& definition) {
  return std::find(definition.tasks.begin(), definition.tasks.end(), "text-to-image") !=
         definition.tasks.end();
}

std::vector<std::string> classes(const TasksManager& tasks, bool pipelines) {
  std::vector<std::string> names;
  for (const auto& definition : tasks.definitions()) {
    if (definition->library == kLibrary && is_pipeline_class(*definition) == pipelines)
      names.insert(names.end(), definition->modules.begin(), definition->modules.end());
  }
  return names;
}

json read_object(const fs::path& file) {
  json values = config::parse_json(config::read_json_text(file), file.string());
  if (values.is_object()) return values;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: expected a json object, got {}", file.string(), config::brief(values)));
}

std::string class_of(const json& values, const fs::path& file, const char* example) {
  const auto named = values.find(kClass);
  if (named != values.end() && named->is_string() && !named->get<std::string>().empty())
    return named->get<std::string>();
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: key '{}' is missing, expected the name of a class of diffusers, such as \"{}\"",
                  file.string(), kClass, example));
}

// "unet": ["diffusers", "UNet2DConditionModel"]; nothing for [null, null].
std::optional<std::pair<std::string, std::string>> entry_of(const json& index, const char* component,
                                                            const fs::path& file) {
  const auto found = index.find(component);
  if (found == index.end() || found->is_null()) return {};
  const json& entry = *found;
  const bool is_pair = entry.is_array() && entry.size() == 2;
  if (is_pair && entry[0].is_null() && entry[1].is_null()) return {};
  if (is_pair && entry[0].is_string() && entry[1].is_string())
    return std::pair(entry[0].get<std::string>(), entry[1].get<std::string>());
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: key '{}' is {}, expected a library and a class",
                                                       file.string(), component, config::brief(entry)));
}

// What says where the values come from. The class becomes the model type, or the architecture.
void without_origin(json& values) {
  values.erase(kClass);
  values.erase("_diffusers_version");
}

json read_component(const fs::path& folder, const std::string& component, const std::string& library,
                    const std::string& class_name) {
  const fs::path file = folder / component / kConfig;
  std::error_code ignored;
  if (!fs::exists(file, ignored)) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{} names the component '{}' ({}), but there is no {}",
                    (folder / exporter::kModelIndex).string(), component, class_name, file.string()));
  }
  json values = read_object(file);
  without_origin(values);
  if (library == kLibrary) {
    values["model_type"] = class_name;
  } else {
    values["architectures"] = {class_name};
  }
  return values;
}

PretrainedConfig read_pipeline_config(const fs::path& folder) {
  const fs::path file = folder / exporter::kModelIndex;
  const json index = read_object(file);
  const std::string class_name = class_of(index, file, "StableDiffusionPipeline");
  json whole = {{"architectures", {class_name}}};
  bool any = false;
  for (const char* component : kComponents) {
    const auto entry = entry_of(index, component, file);
    if (!entry) continue;
    whole[component] = read_component(folder, component, entry->first, entry->second);
    any = true;
    // Files that transformers wrote tell their version, which the whole configuration answers for.
    if (const auto version = whole[component].find("transformers_version"); version != whole[component].end())
      whole["transformers_version"] = *version;
  }
  if (!any) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: names none of the components {}", file.string(),
                                                         fmt::join(kComponents, ", ")));
  }
  if (whole.contains("unet") && index.contains("requires_aesthetics_score"))
    whole["unet"]["requires_aesthetics_score"] = index["requires_aesthetics_score"];
  return PretrainedConfig::from_json(whole.dump(), file.string(), class_name);
}

// Keys of the original repositories: one file holds the network, the autoencoder and the text encoders.
bool is_single_file(const fs::path& file) {
  constexpr std::array kPrefixes = {"model.diffusion_model.", "first_stage_model.", "double_blocks.",
                                    "model.double_blocks."};
  if (file.extension() != ".safetensors" && file.extension() != ".sft") return false;
  try {
    const auto checkpoint = Checkpoint::open(file);
    return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                       [&](const char* prefix) { return checkpoint->has_prefix(prefix); });
  } catch (const ExportError&) {
    return false;  // whoever reads the file complains
  }
}

bool has_weights(const fs::path& folder, const std::string& variant) {
  const std::vector<std::string> names = weight_file_names(variant);
  std::error_code ignored;
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return fs::exists(folder / name, ignored); });
}

}  // namespace

namespace exporter {

bool is_pipeline_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kModelIndex, ignored);
}

bool is_diffusers_folder(const fs::path& folder) {
  if (is_pipeline_folder(folder)) return true;
  std::error_code ignored;
  const fs::path file = folder / kConfig;
  if (!fs::exists(file, ignored)) return false;
  try {
    const json values = config::parse_json(config::read_json_text(file), file.string());
    return values.is_object() && values.contains(kClass) && !values.contains("model_type");
  } catch (const ExportError&) {
    return false;  // whoever reads the file complains
  }
}

void refuse_single_file(const fs::path& path) {
  std::error_code ignored;
  std::vector<fs::path> candidates;
  if (fs::is_regular_file(path, ignored)) candidates.push_back(path);
  if (fs::is_directory(path, ignored) && !is_pipeline_folder(path) && !fs::exists(path / kConfig, ignored)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path, ignored)) {
      if (entry.is_regular_file(ignored)) candidates.push_back(entry.path());
    }
    std::sort(candidates.begin(), candidates.end());
  }
  for (const fs::path& file : candidates) {
    const bool given = file == path && file.extension() == ".ckpt";
    if (!given && !is_single_file(file)) continue;
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format(
            "{}: a diffusion model in one file; convert it to a folder with the class of its pipeline in "
            "diffusers, such as StableDiffusionXLPipeline.from_single_file(FILE).save_pretrained(FOLDER), "
            "and give that folder",
            file.string()));
  }
}

PretrainedConfig read_diffusers_config(const fs::path& folder) {
  if (is_pipeline_folder(folder)) return read_pipeline_config(folder);
  const fs::path file = folder / kConfig;
  json values = read_object(file);
  const std::string class_name = class_of(values, file, "UNet2DConditionModel");
  without_origin(values);
  return PretrainedConfig::from_json(values.dump(), file.string(), class_name);
}

std::shared_ptr<const ModelDefinition> diffusers_definition(const TasksManager& tasks,
                                                            const PretrainedConfig& config) {
  const std::string& name = config.model_type();
  if (auto found = find_diffusers_class(tasks, name)) return found;
  const bool pipeline = !components_of(config).empty();
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {} '{}' of diffusers is not supported; supported: {}", config.origin(),
                                pipeline ? "pipeline" : "class", name, text::join(classes(tasks, pipeline))));
}

std::string pipeline_task(const std::string& task) {
  return task == "image-to-image" || task == "inpainting" ? "text-to-image" : task;
}

bool runs_in_float32(const Model& model, const Component& component) {
  if (model.definition().library != kLibrary) return false;
  const PretrainedConfig config = model.config().unaccounted();
  const bool is_pipeline = !components_of(config).empty();
  if (is_pipeline && component.name == "text_encoder")
    return config.sub(component.name).model_type() == "gemma2";
  if (!component.name.starts_with("vae_")) return false;
  const PretrainedConfig vae = is_pipeline ? config.sub("vae") : config;
  if (vae.model_type() == "AutoencoderDC") return true;
  if (!is_pipeline) return vae.given("force_upcast") && vae.flag("force_upcast");
  return config.model_type().starts_with("StableDiffusionXL") && vae.flag("force_upcast");
}

std::shared_ptr<const Checkpoint> open_pipeline(const fs::path& folder, const PretrainedConfig& config,
                                                const std::string& variant) {
  const std::vector<std::string> components = components_of(config);
  const bool any = std::any_of(components.begin(), components.end(), [&](const std::string& component) {
    return has_weights(folder / component, variant);
  });
  std::vector<std::pair<std::string, std::shared_ptr<const Checkpoint>>> parts;
  for (const std::string& component : components) {
    const fs::path part = folder / component;
    const std::string& of_this = any && !has_weights(part, variant) ? std::string() : variant;
    // Reading a part counts its keys, and an export of one component reads only its own.
    const PretrainedConfig unaccounted = config.unaccounted().sub(component);
    const bool quantized = unaccounted.has("quantization_config");
    const Quantization quantization = quantized ? read_quantization(config.sub(component)) : Quantization();
    parts.emplace_back(component, Checkpoint::open(part, quantization, of_this));
  }
  return Checkpoint::joined(parts, kModelIndex);
}

}  // namespace exporter

std::shared_ptr<const ModelDefinition> find_diffusers_class(const TasksManager& tasks,
                                                            std::string_view class_name) {
  for (const auto& definition : tasks.definitions()) {
    const std::vector<std::string>& names = definition->modules;
    if (definition->library == kLibrary && std::find(names.begin(), names.end(), class_name) != names.end())
      return definition;
  }
  return nullptr;
}

std::vector<std::string> components_of(const PretrainedConfig& config) {
  const PretrainedConfig reader = config.unaccounted();
  std::vector<std::string> names;
  for (const char* component : kComponents) {
    if (reader.has(component)) names.emplace_back(component);
  }
  return names;
}

std::shared_ptr<const ModelDefinition> get_component(const TasksManager& tasks,
                                                     const PretrainedConfig& config,
                                                     std::string_view component) {
  const PretrainedConfig part = config.unaccounted().sub(component);
  const std::vector<std::string> architectures = part.architectures();
  const std::string class_name = architectures.empty() ? part.model_type() : architectures.front();
  if (auto found = find_diffusers_class(tasks, class_name); found && !is_pipeline_class(*found)) return found;
  if (component.starts_with("text_encoder") && part.model_type() != class_name)
    return tasks.get_part(part, component, Role::text_model);
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format("{}: component '{}' is of the class '{}', which is not supported; supported are {}",
                  config.origin(), component, class_name, text::join(classes(tasks, false))));
}

}  // namespace onnxport
