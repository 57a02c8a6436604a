// mT5: T5 with other defaults. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mt5/modeling_mt5.py
#include "models/common/definition.h"
#include "models/encoder_decoders/common/t5.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {

void register_mt5(TasksManager& tasks) {
  tasks.register_model<T5OnnxConfig>({.model_type = "mt5",
                                      .tasks = nn::text2text_tasks(),
                                      .forward = forward_t5,
                                      .key_names = t5_key_names()});
}

}  // namespace onnxport::models
