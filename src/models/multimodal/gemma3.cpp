// Gemma 3: SigLIP's patches, averaged in squares, in front of a language model; or that alone. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma3/modeling_gemma3.py
#include <fmt/format.h>

#include <cmath>

#include "models/decoders/common/gemma.h"
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

PretrainedConfig language_config(const PretrainedConfig& c) { return c.sub("text_config", "gemma3_text"); }

PretrainedConfig tower_config(const PretrainedConfig& c) {
  return c.sub("vision_config", "siglip_vision_model");
}

class Gemma3OnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;

 protected:
  PretrainedConfig text_config() const override { return language_config(config().unaccounted()); }
  PretrainedConfig vision_config() const override { return tower_config(config().unaccounted()); }
};

class Gemma3TextOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(language_config(config().unaccounted()));
  }
};

// Patches [N, side * side, H] -> averages of squares, normed and projected: [N, mm_tokens_per_image, D].
Value project(const Scope& s, const PretrainedConfig& c, Value patches) {
  const PretrainedConfig vision = tower_config(c);
  const std::int64_t tokens = c.integer("mm_tokens_per_image"), in = vision.integer("hidden_size");
  const std::int64_t side = vision.integer("image_size") / divisor(vision, "patch_size");
  const auto kept = static_cast<std::int64_t>(std::sqrt(static_cast<double>(tokens)));
  if (kept < 1 || kept * kept != tokens || side % kept != 0) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: mm_tokens_per_image is {}, expected the square of a divisor of the {} "
                                  "patches on a side",
                                  c.origin(), tokens, side));
  }
  const std::int64_t out = language_config(c.unaccounted()).integer("hidden_size"), pool = side / kept;
  const ModulePath at(patches, s.path());
  Graph& graph = patches.graph();
  const Value squares = op::reshape(patches, {patches.dim(0), kept, pool, kept, pool, in});
  const Value down = op::mean(squares, 2);
  const Value averages = op::reshape(op::mean(down, 3), {patches.dim(0), tokens, in});
  const nn::RmsNorm norm(s / "mm_soft_emb_norm", in, {.eps = vision.real("layer_norm_eps"), .offset = 1});
  const Weight projection = s.weight("mm_input_projection_weight", {in, out});
  const Value normed = norm(averages);
  return op::matmul(normed, graph.weight(projection));
}

NamedValues forward_text(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = language_config(model.config());
  TextDecoderConfig c = gemma3_config(config);
  c.num_labels = model.config().num_labels();
  // Text classification reads the padding of the language model.
  model.config().harmless({"vision_config", "mm_tokens_per_image", "tie_word_embeddings"});
  if (component.task != "text-classification") config.harmless({"pad_token_id"});
  const Scope root = model.scope(), text = root / "language_model";
  return forward_text_decoder(inputs, {text / "model", text / "lm_head", root}, component, c,
                              gemma3_blocks(config, c));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  c.harmless({"boi_token_index", "eoi_token_index", "image_token_index", "pad_token_id"});
  if (!is_multimodal_task(component.task)) return forward_text(inputs, model, component);
  return forward_multimodal_decoder(
      tasks, inputs, model, component, language_config,
      [&](const Inputs& in, const Component&) -> NamedValues {
        const EncoderStates tower = encode_with_tower(tasks, in, model, tower_config(c));
        return {{"image_features", project(model.scope() / "multi_modal_projector", c, tower.hidden)}};
      });
}

}  // namespace

void register_gemma3(TasksManager& tasks) {
  register_multimodal_decoder<Gemma3OnnxConfig, Gemma3TextOnnxConfig>(
      tasks, {.model_type = "gemma3",
              .tasks = nn::text_decoder_tasks(),
              .forward = bound(tasks, forward),
              .ignorable_keys = {"vision_tower.*", "multi_modal_projector.*", "model.vision_tower.*",
                                 "model.multi_modal_projector.*"},
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
