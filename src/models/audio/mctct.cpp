// M-CTC-T. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deprecated/mctct/modeling_mctct.py
#include <fmt/format.h>

#include <cmath>

#include "models/audio/common/feature_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conformer.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/relative_attention.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, layers, intermediate_size, heads, head_dim, positions, features;
  std::int64_t kernel, stride;  // of the convolution
  std::string hidden_act;
  double eps;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        intermediate_size(c.integer("intermediate_size")),
        heads(c.integer("num_attention_heads")),
        head_dim(c.integer("attention_head_dim")),
        positions(c.integer("max_position_embeddings")),
        features(frame_size(c)),
        hidden_act(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")) {
    const std::vector<std::int64_t> kernels = c.integers("conv_kernel"), strides = c.integers("conv_stride");
    if (c.integer("num_conv_layers") != 1 || kernels.size() != 1 || strides.size() != 1 ||
        c.integer("conv_glu_dim") != 1) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: num_conv_layers is {} with {} conv_kernel, {} conv_stride and "
                                    "conv_glu_dim {}, only one convolution with conv_glu_dim 1 is known",
                                    c.origin(), c.integer("num_conv_layers"), kernels.size(), strides.size(),
                                    c.integer("conv_glu_dim")));
    }
    kernel = kernels[0];
    stride = strides[0];
    check_heads(c, hidden_size, heads);
    if (head_dim != hidden_size / heads || positions < 1 || kernel < 1 || stride < 1) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: attention_head_dim is {}, expected {}; max_position_embeddings is {}, "
                      "conv_kernel {} and conv_stride {}, expected at least 1",
                      c.origin(), head_dim, hidden_size / heads, positions, kernel, stride));
    }
    c.harmless({"conv_channels", "pad_token_id"});  // of more convolutions; of labels
  }
};

class MctctOnnxConfig : public FeatureEncoderOnnxConfig {
 public:
  using FeatureEncoderOnnxConfig::FeatureEncoderOnnxConfig;
  bool takes_mask() const override { return false; }
  std::int64_t feature_size() const override { return Config(config().unaccounted()).features; }
  AxesByName outputs() const override {
    AxesByName outputs = FeatureEncoderOnnxConfig::outputs();
    if (task() != "automatic-speech-recognition") return outputs;
    const Config c(config().unaccounted());
    outputs.at(0).second[1] = fmt::format("( ( sequence_length + 2 * {} - 1 * ({} - 1) - 1 ) // {} ) + 1",
                                          c.kernel / 2, c.kernel, c.stride);
    return outputs;
  }
};

// [B, L, features] -> [B, L', hidden_size]
Value subsample(const Scope& s, const Config& c, Value features) {
  const ModulePath at(features, s.path());
  const nn::Conv1d conv(s / "conv_layers" / 0, c.features, 2 * c.hidden_size, c.kernel, true,
                        {.stride = {c.stride}, .padding = {c.kernel / 2, c.kernel / 2}});
  return op::transpose(nn::glu(conv(op::transpose(features, 1, 2)), 1), 1, 2);
}

// The scores of queries [B, L, H] for the distances to keys, not scaled: [B, heads, L, L]. There is
// nothing beyond the table's distances.
Value distance_terms(const Scope& s, const Config& c, Value query) {
  Graph& graph = query.graph();
  const Weight stored = s.weight("weight", {2 * c.positions - 1, c.head_dim});
  const std::vector<double> zeros(static_cast<std::size_t>(c.head_dim), 0.0);
  const Weight nothing = Weight::from_doubles(stored.dtype(), {1, c.head_dim}, zeros);
  const std::vector<Weight> rows = {nothing, stored, nothing};
  const Value table = graph.weight(Weight::concat(rows, 0));
  const auto most = static_cast<double>(c.positions);
  const Dim& length = query.dim(1);
  const Value distances = op::arange(graph, length * 2, Dim(0) - length);
  const Value within = op::minimum(op::maximum(distances, -most), most);
  return nn::distance_scores(query, op::embedding(table, op::add(within, most)), c.heads, length);
}

Value attend(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const auto project = [&](const char* key) {
    return nn::Linear(s / key, c.hidden_size, c.hidden_size, false)(x);
  };
  const Value query = project("query"), key = project("key"), value = project("value");
  const double scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  const Value terms = op::mul(distance_terms(s / "distance_embedding", c, query), scale);
  return op::attention({.query = query, .key = key, .value = value, .mask = {.bias = terms}}, c.heads,
                       c.heads)
      .output;
}

Value encode_layer(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const auto linear = [&](const Scope& at_key, std::int64_t in, std::int64_t out) {
    return nn::Linear(at_key, in, out, false);
  };
  const Scope output = s / "attention" / "output";
  const Value attended =
      linear(output / "dense", c.hidden_size, c.hidden_size)(attend(s / "attention" / "self", c, x));
  x = nn::LayerNorm(output / "LayerNorm", c.hidden_size, c.eps)(op::add(attended, x));
  const nn::Mlp mlp(s.path(), linear(s / "intermediate" / "dense", c.hidden_size, c.intermediate_size),
                    linear(s / "output" / "dense", c.intermediate_size, c.hidden_size), c.hidden_act);
  return nn::LayerNorm(s / "output" / "LayerNorm", c.hidden_size, c.eps)(op::add(mlp(x), x));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope encoder = root.base_model("mctct") / "encoder";
  Value x = inputs["input_features"];
  // Not a norm, but one factor and one summand.
  const Scope norm = encoder / "layer_norm";
  x = op::mul(x, x.graph().weight(norm.weight("singleton_weight", {1})));
  x = op::add(x, x.graph().weight(norm.weight("singleton_bias", {1})));
  x = subsample(encoder / "conv", c, x);
  for (std::int64_t i = 0; i < c.layers; ++i) x = encode_layer(encoder / "layers" / i, c, x);
  if (component.task == "feature-extraction") return {{"last_hidden_state", x}};
  return {{"logits", nn::Linear(root / "ctc_head", c.hidden_size, c.vocab_size)(x)}};
}

}  // namespace

void register_mctct(TasksManager& tasks) {
  tasks.register_model<MctctOnnxConfig>({.model_type = "mctct",
                                         .tasks = {"feature-extraction", "automatic-speech-recognition"},
                                         .forward = forward});
}

}  // namespace onnxport::models
