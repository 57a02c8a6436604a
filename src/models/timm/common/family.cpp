#include "models/timm/common/family.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

// The model may be wrapped by transformers.
Scope root_of(const Model& model) { return model.scope().base_model("timm_model"); }

Value relu6(Value x) { return op::clamp(x, 0, 6); }
Value hard_sigmoid(Value x) { return op::div(relu6(op::add(x, 3.0)), 6.0); }
Value hard_swish(Value x) {
  const Value gate = hard_sigmoid(x);
  return op::mul(x, gate);
}

// The numbers in out_indices count the stem as the first, and from the end if they are negative.
BackboneFeatures chosen_stages(const TimmFamily& family, const Scope& s, const PretrainedConfig& config,
                               Value pixel_values) {
  const TimmConfig c(config);
  c.harmless({"features_only"});
  std::vector<std::int64_t> indices = c.integers("out_indices", {0, 1, 2, 3, 4});
  if (indices.empty()) c.fail("the backbone is to return no stage");
  const bool from_end = *std::min_element(indices.begin(), indices.end()) < 0;
  const std::int64_t last = from_end ? TimmFamily::kAll : *std::max_element(indices.begin(), indices.end());
  const std::vector<Value> all = family.stages(s, c, pixel_values, last);
  for (std::int64_t& index : indices) {
    if (index < 0) index += std::ssize(all);
    if (index < 0 || index >= std::ssize(all))
      c.fail(fmt::format("stage {} of the backbone, expected 0 to {}", index, std::ssize(all) - 1));
  }
  std::sort(indices.begin(), indices.end());  // they come in the order of the layers
  BackboneFeatures features;
  for (const std::int64_t index : indices) features.stages.push_back(all[static_cast<std::size_t>(index)]);
  return features;
}

}  // namespace

ModelDefinition timm_definition(TimmFamily family) {
  ModelDefinition definition{.model_type = family.name,
                             .tasks = {"image-classification"},
                             .key_names = family.key_names,
                             .library = "timm",
                             .modules = family.architectures};
  definition.forward = [run = family.run](const Inputs& inputs, const Model& model,
                                          const Component& component) -> NamedValues {
    const TimmConfig c(model.config());
    const bool classifies = component.task == "image-classification";
    const TimmOutputs outputs =
        run(root_of(model), classifies ? c : c.without_classes(), inputs["pixel_values"]);
    if (classifies) return {{"logits", outputs.logits}};
    return {{"last_hidden_state", outputs.features}, {"pooler_output", outputs.logits}};
  };
  if (family.stages) {
    definition.roles.backbone = BackboneRole{
        [family = std::move(family)](const Scope& s, const PretrainedConfig& config, Value pixel_values) {
          return chosen_stages(family, s, config, pixel_values);
        }};
  }
  return definition;
}

std::function<Value(Value)> timm_activation(const std::string& name) {
  using Function = Value (*)(Value);
  static const std::map<std::string, Function, std::less<>> known = {
      {"gelu", [](Value x) { return op::gelu(x); }},
      {"gelu_tanh", [](Value x) { return op::gelu(x, "tanh"); }},
      {"hard_sigmoid", hard_sigmoid},
      {"hard_swish", hard_swish},
      {"identity", [](Value x) { return x; }},
      {"mish", [](Value x) { return op::mish(x); }},
      {"quick_gelu", [](Value x) { return op::quick_gelu(x); }},
      {"relu", [](Value x) { return op::relu(x); }},
      {"relu6", relu6},
      {"sigmoid", [](Value x) { return op::sigmoid(x); }},
      {"silu", [](Value x) { return op::silu(x); }},
      {"swish", [](Value x) { return op::silu(x); }},
      {"tanh", [](Value x) { return op::tanh(x); }},
  };
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [one, function] : known) names.push_back(one);
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("activation '{}' of timm, expected one of {}", name, fmt::join(names, ", ")));
}

Value pool_image(Value image, const std::string& kind) {
  const std::string plain = kind.starts_with("fast") ? kind.substr(4) : kind;
  const auto mean = [&] { return nn::global_average_pool(image); };
  const auto maximum = [&] { return op::amax(op::flatten(image, 2, 3), 2); };
  if (plain == "avg" || kind == "fast") return mean();
  if (plain == "max") return maximum();
  if (plain != "avgmax" && plain != "catavgmax") {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("global_pool is '{}', expected avg, max, avgmax or catavgmax", kind));
  }
  const Value average = mean();
  const Value largest = maximum();
  if (plain == "catavgmax") return op::concat({average, largest}, 1);
  return op::mul(op::add(average, largest), 0.5);
}

std::int64_t pooled_width(std::int64_t channels, const std::string& kind) {
  return kind.ends_with("catavgmax") ? 2 * channels : channels;
}

Value classify(const Scope& s, const TimmConfig& c, Value pooled, std::int64_t width) {
  return c.num_classes() == 0 ? pooled : nn::Linear(s, width, c.num_classes())(pooled);
}

Value classify_image(const Scope& s, const TimmConfig& c, Value image, std::int64_t channels) {
  const std::string kind = c.global_pool();
  return classify(s, c, pool_image(image, kind), pooled_width(channels, kind));
}

}  // namespace onnxport::models
