#include <utility>

#include "models/text_encoders/common/roberta.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {

nn::TextEncoderHeads roberta_heads(const Scope& root, const Scope& base, const TextEncoderConfig& c,
                                   std::function<Value(const Inputs&)> encode,
                                   std::function<Value(Value)> fill_mask) {
  const auto pool = [=](Value hidden) {
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  const auto classify = [=](Value hidden) {
    return nn::ClassificationHead(root / "classifier", c.hidden_size, c.num_labels, "tanh")(hidden);
  };
  return {.encode = std::move(encode),
          .fill_mask = std::move(fill_mask),
          .classify = classify,
          .summarize = pool,
          .hidden_size = c.hidden_size,
          .num_labels = c.num_labels};
}

}  // namespace onnxport::models
