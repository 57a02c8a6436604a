// InstructBLIP: BLIP-2 whose queries also read the instruction. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/instructblip/modeling_instructblip.py
#include <algorithm>

#include "models/multimodal/common/decoders/blip2.h"

namespace onnxport::models {
namespace {

constexpr const char* kVisionType = "instructblip_vision_model";

// The instruction, which is short beside the queries.
class DummyInstructionGenerator : public DummyInputGenerator {
 public:
  DummyInstructionGenerator(std::int64_t vocab_size, std::int64_t longest)
      : vocab_size_(vocab_size), longest_(longest) {}
  bool supports_input(std::string_view name) const override {
    return name == "qformer_input_ids" || name == "qformer_attention_mask";
  }
  TensorType type(std::string_view, const DummyContext& context, const DummyShapes& shapes) const override {
    return {context.int_dtype, {shapes.batch_size, std::min(longest_, 4 + 3 * shapes.batch_size)}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    const std::vector<std::int64_t> shape = static_shape(type.shape).value();
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < shape[0] * shape[1]; ++i) {
      const bool padding = i / shape[1] % 2 == 1 && i % shape[1] + 2 > shape[1];
      const auto id = static_cast<std::int64_t>((seed + 7 * static_cast<std::uint64_t>(i) + 3) % 1000);
      values.push_back(name == "qformer_input_ids" ? id % vocab_size_ : padding ? 0 : 1);
    }
    return Tensor::from_ints(type.dtype, shape, values);
  }

 private:
  std::int64_t vocab_size_, longest_;
};

class InstructBlipOnnxConfig : public Blip2OnnxConfig {
 public:
  using Blip2OnnxConfig::Blip2OnnxConfig;

 protected:
  std::string vision_type() const override { return kVisionType; }
  AxesByName encoder_inputs() const override {
    AxesByName names = Blip2OnnxConfig::encoder_inputs();
    for (const char* name : {"qformer_input_ids", "qformer_attention_mask"})
      names.push_back({name, {{0, "batch_size"}, {1, "qformer_sequence_length"}}});
    return names;
  }
  DummyInputGenerators encoder_dummies() const override {
    DummyInputGenerators generators = Blip2OnnxConfig::encoder_dummies();
    const PretrainedConfig c = config().unaccounted().sub("qformer_config").as("instructblip_qformer");
    generators.push_back(std::make_shared<const DummyInstructionGenerator>(
        c.integer("vocab_size"), c.integer("max_position_embeddings")));
    return generators;
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  return forward_blip2(tasks, inputs, model, component, {kVisionType, "instructblip_qformer"}, true);
}

}  // namespace

void register_instructblip(TasksManager& tasks) {
  register_blip2_like<InstructBlipOnnxConfig>(
      tasks, {.model_type = "instructblip", .forward = bound(tasks, forward)});
}

}  // namespace onnxport::models
