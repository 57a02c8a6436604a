#include "models/multimodal/common/features/placeholders.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/op.h"
#include "onnxport/placeholders.h"

namespace onnxport::models {
Value write_features(Value embeds, Value placeholders, Value features) {
  Graph& graph = embeds.graph();
  const ModulePath at(graph, "features");
  // Other tokens take a row in front of the first one, so that there may be no features at all.
  const Value none = op::expand(op::scalar(graph, 0, features.dtype()), {1, features.dim(1)});
  const Value rows = op::concat({none, features}, 0);
  // A model may choose such a token by itself.
  const Value has_features = op::minimum(op::size(graph, features.dim(0)), 1);
  const Value all = op::cast(op::flatten(placeholders, 0, 1), DType::i64);
  const Value marks = op::mul(all, has_features);
  const Value row = op::reshape(op::mul(op::cumsum(marks, 0), marks), placeholders.shape());
  const Value written = op::embedding(rows, row);
  return op::where(op::unsqueeze(op::gt(row, 0), 2), written, embeds);
}

void write_all_features(const PretrainedConfig& whole, const Inputs& inputs, NamedValues& outputs) {
  const auto embeds = std::find_if(outputs.begin(), outputs.end(),
                                   [](const auto& output) { return output.first == "inputs_embeds"; });
  const Value ids = inputs["input_ids"];
  for (const auto& [name, rows] : inputs.values()) {
    if (!name.ends_with("_features")) continue;
    // Rows may be wider than vectors of tokens, which then end in zeros.
    const std::int64_t further = *rows.dim(1).constant() - *embeds->second.dim(2).constant();
    if (further > 0) embeds->second = op::pad(embeds->second, {0, 0, 0}, {0, 0, further});
    const auto id = placeholder_id(whole, name);
    if (!id) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: it names no token for {}; expected image_token_id or audio_token_id",
                                    whole.origin(), name));
    }
    const Value placeholders = op::eq(ids, static_cast<double>(*id));
    embeds->second = write_features(embeds->second, placeholders, rows);
  }
}

Value unit_embeddings(Value embeds, Value attention_mask) {
  const Value unit = op::normalize(embeds, -1);
  return op::mul(unit, op::cast(op::unsqueeze(attention_mask, 2), unit.dtype()));
}

}  // namespace onnxport::models
