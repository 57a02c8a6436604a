#include <algorithm>
#include <string>
#include <string_view>

#include "report/data.h"

namespace onnxport::report {
namespace {

bool has(const std::vector<ValueSummary>& values, const std::string& name) {
  return std::ranges::any_of(values, [&](const ValueSummary& value) { return value.name == name; });
}

// The input that a client feeds with this output; empty: none.
std::string input_for(const std::string& output, const GraphSummary& to, bool same) {
  constexpr const char* kEncoded = "encoder_hidden_states";
  if (!same && output.starts_with("last_hidden_state") && has(to.inputs, kEncoded)) return kEncoded;
  if (!same && has(to.inputs, output)) return output;
  for (const char* prefix : {"present_key_values", "present"}) {
    if (!output.starts_with(prefix)) continue;
    const std::string rest = output.substr(std::string_view(prefix).size());
    for (const char* past : {"past_key_values", "past"})
      if (has(to.inputs, past + rest)) return past + rest;
  }
  // Rows of features replace the vectors of placeholder tokens.
  constexpr const char* kEmbeds = "inputs_embeds";
  if (!same && output.ends_with("_features") && has(to.inputs, kEmbeds) && has(to.inputs, "attention_mask"))
    return kEmbeds;
  return {};
}

// The parts of a merged file are alternatives to it.
bool are_alternatives(const std::string& one, const std::string& other) {
  constexpr std::string_view kMerged = "_merged", kModel = "_model";
  if (!one.ends_with(kMerged)) return other.ends_with(kMerged) && are_alternatives(other, one);
  std::string part = one.substr(0, one.size() - kMerged.size());
  if (part == other) return true;
  if (!part.ends_with(kModel)) return false;
  return part.insert(part.size() - kModel.size(), "_with_past") == other;
}

}  // namespace

json find_links(const std::vector<ModelFile>& files) {
  // The variants of a component have the same interface: the first one tells it.
  std::vector<const ModelFile*> components;
  for (const ModelFile& file : files) {
    const bool known = std::ranges::any_of(
        components, [&](const ModelFile* other) { return other->component == file.component; });
    if (!known) components.push_back(&file);
  }
  json links = json::array();
  for (const ModelFile* from : components) {
    for (const ModelFile* to : components) {
      if (from != to && are_alternatives(from->component, to->component)) continue;
      json tensors = json::array();
      for (const ValueSummary& output : from->model.graph.outputs) {
        const std::string input = input_for(output.name, to->model.graph, from == to);
        if (!input.empty()) tensors.push_back({output.name, input});
      }
      if (!tensors.empty())
        links.push_back({{"from", from->component}, {"to", to->component}, {"tensors", std::move(tensors)}});
    }
  }
  return links;
}

}  // namespace onnxport::report
