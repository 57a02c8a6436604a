// ModernBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/modernbert/modeling_modernbert.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, intermediate_size, layers, heads, global_every, local_attention,
      num_labels;
  std::string hidden_activation, classifier_activation, classifier_pooling;
  double eps;
  bool norm_bias, attention_bias, mlp_bias, decoder_bias, classifier_bias, tied;
  std::vector<nn::Visibility> visibility;  // of each layer
  nn::RopeParameters global_rope, local_rope;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        intermediate_size(c.integer("intermediate_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        global_every(c.integer("global_attn_every_n_layers")),
        local_attention(c.integer("local_attention")),
        num_labels(c.num_labels()),
        hidden_activation(c.string("hidden_activation")),
        classifier_activation(c.string("classifier_activation")),
        classifier_pooling(c.string("classifier_pooling")),
        eps(c.real("norm_eps")),
        norm_bias(c.flag("norm_bias")),
        attention_bias(c.flag("attention_bias")),
        mlp_bias(c.flag("mlp_bias")),
        decoder_bias(c.flag("decoder_bias")),
        classifier_bias(c.flag("classifier_bias")),
        tied(c.flag("tie_word_embeddings", true)) {
    const auto refuse = [&](const std::string& what) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: {}", c.origin(), what));
    };
    check_heads(c, hidden_size, heads);
    if (global_every < 1)
      refuse(fmt::format("global_attn_every_n_layers is {}, expected 1 or more", global_every));
    std::vector<std::string> types;
    for (std::int64_t i = 0; i < layers; ++i)
      types.emplace_back(i % global_every == 0 ? "full_attention" : "sliding_attention");
    if (c.has("layer_types")) types = c.strings("layer_types");
    visibility = layer_visibility(types, layers, local_attention / 2 + 1);
    if (local_attention < 0)
      refuse(fmt::format("local_attention is {}, expected 0 or more", local_attention));
    if (classifier_pooling != "cls" && classifier_pooling != "mean")
      refuse(fmt::format("classifier_pooling is '{}', expected cls or mean", classifier_pooling));
    const double theta = c.has("rope_theta") ? c.real("rope_theta") : c.real("global_rope_theta");
    const double local_theta = c.maybe_real("local_rope_theta").value_or(theta);
    global_rope = rope_parameters(c, hidden_size / heads, {.layer_type = "full_attention", .theta = theta});
    local_rope =
        rope_parameters(c, hidden_size / heads, {.layer_type = "sliding_attention", .theta = local_theta});
    // The original multiplies whole heads by the cosines, whatever their number of elements.
    for (const nn::RopeParameters& rope : {global_rope, local_rope}) {
      if (rope.dim == hidden_size / heads) continue;
      refuse(fmt::format("partial_rotary_factor lets {} elements of a head turn, expected all {}", rope.dim,
                         hidden_size / heads));
    }
    // Settings of the loss, and of how the original runs.
    c.harmless({"pad_token_id", "sparse_prediction", "sparse_pred_ignore_index", "repad_logits_with_grad",
                "deterministic_flash_attn", "reference_compile"});
  }
  nn::HeadSizes head_sizes() const { return {hidden_size, heads, heads, hidden_size / heads}; }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, eps, true, norm_bias}; }
};

// Values that the layers of one kind share.
struct Sight {
  op::AttentionMask mask;
  op::Rope rope;
};

// One product computes queries and keys, because they are rotated together.
struct Attention {
  std::string path;
  nn::HeadSizes sizes;
  nn::Linear query_key, value, output;

  // Rows [begin, end) of the stored projection.
  static nn::Linear rows(const Scope& s, const Config& c, std::int64_t begin, std::int64_t end) {
    const nn::Linear all(s, c.hidden_size, 3 * c.hidden_size, c.attention_bias);
    const Weight bias = all.bias() ? all.bias().slice(0, begin, end) : Weight();
    return {s.path(), all.weight().slice(0, begin, end), bias};
  }

  Attention(const Scope& s, const Config& c)
      : path(s.path()),
        sizes(c.head_sizes()),
        query_key(rows(s / "Wqkv", c, 0, 2 * c.hidden_size)),
        value(rows(s / "Wqkv", c, 2 * c.hidden_size, 3 * c.hidden_size)),
        output(s / "Wo", c.hidden_size, c.hidden_size, c.attention_bias) {}

  Value operator()(Value x, const Sight& sight) const {
    const ModulePath at(x, path);
    const std::vector<Value> parts = op::chunk(query_key(x), -1, 2);
    const op::AttentionOperands operands = {
        .query = parts[0], .key = parts[1], .value = value(x), .mask = sight.mask, .rope = sight.rope};
    return output(op::attention(operands, sizes.heads, sizes.kv_heads).output);
  }
};

// Wo(act(input) * gate), where Wi computes both.
struct FeedForward {
  std::string path;
  nn::Linear wi, wo;
  nn::Activation activation;

  FeedForward(const Scope& s, const Config& c)
      : path(s.path()),
        wi(s / "Wi", c.hidden_size, 2 * c.intermediate_size, c.mlp_bias),
        wo(s / "Wo", c.intermediate_size, c.hidden_size, c.mlp_bias),
        activation(c.hidden_activation) {}

