// Parakeet TDT. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/parakeet/modeling_parakeet.py
// The class of the transducer, where the joiner also scores the `durations` that its configuration lists.
#include "models/common/definition.h"

namespace onnxport::models {

void register_parakeet_tdt(TasksManager& tasks) { tasks.register_alias("parakeet_tdt", "parakeet_rnnt"); }

}  // namespace onnxport::models
