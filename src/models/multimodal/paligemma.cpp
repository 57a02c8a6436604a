// PaliGemma: SigLIP's patches, projected, in front of a Gemma that reads its prompt in both directions.
// Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/paligemma/modeling_paligemma.py
#include "models/multimodal/common/decoders/paligemma.h"

#include <cmath>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

class PaliGemmaOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;

 protected:
  PretrainedConfig text_config() const override { return paligemma_text_config(config().unaccounted()); }
  PretrainedConfig vision_config() const override { return paligemma_vision_config(config().unaccounted()); }
};

// A query sees as many of the first keys as the call has tokens, and all keys up to its own: bool [S, P + S].
// So a prompt reads itself in both directions. One token alone sees all keys up to its own.
Value visible_keys(const Inputs& inputs) {
  const Value embeds = inputs["inputs_embeds"], mask = inputs["attention_mask"];
  Graph& graph = embeds.graph();
  const ModulePath at(graph, "attention_mask");
  const Dim& length = embeds.dim(1);
  const Value key = op::unsqueeze(op::arange(graph, mask.dim(1)), 0);
  const Value query = op::unsqueeze(op::arange(graph, length, mask.dim(1) - length), 1);
  const Value of_prompt = op::lt(key, op::size(graph, length));
  return op::logical_or(of_prompt, op::le(key, query));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  // For those who feed the files; copies of numbers of the parts.
  c.harmless({"image_token_index", "hidden_size", "vocab_size", "pad_token_id"});
  NamedValues all = inputs.values();
  if (component.part == kDecoder) all.emplace_back("visible_keys", visible_keys(inputs));
  return forward_multimodal_decoder(tasks, Inputs(std::move(all)), model, component, paligemma_text_config,
                                    [&](const Inputs& in, const Component&) -> NamedValues {
                                      paligemma_vision_config(c).harmless({"projection_dim"});
                                      return {{"image_features", encode_paligemma(tasks, in, model)}};
                                    });
}

}  // namespace

PretrainedConfig paligemma_text_config(const PretrainedConfig& whole) {
  return whole.sub("text_config", "gemma");
}

PretrainedConfig paligemma_vision_config(const PretrainedConfig& whole) {
  return whole.sub("vision_config", "siglip_vision_model");
}

// The language model multiplies all vectors by the root of their width.
Value encode_paligemma(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, paligemma_vision_config(c));
  const std::int64_t width = paligemma_text_config(c.unaccounted()).integer("hidden_size");
  const nn::Linear project(model.scope() / "multi_modal_projector" / "linear",
                           *tower.hidden.dim(2).constant(), c.integer("projection_dim"));
  return op::div(project(tower.hidden), std::sqrt(static_cast<double>(width)));
}

void register_paligemma(TasksManager& tasks) {
  register_multimodal_decoder<PaliGemmaOnnxConfig>(
      tasks,
      {.model_type = "paligemma", .forward = bound(tasks, forward), .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
