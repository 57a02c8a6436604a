// SPLADE: the scores of a masked language model, pooled to one sparse vector with a weight for each token of
// the vocabulary. Original:
// https://github.com/huggingface/sentence-transformers/tree/v5.1.2/sentence_transformers/sparse_encoder/models
#include <fmt/format.h>

#include <algorithm>

#include "models/common/definition.h"
#include "models/text_encoders/common/sentence.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

struct SpladePooling {
  bool sums, twice;  // sums over the tokens instead of the maximum; the logarithm twice

  explicit SpladePooling(const PretrainedConfig& c) {
    const auto is = [&](const char* key, const std::string& other, const std::string& by_default) {
      const std::string value = c.string(key, by_default);
      if (value == other || value == by_default) return value == other;
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} is '{}', expected {} or {}", c.origin(),
                                                           key, value, by_default, other));
    };
    sums = is("pooling_strategy", "sum", "max");
    twice = is("activation_function", "log1p_relu", "relu");
    c.harmless({"word_embedding_dimension", "embedding_dimension", "chunk_size"});
  }

  /// logits [B, S, V], attention_mask int [B, S] -> [B, V]. Sums are float32.
  Value operator()(Value logits, Value attention_mask) const {
    const Value mask = op::unsqueeze(op::cast(attention_mask, DType::f32), 2);
    const Value scores = op::relu(op::mul(op::cast(logits, DType::f32), mask));
    Value weights = op::log(op::add(scores, 1.0));
    if (twice) weights = op::log(op::add(weights, 1.0));
    return op::cast(sums ? op::sum(weights, 1) : op::amax(weights, 1), logits.dtype());
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  constexpr const char* kTask = "fill-mask";
  const auto definition = tasks.get_definition(model.config().model_type());
  const std::vector<std::string>& known = definition->tasks;
  if (std::find(known.begin(), known.end(), kTask) == known.end()) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: the first module is of type '{}', which has no task '{}'",
                                  model.config().origin(), definition->model_type, kTask));
  }
  const NamedValues outputs = definition->forward(inputs, model.part("", definition, kTask),
                                                  {.name = "masked_lm", .stem = "masked_lm", .task = kTask});
  const Value logits = outputs.front().second;
  const std::vector<SentenceModule> modules = parse_modules(model.read_file("modules.json"), "modules.json");
  check_first_module(modules.front(), model);
  if (component.interface.has_output("logits")) return {{"logits", logits}};  // the client pools
  if (modules.size() != 2) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("modules.json: {} modules, expected an MLMTransformer and a SpladePooling",
                                  modules.size()));
  }
  const SpladePooling pool(model.read_config(modules[1].file("config.json"), modules[1].kind()));
  return {{"token_embeddings", logits}, {"sentence_embedding", pool(logits, inputs["attention_mask"])}};
}

}  // namespace

void register_sparse_encoder(TasksManager& tasks) {
  tasks.register_model<SentenceOnnxConfig>(
      {.model_type = "mlm_transformer",
       .tasks = {"feature-extraction"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .library = "sentence_transformers",
       .parts = sentence_part(tasks),
       .modules = {"MLMTransformer", "SpladePooling"}});
}

}  // namespace onnxport::models
