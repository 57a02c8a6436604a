#include "models/vision/common/sam.h"
#include "models/vision/common/sam_onnx_config.h"

namespace onnxport::models {

SamConfig::SamConfig(const PretrainedConfig& c, const char* vision_type)
    : vision(c.sub("vision_config", vision_type)),
      decoder(sam_decoder_config(c.sub("mask_decoder_config"))),
      prompts(c.sub("prompt_encoder_config"), vision, decoder.hidden_size) {}

SamFeatures sam_features(const Scope& root, const SamConfig& c, const Inputs& inputs,
                         const Component& component) {
  SamFeatures features;
  if (component.part == kMaskDecoder) {
    features.image.embeddings = inputs["image_embeddings"];
    features.positions = inputs["image_positional_embeddings"];
    const char* global = "intermediate_embeddings.0";
    if (inputs.has(global)) features.image.global = {inputs[global]};
    return features;
  }
  features.image = encode_sam_image(root / "vision_encoder", c.vision, inputs["pixel_values"]);
  const Weight positions =
      sam_image_positions(root / "shared_image_embedding", c.prompts.width, c.vision.grid());
  features.positions = features.image.embeddings.graph().weight(positions);
  return features;
}

NamedValues sam_encoder_outputs(const SamFeatures& features) {
  const Value image = features.image.embeddings;
  return {{"image_embeddings", image},
          {"image_positional_embeddings", op::expand(features.positions, image.shape())}};
}

std::vector<std::string> sam_ignorable_keys() {
  return {"prompt_encoder.mask_embed.*", "prompt_encoder.point_embed.2.weight",
          "prompt_encoder.point_embed.3.weight", "prompt_encoder.shared_embedding.positional_embedding"};
}

}  // namespace onnxport::models
