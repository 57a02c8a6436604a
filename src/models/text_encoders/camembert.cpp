// CamemBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/camembert/modeling_camembert.py
// The module tree, the keys (prefix `roberta` included) and the formulas are those of RoBERTa; only defaults
// differ.
#include "models/common/definition.h"

namespace onnxport::models {

void register_camembert(TasksManager& tasks) { tasks.register_alias("camembert", "roberta"); }

}  // namespace onnxport::models
