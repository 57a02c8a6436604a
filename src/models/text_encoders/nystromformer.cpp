// Nyströmformer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/nystromformer/modeling_nystromformer.py
// BERT with attention through landmarks (means of segments), plus a convolution of the values.
#include <cmath>

#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/post_norm_layer.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kFirstPosition = 2;

struct Config : TextEncoderConfig {
  std::int64_t landmarks, segment;          // segment: tokens of a landmark; 0: plain attention
  std::optional<std::int64_t> kernel_size;  // of the convolution; absent: none

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        landmarks(c.integer("num_landmarks")),
        segment(0),
        kernel_size(c.maybe_integer("conv_kernel_size")) {
    const std::int64_t length = c.integer("segment_means_seq_len");
    if (landmarks != length) {
      check_multiple(c, "segment_means_seq_len", length, "num_landmarks", landmarks);
      segment = length / landmarks;
    }
    // With it, the original reads a key of the configuration in a way that fails.
    if (c.flag("inv_coeff_init_option")) refuse(c, "inv_coeff_init_option is true, only false is known");
    if (kernel_size && (*kernel_size < 1 || *kernel_size % 2 == 0))
      refuse(c, fmt::format("conv_kernel_size is {}, expected an odd number", *kernel_size));
  }
  nn::TextEmbeddingsParameters later_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.max_positions += kFirstPosition;
    return p;
  }
};

// The mean of each segment as a product: float [landmarks, S]. The original takes only texts of as many
// tokens as all segments have.
Value segment_means(Graph& graph, const Dim& length, const Config& c) {
  const Value owner = op::div(op::arange(graph, length), static_cast<double>(c.segment));
  const Value rows = op::unsqueeze(op::arange(graph, c.landmarks), 1);
  const Value belongs = op::cast(op::eq(rows, owner), graph.float_dtype());
  return op::mul(belongs, 1.0 / static_cast<double>(c.segment));
}

// An approximate inverse of each [L, L] of x. The largest column sum is that of the whole batch.
Value inverse(Value x) {
  Graph& graph = x.graph();
  const std::int64_t n = x.dim(-1).constant().value();
  const auto times_identity = [&](double factor) {
    const Value rows = op::arange(graph, n);
    const Value diagonal = op::cast(op::eq(op::unsqueeze(rows, 1), rows), x.dtype());
    return op::mul(diagonal, factor);
  };
  const Value columns = op::sum(x, 2);
  const Value largest = op::amax(op::amax(op::amax(columns, 2), 1), 0);
  Value z = op::div(op::transpose(x, 2, 3), largest);
  for (int i = 0; i < 6; ++i) {
    const Value xz = op::matmul(x, z);
    const Value inner = op::sub(times_identity(7), xz);
    const Value xz_inner = op::matmul(xz, inner);
    const Value middle = op::sub(times_identity(15), xz_inner);
    const Value xz_middle = op::matmul(xz, middle);
    const Value outer = op::sub(times_identity(13), xz_middle);
    z = op::matmul(op::mul(z, 0.25), outer);
  }
  return z;
}

struct Sight {
  op::AttentionMask mask;
  Value bias;   // the mask, added to scores
  Value means;  // of segments; absent: plain attention
};

struct Attention {
  Projections project;
  std::int64_t heads;
  Weight conv;  // [heads, 1, kernel, 1]; empty: none
  std::int64_t padding = 0;

  Attention(const Scope& s, const Config& c) : project(s, c.hidden_size), heads(c.num_attention_heads) {
    if (!c.kernel_size) return;
    conv = (s / "self.conv").weight("weight", {heads, 1, *c.kernel_size, 1});
    padding = *c.kernel_size / 2;
  }

  // Attention of queries to landmarks, and of landmarks to keys: [B, heads, S, d].
  Value through_landmarks(Value q, Value k, Value v, const Sight& sight) const {
    const double scale = 1 / std::sqrt(std::sqrt(static_cast<double>(q.dim(3).constant().value())));
    const Value queries = op::mul(q, scale);
    const Value keys = op::mul(k, scale);
    const Value query_marks = op::matmul(sight.means, queries);
    const Value key_marks = op::transpose(op::matmul(sight.means, keys), 2, 3);
    const Value to_marks = op::softmax(op::matmul(queries, key_marks), -1);
    const Value between = op::softmax(op::matmul(query_marks, key_marks), -1);
    Value scores = op::matmul(query_marks, op::transpose(keys, 2, 3));
    if (sight.bias) scores = op::add(scores, sight.bias);
    const Value gathered = op::matmul(op::softmax(scores, -1), v);
    return op::matmul(op::matmul(to_marks, inverse(between)), gathered);
  }

  Value operator()(Value x, const Sight& sight) const {
    const ModulePath at(x, project.path);
    const Value q = project.query(x);
    const Value k = project.key(x);
    const Value v = project.value(x);
    Value context;
    if (sight.means) {
      const Value queries = nn::split_heads(q, heads);
      const Value keys = nn::split_heads(k, heads);
      context = nn::merge_heads(through_landmarks(queries, keys, nn::split_heads(v, heads), sight));
    } else {
      context = op::attention({.query = q, .key = k, .value = v, .mask = sight.mask}, heads, heads).output;
    }
    if (conv) {
      const Value kernel = x.graph().weight(conv);
      const op::ConvOptions options = {.padding = {padding, 0}, .groups = heads};
      const Value mixed = op::conv2d(nn::split_heads(v, heads), kernel, {}, options);
      context = op::add(context, nn::merge_heads(mixed));
    }
    return project.output(context);
  }
};

struct Nystromformer {
  Config config;
  nn::TextEmbeddings embeddings;
  std::vector<PostNormLayer<Attention>> layers;

  Nystromformer(const Scope& s, const Config& c)
      : config(c), embeddings(s / "embeddings", c.later_embeddings()) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
      const Scope layer = s / "encoder" / "layer" / i;
      layers.emplace_back(layer, c, Attention(layer / "attention", c));
    }
  }

  Value operator()(const Inputs& in) const {
    const Value ids = in["input_ids"];
    Graph& graph = ids.graph();
    const Value positions = op::unsqueeze(op::arange(graph, ids.dim(1), kFirstPosition), 0);
    Value x = embeddings(ids, in.get("token_type_ids"), positions);
    Sight sight;
    if (config.segment > 0) {
      sight.bias = nn::padding_bias(in.get("attention_mask"), x.dtype());
      sight.means = segment_means(graph, ids.dim(1), config);
    } else {
      sight.mask = nn::padding_mask(in.get("attention_mask"));
    }
    for (const auto& layer : layers) x = layer(x, sight);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Nystromformer nystromformer(root.base_model("nystromformer"), c);
  const auto fill_mask = [&](Value hidden) {
    return bert_lm_head(root, c, nystromformer.embeddings.words())(hidden);
  };
  const auto classify = [&](Value hidden) {
    return nn::ClassificationHead(root / "classifier", c.hidden_size, c.num_labels, c.hidden_act)(hidden);
  };
  const auto summarize = [&](Value hidden) {
    return op::relu(
        nn::Linear(root / "pre_classifier", c.hidden_size, c.hidden_size)(nn::first_token(hidden)));
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     {.encode = nystromformer,
                                      .fill_mask = fill_mask,
                                      .classify = classify,
                                      .summarize = summarize,
                                      .hidden_size = c.hidden_size,
                                      .num_labels = c.num_labels});
}

}  // namespace

void register_nystromformer(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "nystromformer",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("nystromformer.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
