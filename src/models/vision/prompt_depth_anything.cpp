// Depth Anything with a coarse map of depths as a prompt. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/prompt_depth_anything/modeling_prompt_depth_anything.py
#include <algorithm>

#include "models/vision/common/depth_anything.h"

namespace onnxport::models {
namespace {

/// prompt_depth [batch_size, 1, prompt_height, prompt_width], between -1 and 1, at least two pixels.
class DummyPromptGenerator : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == "prompt_depth"; }
  TensorType type(std::string_view /*name*/, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return {context.float_dtype, {shapes.batch_size, 1, shapes.height / 5 + 2, shapes.width / 6 + 1}};
  }
};

class PromptDepthAnythingOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  AxesByName inputs() const override {
    AxesByName inputs = VisionOnnxConfig::inputs();
    inputs.push_back({"prompt_depth", {{0, "batch_size"}, {2, "prompt_height"}, {3, "prompt_width"}}});
    return inputs;
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = VisionOnnxConfig::dummy_input_generators();
    generators.push_back(std::make_shared<const DummyPromptGenerator>());
    return generators;
  }
};

// The largest value of each image [B, 1, H, W] -> [B, 1, 1, 1]
Value largest(Value image) { return op::amax(op::amax(image, 3, true), 2, true); }

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const DepthAnythingConfig c(config);
  config.harmless({"head_in_index", "max_depth"});  // the prompt has the scale; the last image is used
  const Scope root = model.scope();
  const Value prompt = inputs["prompt_depth"];
  const Value most = largest(prompt);
  const Value least = op::neg(largest(op::neg(prompt)));
  const Value range = op::sub(most, least);
  const Value normal = op::div(op::sub(prompt, least), range);
  const std::int64_t width = c.fusion_hidden_size;
  const DptBeforeResizing add_prompt = [&](const Scope& layer, Value image) {
    const Scope s = layer / "prompt_depth_layer";
    const ModulePath at(image, s.path());
    Value x = op::interpolate(normal, {image.dim(2), image.dim(3)}, "linear");
    x = op::relu(dpt_conv3x3(s / "convolution1", 1, width)(x));
    x = op::relu(dpt_conv3x3(s / "convolution2", width, width)(x));
    return op::add(image, dpt_conv3x3(s / "convolution3", width, width)(x));
  };
  const DptStates encoded = depth_anything_tokens(tasks, root, config, inputs["pixel_values"]);
  const Value features = dpt_neck(root / "neck", c, encoded, add_prompt).back();
  const Value depth = depth_anything_head(root / "head", c, features, encoded.rows, encoded.columns);
  return {{"predicted_depth", op::squeeze(op::add(op::mul(depth, range), least), 1)}};
}

}  // namespace

void register_prompt_depth_anything(TasksManager& tasks) {
  tasks.register_model<PromptDepthAnythingOnnxConfig>(
      {.model_type = "prompt_depth_anything",
       .tasks = {"depth-estimation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& /*component*/) {
         return forward(tasks, inputs, model);
       }});
}

}  // namespace onnxport::models
