#include "models/multimodal/common/placeholders.h"

#include "onnxport/op.h"

namespace onnxport::models {

Value write_features(Value embeds, Value placeholders, Value features) {
  const Value flat = op::cast(op::flatten(placeholders, 0, 1), DType::i64);
  // The number of placeholders up to each token; before the first one, any row will do.
  const Value row = op::maximum(op::sub(op::cumsum(flat, 0), 1.0), 0.0);
  const Value rows = op::embedding(features, op::reshape(row, placeholders.shape()));
  return op::where(op::unsqueeze(placeholders, 2), rows, embeds);
}

Value unit_embeddings(Value embeds, Value attention_mask) {
  const Value unit = op::normalize(embeds, -1);
  return op::mul(unit, op::cast(op::unsqueeze(attention_mask, 2), unit.dtype()));
}

}  // namespace onnxport::models
