// XLNet. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/xlnet/modeling_xlnet.py
// Transformer-XL's attention both ways over one text: scores compare contents, contents with distances, and
// whether two tokens are of the same type.
#include <cmath>

#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/sequence_summary.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/relative_attention.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kTypes = 2;

struct Config {
  std::int64_t vocab_size, width, layers, heads, inner, clamp, num_labels;
  std::string activation;
  double eps;
  bool causal;
  SequenceSummary summary;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        width(c.integer("d_model")),
        layers(c.integer("n_layer")),
        heads(c.integer("n_head")),
        inner(c.integer("d_inner")),
        clamp(c.integer("clamp_len")),
        num_labels(c.num_labels()),
        activation(c.string("ff_activation")),
        eps(c.real("layer_norm_eps")),
        causal(c.string("attn_type") == "uni"),
        summary(c) {
    check_multiple(c, "d_model", width, "n_head", heads);
    check_multiple(c, "d_model", width, "sines and cosines", 2);
    if (const std::string type = c.string("attn_type"); !causal && type != "bi")
      refuse(c, fmt::format("attn_type is '{}', expected bi or uni", type));
    if (const auto size = c.maybe_integer("d_head"); size && *size != width / heads)
      refuse(c, fmt::format("d_head is {}, expected d_model / n_head = {}", *size, width / heads));
    for (const char* flag : {"bi_data", "same_length"}) {
      if (c.flag(flag))
        throw ExportError(ErrorCode::unsupported,
                          fmt::format("{}: {} is true, only false is known", c.origin(), flag));
    }
    // How biases were initialized; memories, which only an input would bring; heads of a beam search.
    c.harmless({"untie_r", "mem_len", "reuse_len", "use_mems_eval", "use_mems_train", "use_cache",
                "start_n_top", "end_n_top", "pad_token_id", "summary_last_dropout"});
  }
  std::int64_t head_dim() const { return width / heads; }
  nn::LayerNorm norm(const Scope& s) const { return {s, width, eps}; }
};

class XLNetOnnxConfig : public TypedTextOnnxConfig {
 public:
  using TypedTextOnnxConfig::TypedTextOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args(
        {{"hidden_size", "d_model"}, {"num_layers", "n_layer"}, {"num_attention_heads", "n_head"}});
  }
};

// What all layers share.
struct Sight {
  op::AttentionMask mask;
  Value positions;  // of the distances S, S - 1, …, 1 - S: [2 S, width]
  Value other;      // 1 where two tokens have different types, else 0: [B, 1, S, S]; absent: no types
};

// A projection to heads, stored as [width, heads, head_dim].
nn::Linear to_heads(const Scope& s, const char* name, const Config& c) {
  const Weight stored = s.weight(name, {c.width, c.heads, c.head_dim()});
  return {s.path() + "." + name, stored.reshape({c.width, c.width}).permute({1, 0}), {}};
}

struct Attention {
  std::string path;
  Config config;
  nn::Linear query, key, value, distance, output;
  Weight content_bias, distance_bias, type_bias, types;

  Attention(const Scope& s, const Config& c)
      : path(s.path()),
        config(c),
        query(to_heads(s, "q", c)),
        key(to_heads(s, "k", c)),
        value(to_heads(s, "v", c)),
        distance(to_heads(s, "r", c)),
        output(path + ".o", s.weight("o", {c.width, c.heads, c.head_dim()}).reshape({c.width, c.width}), {}),
        content_bias(bias(s, "r_w_bias")),
        distance_bias(bias(s, "r_r_bias")),
        type_bias(bias(s, "r_s_bias")),
        types(s.weight("seg_embed", {kTypes, c.heads, c.head_dim()}).reshape({kTypes, c.width})) {}

  Weight bias(const Scope& s, const char* name) const {
    return s.weight(name, {config.heads, config.head_dim()}).reshape({config.width});
  }

