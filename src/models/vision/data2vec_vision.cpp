// Data2Vec for images: a BEiT with its own prefix. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/data2vec/modeling_data2vec_vision.py
#include "models/vision/common/beit.h"

namespace onnxport::models {

void register_data2vec_vision(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(beit_definition("data2vec-vision", "data2vec_vision"));
}

}  // namespace onnxport::models
