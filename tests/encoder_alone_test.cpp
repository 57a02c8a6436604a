// Checkpoints of an encoder without its decoder, as diffusion models have them.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/graph.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;

/// Rewrites the weights of a T5: no decoder, and the table of tokens only below the encoder.
void keep_encoder(const fs::path& checkpoint) {
  NamedTensors kept;
  for (auto& [key, tensor] : read_safetensors(checkpoint / "model.safetensors")) {
    if (key == "shared.weight") kept.emplace_back("encoder.embed_tokens.weight", tensor);
    if (key.starts_with("encoder.")) kept.emplace_back(key, tensor);
  }
  write_safetensors(checkpoint / "model.safetensors", kept);
}

Graph encoder_graph(const fs::path& checkpoint, const char* task, const char* name) {
  const Model model = TasksManager::instance().get_model_from_task(task, checkpoint);
  return model.build(make_plan(model, {}).component(name));
}

TEST(EncoderAlone, IsTheEncoderOfTheWhole) {
  const TempFolder folder;
  const fs::path whole = folder.path() / "whole", alone = folder.path() / "alone";
  const GoldenFixture fixture = read_fixture("t5/text2text-generation");
  synthesize(fixture, whole);
  synthesize(fixture, alone);
  keep_encoder(alone);
  const std::string expected = print(encoder_graph(whole, "text2text-generation", "encoder_model"));
  std::string graph = print(encoder_graph(alone, "feature-extraction", "model"));
  for (std::size_t at; (at = graph.find("encoder.embed_tokens.weight")) != graph.npos;)
    graph.replace(at, 27, "shared.weight");
  EXPECT_EQ(graph, expected);

  const fs::path out = folder.path() / "out";
  main_export({.model = alone, .output = out, .task = "feature-extraction"});
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(out)) {
    if (entry.path().extension() == ".onnx") files.push_back(entry.path().filename().string());
  }
  EXPECT_EQ(files, std::vector<std::string>{"model.onnx"});
}

TEST(EncoderAlone, HasNoOtherTask) {
  const TempFolder folder;
  synthesize(read_fixture("t5/text2text-generation"), folder.path());
  keep_encoder(folder.path());
  EXPECT_THROW(encoder_graph(folder.path(), "text2text-generation", "decoder_model"), ExportError);
}

}  // namespace
}  // namespace onnxport::test
