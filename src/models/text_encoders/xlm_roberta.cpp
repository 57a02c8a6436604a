// XLM-RoBERTa. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/xlm_roberta/modeling_xlm_roberta.py
// The module tree, the keys (prefix `roberta` included) and the formulas are those of RoBERTa; only defaults
// differ.
#include "models/common/definition.h"

namespace onnxport::models {

void register_xlm_roberta(TasksManager& tasks) { tasks.register_alias("xlm-roberta", "roberta"); }

}  // namespace onnxport::models
