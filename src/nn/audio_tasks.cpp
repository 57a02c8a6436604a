#include "onnxport/nn/audio_tasks.h"

#include <algorithm>
#include <cmath>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/op.h"

namespace onnxport::nn {

namespace {

// The softmax of the layer weights does not depend on the input, so it is computed now.
Value weighted_sum(const std::vector<Value>& states, const Weight& layer_weights) {
  std::vector<double> weights = layer_weights.to_doubles();
  const double largest = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  Value sum;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const Value part = op::mul(states[i], weights[i] / total);
    sum = sum ? op::add(sum, part) : part;
  }
  return sum;
}

// A linear layer over `kernel` frames at a distance of `dilation`. The checkpoint stores its weight as [out,
// kernel * in]. (Snyder et al. 2018)
Conv1d time_delay_layer(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                        std::int64_t dilation) {
  const Weight stored = s.weight("weight", {out, kernel * in});
  return {s.path(),
          stored.reshape({out, kernel, in}).permute({0, 2, 1}),
          s.weight("bias", {out}),
          {.dilation = {dilation}}};
}

// Mean and standard deviation over time: [B, C, L] -> [B, 2 C]. In half precision, squares would overflow.
Value pool_statistics(Value frames) {
  const Value x = op::cast(frames, DType::f32);
  const Value mean = op::mean(x, 2, true);
  const Value centered = op::sub(x, mean);
  const Value squares = op::sum(op::mul(centered, centered), 2);
  const Value freedom = op::cast(op::size(x.graph(), x.dim(2) - 1), x.dtype());
  const Value deviation = op::sqrt(op::div(squares, freedom));
  return op::cast(op::concat({op::squeeze(mean, 2), deviation}, 1), frames.dtype());
}

// The mean over the frames that are real: [B, L, C], bool [B, L] -> [B, C]
Value mean_of(Value x, Value real) {
  if (!real) return op::mean(x, 1);
  const Value frames = op::unsqueeze(real, 2);
  const Value total = op::sum(op::masked_fill(x, op::logical_not(frames), 0), 1);
  return op::div(total, op::sum(op::cast(frames, x.dtype()), 1));
}

NamedValues xvector(Value hidden, const Scope& s, const SpeechHeadParameters& p) {
  const XVectorParameters& x = p.xvector;
  Value frames = Linear(s / "projector", p.hidden_size, x.channels.front())(hidden);
  frames = op::transpose(frames, 1, 2);
  std::int64_t in = x.channels.front();
  for (std::size_t i = 0; i < x.channels.size(); ++i) {
    const Scope kernel = s / "tdnn" / static_cast<std::int64_t>(i) / "kernel";
    frames = op::relu(time_delay_layer(kernel, in, x.channels[i], x.kernels[i], x.dilations[i])(frames));
    in = x.channels[i];
  }
  const Value embeddings = Linear(s / "feature_extractor", 2 * in, x.output_size)(pool_statistics(frames));
  const Value logits = Linear(s / "classifier", x.output_size, x.output_size)(embeddings);
  return {{"logits", logits}, {"embeddings", embeddings}};
}

}  // namespace

NamedValues build_speech_task(const std::string& task, const std::vector<Value>& states, Value last,
                              const Scope& s, const SpeechHeadParameters& p, Value real) {
  if (task == "feature-extraction") return {{"last_hidden_state", last}};
  if (task == "automatic-speech-recognition")
    return {{"logits", Linear(s / "lm_head", p.output_size, p.vocab_size)(last)}};
  const auto count = static_cast<std::int64_t>(states.size());
  const Value hidden = p.weighted_layer_sum ? weighted_sum(states, s.weight("layer_weights", {count})) : last;
  if (task == "audio-classification") {
    const Value projected = Linear(s / "projector", p.hidden_size, p.projection_size)(hidden);
    const Value pooled = mean_of(projected, real);
    return {{"logits", Linear(s / "classifier", p.projection_size, p.num_labels)(pooled)}};
  }
  if (task == "audio-frame-classification")
    return {{"logits", Linear(s / "classifier", p.hidden_size, p.num_labels)(hidden)}};
  if (task == "audio-xvector") return xvector(hidden, s, p);
  throw ExportError(ErrorCode::internal, "speech encoders have no task '" + task + "'");
}

}  // namespace onnxport::nn
