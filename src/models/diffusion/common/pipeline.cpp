#include "models/diffusion/common/pipeline.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

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

class PipelineOnnxConfig : public OnnxConfig {
 public:
  PipelineOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                     const TextInterface& text)
      : OnnxConfig(std::move(config), std::move(task), std::move(options)), text_(text) {}
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
      // text_encoder_3 is T5, which gives no states of its layers.
      if (text_.output == TextOutput::all && (name == "text_encoder" || name == "text_encoder_2"))
        given.interface_options.insert(InterfaceOption::hidden_states);
      const auto make = is_text(*definition) ? text_encoder_config() : definition->onnx_config;
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

 private:
  OnnxConfigConstructor text_encoder_config() const {
    return [text = text_](PretrainedConfig config, std::string task, OnnxConfigOptions options) {
      return std::make_shared<const TextEncoderComponentConfig>(std::move(config), std::move(task),
                                                                std::move(options), text);
    };
  }

  TextInterface text_;
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
  const auto make = [text = family.text](PretrainedConfig config, std::string task,
                                         OnnxConfigOptions options) {
    return std::make_shared<const PipelineOnnxConfig>(std::move(config), std::move(task), std::move(options),
                                                      text);
  };
  tasks.register_definition({.model_type = std::move(family.name),
                             .tasks = {"text-to-image"},
                             .forward = forward,
                             .library = "diffusers",
                             .onnx_config = make,
                             .parts = parts,
                             .modules = std::move(family.classes)});
}

}  // namespace onnxport::models
