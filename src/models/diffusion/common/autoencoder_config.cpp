#include "models/diffusion/common/autoencoder_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/plan.h"

namespace onnxport::models {

std::vector<ComponentInput> AutoencoderOnnxConfig::tensors() const {
  const PretrainedConfig c = config().unaccounted();
  const auto image = [&](const char* name, const char* channels, const std::string& of) -> ComponentInput {
    return {name,
            {Dim::symbol("batch_size"), c.integer(channels), Dim::symbol(of + "_height"),
             Dim::symbol(of + "_width")}};
  };
  if (part() == kVaeDecoder) return {image("latent_sample", interface_.latent_channels, "latent")};
  return {image("sample", interface_.image_channels, "sample")};
}

AxesByName AutoencoderOnnxConfig::outputs() const {
  const auto image = [&](const std::string& of, const char* operation) -> Axes {
    return {{0, "batch_size"},
            {2, fmt::format("{}_height {} {}", of, operation, factor())},
            {3, fmt::format("{}_width {} {}", of, operation, factor())}};
  };
  if (part() == kVaeDecoder) return {{"sample", image("latent", "*")}};
  return {{interface_.encoded, image("sample", "/")}};
}

Dim AutoencoderOnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  const std::size_t slash = symbol.find(" / ");
  if (slash == symbol.npos) return ComponentOnnxConfig::axis_length(tensor, symbol);
  return Dim::symbol(symbol.substr(0, slash)).floor_div(factor());
}

void AutoencoderOnnxConfig::describe(ExportPlan& plan, const PlanRequest& request) const {
  for (const char* name : {kVaeEncoder, kVaeDecoder}) {
    OnnxConfigOptions half = options();
    half.part = name;
    plan.components.push_back(AutoencoderOnnxConfig(config(), task(), half, interface_)
                                  .component(name, request.shapes, request.dynamic_axes));
  }
}

// The extents of an image, divided by those of its latents.
std::int64_t AutoencoderOnnxConfig::factor() const {
  const std::int64_t levels = std::ssize(config().unaccounted().integers(interface_.levels));
  return std::int64_t{1} << std::clamp<std::int64_t>(levels - 1, 0, 16);
}

}  // namespace onnxport::models
