// A model of the library timm in a class of transformers. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/timm_wrapper/modeling_timm_wrapper.py
#include "models/timm/common/timm_config.h"
#include "onnxport/family.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

// The family of the architecture, with its own configuration class.
std::shared_ptr<const ModelDefinition> family_of(const PretrainedConfig& config) {
  return get_family(TasksManager::instance(), config.string("architecture"), config.origin());
}

// Names, axes and sizes are those of the family.
class TimmWrapperOnnxConfig : public VisionOnnxConfig {
 public:
  TimmWrapperOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options)
      : VisionOnnxConfig(std::move(config), std::move(task), std::move(options)),
        inner_(std::dynamic_pointer_cast<const VisionOnnxConfig>(
            family_of(this->config().unaccounted())
                ->onnx_config(this->config(), this->task(), this->options()))) {}

  AxesByName outputs() const override {
    AxesByName all = VisionOnnxConfig::outputs();
    if (task() == "feature-extraction") all.push_back({"pooler_output", {{0, "batch_size"}}});
    return all;
  }
  DummyInputGenerators dummy_input_generators() const override { return inner_->dummy_input_generators(); }
  bool takes_any_image_size() const override { return inner_->takes_any_image_size(); }
  ImageSize smallest_image() const override { return inner_->smallest_image(); }

 private:
  std::shared_ptr<const VisionOnnxConfig> inner_;
};

// Without a classifier, the last layer gives the pooled features.
NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  // Of training, a copy of what the architecture says; and the file returns both results.
  config.harmless({"initializer_range", "hidden_size", "do_pooling"});
  const auto family = family_of(config);
  return family->forward(inputs, model, component);
}

// Images of features become tokens, row by row.
EncoderStates encode(const Inputs& inputs, const Model& model, const Component& component) {
  const Value features = forward(inputs, model, component).front().second;
  return {features.rank() == 4 ? nn::image_to_tokens(features) : features};
}

}  // namespace

void register_timm_wrapper(TasksManager& tasks) {
  tasks.register_model<TimmWrapperOnnxConfig>({.model_type = "timm_wrapper",
                                               .tasks = {"feature-extraction", "image-classification"},
                                               .forward = forward,
                                               .ignorable_keys = {"*num_batches_tracked"},
                                               .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
