// BLIP-2: learned queries look at the patches of a tower, in front of an OPT or a T5. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/blip_2/modeling_blip_2.py
#include "models/multimodal/common/decoders/blip2.h"

namespace onnxport::models {
namespace {

// The language model counts positions itself, from the mask.
class Blip2WithoutPositionsOnnxConfig : public Blip2OnnxConfig {
 public:
  using Blip2OnnxConfig::Blip2OnnxConfig;

 protected:
  std::optional<Axes> position_axes() const override {
    if (text_config().model_type() == "opt") return {};
    return Blip2OnnxConfig::position_axes();
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  return forward_blip2(tasks, inputs, model, component, {"blip_2_vision_model", "blip_2_qformer"}, false);
}

}  // namespace

void register_blip_2(TasksManager& tasks) {
  register_blip2_like<Blip2WithoutPositionsOnnxConfig>(
      tasks, {.model_type = "blip-2", .forward = bound(tasks, forward)});
}

}  // namespace onnxport::models
