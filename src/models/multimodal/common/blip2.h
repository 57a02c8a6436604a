/// BLIP-2 and its relatives: a tower, a Q-Former, and a language model.
#pragma once

#include "models/multimodal/common/multimodal_decoder.h"
#include "models/multimodal/common/qformer.h"

namespace onnxport::models {

/// The tower and the language model of such a type.
class Blip2OnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override { return {}; }

 protected:
  virtual std::string vision_type() const { return "blip_2_vision_model"; }
  AxesByName encoder_inputs() const override { return {{"pixel_values", {{0, "batch_size"}}}}; }
  AxesByName encoder_outputs() const override { return {{"image_features", {{0, "batch_size"}}}}; }
  DummyInputGenerators encoder_dummies() const override {
    return {std::make_shared<const DummyVisionInputGenerator>()};
  }
  NormalizedConfig encoder_normalized() const override { return NormalizedVisionConfig(vision_config()); }
  PretrainedConfig text_config() const override {
    return config().unaccounted().sub("text_config", "opt");
  }
  PretrainedConfig vision_config() const override {
    return config().unaccounted().sub("vision_config", vision_type());
  }
};

/// Types of the parts, where their configurations do not say.
struct Blip2Types {
  const char *vision, *qformer;
};

/// The outputs of a component: image_features are the states of the queries, projected to the width of the
/// language model. Keys: vision_model, query_tokens, qformer, language_projection, language_model. `text`:
/// the Q-Former reads qformer_input_ids and qformer_attention_mask.
NamedValues forward_blip2(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                          const Component& component, const Blip2Types& types, bool text);

}  // namespace onnxport::models
