// A configuration class with patching specs, from the checkpoint to the validated file.
#include <gtest/gtest.h>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"
#include "onnxport/validate.h"
#include "reference/interpreter.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

class PlainOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    return text_inputs({"input_ids", "attention_mask", "token_type_ids"});
  }
};

class ReluOnnxConfig : public PlainOnnxConfig {
 public:
  using PlainOnnxConfig::PlainOnnxConfig;
  std::vector<PatchingSpec> patching_specs() const override {
    return {
        {.name = "relu for gelu",
         .path = "*encoder.layer",
         .op = "gelu",
         .replace = [](const PatchSite& site) -> std::vector<Value> { return {op::relu(site.inputs[0])}; }}};
  }
};

class UnmatchedOnnxConfig : public PlainOnnxConfig {
 public:
  using PlainOnnxConfig::PlainOnnxConfig;
  std::vector<PatchingSpec> patching_specs() const override {
    return {{.name = "decoder",
             .path = "decoder",
             .replace = [](const PatchSite& site) -> std::vector<Value> { return site.inputs; }}};
  }
};

/// BERT with another configuration class.
class Patching : public testing::Test {
 protected:
  Patching() { synthesize(fixture, folder.path() / "checkpoint"); }

  template <class Config>
  std::pair<Model, std::shared_ptr<const OnnxConfig>> open() {
    tasks.register_model<Config>(*TasksManager::instance().get_definition("bert"));
    Model model = tasks.get_model_from_task(fixture.task, folder.path() / "checkpoint");
    auto config = tasks.get_exporter_config_constructor(model)(model.config(), model.task(), {});
    return {std::move(model), std::move(config)};
  }

  TempFolder folder;
  TasksManager tasks;
  const GoldenFixture fixture = read_fixture("bert/feature-extraction");
};

TEST_F(Patching, IsExportedAndValidated) {
  const auto [model, config] = open<ReluOnnxConfig>();
  const std::filesystem::path file = folder.path() / "model.onnx";
  const auto [inputs, outputs] = export_onnx(model, *config, file);
  EXPECT_TRUE(validate_model_outputs(*config, model, file, outputs).passed());
  // The model that is not patched is another one.
  const auto [plain, plain_config] = open<PlainOnnxConfig>();
  EXPECT_FALSE(compare_model_outputs(*plain_config, plain, file, outputs).passed());
}

TEST_F(Patching, ComputesWhatItSays) {
  const auto [model, config] = open<ReluOnnxConfig>();
  const auto [plain, plain_config] = open<PlainOnnxConfig>();
  const Model relu = plain.with_config(plain.config().with("hidden_act", "\"relu\""));
  reference::Case inputs;
  for (const auto& [name, tensor] : config->generate_dummy_inputs()) inputs.emplace_back(name, tensor);
  const auto run = [&](const Model& one, const OnnxConfig& with) {
    return reference::interpret(one.build(with), {inputs})[0][0].reals;
  };
  const std::vector<double> patched = run(model, *config);
  const PlainOnnxConfig relu_config(relu.config(), relu.task());
  EXPECT_EQ(patched, run(relu, relu_config));
  EXPECT_NE(patched, run(plain, *plain_config));
}

TEST_F(Patching, WithoutAMatchIsAnError) {
  const auto [model, config] = open<UnmatchedOnnxConfig>();
  EXPECT_NE(complaint(ErrorCode::internal, [&, &model = model, &config = config] { model.build(*config); })
                .find("patching spec 'decoder': matches nothing: there is no module at 'decoder'"),
            std::string::npos);
}

}  // namespace
}  // namespace onnxport::test
