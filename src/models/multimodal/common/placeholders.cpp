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

Value write_given_features(Value embeds, Value placeholders, Value features) {
  Graph& graph = embeds.graph();
  const Value flat = op::cast(op::flatten(placeholders, 0, 1), DType::i64);
  const Value order = op::cumsum(flat, 0);  // from 1 on
  const Value last = op::size(graph, features.dim(0));
  const Value has_row = op::logical_and(op::flatten(placeholders, 0, 1), op::le(order, last));
  const Value none = op::expand(op::scalar(graph, 0, features.dtype()), {1, features.dim(1)});
  const Value rows = op::concat({none, features}, 0);
  const Value row = op::mul(order, op::cast(has_row, DType::i64));
  const Value written = op::embedding(rows, op::reshape(row, placeholders.shape()));
  const Value here = op::reshape(has_row, placeholders.shape());
  return op::where(op::unsqueeze(here, 2), written, embeds);
}

Value unit_embeddings(Value embeds, Value attention_mask) {
  const Value unit = op::normalize(embeds, -1);
  return op::mul(unit, op::cast(op::unsqueeze(attention_mask, 2), unit.dtype()));
}

}  // namespace onnxport::models
