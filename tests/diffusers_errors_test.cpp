// Pipelines of the library diffusers that are refused: broken files, missing parts, other classes.
#include "diffusers_pipeline.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

TEST(DiffusersErrors, MissingPartsAreNamed) {
  {
    const Pipeline pipeline("sd");
    fs::remove_all(pipeline.folder() / "unet");
    expect_words(pipeline.complaint(ErrorCode::bad_config),
                 {"'unet'", "UNet2DConditionModel", "config.json"});
  }
  {
    const Pipeline pipeline("sd");
    fs::remove(pipeline.folder() / "vae" / "diffusion_pytorch_model.safetensors");
    expect_words(pipeline.complaint(ErrorCode::bad_checkpoint), {"no weights", "vae"});
  }
  {
    const Pipeline pipeline("sd");
    const fs::path file = pipeline.folder() / "unet" / "diffusion_pytorch_model.safetensors";
    NamedTensors tensors = read_safetensors(file);
    std::erase_if(tensors, [](const auto& tensor) { return tensor.first == "conv_in.weight"; });
    write_safetensors(file, tensors);
    expect_words(pipeline.complaint(ErrorCode::bad_checkpoint), {"unet.conv_in.weight"});
  }
}

TEST(DiffusersErrors, UnexpectedTensorsAndSettings) {
  const Pipeline pipeline("sd");
  const fs::path file = pipeline.folder() / "unet" / "diffusion_pytorch_model.safetensors";
  NamedTensors tensors = read_safetensors(file);
  tensors.emplace_back("down_blocks.0.attentions.0.adapter.weight", Tensor(DType::f32, {2, 2}));
  write_safetensors(file, tensors);
  expect_words(pipeline.complaint(ErrorCode::bad_checkpoint),
               {"unet.down_blocks.0.attentions.0.adapter.weight"});
  const Pipeline other("sd");
  other.change("unet/config.json", [](json& config) { config["only_cross_attention"] = true; });
  expect_words(other.complaint(ErrorCode::bad_config), {"unet.only_cross_attention"});
}

TEST(DiffusersErrors, OtherClassesAreRefused) {
  const auto refused = [](const std::string& file, const char* key, const json& value) {
    const Pipeline pipeline("sd");
    pipeline.change(file, [&](json& values) { values[key] = value; });
    return pipeline.complaint(ErrorCode::unsupported);
  };
  expect_words(refused("model_index.json", "_class_name", "KandinskyPipeline"),
               {"pipeline 'KandinskyPipeline'", "StableDiffusionPipeline", "FluxPipeline"});
  expect_words(refused("model_index.json", "unet", {"diffusers", "UNet3DConditionModel"}),
               {"'unet'", "'UNet3DConditionModel'", "UNet2DConditionModel", "AutoencoderKL"});
  expect_words(refused("text_encoder/config.json", "model_type", "vit"),
               {"text_encoder", "'vit'", "text model"});
  expect_words(refused("unet/config.json", "down_block_types", {"AttnDownBlock2D", "DownBlock2D"}),
               {"'AttnDownBlock2D'", "CrossAttnDownBlock2D"});
  expect_words(refused("unet/config.json", "addition_embed_type", "image"), {"'image'", "text_time"});
  expect_words(refused("vae/config.json", "up_block_types", {"AttnUpDecoderBlock2D", "UpDecoderBlock2D"}),
               {"'AttnUpDecoderBlock2D'", "UpDecoderBlock2D"});
}

TEST(DiffusersErrors, BrokenIndexes) {
  const auto broken = [](const std::function<void(json&)>& by) {
    const Pipeline pipeline("sd");
    pipeline.change("model_index.json", by);
    return pipeline.complaint(ErrorCode::bad_config);
  };
  expect_words(broken([](json& index) { index.erase("_class_name"); }),
               {"'_class_name'", "StableDiffusionPipeline"});
  expect_words(broken([](json& index) { index["unet"] = "UNet2DConditionModel"; }),
               {"'unet'", "a library and a class"});
  expect_words(broken([](json& index) { index = {{"_class_name", "StableDiffusionPipeline"}}; }),
               {"names none of the components", "text_encoder"});
  expect_words(broken([](json& index) { index = json::array(); }), {"expected a json object"});
}

TEST(DiffusersErrors, BrokenSizes) {
  const auto broken = [](const std::string& file, const char* key, const json& value) {
    const Pipeline pipeline(file.starts_with("transformer") ? "flux-dev" : "sdxl");
    pipeline.change(file, [&](json& values) { values[key] = value; });
    return pipeline.complaint(ErrorCode::bad_config);
  };
  expect_words(broken("unet/config.json", "layers_per_block", {1, 2, 3}), {"layers_per_block", "3 entries"});
  expect_words(broken("unet/config.json", "block_out_channels", {15, 32}), {"block_out_channels 15"});
  expect_words(broken("unet/config.json", "block_out_channels", json::array()), {"block_out_channels"});
  expect_words(broken("unet/config.json", "attention_head_dim", 0), {"attention_head_dim"});
  expect_words(broken("unet/config.json", "projection_class_embeddings_input_dim", 48),
               {"projection_class_embeddings_input_dim is 48"});
  expect_words(broken("unet/config.json", "conv_in_kernel", 2), {"conv_in_kernel is 2"});
  expect_words(broken("vae/config.json", "norm_num_groups", 0), {"norm_num_groups"});
  expect_words(broken("vae/config.json", "block_out_channels", {8}), {"one width per block"});
  expect_words(broken("transformer/config.json", "axes_dims_rope", {4, 4, 4}), {"axes_dims_rope"});
}

TEST(DiffusersErrors, OptionsThatPipelinesDoNotHave) {
  const Pipeline pipeline("sd");
  const auto refused = [&](const MainExportOptions& options) {
    return test::complaint(ErrorCode::unsupported, [&] { pipeline.run(options); });
  };
  expect_words(refused({.layout = "transformers.js"}), {"--layout optimum"});
  expect_words(refused({.split = Split::monolith}), {"--monolith"});
  EXPECT_FALSE(fs::exists(pipeline.out()));
}

TEST(DiffusersErrors, FilesOfOtherProgramsAreRefusedWithTheNextStep) {
  const TempFolder temp;
  const fs::path file = temp.path() / "v1-5.safetensors";
  write_safetensors(file, {{"model.diffusion_model.out.2.bias", Tensor(DType::f32, {4})}});
  for (const fs::path& given : {file, temp.path()}) {
    expect_words(test::complaint(ErrorCode::unsupported,
                                 [&] { TasksManager::instance().get_model_from_task("auto", given); }),
                 {file.string(), "from_single_file", "save_pretrained"});
  }
}

}  // namespace
}  // namespace onnxport::test
