// ConvBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/convbert/modeling_convbert.py
// BERT in which half of the heads are convolutions with kernels that depend on the tokens.
#include <algorithm>

#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/grouped_linear.h"
#include "models/text_encoders/common/post_norm_layer.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/sequence_summary.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kMostTaps = 255;  // each becomes a few nodes of the graph

struct Config : TextEncoderConfig {
  std::int64_t embedding_size, heads, kernel, groups;
  SequenceSummary summary;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        embedding_size(c.integer("embedding_size")),
        heads(0),
        kernel(c.integer("conv_kernel_size")),
        groups(c.integer("num_groups")),
        summary(c) {
    const std::int64_t ratio = c.integer("head_ratio");
    if (ratio < 1) refuse(c, fmt::format("head_ratio is {}, expected 1 or more", ratio));
    heads = std::max<std::int64_t>(num_attention_heads / ratio, 1);
    check_multiple(c, "hidden_size", hidden_size, "heads of attention and convolution", 2 * heads);
    check_multiple(c, "hidden_size", hidden_size, "num_groups", groups);
    check_multiple(c, "intermediate_size", intermediate_size, "num_groups", groups);
    if (kernel < 1 || kernel % 2 == 0 || kernel > kMostTaps)
      refuse(c, fmt::format("conv_kernel_size is {}, expected an odd number up to {}", kernel, kMostTaps));
  }
  std::int64_t half() const { return hidden_size / 2; }  // width of the heads of each kind
  nn::TextEmbeddingsParameters narrow_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.width = embedding_size;
    p.add_positions = true;
    return p;
  }
};

// x [B, S, C] mixed with its neighbours, channel by channel, then over all channels.
struct SeparableConv {
  std::string path;
  Weight depthwise, pointwise, bias;
  std::int64_t channels, kernel;

  SeparableConv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t size)
      : path(s.path()),
        depthwise((s / "depthwise").weight("weight", {in, 1, size})),
        pointwise((s / "pointwise").weight("weight", {out, in, 1}).reshape({out, in})),
        bias(s.weight("bias", {out, 1}).reshape({out})),
        channels(in),
        kernel(size) {}

  Value operator()(Value x) const {
    Graph& graph = x.graph();
    const ModulePath at(graph, path);
    const op::ConvOptions options = {.padding = {kernel / 2}, .groups = channels};
    const Value taps = graph.weight(depthwise);
    const Value mixed = op::conv1d(op::permute(x, {0, 2, 1}), taps, {}, options);
    const Value weight = graph.weight(pointwise);
    const Value shift = graph.weight(bias);
    return op::linear(op::permute(mixed, {0, 2, 1}), weight, shift);
  }
};

struct MixedAttention {
  std::string path;
  std::int64_t heads, kernel;
  nn::Linear query, key, value, conv_kernel_layer, conv_out_layer, dense;
  SeparableConv key_conv;

  MixedAttention(const Scope& s, const Config& c)
      : path(s.path()),
        heads(c.heads),
        kernel(c.kernel),
        query(s / "self.query", c.hidden_size, c.half()),
        key(s / "self.key", c.hidden_size, c.half()),
        value(s / "self.value", c.hidden_size, c.half()),
        conv_kernel_layer(s / "self.conv_kernel_layer", c.half(), c.heads * c.kernel),
        conv_out_layer(s / "self.conv_out_layer", c.hidden_size, c.half()),
        dense(s / "output.dense", c.hidden_size, c.hidden_size),
        key_conv(s / "self.key_conv_attn_layer", c.hidden_size, c.half(), c.kernel) {}

  // Each token's neighbours, weighted by the kernel that the token gives each head: [B, S, half].
  Value convolve(Value x, Value queries) const {
    const Value seen = op::mul(key_conv(x), queries);
    const Value spread = op::reshape(conv_kernel_layer(seen), {x.dim(0), x.dim(1), heads, kernel});
    const Value kernels = op::softmax(spread, -1);
    const Value out = conv_out_layer(x);
    const std::int64_t around = kernel / 2;
    const Value padded = op::pad(out, {0, around, 0}, {0, around, 0});
    Value sum;
    for (std::int64_t k = 0; k < kernel; ++k) {
      const Value shifted = op::slice(padded, 1, k, x.dim(1) + k);
      const Value by_head =
          op::reshape(shifted, {x.dim(0), x.dim(1), heads, out.dim(2).constant().value() / heads});
      const Value term = op::mul(by_head, op::slice(kernels, 3, k, k + 1));
      sum = sum ? op::add(sum, term) : term;
    }
    return op::flatten(sum, 2, 3);
  }

  Value operator()(Value x, const op::AttentionMask& mask) const {
    const ModulePath at(x, path);
    const Value queries = query(x);
    const Value keys = key(x);
    const Value values = value(x);
    const Value convolved = convolve(x, queries);
    const Value attended =
        op::attention({.query = queries, .key = keys, .value = values, .mask = mask}, heads, heads).output;
    return dense(op::concat({attended, convolved}, 2));
  }
};

// BERT's feed-forward in groups.
nn::FeedForward grouped_mlp(const Scope& s, const Config& c) {
  const auto up =
      GroupedLinear::stacked(s / "intermediate.dense", c.hidden_size, c.intermediate_size, c.groups);
  const auto down = GroupedLinear::stacked(s / "output.dense", c.intermediate_size, c.hidden_size, c.groups);
  return [up, down, activation = nn::Activation(c.hidden_act)](Value x) { return down(activation(up(x))); };
}

struct ConvBert {
  nn::TextEmbeddings embeddings;
  std::optional<nn::Linear> embeddings_project;
  std::vector<PostNormLayer<MixedAttention>> layers;

  ConvBert(const Scope& s, const Config& c) : embeddings(s / "embeddings", c.narrow_embeddings()) {
    if (c.embedding_size != c.hidden_size)
      embeddings_project.emplace(s / "embeddings_project", c.embedding_size, c.hidden_size);
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
      const Scope layer = s / "encoder" / "layer" / i;
      layers.emplace_back(layer, c, MixedAttention(layer / "attention", c), grouped_mlp(layer, c));
    }
  }

  Value operator()(const Inputs& in) const {
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"));
    if (embeddings_project) x = (*embeddings_project)(x);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    for (const auto& layer : layers) x = layer(x, mask);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const ConvBert convbert(root.base_model("convbert"), c);
  const auto fill_mask = [&](Value hidden) {
    nn::MaskedLmHeadParameters head = c.masked_lm_head();
    head.width = c.embedding_size;
    head.dense = "generator_predictions.dense";
    head.norm = "generator_predictions.LayerNorm";
    head.decoder = "generator_lm_head";
    head.bias = {"generator_lm_head.bias"};
    const Weight tied = c.tie_word_embeddings ? convbert.embeddings.words() : Weight();
    return nn::MaskedLmHead(root, head, tied)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     summary_heads(root, c, c.summary, convbert, fill_mask));
}

}  // namespace

void register_convbert(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "convbert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("convbert.embeddings.word_embeddings", "generator_lm_head")});
}

}  // namespace onnxport::models
