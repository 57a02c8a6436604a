// SmolVLM: Idefics 3 in small. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/smolvlm/modeling_smolvlm.py
#include "models/common/definition.h"

namespace onnxport::models {

void register_smolvlm(TasksManager& tasks) { tasks.register_alias("smolvlm", "idefics3"); }

}  // namespace onnxport::models
