// Fuyu: patches of an image, projected, in front of a Persimmon; there is no tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/fuyu/modeling_fuyu.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/patches/patch_grid.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

std::int64_t patch_elements(const PretrainedConfig& c) {
  const std::int64_t patch = divisor(c, "patch_size");
  return c.integer("num_channels") * patch * patch;
}

PretrainedConfig language_config(const PretrainedConfig& c) { return c.sub("text_config", "persimmon"); }

class FuyuOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override { return {}; }

 protected:
  AxesByName encoder_inputs() const override {
    return {{"image_patches", {{0, "batch_size"}, {1, "num_patches"}}}};
  }
  AxesByName encoder_outputs() const override {
    return {{"image_features", {{0, "batch_size"}, {1, "num_patches"}}}};
  }
  DummyInputGenerators encoder_dummies() const override {
    return {
        std::make_shared<const DummyRowsGenerator>("image_patches", patch_elements(config().unaccounted()))};
  }
  NormalizedConfig encoder_normalized() const override { return NormalizedVisionConfig(config()); }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  // Copies of numbers of the language model; the largest image; for those who feed the files.
  c.harmless({"vocab_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
              "max_position_embeddings", "layer_norm_eps", "rope_theta", "rope_scaling", "qk_layernorm",
              "partial_rotary_factor", "pad_token_id", "image_size", "image_token_id", "_vocab_size"});
  return forward_multimodal_decoder(tasks, inputs, model, component, language_config,
                                    [&](const Inputs& in, const Component&) -> NamedValues {
                                      const nn::Linear project(model.scope() / "vision_embed_tokens",
                                                               patch_elements(c), c.integer("hidden_size"));
                                      return {{"image_features", project(in["image_patches"])}};
                                    });
}

}  // namespace

void register_fuyu(TasksManager& tasks) {
  register_multimodal_decoder<FuyuOnnxConfig>(tasks,
                                              {.model_type = "fuyu",
                                               .forward = bound(tasks, forward),
                                               .key_names = multimodal_key_names({"vision_embed_tokens"})});
}

}  // namespace onnxport::models
