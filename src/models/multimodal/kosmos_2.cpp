// KOSMOS-2: learned queries look at the patches of a CLIP tower, in front of a decoder of its own. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/kosmos2/modeling_kosmos2.py
#include "models/common/parts.h"
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/cross_layer.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

constexpr const char* kTextType = "kosmos_2_text_model";

PretrainedConfig tower_config_of(const PretrainedConfig& c) {
  return c.sub("vision_config").as("kosmos_2_vision_model");
}

class Kosmos2OnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override { return {}; }

 protected:
  AxesByName encoder_inputs() const override { return {{"pixel_values", {{0, "batch_size"}}}}; }
  AxesByName encoder_outputs() const override { return {{"image_features", {{0, "batch_size"}}}}; }
  DummyInputGenerators encoder_dummies() const override {
    return {std::make_shared<const DummyVisionInputGenerator>()};
  }
  NormalizedConfig encoder_normalized() const override { return NormalizedVisionConfig(vision_config()); }
  PretrainedConfig text_config() const override {
    return config().unaccounted().sub("text_config").as(kTextType);
  }
  PretrainedConfig vision_config() const override { return tower_config_of(config().unaccounted()); }
};

// The states of CLIP's tower, of length 1 after the norm that it has for the first one: [B, 1 + patches, E]
Value encode_patches(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig vision = tower_config_of(model.config());
  const std::string prefix = "vision_model.model";
  const Value hidden = encode_as(tasks, "clip_vision_model", inputs, model, vision, prefix).hidden;
  const nn::LayerNorm norm(model.scope() / prefix / "post_layernorm", *hidden.dim(2).constant(),
                           vision.real("layer_norm_eps"));
  return op::normalize(norm(hidden), 2);
}

// In version 4, query i sees only the first 1 + i keys: its attention without a mask counts as that of a
// decoder. Bool [queries, keys].
Value as_version_4(Graph& graph, std::int64_t queries, const Dim& keys) {
  const ModulePath at(graph, "attention_mask");
  const Value key = op::unsqueeze(op::arange(graph, keys), 0);
  return op::le(key, op::unsqueeze(op::arange(graph, queries), 1));
}

// Queries look at the patches and at each other: [B, 1 + patches, E] -> [B, queries, D]
Value look(const Scope& s, const PretrainedConfig& c, const PretrainedConfig& text, Value patches) {
  const ModulePath at(patches, s.path());
  Graph& graph = patches.graph();
  const std::int64_t width = text.integer("embed_dim"), heads = text.integer("attention_heads");
  const std::int64_t count = c.integer("latent_query_num");
  check_multiple(text, "embed_dim", width, "attention_heads", heads);
  const Value states = nn::Linear(s / "dense", *patches.dim(2).constant(), width)(patches);
  const Value learned = graph.weight(s.weight("latent_query", {count, width}).reshape({1, count, width}));
  const Value queries = op::expand(learned, {patches.dim(0), count, width});
  const Value all = op::concat({states, queries}, 1);

  OtherStates other = {.states = all};
  if (c.transformers_major() < 5) other.mask.visible = as_version_4(graph, count, all.dim(1));
  const nn::SelfAttentionParameters keys = {.hidden_size = width,
                                            .heads = heads,
                                            .query = "q_proj",
                                            .key = "k_proj",
                                            .value = "v_proj",
                                            .output = "out_proj"};
  return attend_to(s / "x_attn", keys, queries, other);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  c.harmless({"latent_query_num"});  // of the image encoder
  return forward_multimodal_decoder(
      tasks, inputs, model, component,
      [](const PretrainedConfig& whole) { return whole.sub("text_config").as(kTextType); },
      [&](const Inputs& in, const Component&) -> NamedValues {
        const PretrainedConfig text = c.unaccounted().sub("text_config").as(kTextType);
        const Value patches = encode_patches(tasks, in, model);
        return {{"image_features", look(model.scope() / "image_to_text_projection", c, text, patches)}};
      },
      "text_model");
}

}  // namespace

void register_kosmos_2(TasksManager& tasks) {
  register_multimodal_decoder<Kosmos2OnnxConfig>(tasks, {.model_type = "kosmos-2",
                                                         .forward = bound(tasks, forward),
                                                         .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
