// I-BERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/ibert/modeling_ibert.py
// Without quantization, it computes RoBERTa. Checkpoints also hold the integers of the quantized form.
#include "models/common/definition.h"
#include "models/text_encoders/common/refuse.h"
#include "models/text_encoders/common/roberta.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  if (c.flag("quant_mode")) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: quant_mode is true, only false is known", c.origin()));
  }
  for (const auto& [key, known] :
       {std::pair{"hidden_act", "gelu"}, {"position_embedding_type", "absolute"}}) {
    if (const std::string value = c.string(key, known); value != known)
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} is '{}', the original knows only {}",
                                                           c.origin(), key, value, known));
  }
  c.harmless({"force_dequant"});  // which parts of the quantized form compute with floats
  return build_roberta(inputs, model, component, "ibert");
}

}  // namespace

void register_ibert(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "ibert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.weight_integer", "*.bias_integer", "*_scaling_factor", "*.x_min", "*.x_max",
                          "*.LayerNorm.shift"},
       .key_names = tied("ibert.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
