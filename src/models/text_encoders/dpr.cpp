// DPR, the encoders of questions and of passages. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dpr/modeling_dpr.py
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

class DprOnnxConfig : public TypedTextOnnxConfig {
 public:
  using TypedTextOnnxConfig::TypedTextOnnxConfig;
  AxesByName outputs() const override { return {{"pooler_output", {{0, "batch_size"}}}}; }
};

// The encoder that the checkpoint holds. A reader has one, too, but no vector for a text.
Scope stored_encoder(const Scope& root) {
  const Scope passages = root / "ctx_encoder";
  return passages.exists() ? passages : root / "question_encoder";
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const TextEncoderConfig c(model.config());
  const std::int64_t projection_dim = model.config().integer("projection_dim");
  const Scope encoder = stored_encoder(model.scope());
  const Value pooled = nn::first_token(Bert(encoder / "bert_model", c)(inputs));
  if (projection_dim <= 0) return {{"pooler_output", pooled}};
  return {{"pooler_output", nn::Linear(encoder / "encode_proj", c.hidden_size, projection_dim)(pooled)}};
}

}  // namespace

void register_dpr(TasksManager& tasks) {
  tasks.register_model<DprOnnxConfig>({.model_type = "dpr",
                                       .tasks = {"feature-extraction"},
                                       .forward = forward,
                                       .ignorable_keys = {"*.bert_model.pooler.*"}});
}

}  // namespace onnxport::models
