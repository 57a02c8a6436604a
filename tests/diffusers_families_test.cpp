// PixArt, Sana, Z-Image and Qwen-Image: cases beyond their fixtures.
#include "diffusers_pipeline.h"

namespace onnxport::test {
namespace {

using nlohmann::json;

// The published files of PixArt name an older class.
TEST(DiffusersFamilies, TheOlderNameOfPixArtIsTheSameModel) {
  const Pipeline pipeline("pixart");
  const Model before = pipeline.open();
  const std::string graph = print(before.build(make_plan(before).component("transformer")));
  pipeline.change("model_index.json",
                  [](json& index) { index["transformer"] = {"diffusers", "Transformer2DModel"}; });
  pipeline.change("transformer/config.json", [](json& config) {
    config["_class_name"] = "Transformer2DModel";
    config["double_self_attention"] = false;
    config["num_vector_embeds"] = nullptr;
    config["only_cross_attention"] = false;
    config["use_linear_projection"] = false;
  });
  const Model after = pipeline.open();
  EXPECT_EQ(print(after.build(make_plan(after).component("transformer"))), graph);
  pipeline.change("transformer/config.json", [](json& config) { config["norm_type"] = "layer_norm"; });
  expect_words(pipeline.complaint(ErrorCode::unsupported), {"norm_type", "'layer_norm'", "ada_norm_single"});
}

// Gemma 2 and the autoencoder of deep compression leave the range of float16.
TEST(DiffusersFamilies, SanaComputesItsTransformerAloneInFloat16) {
  const Pipeline pipeline("sana");
  const Model model = pipeline.open();
  const ExportPlan plan = make_plan(model, {.dtype = "fp16"});
  for (const char* name : {"text_encoder", "vae_encoder", "vae_decoder"}) {
    const Graph graph = model.build(plan.component(name));
    EXPECT_EQ(graph.float_dtype(), DType::f32) << name;
    EXPECT_EQ(graph.outputs().front().second.dtype(), DType::f16) << name;
  }
  EXPECT_EQ(model.build(plan.component("transformer")).float_dtype(), DType::f16);
}

TEST(DiffusersFamilies, ZImageTakesTheStatesInFrontOfTheLastLayer) {
  const Pipeline pipeline("z-image");
  const Model model = pipeline.open();
  const ExportPlan plan = make_plan(model);
  EXPECT_EQ(plan.component("text_encoder").interface.outputs.front().name, "hidden_states.2");
  EXPECT_EQ(plan.component("text_encoder").interface.outputs.size(), 1U);
}

// The published text encoder repeats the settings of the language model at the top, which has no effect.
TEST(DiffusersFamilies, QwenImageReadsTheSettingsOfItsLanguageModel) {
  const Pipeline pipeline("qwen-image");
  const Model before = pipeline.open();
  const std::string graph = print(before.build(make_plan(before).component("text_encoder")));
  pipeline.change("text_encoder/config.json", [](json& config) {
    for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "rope_scaling", "layer_types"})
      config[key] = config["text_config"][key];
    config["rope_theta"] = 7;
    config["tie_word_embeddings"] = false;
  });
  pipeline.build();
  const Model after = pipeline.open();
  EXPECT_EQ(print(after.build(make_plan(after).component("text_encoder"))), graph);
}

// Published files have more than the classes read today.
TEST(DiffusersFamilies, OlderFilesHaveMore) {
  const Pipeline qwen("qwen-image");
  qwen.change("transformer/config.json", [](json& config) { config["pooled_projection_dim"] = 768; });
  qwen.build();
  const Pipeline pixart("pixart");
  const auto file = pixart.folder() / "transformer" / "diffusion_pytorch_model.safetensors";
  NamedTensors tensors = read_safetensors(file);
  tensors.emplace_back("caption_projection.y_embedding", Tensor(DType::f32, {120, 32}));
  write_safetensors(file, tensors);
  pixart.build();
}

TEST(DiffusersFamilies, SettingsThatDoNotFitAreNamed) {
  const auto refused = [](const char* name, const std::string& file, const char* key, const json& value,
                          ErrorCode code) {
    const Pipeline pipeline(name);
    pipeline.change(file, [&](json& values) { values[key] = value; });
    return pipeline.complaint(code);
  };
  const auto transformer = [&](const char* name, const char* key, const json& value, ErrorCode code) {
    return refused(name, "transformer/config.json", key, value, code);
  };
  const auto vae = [&](const char* key, const json& value, ErrorCode code) {
    return refused("sana", "vae/config.json", key, value, code);
  };
  const ErrorCode bad = ErrorCode::bad_config, other = ErrorCode::unsupported;
  expect_words(transformer("pixart", "interpolation_scale", 0, bad), {"interpolation_scale", "more than 0"});
  expect_words(transformer("pixart", "activation_fn", "geglu", other), {"'geglu'", "gelu-approximate"});
  expect_words(transformer("pixart", "only_cross_attention", true, other), {"only_cross_attention"});
  expect_words(transformer("pixart", "cross_attention_dim", 40, bad), {"cross_attention_dim is 40", "48"});
  expect_words(transformer("sana", "qk_norm", "l2", other), {"qk_norm 'l2'", "rms_norm_across_heads"});
  expect_words(transformer("sana", "mlp_ratio", 0, bad), {"mlp_ratio is 0"});
  expect_words(transformer("sana", "cross_attention_dim", 40, bad), {"cross_attention_dim is 40", "48"});
  expect_words(transformer("z-image", "siglip_feat_dim", 16, other), {"siglip_feat_dim"});
  expect_words(transformer("z-image", "all_patch_size", {2, 4}, other), {"all_patch_size has 2 sizes"});
  expect_words(transformer("z-image", "axes_dims", {4, 8, 6}, bad), {"axes_dims", "16"});
  expect_words(transformer("z-image", "axes_dims", {8, 8}, bad), {"axes_dims has 2 numbers"});
  for (const char* key : {"guidance_embeds", "zero_cond_t", "use_additional_t_cond", "use_layer3d_rope"})
    expect_words(transformer("qwen-image", key, true, other), {key, "is not supported"});
  expect_words(transformer("qwen-image", "axes_dims_rope", {8, 8}, bad), {"axes_dims_rope has 2 numbers"});
  expect_words(refused("qwen-image", "vae/config.json", "attn_scales", {0.5}, other), {"attn_scales"});
  expect_words(refused("qwen-image", "vae/config.json", "dim_mult", {1, 0}, bad), {"dim_mult has 0"});
  expect_words(vae("upsample_block_type", "bilinear", other), {"'bilinear'", "pixel_shuffle"});
  expect_words(vae("decoder_norm_types", "layer_norm", other), {"'layer_norm'", "batch_norm"});
  expect_words(vae("encoder_block_out_channels", {16, 32}, bad),
               {"encoder_block_out_channels", "2, 3 and 3"});
  expect_words(vae("latent_channels", 5, bad), {"a shortcut takes 32 channels for 5"});
  expect_words(vae("encoder_qkv_multiscales", {json::array(), json::array(), {4}}, bad), {"odd kernels"});
}

}  // namespace
}  // namespace onnxport::test
