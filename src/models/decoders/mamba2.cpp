// Mamba 2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mamba2/modeling_mamba2.py
#include <fmt/format.h>

#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/mamba.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

nn::Mamba2Sizes sizes_of(const PretrainedConfig& c) {
  const nn::Mamba2Sizes sizes{.hidden_size = c.integer("hidden_size"),
                              .heads = c.integer("num_heads"),
                              .head_dim = c.integer("head_dim"),
                              .groups = c.integer("n_groups"),
                              .state_size = c.integer("state_size"),
                              .kernel = c.integer("conv_kernel")};
  if (sizes.intermediate() != c.integer("expand") * sizes.hidden_size) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} heads of {} are not expand times hidden_size {}", c.origin(),
                                  sizes.heads, sizes.head_dim, sizes.hidden_size));
  }
  check_multiple(c, "num_heads", sizes.heads, "n_groups", sizes.groups);
  return sizes;
}

class Mamba2OnnxConfig : public MambaOnnxConfig {
 public:
  using MambaOnnxConfig::MambaOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    return mamba2_states(layer, sizes_of(config().unaccounted()));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const nn::Mamba2Sizes sizes = sizes_of(c);
  // Version 4 norms all groups together.
  const nn::Mamba2Options options{
      .bias = c.flag("use_bias"),
      .conv_bias = c.flag("use_conv_bias"),
      .norm = {.eps = c.real("layer_norm_epsilon"), .groups = c.transformers_major() < 5 ? 1 : sizes.groups}};
  const std::string activation = c.string("hidden_act");
  const std::vector<double> limits = c.reals("time_step_limit");
  if (limits.size() != 2)
    throw ExportError(ErrorCode::bad_config, c.origin() + ": time_step_limit must have two numbers");
  // How the original initializes weights and cuts the sequence; the norm is there in any case.
  c.harmless({"time_step_rank", "time_step_min", "time_step_max", "time_step_floor",
              "rescale_prenorm_residual", "chunk_size", "rms_norm"});
  return forward_mamba(inputs, model, component, false, [&](const Scope& s, std::int64_t i) {
    nn::Mamba2Parts parts = nn::mamba2_parts(s, i, sizes, options);
    parts.activation = activation;
    parts.shortest_step = limits[0];
    parts.longest_step = limits[1];
    return nn::Mamba2(std::move(parts));
  });
}

GgufLayout gguf() {
  GgufLayout layout = mamba_gguf("mamba2", "Mamba2ForCausalLM", gguf_mamba2);
  add_keys(layout, {{"ssm.time_step_rank", "num_heads"}, {"ssm.group_count", "n_groups"}});
  add_config(layout, [](const GgufInfo& file) {
    ConfigTexts texts;
    const auto inner = file.integer("mamba2.ssm.inner_size"),
               heads = file.integer("mamba2.ssm.time_step_rank");
    if (inner && heads && *heads > 0) texts["head_dim"] = std::to_string(*inner / *heads);
    return texts;
  });
  return layout;
}

}  // namespace

void register_mamba2(TasksManager& tasks) {
  tasks.register_model<Mamba2OnnxConfig>({.model_type = "mamba2",
                                          .tasks = nn::text_decoder_tasks({}),
                                          .forward = forward,
                                          .key_names = mamba_key_names(),
                                          .gguf = gguf()});
}

}  // namespace onnxport::models
