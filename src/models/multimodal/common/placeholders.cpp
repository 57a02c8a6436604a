#include "models/multimodal/common/placeholders.h"

#include "onnxport/op.h"

namespace onnxport::models {

Value write_features(Value embeds, Value placeholders, Value features) {
  Graph& graph = embeds.graph();
  const ModulePath at(graph, "features");
  // Other tokens take a row in front of the first one, so that there may be no features at all.
  const Value none = op::expand(op::scalar(graph, 0, features.dtype()), {1, features.dim(1)});
  const Value rows = op::concat({none, features}, 0);
  const Value marks = op::cast(op::flatten(placeholders, 0, 1), DType::i64);
  const Value row = op::mul(op::cumsum(marks, 0), marks);
  const Value written = op::embedding(rows, op::reshape(row, placeholders.shape()));
  return op::where(op::unsqueeze(placeholders, 2), written, embeds);
}

Value unit_embeddings(Value embeds, Value attention_mask) {
  const Value unit = op::normalize(embeds, -1);
  return op::mul(unit, op::cast(op::unsqueeze(attention_mask, 2), unit.dtype()));
}

}  // namespace onnxport::models
