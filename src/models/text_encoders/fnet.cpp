// FNet. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/fnet/modeling_fnet.py
// BERT with the real part of a Fourier transform over tokens and channels in place of attention.
#include <cmath>
#include <numbers>

#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/post_norm_layer.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

class FNetOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return text_inputs({"input_ids", "token_type_ids"}); }
};

// There are no heads; one stands for them.
struct Config : TextEncoderConfig {
  explicit Config(const PretrainedConfig& c) : TextEncoderConfig(c.settled("num_attention_heads", "1")) {
    // Another way to the same numbers, for texts of exactly tpu_short_seq_length tokens.
    c.harmless({"use_tpu_fourier_optimizations", "tpu_short_seq_length"});
  }
};

// Cosines and sines of 2 pi i j / n: [n, n].
struct Waves {
  Value cos, sin;
};

// For the number of tokens. The products are reduced to one turn as integers, so long texts stay exact.
Waves token_waves(Graph& graph, const Dim& length) {
  const Value count = op::size(graph, length);
  const Value positions = op::arange(graph, length);
  const Value products = op::mul(op::unsqueeze(positions, 1), positions);
  const Value turns = op::mul(op::div(products, count), count);
  const Value part = op::cast(op::sub(products, turns), DType::f32);
  const Value angle = op::mul(op::div(part, op::cast(count, DType::f32)), 2 * std::numbers::pi);
  const Value cos = op::cos(angle);
  return {cos, op::sin(angle)};
}

Waves channel_waves(Graph& graph, std::int64_t n) {
  std::vector<double> cos, sin;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i * j % n) / static_cast<double>(n);
      cos.push_back(std::cos(angle));
      sin.push_back(std::sin(angle));
    }
  }
  const Value first = graph.weight_as_is(Weight::from_doubles(DType::f32, {n, n}, cos));
  return {first, graph.weight_as_is(Weight::from_doubles(DType::f32, {n, n}, sin))};
}

// The real part of the transform, in float32: sums over all tokens and channels are large.
struct Fourier {
  Value operator()(Value x, const Waves& tokens, const Waves& channels) const {
    const Value wide = op::cast(x, DType::f32);
    const Value even = op::matmul(tokens.cos, op::matmul(wide, channels.cos));
    const Value odd = op::matmul(tokens.sin, op::matmul(wide, channels.sin));
    return op::cast(op::sub(even, odd), x.dtype());
  }
};

struct FNet {
  nn::TextEmbeddings embeddings;
  nn::Linear projection;
  std::vector<PostNormLayer<Fourier>> layers;

  FNet(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", c.embeddings()),
        projection(s / "embeddings" / "projection", c.hidden_size, c.hidden_size) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
      const Scope layer = s / "encoder" / "layer" / i;
      layers.emplace_back(layer, c, Fourier(), PostNormKeys{.attention = "fourier.output.LayerNorm"});
      layer.ignore("fourier.self");  // matrices of the transform
    }
  }

  Value operator()(const Inputs& in) const {
    Value x = projection(embeddings(in["input_ids"], in.get("token_type_ids")));
    const Waves tokens = token_waves(x.graph(), x.dim(1));
    const Waves channels = channel_waves(x.graph(), x.dim(2).constant().value());
    for (const auto& layer : layers) x = layer(x, tokens, channels);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_with_bert_heads<FNet, Config>(inputs, model, component, "fnet");
}

}  // namespace

void register_fnet(TasksManager& tasks) {
  tasks.register_model<FNetOnnxConfig>(
      {.model_type = "fnet",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("fnet.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
