// Mamba. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mamba/modeling_mamba.py
#include "models/decoders/common/mamba.h"

#include <utility>
#include <variant>

#include "models/common/definition.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const nn::MambaParameters p = mamba_parameters(model.config());
  model.config().harmless({"use_mambapy"});  // the same in training
  return forward_mamba(inputs, model, component, true,
                       [&](const Scope& s, std::int64_t i) { return nn::Mamba(s, i, p); });
}

}  // namespace

GgufLayout plain_mamba_gguf(std::string original_class, bool normed) {
  GgufLayout layout = mamba_gguf("mamba", std::move(original_class), gguf_mamba);
  add_keys(layout, {{"ssm.inner_size", "intermediate_size"}, {"ssm.time_step_rank", "time_step_rank"}});
  layout.matches = [normed](const GgufInfo& file) {
    const GgufValue* const value = file.find("mamba.ssm.dt_b_c_rms");
    const bool* const flag = value == nullptr ? nullptr : std::get_if<bool>(value);
    return (flag != nullptr && *flag) == normed;
  };
  return layout;
}

nn::MambaParameters mamba_parameters(const PretrainedConfig& c) {
  const std::int64_t hidden = c.integer("hidden_size"), expand = c.integer("expand");
  // How the original initializes weights.
  c.harmless({"time_step_scale", "time_step_min", "time_step_max", "time_step_init_scheme", "time_step_floor",
              "rescale_prenorm_residual"});
  return {.hidden_size = hidden,
          .intermediate_size = c.maybe_integer("intermediate_size").value_or(expand * hidden),
          .state_size = c.integer("state_size"),
          .kernel = c.integer("conv_kernel"),
          .time_step_rank = c.maybe_integer("time_step_rank").value_or((hidden + 15) / 16),
          .activation = c.string("hidden_act"),
          .bias = c.flag("use_bias"),
          .conv_bias = c.flag("use_conv_bias"),
          .padding = mamba_padding(c)};
}

std::vector<StateSpec> MambaOnnxConfig::layer_states(std::int64_t layer) const {
  const nn::MambaParameters p = mamba_parameters(config().unaccounted());
  return recurrent_states(layer, p.intermediate_size, p.kernel, "ssm", {p.intermediate_size, p.state_size});
}

NamedValues forward_mamba(const Inputs& inputs, const Model& model, const Component& component, bool tied,
                          const MakeMixer& make_mixer) {
  return forward_mamba(inputs, model, component, model.config(), tied, make_mixer);
}

NamedValues forward_mamba(const Inputs& inputs, const Model& model, const Component& component,
                          const PretrainedConfig& config, bool tied, const MakeMixer& make_mixer) {
  const std::int64_t vocab_size = config.integer("vocab_size"), width = config.integer("hidden_size");
  const nn::NormParameters norm{.eps = config.real("layer_norm_epsilon")};
  const bool wide = config.flag("residual_in_fp32");
  config.harmless({"pad_token_id"});
  const Scope root = model.scope(), s = root.base_model("backbone");
  const nn::Embedding embeddings(s / "embeddings", vocab_size, width);
  const auto make_block = [&](const Scope& layer, std::int64_t i) -> nn::Block {
    const nn::RmsNorm before(layer / "norm", width, norm);
    const nn::Mixer mixer = make_mixer(layer / "mixer", i);
    return [=](Value x, nn::DecoderPass& pass) {
      const Value residual = wide ? op::cast(x, DType::f32) : x;
      const Value normed = before(op::cast(x, x.graph().float_dtype()));
      const Value mixed = mixer(normed, pass);
      return op::add(residual, op::cast(mixed, residual.dtype()));
    };
  };
  const nn::DecoderStack decoder(
      s, "layers", config.integer("num_hidden_layers"), make_block,
      [&](nn::DecoderPass& pass) { return pass.embedded(embeddings); },
      nn::RmsNorm(s / "norm_f", width, norm));
  const Weight table = config.flag("tie_word_embeddings", tied) ? embeddings.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder, .lm_head = nn::language_head(root / "lm_head", table, vocab_size, width)});
}

KeyNames mamba_key_names() {
  KeyNames names = tied("backbone.embeddings", "lm_head");
  names.embeddings.emplace_back("backbone.embedding.weight");  // of the first checkpoints
  return names;
}

void register_mamba(TasksManager& tasks) {
  tasks.register_model<MambaOnnxConfig>({.model_type = "mamba",
                                         .tasks = nn::text_decoder_tasks({}),
                                         .forward = forward,
                                         .key_names = mamba_key_names(),
                                         .gguf = plain_mamba_gguf("MambaForCausalLM", false)});
}

}  // namespace onnxport::models
