#include "models/diffusion/common/pipeline.h"

#include <fmt/format.h>

#include "models/diffusion/common/text_encoder.h"
#include "onnxport/diffusers.h"
#include "onnxport/error.h"
#include "onnxport/plan.h"

namespace onnxport::models {
namespace {

constexpr const char* kTextTask = "feature-extraction";

bool is_text(const ModelDefinition& definition) { return definition.library == "transformers"; }

// The task of a component for its own definition.
std::string task_of(const ModelDefinition& definition) {
  return is_text(definition) ? kTextTask : definition.tasks.front();
}

// These pipelines take the states of all layers of their CLIP models.
bool needs_layers(const PretrainedConfig& pipeline, const std::string& component) {
  const std::string& name = pipeline.model_type();
  const bool has_two = name.starts_with("StableDiffusionXL") || name.starts_with("StableDiffusion3");
  return has_two && (component == "text_encoder" || component == "text_encoder_2");
}

class PipelineOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override { return {}; }  // those of the components
  AxesByName outputs() const override { return {}; }
  NormalizedConfig normalized_config() const override { return {config(), {}}; }
  DummyInputGenerators dummy_input_generators() const override { return {}; }

  void describe(ExportPlan& plan, const PlanRequest& request) const override {
    if (request.split == Split::monolith)
      throw ExportError(ErrorCode::unsupported,
                        "--monolith: the components of a pipeline run one after the other");
    const TasksManager& tasks = TasksManager::instance();
    const PretrainedConfig whole = config().unaccounted();
    for (const std::string& name : components_of(whole)) {
      const auto definition = get_component(tasks, whole, name);
      OnnxConfigOptions given = options();
      if (needs_layers(whole, name)) given.interface_options.insert(InterfaceOption::hidden_states);
      const auto make =
          is_text(*definition) ? make_onnx_config<TextEncoderComponentConfig> : definition->onnx_config;
      ExportPlan own{.model = plan.model};
      make(whole.sub(name), task_of(*definition), given)->describe(own, request);
      for (Component& component : own.components) {
        if (own.components.size() == 1) component.name = name;
        component.folder = component.name;
        component.stem = "model";
        component.task = task();
        plan.components.push_back(std::move(component));
      }
    }
  }
};

// The key of a component: "vae" of vae_encoder and vae_decoder.
std::string key_of(const PretrainedConfig& pipeline, const std::string& component) {
  std::string longest;
  for (const std::string& key : components_of(pipeline)) {
    if (component == key) return key;
    if (component.starts_with(key + "_") && key.size() > longest.size()) longest = key;
  }
  if (longest.empty())
    throw ExportError(ErrorCode::internal, fmt::format("the pipeline has no component '{}'", component));
  return longest;
}

}  // namespace

void register_pipelines(TasksManager& tasks, PipelineFamily family) {
  const auto forward = [&tasks](const Inputs& inputs, const Model& model, const Component& component) {
    const std::string key = key_of(model.config(), component.name);
    const auto definition = get_component(tasks, model.config(), key);
    Component own = component;
    own.task = task_of(*definition);
    const Model part = model.part(key, definition, own.task);
    return is_text(*definition) ? forward_text_encoder(inputs, part, own)
                                : definition->forward(inputs, part, own);
  };
  const auto parts = [&tasks](const PretrainedConfig& config) {
    std::vector<ModelPart> all;
    for (const std::string& key : components_of(config))
      all.push_back({key, get_component(tasks, config, key)});
    return all;
  };
  tasks.register_model<PipelineOnnxConfig>({.model_type = std::move(family.name),
                                            .tasks = {"text-to-image"},
                                            .forward = forward,
                                            .library = "diffusers",
                                            .parts = parts,
                                            .modules = std::move(family.classes)});
}

}  // namespace onnxport::models
