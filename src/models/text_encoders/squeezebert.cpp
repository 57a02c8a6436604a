// SqueezeBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/squeezebert/modeling_squeezebert.py
// BERT with convolutions of one tap, most of them in groups, for linear layers.
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/grouped_linear.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-12;  // a constant in the original's layers

struct Config : TextEncoderConfig {
  std::int64_t q_groups, k_groups, v_groups, post_attention_groups, intermediate_groups, output_groups;

  explicit Config(const PretrainedConfig& c) : TextEncoderConfig(c) {
    const auto groups = [&](const char* key) {
      const std::int64_t count = c.integer(key);
      check_multiple(c, "hidden_size", hidden_size, key, count);
      return count;
    };
    q_groups = groups("q_groups");
    k_groups = groups("k_groups");
    v_groups = groups("v_groups");
    post_attention_groups = groups("post_attention_groups");
    intermediate_groups = groups("intermediate_groups");
    output_groups = groups("output_groups");
    check_multiple(c, "intermediate_size", intermediate_size, "intermediate_groups", intermediate_groups);
    check_multiple(c, "intermediate_size", intermediate_size, "output_groups", output_groups);
    if (const std::int64_t width = c.integer("embedding_size"); width != hidden_size)
      refuse(c, fmt::format("embedding_size is {}, expected hidden_size {}", width, hidden_size));
  }
  nn::TextEmbeddingsParameters all_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.add_positions = true;
    return p;
  }
};

struct Layer {
  std::string path;
  std::int64_t heads;
  GroupedLinear query, key, value, post_attention, intermediate, output;
  nn::LayerNorm attention_norm, output_norm;
  nn::Activation activation;

  Layer(const Scope& s, const Config& c)
      : path(s.path()),
        heads(c.num_attention_heads),
        query(square(s / "attention.query", c, c.q_groups)),
        key(square(s / "attention.key", c, c.k_groups)),
        value(square(s / "attention.value", c, c.v_groups)),
        post_attention(square(s / "post_attention.conv1d", c, c.post_attention_groups)),
        intermediate(GroupedLinear::pointwise(s / "intermediate.conv1d", c.hidden_size, c.intermediate_size,
                                              c.intermediate_groups)),
        output(GroupedLinear::pointwise(s / "output.conv1d", c.intermediate_size, c.hidden_size,
                                        c.output_groups)),
        attention_norm(s / "post_attention.layernorm", c.hidden_size, kEps),
        output_norm(s / "output.layernorm", c.hidden_size, kEps),
        activation(c.hidden_act) {}

  static GroupedLinear square(const Scope& s, const Config& c, std::int64_t groups) {
    return GroupedLinear::pointwise(s, c.hidden_size, c.hidden_size, groups);
  }

  Value operator()(Value x, const op::AttentionMask& mask) const {
    const ModulePath at(x, path);
    const Value queries = query(x);
    const Value keys = key(x);
    const Value values = value(x);
    const Value context =
        op::attention({.query = queries, .key = keys, .value = values, .mask = mask}, heads, heads).output;
    const Value attended = attention_norm(op::add(post_attention(context), x));
    const Value wide = activation(intermediate(attended));
    return output_norm(op::add(output(wide), attended));
  }
};

struct SqueezeBert {
  nn::TextEmbeddings embeddings;
  std::vector<Layer> layers;

  SqueezeBert(const Scope& s, const Config& c) : embeddings(s / "embeddings", c.all_embeddings()) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
      layers.emplace_back(s / "encoder" / "layers" / i, c);
  }

  Value operator()(const Inputs& in) const {
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"));
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    for (const Layer& layer : layers) x = layer(x, mask);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_with_bert_heads<SqueezeBert, Config>(inputs, model, component, "transformer");
}

}  // namespace

void register_squeezebert(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "squeezebert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("transformer.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
