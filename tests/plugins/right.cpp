// A plugin as it should be: one more type.
#include "onnxport/op.h"
#include "onnxport/plugin.h"

namespace {

using namespace onnxport;

NamedValues forward(const Inputs& inputs, const Model& /*model*/, const Component& /*component*/) {
  const Value ids = op::cast(inputs["input_ids"], DType::f32);
  return {{"last_hidden_state", op::unsqueeze(ids, 2)}};
}

void register_test_type(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "of-a-plugin", .tasks = {"feature-extraction"}, .forward = forward});
}

}  // namespace

ONNXPORT_PLUGIN(register_test_type);
