/// The interface of Segment Anything and its relatives: an encoder of images, and a decoder of masks for
/// prompts, so that an image is encoded once for many prompts.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/plan.h"

namespace onnxport::models {

/// The parts; a model as a whole has the part "".
constexpr std::string_view kVisionEncoder = "vision_encoder";
constexpr std::string_view kMaskDecoder = "prompt_encoder_mask_decoder";

/// Base of a configuration class. `Own`: that class, whose constructor has the same parameters.
template <class Own>
class SamPartsOnnxConfig : public OnnxConfig {
 public:
  // Public, for `Own` inherits it. NOLINTNEXTLINE(bugprone-crtp-constructor-accessibility)
  explicit SamPartsOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                              std::string_view part = {})
      : OnnxConfig(std::move(config), std::move(task), std::move(options)), part_(part) {}

  std::string part() const override { return std::string(part_); }
  std::vector<std::string> variants() const override { return {"default", "split", "monolith"}; }
  void describe(ExportPlan& plan, const PlanRequest& request) const override {
    if (request.split == Split::monolith || request.variant == "monolith")
      return OnnxConfig::describe(plan, request);
    for (const std::string_view part : {kVisionEncoder, kMaskDecoder}) {
      const Own described(config(), task(), options(), part);
      plan.components.push_back(described.component(std::string(part), request.shapes, request.dynamic_axes));
    }
  }
  AxesByName inputs() const override {
    AxesByName names;
    if (part_ != kMaskDecoder) names.emplace_back("pixel_values", kPerImage);
    if (part_ == kVisionEncoder) return names;
    const AxesByName prompts = this->prompts();
    names.insert(names.end(), prompts.begin(), prompts.end());
    return names;
  }

 protected:
  inline static const Axes kPerImage = {{0, "batch_size"}};

  bool is_encoder() const { return part_ == kVisionEncoder; }
  bool is_decoder() const { return part_ == kMaskDecoder; }
  /// The inputs of the decoder; with the features of an image if is_decoder().
  virtual AxesByName prompts() const = 0;

 private:
  std::string_view part_;
};

}  // namespace onnxport::models
