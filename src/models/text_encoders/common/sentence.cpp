#include "models/text_encoders/common/sentence.h"

#include <fmt/format.h>

#include "onnxport/error.h"

namespace onnxport::models {

AxesByName SentenceOnnxConfig::outputs() const {
  return {{"token_embeddings", {{0, "batch_size"}, {1, "sequence_length"}}},
          {"sentence_embedding", {{0, "batch_size"}}}};
}

std::function<std::vector<ModelPart>(const PretrainedConfig& config)> sentence_part(TasksManager& tasks) {
  return [&tasks](const PretrainedConfig& config) -> std::vector<ModelPart> {
    return {{"", tasks.get_definition(config.model_type())}};
  };
}

void expect(const PretrainedConfig& config, std::string_view key, const std::string& only) {
  const std::string value = config.string(key, only);
  if (value == only) return;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {} is '{}', which is not supported; expected '{}'", config.origin(), key,
                                value, only));
}

void check_first_module(const SentenceModule& module, const Model& model) {
  // The original reads the first of these that exists.
  for (const char* type : {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"}) {
    const std::string file = module.file(fmt::format("sentence_{}_config.json", type));
    if (!model.has_file(file)) continue;
    const PretrainedConfig c = model.read_config(file, module.kind());
    c.harmless({"max_seq_length", "do_lower_case", "tokenizer_args", "tokenizer_name_or_path", "cache_dir",
                "backend", "modality_config"});
    expect(c, "transformer_task", module.kind() == "MLMTransformer" ? "fill-mask" : "feature-extraction");
    expect(c, "module_output_name", "token_embeddings");
    for (const char* arguments : {"model_args", "config_args"}) {
      if (!c.has(arguments)) continue;
      c.sub(arguments).harmless({"trust_remote_code", "device_map", "low_cpu_mem_usage", "use_safetensors",
                                 "add_pooling_layer", "cache_dir"});
    }
    return;
  }
}

}  // namespace onnxport::models
