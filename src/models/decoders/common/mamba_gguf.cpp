#include <fmt/format.h>

#include <utility>

#include "models/decoders/common/mamba.h"

namespace onnxport::models {
namespace {

Weight flat(const Weight& stored) { return stored.reshape({stored.numel()}); }

GgufTensors common(const std::string& mixer) {
  return {{"blk.{}.ssm_in", mixer + ".in_proj"},
          {"blk.{}.ssm_conv1d", mixer + ".conv1d", gguf_conv1d},
          {"blk.{}.ssm_out", mixer + ".out_proj"}};
}

}  // namespace

GgufTensors gguf_mamba(const std::string& mixer) {
  GgufTensors names = common(mixer);
  for (const auto& [stored, key] : {std::pair("x", "x_proj"), {"dt", "dt_proj"}, {"a", "A"}, {"d", "D"}})
    names.push_back({fmt::format("blk.{{}}.ssm_{}", stored), fmt::format("{}.{}", mixer, key)});
  return names;
}

GgufTensors gguf_mamba2(const std::string& mixer) {
  GgufTensors names = common(mixer);
  for (const auto& [stored, key] :
       {std::pair("a", "A"), {"d", "D"}, {"norm", "norm"}, {"dt.bias", "dt_bias"}})
    names.push_back({fmt::format("blk.{{}}.ssm_{}", stored), fmt::format("{}.{}", mixer, key), flat});
  return names;
}

void add_gguf_mamba2(GgufLayout& layout) {
  add_keys(layout, {{"ssm.conv_kernel", "mamba_d_conv"},
                    {"ssm.state_size", "mamba_d_state"},
                    {"ssm.group_count", "mamba_n_groups"},
                    {"ssm.time_step_rank", "mamba_n_heads"}});
  add_config(layout, [](const GgufInfo& file) {
    const auto of = [&](const char* key) {
      return file.integer(fmt::format("{}.{}", file.architecture(), key)).value_or(0);
    };
    ConfigTexts texts;
    const std::int64_t inner = of("ssm.inner_size"), heads = of("ssm.time_step_rank"),
                       width = of("embedding_length");
    if (heads > 0) texts["mamba_d_head"] = std::to_string(inner / heads);
    if (width > 0) texts["mamba_expand"] = std::to_string(inner / width);
    return texts;
  });
  change_names(layout, [](const PretrainedConfig&) { return gguf_mamba2("model.layers.{}.mamba"); });
}

GgufLayout mamba_gguf(std::string architecture, std::string original_class,
                      const std::function<GgufTensors(const std::string& mixer)>& tensors) {
  return {.architecture = std::move(architecture),
          .original_class = std::move(original_class),
          .tensors =
              [tensors](const PretrainedConfig&) {
                GgufTensors names = tensors("backbone.layers.{}.mixer");
                names.push_back({"token_embd", "backbone.embeddings"});
                names.push_back({"blk.{}.attn_norm", "backbone.layers.{}.norm"});
                names.push_back({"output_norm", "backbone.norm_f"});
                names.push_back({"output", "lm_head"});
                return names;
              },
          .config_keys = {{"embedding_length", "hidden_size"},
                          {"block_count", "num_hidden_layers"},
                          {"ssm.conv_kernel", "conv_kernel"},
                          {"ssm.state_size", "state_size"},
                          {"attention.layer_norm_rms_epsilon", "layer_norm_epsilon"},
                          {"vocab_size", "vocab_size"}}};
}

}  // namespace onnxport::models
