// Gemma 4 without encoders, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gemma4_unified/modeling_gemma4_unified.py
#include "models/common/definition.h"

namespace onnxport::models {

// It has no experts, and its layers know no more of the tokens; the class does not declare those keys.
void register_gemma4_unified_text(TasksManager& tasks) {
  tasks.register_alias("gemma4_unified_text", "gemma4_text");
}

}  // namespace onnxport::models
