// GLM-OCR: GLM-4.1V whose tower norms its queries and keys, and has no table of positions. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/glm_ocr/modeling_glm_ocr.py
#include "models/common/definition.h"

namespace onnxport::models {

void register_glm_ocr(TasksManager& tasks) { tasks.register_alias("glm_ocr", "glm4v"); }

}  // namespace onnxport::models
