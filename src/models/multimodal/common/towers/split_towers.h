/// Two towers whose vectors are compared: CLIP, SigLIP, CLAP. A client may want a file for each, because it
/// encodes its images once and compares them with many texts.
#pragma once

#include <string>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

inline constexpr const char* kTextModel = "text_model";
inline constexpr const char* kVisionModel = "vision_model";
inline constexpr const char* kAudioModel = "audio_model";

/// Base of the classes of such models. The variant `split` has a component for each tower, with the names of
/// transformers.js; Component::part is that name. Image classification has one tower, and no variants.
class SplitTowersOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  std::string part() const override { return options().part; }
  std::vector<std::string> variants() const override;
  void describe(ExportPlan& plan, const PlanRequest& request) const override;

 protected:
  /// The towers, in the order of the files.
  virtual std::vector<std::string> towers() const { return {kTextModel, kVisionModel}; }
  /// The inputs or outputs of the described component among those of the whole, whose batch axes are
  /// text_batch_size, image_batch_size and audio_batch_size. A tower has only what depends on its own batch,
  /// which is called batch_size there.
  AxesByName of_part(const AxesByName& whole) const;
};

/// Declares the parts of the configuration harmless that concern only the other tower, if the component is a
/// tower, and those that concern only the comparison.
void leave_out_other_tower(const PretrainedConfig& config, const Component& component);

}  // namespace onnxport::models
