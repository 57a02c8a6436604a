// Longformer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/longformer/modeling_longformer.py
// RoBERTa with attention to near tokens, and to and from global ones, which an input names.
#include <algorithm>
#include <memory>

#include "models/common/definition.h"
#include "models/text_encoders/common/post_norm_layer.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/roberta.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

/// global_attention_mask: 1 for the first of each few tokens, else 0.
class DummyGlobalMaskGenerator : public DummyTextInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == "global_attention_mask"; }
  TensorType type(std::string_view, const DummyContext& context, const DummyShapes& shapes) const override {
    return DummyTextInputGenerator::type("token_type_ids", context, shapes);
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t) const override {
    constexpr std::size_t kEvery = 5;
    Tensor mask = DummyTextInputGenerator::generate("attention_mask", context, shapes, 0);
    std::vector<std::int64_t> values(static_cast<std::size_t>(mask.numel()), 0);
    for (std::size_t i = 0; i < values.size(); i += kEvery) values[i] = 1;
    return Tensor::from_ints(type(name, context, shapes).dtype, mask.shape, values);
  }
};

class LongformerOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    return text_inputs({"input_ids", "attention_mask", "token_type_ids", "global_attention_mask"});
  }
  DummyInputGenerators dummy_input_generators() const override {
    DummyInputGenerators generators = TextEncoderOnnxConfig::dummy_input_generators();
    generators.push_back(std::make_shared<const DummyGlobalMaskGenerator>());
    return generators;
  }
};

struct Config : TextEncoderConfig {
  std::int64_t pad_token_id;
  std::vector<std::int64_t> windows;  // of each layer, both sides together

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        pad_token_id(c.integer("pad_token_id")),
        windows(c.integers("attention_window")) {
    if (windows.size() == 1)
      windows.resize(static_cast<std::size_t>(std::max<std::int64_t>(num_hidden_layers, 1)), windows[0]);
    if (static_cast<std::int64_t>(windows.size()) != num_hidden_layers && num_hidden_layers > 0)
      refuse(c,
             fmt::format("attention_window has {} numbers for {} layers", windows.size(), num_hidden_layers));
    for (const std::int64_t window : windows) {
      if (window < 1 || window % 2 != 0)
        refuse(c, fmt::format("attention_window is {}, expected a positive even number", window));
    }
    c.harmless({"sep_token_id", "onnx_export"});  // of an absent input; how the original runs
  }
};

struct Sight {
  op::AttentionMask near, all;  // of other tokens, and of global ones
  Value global, keep;           // bool [B, S, 1]; [B, S, 1], 0 for padding
};

// `window`: to either side.
op::AttentionMask look(Value kept, Value global, std::int64_t window) {
  Graph& graph = kept.graph();
  const Value positions = op::arange(graph, kept.dim(1));
  const Value distance = op::abs(op::sub(op::unsqueeze(positions, 1), positions));
  const Value near = op::lt(distance, static_cast<double>(window + 1));
  const Value everywhere = op::unsqueeze(global, 1);
  const Value seen = op::logical_or(op::unsqueeze(near, 0), everywhere);
  return {.padding = kept, .visible = op::unsqueeze(seen, 1), .no_keys = op::NoKeys::uniform};
}

struct Attention {
  Projections project;
  nn::Linear query_global, key_global, value_global;
  std::int64_t heads;

  Attention(const Scope& s, const Config& c)
      : project(s, c.hidden_size),
        query_global(s / "self.query_global", c.hidden_size, c.hidden_size),
        key_global(s / "self.key_global", c.hidden_size, c.hidden_size),
        value_global(s / "self.value_global", c.hidden_size, c.hidden_size),
        heads(c.num_attention_heads) {}

  Value operator()(Value x, const Sight& sight) const {
    const ModulePath at(x, project.path);
    const Value query = project.query(x);
    const Value key = project.key(x);
    const Value value = project.value(x);
    const op::AttentionOperands local = {.query = query, .key = key, .value = value, .mask = sight.near};
    const Value near = op::attention(local, heads, heads).output;
    const Value far_query = query_global(x);
    const Value far_key = key_global(x);
    const Value far_value = value_global(x);
    const op::AttentionOperands wide = {
        .query = far_query, .key = far_key, .value = far_value, .mask = sight.all};
    const Value far = op::attention(wide, heads, heads).output;
    return project.output(op::mul(op::where(sight.global, far, near), sight.keep));
  }
};

struct Longformer {
  Config config;
  nn::TextEmbeddings embeddings;
  std::vector<PostNormLayer<Attention>> layers;

  Longformer(const Scope& s, const Config& c) : config(c), embeddings(s / "embeddings", c.embeddings()) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
      const Scope layer = s / "encoder" / "layer" / i;
      layers.emplace_back(layer, c, Attention(layer / "attention", c));
    }
  }

  Value operator()(const Inputs& in) const {
    const Value positions = nn::position_ids_from_input_ids(in["input_ids"], config.pad_token_id);
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"), positions);
    const Value kept = op::ne(in["attention_mask"], 0.0);
    const Value global = op::logical_and(kept, op::ne(in["global_attention_mask"], 0.0));
    Sight sight;
    sight.all = {.padding = kept, .no_keys = op::NoKeys::uniform};
    sight.global = op::unsqueeze(global, 2);
    sight.keep = op::unsqueeze(op::cast(kept, x.dtype()), 2);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      sight.near = look(kept, global, config.windows[i] / 2);
      x = layers[i](x, sight);
    }
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("longformer");
  const Longformer longformer(base, c);
  const auto fill_mask = [&](Value hidden) {
    return roberta_lm_head(root, c, longformer.embeddings.words())(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     roberta_heads(root, base, c, longformer, fill_mask));
}

}  // namespace

void register_longformer(TasksManager& tasks) {
  tasks.register_model<LongformerOnnxConfig>(
      {.model_type = "longformer",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("longformer.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
