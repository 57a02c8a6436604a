// What a user is told about models that hear, and about language models whose layers look at tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

void edit_config(const fs::path& folder, const std::function<void(json&)>& edit) {
  json config = parse_json<json>(read_text_file(folder / "config.json"));
  edit(config);
  std::ofstream(folder / "config.json") << config.dump();
}

std::vector<std::string> notices_of(const fs::path& model, const fs::path& output) {
  std::vector<std::string> notices;
  MainExportOptions options{
      .model = model, .output = output, .task = "audio-text-to-text-with-past", .validate = false};
  options.export_options.on_notice = [&](const std::string& text) { notices.push_back(text); };
  main_export(options);
  return notices;
}

bool any_has(const std::vector<std::string>& lines, const std::string& text) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

TEST(GraniteSpeech, AdapterBesideTheModelIsMerged) {
  const TempFolder folder;
  const fs::path model = folder.path() / "model";
  synthesize(read_fixture("granite_speech/audio-text-to-text-with-past"), model);
  edit_config(model, [](json& config) { config["has_lora_adapter"] = true; });
  EXPECT_TRUE(any_has(notices_of(model, folder.path() / "plain"), "no adapter was merged"));

  const std::string module = "base_model.model.language_model.model.layers.0.self_attn.q_proj.";
  const std::vector<double> ones(64, 1.0);
  write_safetensors(model / "adapter_model.safetensors",
                    {{module + "lora_A.weight", Tensor::from_doubles(DType::f32, {2, 32}, ones)},
                     {module + "lora_B.weight", Tensor::from_doubles(DType::f32, {32, 2}, ones)}});
  std::ofstream(model / "adapter_config.json") << json({{"peft_type", "LORA"},
                                                        {"r", 2},
                                                        {"lora_alpha", 4},
                                                        {"target_modules", {"q_proj"}},
                                                        {"base_model_name_or_path", model.string()}});
  const auto notices = notices_of(model, folder.path() / "adapted");
  EXPECT_TRUE(any_has(notices, "merged into 1 weights"));
  EXPECT_TRUE(any_has(notices, "which is for prompts with sound"));
  EXPECT_NE(read_text_file(folder.path() / "plain" / "decoder_model_merged.onnx"),
            read_text_file(folder.path() / "adapted" / "decoder_model_merged.onnx"));
  EXPECT_EQ(read_text_file(folder.path() / "plain" / "audio_encoder.onnx"),
            read_text_file(folder.path() / "adapted" / "audio_encoder.onnx"));
}

TEST(Voxtral, AnotherEncoderIsRefused) {
  const TempFolder folder;
  synthesize(read_fixture("voxtral/audio-text-to-text-with-past"), folder.path());
  edit_config(folder.path(), [](json& config) { config["audio_config"]["model_type"] = "whisper"; });
  try {
    notices_of(folder.path(), folder.path() / "out");
    FAIL() << "expected an error";
  } catch (const ExportError& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_NE(std::string(error.what()).find("audio_config.model_type is 'whisper'"), std::string::npos)
        << error.what();
  }
}

// A model around them that only hands over vectors, like LLaVA, does not fit.
TEST(LayersThatLookAtTokens, NeedThem) {
  const TempFolder folder;
  const GoldenFixture fixture = read_fixture("gemma4_text/text-generation-with-past");
  synthesize(fixture, folder.path());
  const Model model = TasksManager::instance().get_model_from_task(fixture.task, folder.path());
  const ExportPlan plan = make_plan(model);
  const Component& component = plan.components.front();
  Graph graph(DType::f32);
  NamedValues inputs;
  for (const TensorSpec& spec : component.interface.inputs) {
    if (spec.name != "input_ids")
      inputs.emplace_back(spec.name, graph.input(spec.name, {spec.dtype, spec.shape}));
  }
  const Shape tokens = {Dim::symbol("batch_size"), Dim::symbol("sequence_length"), 32};
  inputs.emplace_back("inputs_embeds", graph.input("inputs_embeds", {DType::f32, tokens}));
  try {
    model.definition().roles.language_model->decode(Inputs(inputs), model, component);
    FAIL() << "expected an error";
  } catch (const ExportError& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_NE(std::string(error.what()).find("look at the tokens"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace onnxport::test
