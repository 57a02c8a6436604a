// LoRA adapters of diffusion pipelines: the names in which they are saved, their scales, and what is refused.
#include <cmath>

#include "checkpoint/pipeline_lora.h"
#include "diffusers_pipeline.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kRank = 2;
const std::string kModule = "down_blocks.0.attentions.0.transformer_blocks.0.attn1";

// Values that differ from each other.
Tensor factor(std::vector<std::int64_t> shape) {
  Tensor tensor(DType::f32, shape);
  std::vector<double> values(static_cast<std::size_t>(tensor.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<double>(i + 1)) / 4;
  return Tensor::from_doubles(DType::f32, std::move(shape), values);
}

class PipelineLora : public testing::Test {
 protected:
  // An adapter of to_q in the first block, under these names.
  fs::path adapter(const std::string& down, const std::string& up, const NamedTensors& more = {}) const {
    const fs::path folder = temp_.path() / "adapter";
    fs::create_directories(folder);
    NamedTensors tensors = {{down, factor({kRank, 16})}, {up, factor({16, kRank})}};
    tensors.insert(tensors.end(), more.begin(), more.end());
    write_safetensors(folder / kPipelineLora, tensors);
    return folder;
  }
  // The largest change of a weight.
  double change(const std::string& key, const fs::path& folder) const {
    const auto read = [&](const OpenOptions& options) {
      const Model model = pipeline_.open("auto", options);
      return model.scope().weight(key, {16, 16}).to_doubles();
    };
    const std::vector<double> before = read({}), after = read({.adapters = {folder}});
    double largest = 0;
    for (std::size_t i = 0; i < before.size(); ++i)
      largest = std::max(largest, std::abs(after[i] - before[i]));
    return largest;
  }
  // The same as B A has it, at row and column.
  static double product() {
    const std::vector<double> a = factor({kRank, 16}).to_doubles(), b = factor({16, kRank}).to_doubles();
    double largest = 0;
    for (std::size_t row = 0; row < 16; ++row) {
      for (std::size_t column = 0; column < 16; ++column) {
        const double sum = b[row * 2] * a[column] + b[row * 2 + 1] * a[16 + column];
        largest = std::max(largest, std::abs(sum));
      }
    }
    return largest;
  }
  std::string refused(ErrorCode code, const fs::path& folder) const {
    return complaint(code, [&] { pipeline_.open("auto", {.adapters = {folder}}); });
  }

  Pipeline pipeline_{"sd"};
  TempFolder temp_;
};

TEST_F(PipelineLora, AllNamesGiveTheSameWeights) {
  const std::string module = "unet." + kModule;
  std::string flat = "lora_unet_" + kModule + "_to_q";
  std::replace(flat.begin(), flat.end(), '.', '_');
  const std::vector<std::pair<std::string, std::string>> names = {
      {module + ".to_q.lora_A.weight", module + ".to_q.lora_B.weight"},
      {module + ".to_q.lora.down.weight", module + ".to_q.lora.up.weight"},
      {module + ".processor.to_q_lora.down.weight", module + ".processor.to_q_lora.up.weight"},
      {kModule + ".processor.to_q_lora.down.weight", kModule + ".processor.to_q_lora.up.weight"},
      {flat + ".lora_down.weight", flat + ".lora_up.weight"}};
  for (const auto& [down, up] : names)
    EXPECT_NEAR(change(module + ".to_q.weight", adapter(down, up)), product(), 1e-6) << down;
}

TEST_F(PipelineLora, OutputProjectionsOfOlderFiles) {
  const std::string module = "unet." + kModule;
  const fs::path folder =
      adapter(module + ".processor.to_out_lora.down.weight", module + ".processor.to_out_lora.up.weight");
  EXPECT_NEAR(change(module + ".to_out.0.weight", folder), product(), 1e-6);
}

TEST_F(PipelineLora, AlphaScales) {
  std::string flat = "lora_unet_" + kModule + "_to_q";
  std::replace(flat.begin(), flat.end(), '.', '_');
  const fs::path folder =
      adapter(flat + ".lora_down.weight", flat + ".lora_up.weight",
              {{flat + ".alpha", Tensor::from_doubles(DType::f32, {}, std::vector{1.0})}});
  EXPECT_NEAR(change("unet." + kModule + ".to_q.weight", folder), product() / kRank, 1e-6);
}

TEST_F(PipelineLora, RanksMayDiffer) {
  const std::string module = "unet." + kModule;
  const fs::path folder = adapter(module + ".to_q.lora_A.weight", module + ".to_q.lora_B.weight",
                                  {{module + ".to_k.lora_A.weight", factor({3, 16})},
                                   {module + ".to_k.lora_B.weight", factor({16, 3})},
                                   {module + ".to_v.lora_A.weight", factor({3, 16})},
                                   {module + ".to_v.lora_B.weight", factor({16, 3})}});
  EXPECT_NEAR(change(module + ".to_q.weight", folder), product(), 1e-6);
  EXPECT_GT(change(module + ".to_k.weight", folder), 0.01);
}

TEST_F(PipelineLora, TextEncodersToo) {
  const std::string layer = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj";
  const fs::path folder = temp_.path() / "adapter";
  fs::create_directories(folder);
  write_safetensors(folder / kPipelineLora, {{layer + ".lora_linear_layer.down.weight", factor({kRank, 32})},
                                             {layer + ".lora_linear_layer.up.weight", factor({32, kRank})}});
  MainExportOptions options{.adapters = {folder}};
  EXPECT_EQ(pipeline_.run(options).model_type, "StableDiffusionPipeline");
  EXPECT_FALSE(fs::exists(pipeline_.out() / "config.json"));
}

TEST_F(PipelineLora, WhatFitsNothingIsRefused) {
  expect_words(
      refused(ErrorCode::bad_checkpoint, adapter("unet.other.lora_A.weight", "unet.other.lora_B.weight")),
      {"unet.other"});
  expect_words(refused(ErrorCode::unsupported, adapter("lora_unet_input_blocks_1.lora_down.weight",
                                                       "lora_unet_input_blocks_1.lora_up.weight")),
               {"lora_unet_input_blocks_1"});
  const fs::path folder = temp_.path() / "adapter";
  json header = {{"__metadata__", {{"lora_adapter_metadata", R"({"unet.use_rslora": true})"}}}};
  std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::ofstream out(folder / kPipelineLora, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out << text;
  out.close();
  expect_words(refused(ErrorCode::unsupported, folder), {"unet.use_rslora", "fuse_lora"});
}

}  // namespace
}  // namespace onnxport::test
