// SegFormer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/segformer/modeling_segformer.py
#include "models/vision/common/segformer.h"

#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

struct Config : SegformerEncoderConfig {
  std::int64_t decoder_hidden_size;
  bool reshape_last_stage;

  explicit Config(const PretrainedConfig& c)
      : SegformerEncoderConfig(c),
        decoder_hidden_size(c.integer("decoder_hidden_size")),
        reshape_last_stage(c.flag("reshape_last_stage", true)) {}
};

// Unifies the channels of all stages, resizes them to the grid of the first one, and mixes them: [B, labels,
// H, W].
Value decode_head(const std::vector<SegformerTokens>& stages, const Scope& s, const Config& c,
                  std::int64_t labels) {
  const ModulePath at(stages[0].rows, s.path());
  const std::int64_t width = c.decoder_hidden_size;
  const nn::TokenGrid& first = stages[0].grid;
  std::vector<Value> images;  // the last stage's comes first
  for (std::size_t i = stages.size(); i-- > 0;) {
    const nn::Linear unify(s / "linear_c" / static_cast<std::int64_t>(i) / "proj", c.stages[i].width, width);
    const Value image = nn::rows_to_image(unify(stages[i].rows), stages[i].grid);
    images.push_back(i == 0 ? image : op::interpolate(image, {first.height, first.width}, "linear"));
  }
  const auto count = static_cast<std::int64_t>(images.size());
  const nn::Conv2d fuse(s / "linear_fuse", width * count, width, {1, 1}, false);
  const nn::BatchNorm2d norm(s / "batch_norm", width);
  const Value mixed = norm(fuse(count == 1 ? images[0] : op::concat(images, 1)));
  return nn::Conv2d(s / "classifier", width, labels, {1, 1})(op::relu(mixed));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const bool segments = component.task == "semantic-segmentation" || component.task == "image-segmentation";
  const std::vector<SegformerTokens> stages =
      segformer_stages(root.base_model("segformer") / "encoder", c, inputs["pixel_values"]);
  // With reshape_last_stage false, the original's decode head guesses the shape of the last grid. If it
  // guesses correctly, the result is the same.
  if (segments)
    return {{"logits", decode_head(stages, root / "decode_head", c, model.config().num_labels())}};
  const SegformerTokens& last = stages.back();
  const Value tokens = nn::rows_to_tokens(last.rows, last.grid);
  if (component.task == "feature-extraction")
    return {{"last_hidden_state", c.reshape_last_stage ? last.image() : tokens}};
  const nn::Linear classifier(root / "classifier", c.stages.back().width, model.config().num_labels());
  return {{"logits", classifier(op::mean(tokens, 1))}};
}

}  // namespace

void register_segformer(TasksManager& tasks) {
  tasks.register_model<SegformerOnnxConfig>(
      {.model_type = "segformer",
       .tasks = {"feature-extraction", "image-classification", "image-segmentation", "semantic-segmentation"},
       .forward = forward,
       .key_names = {.newer = {{"encoder.patch_embeddings.*", "stages.*.patch_embeddings"},
                               {"encoder.block.*", "stages.*.blocks"},
                               {"encoder.layer_norm.*", "stages.*.layer_norm"},
                               {"attention.self.query", "attention.q_proj"},
                               {"attention.self.key", "attention.k_proj"},
                               {"attention.self.value", "attention.v_proj"},
                               {"attention.self.sr", "attention.sequence_reduction.sequence_reduction"},
                               {"attention.self.layer_norm", "attention.sequence_reduction.layer_norm"},
                               {"attention.output.dense", "attention.o_proj"},
                               {"mlp.dense1", "mlp.fc1"},
                               {"mlp.dense2", "mlp.fc2"},
                               {"layer_norm_1", "layernorm_before"},
                               {"layer_norm_2", "layernorm_after"},
                               {"decode_head.linear_c", "decode_head.linear_projections"}}}});
}

}  // namespace onnxport::models
