#include "models/decoders/common/hybrid.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "models/common/definition.h"
#include "onnxport/error.h"

namespace onnxport::models {

AxesByName HybridOnnxConfig::inputs() const {
  return takes_positions() ? TextDecoderWithPositionIdsOnnxConfig::inputs() : TextDecoderOnnxConfig::inputs();
}

std::vector<StateSpec> HybridOnnxConfig::states() const {
  std::vector<StateSpec> all;
  const std::int64_t layers = normalized_config()["num_layers"];
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    for (StateSpec& state : layer_states(layer)) all.push_back(std::move(state));
  }
  return all;
}

std::vector<StateSpec> HybridOnnxConfig::recurrent_states(std::int64_t layer, std::int64_t channels,
                                                          std::int64_t kept, const std::string& part,
                                                          const std::vector<std::int64_t>& extents) const {
  return {fixed_state(layer, "conv", {channels, kept}), fixed_state(layer, part, extents)};
}

std::vector<StateSpec> HybridOnnxConfig::mamba2_states(std::int64_t layer, const nn::Mamba2Sizes& z) const {
  return recurrent_states(layer, z.convolved(), z.kernel, "ssm", {z.heads, z.head_dim, z.state_size});
}

std::vector<std::string> kinds_of_layers(const PretrainedConfig& config, const char* key) {
  std::vector<std::string> kinds = config.strings(key);
  const std::int64_t layers = config.integer("num_hidden_layers");
  if (static_cast<std::int64_t>(kinds.size()) == layers) return kinds;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} has {} entries, expected one for each of {} layers", config.origin(),
                                key, kinds.size(), layers));
}

std::int64_t divisor(const PretrainedConfig& config, const char* key) {
  const std::int64_t value = config.integer(key);
  if (value >= 1) return value;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} is {}, expected at least 1", config.origin(), key, value));
}

nn::Mamba2Sizes mamba2_sizes(const PretrainedConfig& c) {
  const std::int64_t expanded = c.integer("mamba_expand") * c.integer("hidden_size");
  const std::int64_t inner = c.maybe_integer("mamba_d_ssm").value_or(expanded);
  nn::Mamba2Sizes sizes{.hidden_size = c.integer("hidden_size"),
                        .heads = c.integer("mamba_n_heads"),
                        .groups = divisor(c, "mamba_n_groups"),
                        .state_size = divisor(c, "mamba_d_state"),
                        .kernel = c.integer("mamba_d_conv")};
  check_multiple(c, "the inner width", inner, "mamba_n_heads", sizes.heads);
  check_multiple(c, "mamba_n_heads", sizes.heads, "mamba_n_groups", sizes.groups);
  sizes.head_dim = c.maybe_integer("mamba_d_head").value_or(inner / sizes.heads);
  if (sizes.intermediate() != inner) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: mamba_d_head is {}, expected {} for {} heads", c.origin(),
                                  sizes.head_dim, inner / sizes.heads, sizes.heads));
  }
  c.harmless({"mamba_chunk_size"});  // how the original cuts the sequence
  return sizes;
}

nn::Mamba2Options mamba2_options(const PretrainedConfig& c) {
  return {.bias = c.flag("mamba_proj_bias"),
          .conv_bias = c.flag("mamba_conv_bias"),
          .norm = {.eps = c.real("rms_norm_eps")}};
}

op::AttentionMask same_kind_mask(const nn::DecoderPass& pass) {
  const ModulePath at(pass.graph(), "attention_mask");
  const Value mask = pass.attention_mask();
  const Dim& total = mask.dim(1);
  const Value queries = op::slice(mask, 1, total - pass.length(), total);
  const Value columns = op::reshape(queries, {mask.dim(0), 1, pass.length(), 1});
  const Value rows = op::reshape(mask, {mask.dim(0), 1, 1, total});
  return {.visible = op::eq(columns, rows), .causal = true};
}

std::vector<std::int64_t> gguf_key_heads(const GgufInfo& file) {
  std::vector<std::int64_t> heads;
  const GgufValue* const value = file.find(file.architecture() + ".attention.head_count_kv");
  const auto* const list = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  if (list == nullptr) return heads;
  for (const GgufScalar& one : list->values) {
    const auto* const count = std::get_if<std::int64_t>(&one);
    heads.push_back(count == nullptr ? 0 : *count);
  }
  return heads;
}

Weight gguf_conv1d(const Weight& stored) {
  if (stored.shape().size() != 2) return stored;
  return stored.reshape({stored.shape()[0], 1, stored.shape()[1]});
}

nn::Block pre_ff_block(const TextDecoderConfig& c, const Scope& s, nn::Mixer mixer, nn::FeedForward mlp) {
  return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                          .attention = std::move(mixer),
                          .before_mlp = c.norm(s / "pre_ff_layernorm"),
                          .mlp = std::move(mlp)};
}

}  // namespace onnxport::models
