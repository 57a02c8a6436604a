// LightOnOCR: Pixtral's patches, merged in squares, in front of Qwen3. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/lighton_ocr/modeling_lighton_ocr.py
#include "models/multimodal/common/patches/merged_patches.h"

namespace onnxport::models {
namespace {

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const EncoderStates tower =
      encode_with_tower(tasks, inputs, model, c.sub("vision_config"), "vision_config", "vision_encoder");
  return project_merged_patches(model.scope() / "vision_projection", c, tower.hidden, inputs["pixel_values"],
                                {});
}

// The flag of the whole ties the output layer, where the file has none.
PretrainedConfig text_of(const PretrainedConfig& whole, const Scope& s) {
  const bool stored = (s / "language_model" / "lm_head").has("weight");
  const bool tied = whole.flag("tie_word_embeddings") && !stored;
  return whole.sub("text_config").settled("tie_word_embeddings", tied ? "true" : "false");
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  model.config().harmless({"image_token_id"});  // for those who feed the files
  return forward_multimodal_decoder(
      tasks, inputs, model, component,
      [&](const PretrainedConfig& whole) { return text_of(whole, model.scope()); },
      [&](const Inputs& in, const Component&) -> NamedValues {
        return {{"image_features", encode(tasks, in, model)}};
      });
}

}  // namespace

void register_lighton_ocr(TasksManager& tasks) {
  register_multimodal_decoder<MergedPatchesOnnxConfig>(
      tasks, {.model_type = "lighton_ocr",
              .forward = bound(tasks, forward),
              .key_names = multimodal_key_names({"vision_encoder", "vision_projection"})});
}

}  // namespace onnxport::models
