/// BLIP-2 and its relatives: a tower, a Q-Former, and a language model, which may be a T5.
#pragma once

#include "models/multimodal/common/decoders/multimodal_seq2seq.h"
#include "models/multimodal/common/features/qformer.h"

namespace onnxport::models {

/// The tower, and a language model that is a decoder.
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
  PretrainedConfig text_config() const override { return config().unaccounted().sub("text_config", "opt"); }
  PretrainedConfig vision_config() const override {
    return config().unaccounted().sub("vision_config").as(vision_type());
  }
};

/// The same with an encoder-decoder.
template <class Alone>
class Blip2Seq2SeqOnnxConfig : public MultimodalSeq2SeqOnnxConfig {
 public:
  using MultimodalSeq2SeqOnnxConfig::MultimodalSeq2SeqOnnxConfig;

 protected:
  std::shared_ptr<const OnnxConfig> images() const override {
    OnnxConfigOptions of_images = options();
    of_images.part = kVisionEncoder;
    return make_onnx_config<Alone>(config(), task(), of_images);
  }
  PretrainedConfig text_config() const override { return config().unaccounted().sub("text_config", "opt"); }
};

/// Registers such a type with its class for a decoder.
template <class Alone>
void register_blip2_like(TasksManager& tasks, ModelDefinition definition) {
  definition.tasks = {"image-text-to-text", "image-text-to-text-with-past"};
  definition.ignorable_keys = {"*.embeddings.position_ids"};
  definition.onnx_config = [](PretrainedConfig config, std::string task, OnnxConfigOptions options) {
    const PretrainedConfig text = config.unaccounted().sub("text_config", "opt");
    const auto make = is_seq2seq_type(text.model_type()) ? make_onnx_config<Blip2Seq2SeqOnnxConfig<Alone>>
                                                         : make_onnx_config<Alone>;
    return make(std::move(config), std::move(task), std::move(options));
  };
  tasks.register_definition(std::move(definition));
}

/// The classes of the parts' configurations, which do not depend on the types that they name.
struct Blip2Types {
  const char *vision, *qformer;
};

/// The outputs of a component: image_features are the states of the queries, projected to the width of the
/// language model. Keys: vision_model, query_tokens, qformer, language_projection, language_model. `text`:
/// the Q-Former reads qformer_input_ids and qformer_attention_mask.
NamedValues forward_blip2(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                          const Component& component, const Blip2Types& types, bool text);

}  // namespace onnxport::models
