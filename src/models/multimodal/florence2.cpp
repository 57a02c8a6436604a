// Florence-2: DaViT's features of an image in front of the text that BART's encoder reads. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/florence2/modeling_florence2.py
#include "models/multimodal/common/decoders/multimodal_seq2seq.h"
#include "models/multimodal/common/towers/davit.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default: no knob

PretrainedConfig language_config(const PretrainedConfig& c) { return c.sub("text_config", "bart"); }
PretrainedConfig tower_config_of(const PretrainedConfig& c) {
  return c.sub("vision_config").as("florence_vision");
}

class Florence2ImagesOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  AxesByName outputs() const override {
    return {{"image_features", {{0, "batch_size"}, {1, "num_image_tokens"}}}};
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedVisionConfig(tower_config_of(config().unaccounted()))
        .with_args({{"num_channels", "in_channels"}});
  }
};

// A client puts the features of the image in front of the vectors of the text.
class Florence2OnnxConfig : public MultimodalSeq2SeqOnnxConfig {
 public:
  using MultimodalSeq2SeqOnnxConfig::MultimodalSeq2SeqOnnxConfig;

 protected:
  std::shared_ptr<const OnnxConfig> images() const override {
    return make_onnx_config<Florence2ImagesOnnxConfig>(config(), task(), options());
  }
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
};

// Learned vectors of the column, then of the row of each token: [rows * columns, width]. A larger image fails
// when it runs.
Value placed(const Scope& s, Graph& graph, const Dim& rows, const Dim& columns, std::int64_t places,
             std::int64_t width) {
  const ModulePath at(graph, s.path());
  const std::int64_t half = width / 2;
  const nn::Embedding of_row(s / "row_embeddings", places, half),
      of_column(s / "column_embeddings", places, width - half);
  const Value across = op::unsqueeze(of_column.first(graph, columns), 0);
  const Value down = op::unsqueeze(of_row.first(graph, rows), 1);
  const Value repeated = op::expand(across, {rows, columns, width - half});
  const Value both = op::concat({repeated, op::expand(down, {rows, columns, half})}, 2);
  return op::reshape(both, {rows * columns, width});
}

// The mean of all tokens, then the tokens: [B, 1 + tokens, projection_dim].
Value encode_image(const Model& model, Value images) {
  const PretrainedConfig vision = tower_config_of(model.config());
  const DaVitConfig c(vision);
  const Value features = encode_davit(model.scope() / "vision_tower", c, images);
  const Scope s = model.scope() / "multi_modal_projector";
  Graph& graph = images.graph();
  const ModulePath at(graph, s.path());
  const std::int64_t width = c.stages.back().width, out = vision.integer("projection_dim");
  const Value positions = placed(s / "image_position_embed", graph, features.dim(2), features.dim(3),
                                 vision.integer("max_position_embeddings"), width);
  const Value tokens = op::add(nn::image_to_tokens(features), positions);
  // An image is the first moment of a film.
  const Weight moments = (s / "visual_temporal_embed")
                             .weight("pos_idx_to_embed", {vision.integer("max_temporal_embeddings"), width});
  const Value moved = op::add(tokens, graph.weight(moments.slice(0, 0, 1)));
  const Value all = op::concat({op::mean(moved, 1, true), moved}, 1);
  const nn::Linear project(s / "image_projection", width, out, false);
  return nn::LayerNorm(s / "image_proj_norm", out, kEps)(project(all));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  // Each file reads only the keys of its part; the language model has flags of its own.
  c.harmless({"text_config", "vision_config", "image_token_id", "is_encoder_decoder", "tie_word_embeddings",
              "pad_token_id"});
  if (component.part == kVisionEncoder)
    return {{"image_features", encode_image(model, inputs["pixel_values"])}};
  return forward_multimodal_seq2seq(tasks, inputs, model, component, language_config(c));
}

}  // namespace

void register_florence2(TasksManager& tasks) {
  KeyNames names = multimodal_key_names();
  names.embeddings = {"language_model.model.shared.weight"};
  tasks.register_model<Florence2OnnxConfig>({.model_type = "florence2",
                                             .tasks = {"image-text-to-text", "image-text-to-text-with-past"},
                                             .forward = bound(tasks, forward),
                                             .key_names = names});
}

}  // namespace onnxport::models
