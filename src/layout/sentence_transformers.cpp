#include "layout/sentence_transformers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "layout/refuse.h"
#include "onnxport/dummy_inputs.h"
#include "onnxport/modules.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "sentence_transformers";
constexpr const char* kTokenEmbeddings = "token_embeddings";

// What a kind of first module takes from the file, and the task whose class loads the file.
struct Kind {
  std::string_view name, output, task;
};
constexpr std::array kKinds = {Kind{"Transformer", "last_hidden_state", "feature-extraction"},
                               Kind{"MLMTransformer", "logits", "fill-mask"}};

const Kind& kind_of(const ExportPlan& plan) {
  const ModelDefinition& definition = plan.model.definition();
  if (definition.library != kLibrary) {
    refuse(plan, fmt::format("the folder needs modules.json, and --library-name must not be {}. A "
                             "CrossEncoder loads the default layout of task text-classification",
                             definition.library));
  }
  const auto found = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const Kind& kind) { return kind.name == definition.modules.front(); });
  if (found == kKinds.end() || plan.components.size() != 1) {
    refuse(plan, fmt::format("the client runs ONNX files only for a first module Transformer or "
                             "MLMTransformer, got {}; use --layout optimum",
                             definition.modules.front()));
  }
  return *found;
}

// The client gives what its tokenizer makes. Other inputs of the encoder, such as position_ids, are computed.
void set_inputs(Component& component, const ExportPlan& plan, const Kind& kind) {
  const auto encoder = TasksManager::instance().get_definition(plan.model.config().model_type());
  const auto made = encoder->onnx_config(plan.model.config().unaccounted(), std::string(kind.task), {});
  const TensorSpec ids = *component.interface.find_input("input_ids");
  std::vector<TensorSpec> inputs;
  for (const auto& [name, axes] : made->inputs()) {
    if (name != "input_ids" && name != "attention_mask" && name != "token_type_ids") continue;
    inputs.push_back(ids);
    inputs.back().name = name;
  }
  auto dummies = std::make_shared<DummyInputs>(*component.interface.dummies);
  dummies->context.inputs = inputs;
  component.interface.inputs = std::move(inputs);
  component.interface.dummies = std::move(dummies);
}

void set_output(Component& component, const Kind& kind) {
  std::vector<TensorSpec>& outputs = component.interface.outputs;
  std::erase_if(outputs, [](const TensorSpec& output) { return output.name != kTokenEmbeddings; });
  outputs.front().name = kind.output;
}

// Integers get the names of the client's own quantizer for settings without a name.
void set_suffixes(std::vector<Variant>& variants) {
  for (Variant& variant : variants) {
    const auto* dynamic = std::get_if<DynamicRecipe>(&variant.recipe.scheme);
    if (dynamic == nullptr || variant.suffix.empty()) continue;
    variant.suffix = dynamic->weights == DType::u8 ? "_quint8_quantized" : "_qint8_quantized";
  }
}

void add_notices(const ExportPlan& plan, const Component& component, const fs::path& module_folder) {
  const auto is_default = [](const Variant& variant) { return variant.suffix.empty(); };
  if (std::none_of(plan.variants.begin(), plan.variants.end(), is_default)) {
    plan.model.add_notice(fmt::format(
        "there is no {}/model.onnx: give the client model_kwargs={{\"file_name\": \"{}\"}}, or add fp32 to "
        "--variants",
        component.folder, plan.layout.path(component, plan.variants.front()).filename().string()));
  }
  const fs::path other = plan.layout.folder / module_folder / "model.onnx";
  std::error_code ignored;
  if (fs::exists(other, ignored)) {
    plan.model.add_notice(fmt::format("{} exists: the client loads it instead of {}/model.onnx; remove it",
                                      other.string(), component.folder));
  }
}

}  // namespace

ExportPlan arrange_sentence_transformers(ExportPlan plan) {
  const Kind& kind = kind_of(plan);
  Component& component = plan.components.front();
  const std::vector<SentenceModule> modules =
      parse_modules(plan.model.read_file("modules.json"), "modules.json");
  component.folder = modules.front().file("onnx");
  set_inputs(component, plan, kind);
  set_output(component, kind);
  set_suffixes(plan.variants);
  check_suffixes(plan);
  add_notices(plan, component, modules.front().path);
  return plan;
}

}  // namespace onnxport::layout
