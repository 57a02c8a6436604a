// VisualBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/visual_bert/modeling_visual_bert.py
// BERT for text followed by features of regions of an image.
#include <fmt/format.h>

#include <memory>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

/// visual_embeds [batch_size, visual_seq_length, visual_embedding_dim]; visual_attention_mask: ones, and
/// visual_token_type_ids [batch_size, visual_seq_length].
class DummyRegionInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name.starts_with("visual_"); }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    TensorType type{context.int_dtype, {shapes.batch_size, shapes.visual_seq_length}};
    if (name == "visual_embeds")
      type = {context.float_dtype,
              {shapes.batch_size, shapes.visual_seq_length, context.normalized["visual_embedding_dim"]}};
    return type;
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (name == "visual_embeds") return random_floats(seed, name, type);
    const std::vector<std::int64_t> ones(
        static_cast<std::size_t>(shapes.batch_size * shapes.visual_seq_length), 1);
    return Tensor::from_ints(type.dtype, {shapes.batch_size, shapes.visual_seq_length}, ones);
  }
};

class VisualBertOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    AxesByName inputs = text_inputs({"input_ids", "attention_mask"});
    for (const char* name : {"visual_embeds", "visual_attention_mask", "visual_token_type_ids"})
      inputs.emplace_back(name, Axes{{0, "batch_size"}, {1, "visual_seq_length"}});
    return inputs;
  }
  AxesByName outputs() const override {
    return {{"last_hidden_state", {{0, "batch_size"}, {1, "sequence_length + visual_seq_length"}}}};
  }
  NormalizedConfig normalized_config() const override {
    return TextEncoderOnnxConfig::normalized_config().with_args(
        {{"visual_embedding_dim", "visual_embedding_dim"}});
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = TextEncoderOnnxConfig::dummy_input_generators();
    generators.push_back(std::make_shared<const DummyRegionInputGenerator>());
    return generators;
  }
};

struct VisualBert {
  nn::TextEmbeddings embeddings;
  nn::Linear visual_projection;
  nn::Embedding visual_types, visual_positions;
  nn::LayerNorm norm;
  nn::PostNormEncoder encoder;

  static nn::TextEmbeddingsParameters bare(const TextEncoderConfig& c) {
    nn::TextEmbeddingsParameters p = c.embeddings();
    p.norm = false;
    p.add_positions = true;
    return p;
  }

  VisualBert(const Scope& s, const TextEncoderConfig& c, std::int64_t visual_width)
      : embeddings(s / "embeddings", bare(c)),
        visual_projection(s / "embeddings.visual_projection", visual_width, c.hidden_size),
        visual_types(s / "embeddings.visual_token_type_embeddings", c.type_vocab_size, c.hidden_size),
        visual_positions(s / "embeddings.visual_position_embeddings", c.max_position_embeddings,
                         c.hidden_size),
        norm(s / "embeddings.LayerNorm", c.hidden_size, c.layer_norm_eps),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {}

  Value operator()(const Inputs& in) const {
    const Value text = embeddings(in["input_ids"]);
    Value regions = visual_projection(in["visual_embeds"]);
    regions = op::add(regions, visual_positions.first(text.graph(), 1));  // all are at position 0
    regions = op::add(regions, visual_types(in["visual_token_type_ids"]));
    const Value embedded = norm(op::concat({text, regions}, 1));
    const Value kept = op::concat({in["attention_mask"], in["visual_attention_mask"]}, 1);
    return encoder(embedded, nn::padding_mask(kept));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const TextEncoderConfig c(config);
  if (config.flag("bypass_transformer"))
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: bypass_transformer is true, only false is known", config.origin()));
  config.harmless({"special_visual_initialize"});  // how tables were initialized
  const VisualBert visual_bert(model.scope().base_model("visual_bert"), c,
                               config.integer("visual_embedding_dim"));
  return {{"last_hidden_state", visual_bert(inputs)}};
}

}  // namespace

void register_visual_bert(TasksManager& tasks) {
  tasks.register_model<VisualBertOnnxConfig>(
      {.model_type = "visual_bert",
       .tasks = {"feature-extraction"},
       .forward = forward,
       .ignorable_keys = {"*pooler.*", "cls.*", "cls_classifier.*", "classifier.*", "attention.*"}});
}

}  // namespace onnxport::models