  Value operator()(Value x) const {
    const ModulePath at(x, path);
    const std::vector<Value> parts = op::chunk(wi(x), -1, 2);
    const Value input = activation(parts[0]);
    return wo(op::mul(input, parts[1]));
  }
};

struct Layer {
  std::string path;
  std::optional<nn::LayerNorm> attn_norm;  // the first layer has the norm of the embeddings
  Attention attn;
  nn::LayerNorm mlp_norm;
  FeedForward mlp;

  Layer(const Scope& s, const Config& c, bool first)
      : path(s.path()), attn(s / "attn", c), mlp_norm(c.norm(s / "mlp_norm")), mlp(s / "mlp", c) {
    if (!first) attn_norm.emplace(c.norm(s / "attn_norm"));
  }

  Value operator()(Value x, const Sight& sight) const {
    const ModulePath at(x, path);
    x = op::add(x, attn(attn_norm ? (*attn_norm)(x) : x, sight));
    return op::add(x, mlp(mlp_norm(x)));
  }
};

struct ModernBert {
  std::vector<nn::Visibility> visibility;
  nn::Embedding tok_embeddings;
  nn::LayerNorm embeddings_norm;
  nn::RotaryEmbedding global_rotary, local_rotary;
  std::vector<Layer> layers;
  nn::LayerNorm final_norm;

  ModernBert(const Scope& s, const Config& c)
      : visibility(c.visibility),
        tok_embeddings(s / "embeddings" / "tok_embeddings", c.vocab_size, c.hidden_size),
        embeddings_norm(c.norm(s / "embeddings" / "norm")),
        global_rotary((s / "global_rotary").path(), c.global_rope),
        local_rotary((s / "local_rotary").path(), c.local_rope),
        final_norm(c.norm(s / "final_norm")) {
    for (std::int64_t i = 0; i < c.layers; ++i) layers.emplace_back(s / "layers" / i, c, i == 0);
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    Graph& graph = ids.graph();
    Value x = embeddings_norm(tok_embeddings(ids));
    const Value positions = op::unsqueeze(op::arange(graph, ids.dim(1)), 0);
    const op::AttentionMask mask = nn::padding_mask(in["attention_mask"]);
    const Sight global{mask, global_rotary(positions)};
    // The original masks far keys like padding, so a query without any token in its window attends to all
    // keys equally, near and far.
    Sight local{mask, local_rotary(positions)};
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const auto& window = visibility[i].window;
      if (window) local.mask.window = window;
      x = layers[i](x, window ? local : global);
    }
    return final_norm(x);
  }
};

// norm(act(dense(x)))
Value predict(Value x, const Scope& s, const Config& c) {
  const nn::Linear dense(s / "dense", c.hidden_size, c.hidden_size, c.classifier_bias);
  return c.norm(s / "norm")(nn::Activation(c.classifier_activation)(dense(x)));
}

// Hidden states -> one vector per sequence.
Value pool(Value hidden, Value attention_mask, const Config& c) {
  if (c.classifier_pooling == "cls") return nn::first_token(hidden);
  // Sums are float32: in half precision, those of long texts would overflow.
  const Value mask = op::unsqueeze(op::cast(attention_mask, DType::f32), 2);
  const Value total = op::sum(op::mul(op::cast(hidden, DType::f32), mask), 1);
  return op::cast(op::div(total, op::sum(mask, 1)), hidden.dtype());
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const ModernBert modernbert(root.base_model("model"), c);
  const auto head = [&](Value x) { return predict(x, root / "head", c); };
  const auto encode = [&](const Inputs& in) {
    const Value hidden = modernbert(in);
    return component.task == "token-classification" ? head(hidden) : hidden;
  };
  const auto fill_mask = [&](Value hidden) {
    const Scope decoder = root / "decoder";
    const std::vector<std::int64_t> shape = {c.vocab_size, c.hidden_size};
    const Weight weight = c.tied ? modernbert.tok_embeddings.weight() : decoder.weight("weight", shape);
    if (c.tied) decoder.ignore("weight");
    const Weight bias = c.decoder_bias ? decoder.weight("bias", {c.vocab_size}) : Weight();
    return nn::Linear(decoder.path(), weight, bias)(head(hidden));
  };
  const auto classify = [&](Value hidden) {
    const Value pooled = head(pool(hidden, inputs["attention_mask"], c));
    return nn::Linear(root / "classifier", c.hidden_size, c.num_labels)(pooled);
  };
  if (component.task == "question-answering")
    return nn::question_answering(root, head(encode(inputs)), c.hidden_size, "classifier");
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     {.encode = encode,
                                      .fill_mask = fill_mask,
                                      .classify = classify,
                                      .hidden_size = c.hidden_size,
                                      .num_labels = c.num_labels});
}

}  // namespace

void register_modernbert(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "modernbert",
       .tasks = {"feature-extraction", "fill-mask", "question-answering", "text-classification",
                 "token-classification"},
       .forward = forward,
       .key_names = tied("model.embeddings.tok_embeddings", "decoder")});
}

}  // namespace onnxport::models
