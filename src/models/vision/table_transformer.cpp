// Table Transformer: DETR with norms before the parts of its layers. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/table_transformer/modeling_table_transformer.py
#include "models/common/definition.h"
#include "models/vision/common/detr.h"

namespace onnxport::models {
namespace {

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const DetrConfig c(model.config(), NormPlace::before);
  const Scope root = model.scope();
  const DetrResults r = run_detr(tasks, inputs, model, root.base_model("model"), c);
  return detr_outputs(root, c, r, component);
}

}  // namespace

void register_table_transformer(TasksManager& tasks) {
  tasks.register_model<DetectorOnnxConfig>(
      {.model_type = "table-transformer",
       .tasks = {"feature-extraction", "object-detection"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& component) {
         return forward(tasks, inputs, model, component);
       }});
}

}  // namespace onnxport::models
