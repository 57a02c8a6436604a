// Options of an interface: more outputs of decoders, and other inputs.
#include <fmt/format.h>

#include <algorithm>

#include "exporter/task_name.h"
#include "onnxport/error.h"
#include "onnxport/middle_end.h"

namespace onnxport {
namespace {

[[noreturn]] void refuse(const OnnxConfig& config, InterfaceOption option, std::string_view why) {
  throw ExportError(ErrorCode::unsupported, fmt::format("--{}: task '{}' of '{}' {}", to_string(option),
                                                        config.task(), config.config().model_type(), why));
}

void drop(AxesByName& names, std::string_view name) {
  std::erase_if(names, [&](const auto& tensor) { return tensor.first == name; });
}

// The models that have an option.
std::string_view owner(InterfaceOption option) {
  if (option == InterfaceOption::pixel_mask) return "detectors";
  if (option == InterfaceOption::cross_attentions) return "speech recognition with word timestamps";
  return "text decoders";
}

}  // namespace

void OnnxConfig::apply(const InterfaceOptions& interface_options, AxesByName& inputs,
                       AxesByName& /*outputs*/) const {
  const bool has_mask = std::any_of(inputs.begin(), inputs.end(),
                                    [](const auto& input) { return input.first == "pixel_mask"; });
  for (const InterfaceOption option : interface_options) {
    if (option == InterfaceOption::pixel_mask && has_mask) refuse(*this, option, "takes pixel_mask anyway");
    refuse(*this, option, fmt::format("does not have this option, which is for {}", owner(option)));
  }
}

void TextDecoderOnnxConfig::apply(const InterfaceOptions& interface_options, AxesByName& inputs,
                                  AxesByName& outputs) const {
  const std::string base = exporter::base_task(task());
  const bool generates = base == "text-generation";
  for (const InterfaceOption option : interface_options) {
    const auto needs = [&](bool condition, std::string_view what) {
      if (!condition) refuse(*this, option, what);
    };
    needs(generates || base == "feature-extraction", "does not have this option");
    needs(option != InterfaceOption::cross_attentions, "has no encoder");
    switch (option) {
      case InterfaceOption::hidden_states: {
        const std::int64_t layers = normalized_config()["num_layers"];
        for (std::int64_t i = 0; i <= layers; ++i)
          outputs.emplace_back(fmt::format("hidden_states.{}", i),
                               Axes{{0, "batch_size"}, {1, "sequence_length"}});
        break;
      }
      case InterfaceOption::attentions: {
        const std::size_t before = outputs.size();
        const char* total =
            use_past_in_inputs() ? "past_sequence_length + sequence_length" : "sequence_length";
        for (const StateSpec& state : states()) {
          if (state.part != "key") continue;
          outputs.emplace_back(fmt::format("attentions.{}", state.layer),
                               Axes{{0, "batch_size"}, {2, "sequence_length"}, {3, total}});
        }
        needs(outputs.size() > before, "has no attention");
        break;
      }
      case InterfaceOption::num_logits_to_keep:
        needs(generates, "has no logits of each token");
        inputs.emplace_back("num_logits_to_keep", Axes{});
        for (auto& [name, axes] : outputs) {
          if (name == "logits") axes[1] = "num_logits_to_keep";
        }
        break;
      case InterfaceOption::no_position_ids: {
        const std::size_t before = inputs.size();
        drop(inputs, "position_ids");
        needs(inputs.size() < before, "takes no position_ids anyway");
        break;
      }
      case InterfaceOption::pixel_mask:
      case InterfaceOption::cross_attentions:
        needs(false, fmt::format("does not have this option, which is for {}", owner(option)));
    }
  }
}

}  // namespace onnxport