  Value operator()(Value x, const Sight& sight) const {
    Graph& graph = x.graph();
    const ModulePath at(graph, path);
    const Value queries = query(x);
    const Value keys = key(x);
    const Value values = value(x);
    const auto with = [&](const Weight& b) { return op::add(queries, graph.weight(b)); };
    const Value seeking = with(distance_bias);
    Value scores = nn::distance_scores(seeking, distance(sight.positions), config.heads, x.dim(1));
    if (sight.other) {
      const Value comparing = with(type_bias);
      scores = op::add(scores, nn::type_scores(comparing, graph.weight(types), sight.other, config.heads));
    }
    op::AttentionMask mask = sight.mask;
    mask.bias = op::mul(scores, 1 / std::sqrt(static_cast<double>(config.head_dim())));
    const op::AttentionOperands operands = {
        .query = with(content_bias), .key = keys, .value = values, .mask = mask};
    return output(op::attention(operands, config.heads, config.heads).output);
  }
};

struct Layer {
  std::string path;
  Attention attention;
  nn::LayerNorm attention_norm;
  nn::Mlp mlp;
  nn::LayerNorm output_norm;

  Layer(const Scope& s, const Config& c)
      : path(s.path()),
        attention(s / "rel_attn", c),
        attention_norm(c.norm(s / "rel_attn.layer_norm")),
        mlp((s / "ff").path(), nn::Linear(s / "ff.layer_1", c.width, c.inner),
            nn::Linear(s / "ff.layer_2", c.inner, c.width), c.activation),
        output_norm(c.norm(s / "ff.layer_norm")) {}

  Value operator()(Value x, const Sight& sight) const {
    const ModulePath at(x, path);
    const Value attended = attention_norm(op::add(attention(x, sight), x));
    return output_norm(op::add(mlp(attended), attended));
  }
};

// A token sees itself, whatever the mask says.
op::AttentionMask look(Value attention_mask, bool causal) {
  Graph& graph = attention_mask.graph();
  const Value positions = op::arange(graph, attention_mask.dim(1));
  const Value rows = op::unsqueeze(positions, 1);
  Value seen = op::unsqueeze(op::ne(attention_mask, 0.0), 1);
  if (causal) seen = op::logical_and(seen, op::ge(rows, positions));
  return {.visible = op::unsqueeze(op::logical_or(seen, op::eq(rows, positions)), 1)};
}

struct XLNet {
  Config config;
  nn::Embedding word_embedding;
  std::vector<Layer> layers;

  XLNet(const Scope& s, const Config& c)
      : config(c), word_embedding(s / "word_embedding", c.vocab_size, c.width) {
    for (std::int64_t i = 0; i < c.layers; ++i) layers.emplace_back(s / "layer" / i, c);
    s.ignore("mask_emb");
  }

  Value positions(Graph& graph, const Dim& length) const {
    const Value number = op::arange(graph, length * 2);
    Value distance = op::sub(op::size(graph, length), number);
    if (config.clamp > 0) {
      const auto most = static_cast<double>(config.clamp);
      distance = op::minimum(op::maximum(distance, -most), most);
    }
    return nn::sinusoids(distance, config.width, graph.float_dtype());
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    Value x = word_embedding(ids);
    Sight sight{.mask = look(in["attention_mask"], config.causal)};
    sight.positions = positions(ids.graph(), ids.dim(1));
    if (const Value types = in.get("token_type_ids")) {
      const Value rows = op::unsqueeze(types, 2);
      const Value same = op::eq(rows, op::unsqueeze(types, 1));
      sight.other = op::cast(op::unsqueeze(op::logical_not(same), 1), x.dtype());
    }
    for (const Layer& layer : layers) x = layer(x, sight);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const XLNet xlnet(root.base_model("transformer"), c);
  const auto project = [&](Value hidden, std::int64_t labels) {
    const Value summary = c.summary(hidden, root / "sequence_summary");
    return nn::Linear(root / "logits_proj", c.width, labels)(summary);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     {.encode = xlnet,
                                      .classify = [&](Value hidden) { return project(hidden, c.num_labels); },
                                      .choose = [&](Value hidden) { return project(hidden, 1); },
                                      .hidden_size = c.width,
                                      .num_labels = c.num_labels});
}

}  // namespace

void register_xlnet(TasksManager& tasks) {
  tasks.register_model<XLNetOnnxConfig>(
      {.model_type = "xlnet",
       .tasks = {"feature-extraction", "multiple-choice", "question-answering", "text-classification",
                 "token-classification"},
       .forward = forward,
       .ignorable_keys = {"lm_loss.*"}});
}

}  // namespace onnxport::models
