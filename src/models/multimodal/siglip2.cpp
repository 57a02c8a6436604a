// SigLIP 2: SigLIP for images of any size, as rows of patches. Checkpoints for images of one size have the
// type of SigLIP. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip2/modeling_siglip2.py
#include "models/multimodal/common/towers/siglip.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

class Siglip2OnnxConfig : public SiglipOnnxConfig {
 public:
  using SiglipOnnxConfig::SiglipOnnxConfig;
  AxesByName inputs() const override {
    return task() == "image-classification" ? tower()->inputs() : SiglipOnnxConfig::inputs();
  }
  AxesByName outputs() const override {
    return task() == "image-classification" ? common_outputs(task()) : SiglipOnnxConfig::outputs();
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(siglip_text_config(config().unaccounted()));
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = tower()->dummy_input_generators();
    generators.push_back(std::make_shared<const DummyTextInputGenerator>());
    return generators;
  }

 protected:
  AxesByName image_inputs() const override {
    AxesByName names = tower()->inputs();
    for (auto& [name, axes] : names) {
      axes[0] = "image_batch_size";
      // The name of the axis in the contract of this task.
      if (axes.contains(1) && task() == "zero-shot-image-classification") axes[1] = "max_num_patches";
    }
    return names;
  }

 private:
  std::shared_ptr<const OnnxConfig> tower() const {
    const PretrainedConfig c = siglip_vision_config(config().unaccounted());
    return TasksManager::instance()
        .get_part(c, "vision_config", Role::vision_tower)
        ->onnx_config(c, "feature-extraction", {});
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  if (component.task != "image-classification") return forward_siglip(tasks, inputs, model, component);
  c.harmless({"text_config"});
  const PretrainedConfig vision = siglip_vision_config(c);
  const Value hidden = encode_tower(tasks, Role::vision_tower, "vision_config", vision, inputs, model).hidden;
  // The mean of all patches that are real.
  const Value mask = op::cast(op::unsqueeze(inputs["pixel_attention_mask"], 2), hidden.dtype());
  const Value total = op::sum(op::mul(hidden, mask), 1);
  const Value pooled = op::div(total, op::sum(mask, 1));
  const std::int64_t width = *hidden.dim(2).constant();
  return {{"logits", nn::Linear(model.scope() / "classifier", width, c.num_labels())(pooled)}};
}

}  // namespace

void register_siglip2(TasksManager& tasks) {
  tasks.register_model<Siglip2OnnxConfig>(
      {.model_type = "siglip2",
       .tasks = {"feature-extraction", "zero-shot-image-classification", "image-classification"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
