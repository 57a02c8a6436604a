#include "checkpoint/pipeline_lora.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "checkpoint/adapter_keys.h"
#include "checkpoint/safetensors.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/json.h"
#include "support/printable.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Names = std::map<std::string, std::string, std::less<>>;

constexpr std::string_view kAlpha = ".alpha";

// Ends of names, and their spelling in newer files.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kEnds = {{
    {".lora_down.weight", ".lora_A.weight"},
    {".lora_up.weight", ".lora_B.weight"},
    {".lora.down.weight", ".lora_A.weight"},
    {".lora.up.weight", ".lora_B.weight"},
    {".lora_linear_layer.down.weight", ".lora_A.weight"},
    {".lora_linear_layer.up.weight", ".lora_B.weight"},
    {"_lora.down.weight", ".lora_A.weight"},
    {"_lora.up.weight", ".lora_B.weight"},
}};

// Components in kohya's names, the longer ones first.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kComponents = {{
    {"lora_te1_", "text_encoder."},
    {"lora_te2_", "text_encoder_2."},
    {"lora_te_", "text_encoder."},
    {"lora_unet_", "unet."},
    {"lora_transformer_", "transformer."},
}};

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const auto at = text.find(from); at != text.npos) text.replace(at, from.size(), to);
}

// The paths of the base model's modules by their names with underscores: lora_unet_conv_in.
Names flat_names(const Checkpoint& base) {
  Names names;
  for (const TensorView& view : base.tensors()) {
    const std::string path = view.key.substr(0, view.key.rfind('.'));
    for (const auto& [flat, component] : kComponents) {
      if (!path.starts_with(component)) continue;
      std::string name = path.substr(component.size());
      std::replace(name.begin(), name.end(), '.', '_');
      names.emplace(std::string(flat) + name, path);
    }
  }
  return names;
}

std::string newer_name(const std::string& key, const Names& flat) {
  std::string name = key;
  for (const auto& [from, to] : kEnds) {
    if (!name.ends_with(from)) continue;
    name.replace(name.size() - from.size(), from.size(), to);
    break;
  }
  replace(name, ".processor.to_", ".to_");
  replace(name, ".to_out.lora_", ".to_out.0.lora_");
  const std::size_t dot = name.find('.');
  if (const auto found = flat.find(name.substr(0, dot)); found != flat.end() && dot != name.npos)
    name.replace(0, dot, found->second);
  return name;
}

// What diffusers says about the adapter in the file's metadata; an empty object if nothing.
json read_metadata(const fs::path& path) {
  const auto file = File::open(path);
  constexpr std::size_t kLength = 8, kBeginning = 64;
  std::string beginning(std::min<std::uint64_t>(kBeginning, file->size()), '\0');
  file->read(0, beginning.size(), reinterpret_cast<std::byte*>(beginning.data()));
  std::string header(safetensors::parse_header_length(beginning, file->size(), path.string()), '\0');
  file->read(kLength, header.size(), reinterpret_cast<std::byte*>(header.data()));
  const json values = try_parse_json<json>(header);
  const json* const metadata =
      values.is_object() && values.contains("__metadata__") ? &values["__metadata__"] : nullptr;
  if (metadata == nullptr || !metadata->is_object() || !metadata->contains("lora_adapter_metadata"))
    return json::object();
  const json& text = (*metadata)["lora_adapter_metadata"];
  json adapter = text.is_string() ? try_parse_json<json>(text.get<std::string>()) : json();
  if (adapter.is_object()) return adapter;
  fail(ErrorCode::bad_checkpoint, "{}: lora_adapter_metadata is no json object", path.string());
}

// Settings of a component that change the computation in a way that is not read.
void check_metadata(const json& metadata, const std::string& file) {
  for (const auto& [key, value] : metadata.items()) {
    const std::string name = key.substr(key.rfind('.') + 1);
    const bool empty =
        value.is_null() || value == false || ((value.is_object() || value.is_array()) && value.empty());
    if (empty || (name != "alpha_pattern" && name != "use_rslora" && name != "lora_bias")) continue;
    fail(ErrorCode::unsupported,
         "{}: '{}' of lora_adapter_metadata is set, which is not supported for adapters of pipelines; fuse "
         "the "
         "adapter in diffusers (load_lora_weights, fuse_lora, save_pretrained) and export the pipeline",
         file, printable(key));
  }
}

std::optional<double> alpha_of(const json& metadata, const std::string& path) {
  const auto found = metadata.find(path.substr(0, path.find('.')) + ".lora_alpha");
  if (found == metadata.end() || !found->is_number()) return {};
  return found->get<double>();
}

std::string escaped(const std::string& path) {
  std::string pattern;
  for (const char c : path) pattern += c == '.' ? std::string("\\.") : std::string(1, c);
  return pattern;
}

}  // namespace

PipelineLora read_pipeline_lora(const fs::path& file, const Checkpoint& base) {
  const auto stored = Checkpoint::open(file);
  const Names flat = flat_names(base);
  const json metadata = read_metadata(file);
  check_metadata(metadata, file.string());
  std::vector<StoredTensor> tensors;
  std::map<std::string, std::int64_t> ranks;  // by path of the module
  std::map<std::string, double> alphas;
  LoraSettings settings{.origin = file.string()};
  for (const TensorView& view : stored->tensors()) {
    const std::string name = newer_name(view.key, flat);
    if (name.ends_with(kAlpha) && view.numel() == 1) {
      alphas[name.substr(0, name.size() - kAlpha.size())] = stored->weight(view).to_doubles().front();
      continue;
    }
    StoredTensor& tensor = tensors.emplace_back(StoredTensor{.view = view});
    tensor.view.key = name;
    const AdapterKey key = parse_adapter_key(name, file.string());
    if (key.part == AdapterKey::Part::lora_a && !view.shape.empty()) ranks[key.path] = view.shape.front();
    if (key.part == AdapterKey::Part::magnitude) settings.dora = true;
  }
  std::map<std::pair<std::int64_t, double>, std::size_t> count;
  std::map<std::string, std::pair<std::int64_t, double>> modules;
  for (const auto& [path, rank] : ranks) {
    double alpha = alpha_of(metadata, path).value_or(static_cast<double>(rank));
    if (const auto found = alphas.find(path); found != alphas.end()) alpha = found->second;
    ++count[modules[path] = {rank, alpha}];
  }
  const auto usual = std::max_element(count.begin(), count.end(),
                                      [](const auto& a, const auto& b) { return a.second < b.second; });
  if (usual != count.end()) std::tie(settings.rank, settings.alpha) = usual->first;
  for (const auto& [path, own] : modules) {
    if (own.first != settings.rank) settings.rank_pattern.emplace_back(escaped(path), own.first);
    if (own.second != settings.alpha) settings.alpha_pattern.emplace_back(escaped(path), own.second);
  }
  return {std::make_shared<const Checkpoint>(std::move(tensors), file.filename().string(),
                                             std::shared_ptr<const GgufInfo>(), stored->files()),
          std::move(settings)};
}

}  // namespace onnxport
