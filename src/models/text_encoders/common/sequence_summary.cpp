#include "models/text_encoders/common/sequence_summary.h"

#include <fmt/format.h>

#include <utility>

#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/op.h"

namespace onnxport::models {

SequenceSummary::SequenceSummary(const PretrainedConfig& c)
    : type_(c.string("summary_type")),
      activation_(c.maybe_string("summary_activation").value_or("")),
      project_(c.flag("summary_use_proj")),
      to_labels_(c.flag("summary_proj_to_labels", false)),
      num_labels_(c.num_labels()) {
  for (const char* known : {"first", "last", "cls_index", "mean"}) {
    if (type_ == known) return;
  }
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: summary_type is '{}', expected first, last, cls_index or mean", c.origin(), type_));
}

Value SequenceSummary::operator()(Value hidden, const Scope& s) const {
  Value summary;
  if (type_ == "mean") {
    summary = op::mean(hidden, 1);
  } else if (type_ == "first") {
    summary = nn::first_token(hidden);
  } else {  // the last token, which is also the default of cls_index
    summary = op::select(hidden, 1, -1);
  }
  if (project_) {
    const std::int64_t width = hidden.dim(2).constant().value();
    const bool labels = to_labels_ && num_labels_ > 0;
    summary = nn::Linear(s / "summary", width, labels ? num_labels_ : width)(summary);
  }
  return activation_.empty() ? summary : nn::Activation(activation_)(summary);
}

nn::TextEncoderHeads summary_heads(const Scope& root, const TextEncoderConfig& c,
                                   const SequenceSummary& summary, std::function<Value(const Inputs&)> encode,
                                   std::function<Value(Value)> fill_mask) {
  const auto classify = [=](Value hidden) {
    return nn::ClassificationHead(root / "classifier", c.hidden_size, c.num_labels, c.hidden_act)(hidden);
  };
  const auto summarize = [=](Value hidden) { return summary(hidden, root / "sequence_summary"); };
  return {.encode = std::move(encode),
          .fill_mask = std::move(fill_mask),
          .classify = classify,
          .summarize = summarize,
          .hidden_size = c.hidden_size,
          .num_labels = c.num_labels};
}

}  // namespace onnxport::models
