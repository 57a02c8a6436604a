// Names of weights files: their variants, and what the messages say where there are none.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "checkpoint/checkpoint.h"
#include "checkpoint/quantization.h"
#include "checkpoint/weight_files.h"
#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "run_program.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;

TEST(WeightFiles, NamesOfAVariant) {
  EXPECT_EQ(weight_file_names().front(), "model.safetensors");
  EXPECT_EQ(weight_file_names().size(), 8U);
  EXPECT_EQ(
      weight_file_names("fp16"),
      (std::vector<std::string>{
          "model.fp16.safetensors", "model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json",
          "diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors.index.fp16.json",
          "diffusion_pytorch_model.fp16.safetensors.index.json", "pytorch_model.fp16.bin",
          "pytorch_model.bin.index.fp16.json", "pytorch_model.fp16.bin.index.json",
          "diffusion_pytorch_model.fp16.bin", "diffusion_pytorch_model.bin.index.fp16.json",
          "diffusion_pytorch_model.fp16.bin.index.json"}));
  for (const char* name : {"../x", "a/b", "a.b", "ö"}) {
    EXPECT_NE(
        complaint(ErrorCode::invalid_argument, [&] { weight_file_names(name); }).find("--weights-variant"),
        std::string::npos);
  }
}

struct Instead {
  std::string file;
  std::vector<std::string> words;
};

TEST(WeightFiles, MessagesNameWhatThereIs) {
  const std::vector<Instead> cases = {
      {"tf_model.h5", {"TensorFlow", "from_tf=True", "save_pretrained"}},
      {"flax_model.msgpack", {"Flax", "from_flax=True", "save_pretrained"}},
      {"model.fp16.safetensors", {"the variant fp16", "--weights-variant fp16"}},
      {"model.safetensors.index.fp16.json", {"--weights-variant fp16"}},
      {"pytorch_model.non_ema.bin", {"--weights-variant non_ema"}},
      {"consolidated.safetensors", {"authors", "convert"}},
      {"consolidated.00.pth", {"authors", "convert"}},
      {"adapter_model.safetensors", {"adapter", "merge_and_unload", "save_pretrained"}},
      {"adapter_model.bin", {"adapter"}},
      {"onnx/model.onnx", {"an ONNX file", "exported already"}},
      {"model_quantized.onnx", {"an ONNX file"}},
      {"openvino/openvino_model.xml", {"OpenVINO"}},
      {"model-00001-of-00002.safetensors", {"a shard", "model.safetensors.index.json"}},
      {"whatever.safetensors", {"rename it to model.safetensors"}},
      {"last.ckpt", {"training checkpoint"}},
  };
  for (const auto& [file, words] : cases) {
    TempFolder folder;
    fs::create_directories((folder.path() / file).parent_path());
    std::ofstream(folder.path() / file) << "x";
    const std::string message = error_of([&] { Checkpoint::open(folder.path()); });
    EXPECT_NE(message.find("there is " + file + " ("), std::string::npos) << message;
    for (const std::string& word : words) EXPECT_NE(message.find(word), std::string::npos) << message;
  }
  EXPECT_EQ(
      instead_of_weights(std::vector<std::string>{"config.json", "README.md", "2_Dense/model.safetensors"}),
      "");
  // One of each kind is enough.
  EXPECT_EQ(instead_of_weights(std::vector<std::string>{"a.onnx", "b.onnx", "tf_model.h5"}).find("b.onnx"),
            std::string::npos);
}

TEST(WeightFiles, AVariantIsReadInsteadOfThePlainFile) {
  TempFolder temp;
  const fs::path folder = temp.path() / "checkpoint";
  synthesize(read_fixture("bert/text-classification"), folder);
  const auto export_as = [&](const std::string& name, const std::string& variant) {
    const fs::path out = temp.path() / name;
    main_export({.model = folder, .output = out, .validate = false, .hub = {.weights_variant = variant}});
    return read_text_file(out / "model.onnx");
  };
  const std::string plain = export_as("plain", "");
  fs::rename(folder / "model.safetensors", folder / "model.fp16.safetensors");
  std::ofstream(folder / "model.safetensors") << "broken";
  EXPECT_TRUE(export_as("variant", "fp16") == plain);
  EXPECT_EQ(run_program({"export", "onnx", "--no-validate", "--weights-variant", "fp16", "-m", folder,
                         (temp.path() / "cli").string()})
                .status,
            0);
  // The shards of an index that is named in one of the two ways.
  for (const char* index : {"model.safetensors.index.fp16.json", "model.fp16.safetensors.index.json"}) {
    std::string map;
    for (const auto& [key, tensor] : read_safetensors(folder / "model.fp16.safetensors"))
      map += (map.empty() ? "" : ",") + fmt::format(R"("{}": "shard.fp16.safetensors")", key);
    std::ofstream(folder / index) << R"({"weight_map": {)" << map << "}}";
    fs::rename(folder / "model.fp16.safetensors", folder / "shard.fp16.safetensors");
    EXPECT_TRUE(export_as("shards", "fp16") == plain) << index;
    fs::rename(folder / "shard.fp16.safetensors", folder / "model.fp16.safetensors");
    fs::remove(folder / index);
  }
  const std::string message = complaint(ErrorCode::bad_checkpoint, [&] { export_as("none", "bf16"); });
  EXPECT_NE(message.find("model.fp16.safetensors (the variant fp16)"), std::string::npos) << message;
  EXPECT_NE(message.find("model.safetensors (no variant): leave --weights-variant out"), std::string::npos);
  EXPECT_NE(complaint(ErrorCode::invalid_argument,
                      [&] { Checkpoint::open(folder / "model.fp16.safetensors", {}, "fp16"); })
                .find("is a file"),
            std::string::npos);
}

}  // namespace
}  // namespace onnxport::test
