#include "models/multimodal/common/blip2.h"

#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct TowerConfig {
  std::int64_t hidden_size, layers, heads, inner, patch, grid;
  std::string hidden_act;
  double eps;
  bool qkv_bias;

  explicit TowerConfig(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        inner(c.integer("intermediate_size")),
        patch(divisor(c, "patch_size")),
        grid(c.integer("image_size") / patch),
        hidden_act(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        qkv_bias(c.flag("qkv_bias")) {
    check_heads(c, hidden_size, heads);
  }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, eps}; }
};

// A class token, then the patches, with positions: [B, 1 + patches, H].
Value embed(const Scope& s, const TowerConfig& c, Value images) {
  const ModulePath at(images, s.path());
  Graph& graph = images.graph();
  const std::int64_t width = c.hidden_size;
  const nn::Conv2d projection(s / "patch_embedding", 3, width, {c.patch, c.patch}, true,
                              {.stride = {c.patch, c.patch}});
  const Value patches = nn::image_to_tokens(projection(images));
  const Value first = graph.weight(s.weight("class_embedding", {1, 1, width}));
  const Value tokens = op::concat({op::expand(first, {images.dim(0), 1, width}), patches}, 1);
  return op::add(tokens, graph.weight(s.weight("position_embedding", {1, 1 + c.grid * c.grid, width})));
}

Value attend(const Scope& s, const TowerConfig& c, Value x) {
  const ModulePath at(x, s.path());
  const Value all = nn::Linear(s / "qkv", c.hidden_size, 3 * c.hidden_size, c.qkv_bias)(x);
  const std::vector<Value> parts = op::chunk(all, -1, 3);
  const op::AttentionOperands operands{.query = parts[0], .key = parts[1], .value = parts[2]};
  const Value attended = op::attention(operands, c.heads, c.heads).output;
  return nn::Linear(s / "projection", c.hidden_size, c.hidden_size)(attended);
}

// [B, 3, size, size] -> [B, 1 + patches, H]
Value encode_images(const Scope& s, const TowerConfig& c, Value images) {
  Value x = embed(s / "embeddings", c, images);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "encoder" / "layers" / i, m = layer / "mlp";
    const ModulePath at(x, layer.path());
    x = op::add(x, attend(layer / "self_attn", c, c.norm(layer / "layer_norm1")(x)));
    const nn::Mlp mlp(m.path(), {m / "fc1", c.hidden_size, c.inner}, {m / "fc2", c.inner, c.hidden_size},
                      c.hidden_act);
    x = op::add(x, mlp(c.norm(layer / "layer_norm2")(x)));
  }
  return c.norm(s / "post_layernorm")(x);
}

}  // namespace

NamedValues forward_blip2(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                          const Component& component, const Blip2Types& types, bool text) {
  const PretrainedConfig& c = model.config();
  // For those who feed the files; of training; of other tasks; what the type of the language model says, too.
  c.harmless({"image_token_index", "image_token_id", "initializer_factor", "image_text_hidden_size",
              "use_decoder_only_language_model", "is_encoder_decoder", "qformer_config", "num_query_tokens"});
  const auto encode = [&](const Inputs& in, const Component&) -> NamedValues {
    const Scope s = model.scope();
    const TowerConfig tower(c.sub("vision_config").as(types.vision));
    // Its class always takes the width of the tower.
    const PretrainedConfig qformer = c.sub("qformer_config")
                                         .as(types.qformer)
                                         .settled("encoder_hidden_size", std::to_string(tower.hidden_size));
    const Value states = encode_images(s / "vision_model", tower, in["pixel_values"]);
    const std::int64_t count = c.integer("num_query_tokens"), width = qformer.integer("hidden_size");
    const Value queries = states.graph().weight(s.weight("query_tokens", {1, count, width}));
    QueryText looked_for;
    if (text) looked_for = {in["qformer_input_ids"], in["qformer_attention_mask"]};
    const Value found = query_states(s / "qformer", qformer, queries, states, looked_for);
    const PretrainedConfig language = c.unaccounted().sub("text_config", "opt");
    const std::int64_t out =
        language.integer(is_seq2seq_type(language.model_type()) ? "d_model" : "hidden_size");
    return {{"image_features", nn::Linear(s / "language_projection", width, out)(found)}};
  };
  const auto language = [](const PretrainedConfig& whole) { return whole.sub("text_config", "opt"); };
  const bool seq2seq = is_seq2seq_type(language(c.unaccounted()).model_type());
  if (!seq2seq || component.part == kVisionEncoder)
    return forward_multimodal_decoder(tasks, inputs, model, component, language, encode);
  c.harmless({"text_config", "vision_config", "tie_word_embeddings", "pad_token_id"});
  return forward_multimodal_seq2seq(tasks, inputs, model, component, language(c));
}

}  // namespace onnxport::models
