#include "models/decoders/common/hybrid.h"

#include <fmt/format.h>

#include <array>
#include <utility>
#include <variant>

#include "onnxport/error.h"

namespace onnxport::models {

AxesByName HybridOnnxConfig::inputs() const {
  AxesByName all = TextDecoderWithPositionIdsOnnxConfig::inputs();
  if (!takes_positions()) std::erase_if(all, [](const auto& input) { return input.first == "position_ids"; });
  return all;
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

std::vector<StateSpec> HybridOnnxConfig::mamba2_states(std::int64_t layer,
                                                       const nn::Mamba2Sizes& sizes) const {
  return recurrent_states(layer, sizes.convolved(), sizes.kernel, "ssm",
                          {sizes.heads, sizes.head_dim, sizes.state_size});
}

std::vector<StateSpec> HybridOnnxConfig::delta_states(std::int64_t layer, const nn::DeltaSizes& sizes) const {
  return recurrent_states(layer, sizes.convolved(), sizes.kernel, "recurrent",
                          {sizes.value_heads, sizes.key_dim, sizes.value_dim});
}

Rotations rotations(const PretrainedConfig& config, std::int64_t head_dim,
                    std::initializer_list<const char*> kinds) {
  Rotations made;
  for (const char* kind : kinds) {
    const nn::RopeParameters rope = rope_parameters(config, head_dim, {.layer_type = kind});
    made.emplace(kind, nn::RotaryEmbedding(fmt::format("rotary_emb_{}", kind), rope));
  }
  return made;
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

// Version 4 norms all groups together.
nn::Mamba2Options mamba2_options(const PretrainedConfig& c) {
  return {.bias = c.flag("mamba_proj_bias"),
          .conv_bias = c.flag("mamba_conv_bias"),
          .norm = {.eps = c.real("rms_norm_eps"),
                   .groups = c.transformers_major() < 5 ? 1 : c.integer("mamba_n_groups")}};
}

nn::MambaPadding mamba_padding(const PretrainedConfig& c) {
  return c.transformers_major() < 5 ? nn::MambaPadding::convolution : nn::MambaPadding::projection;
}

nn::DeltaSizes delta_sizes(const PretrainedConfig& c) {
  const nn::DeltaSizes sizes{.hidden_size = c.integer("hidden_size"),
                             .key_heads = c.integer("linear_num_key_heads"),
                             .value_heads = c.integer("linear_num_value_heads"),
                             .key_dim = c.integer("linear_key_head_dim"),
                             .value_dim = c.integer("linear_value_head_dim"),
                             .kernel = c.integer("linear_conv_kernel_dim")};
  check_multiple(c, "linear_num_value_heads", sizes.value_heads, "linear_num_key_heads", sizes.key_heads);
  return sizes;
}

// Transformers 5 saves such a kernel in three equal parts, wherever queries, keys and values end.
nn::CausalConv qkv_conv(const Scope& s, const nn::DeltaSizes& sizes) {
  const Scope whole = s / "conv1d";
  if (whole.has("weight")) return {whole, sizes.convolved(), sizes.kernel, false};
  const std::array<std::pair<const char*, std::int64_t>, 3> names = {
      {{"q_conv1d", sizes.keys()}, {"k_conv1d", sizes.keys()}, {"v_conv1d", sizes.values()}}};
  std::vector<Weight> parts;
  std::int64_t channels = 0;
  for (const auto& [name, usual] : names) {
    const auto stored = (s / name).shape_of("weight");
    const std::int64_t rows = stored && !stored->empty() ? stored->front() : usual;
    parts.push_back((s / name).weight("weight", {rows, 1, sizes.kernel}));
    channels += rows;
  }
  if (channels != sizes.convolved()) {
    throw ExportError(
        ErrorCode::bad_checkpoint,
        fmt::format("{}: the convolutions of queries, keys and values have {} channels, expected {}",
                    s.path(), channels, sizes.convolved()));
  }
  return {whole.path(), Weight::concat(parts, 0)};
}

std::vector<Weight> parts_of_rows(const Weight& rows, std::int64_t groups,
                                  const std::vector<std::int64_t>& widths) {
  std::vector<std::int64_t> shape = rows.shape();
  shape[0] /= groups;
  shape.insert(shape.begin(), groups);
  const Weight apart = rows.reshape(shape);
  std::vector<Weight> parts;
  std::int64_t begin = 0;
  for (const std::int64_t width : widths) {
    std::vector<std::int64_t> flat = rows.shape();
    flat[0] = groups * width;
    parts.push_back(apart.slice(1, begin, begin + width).reshape(flat));
    begin += width;
  }
  return parts;
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

nn::Mixer without_padding(nn::Mixer mixer) {
  return [mixer = std::move(mixer)](Value x, nn::DecoderPass& pass) {
    return mixer(pass.zero_padding(x), pass);
  };
}

nn::Mixer stateful_attention(nn::CausalAttentionParts attention, StatefulProjection project) {
  return [attention = std::move(attention), project = std::move(project)](Value x, nn::DecoderPass& pass) {
    const ModulePath at(x, attention.path);
    nn::QueryKeyValue made = project(x, pass);
    nn::CausalAttentionParts parts = attention;
    parts.qkv = [made = std::move(made)](Value, const nn::DecoderPass&) { return made; };
    return nn::CausalAttention(std::move(parts))(x, pass);
  };
}

nn::Block pre_ff_block(const TextDecoderConfig& c, const Scope& s, nn::Mixer mixer, nn::FeedForward mlp) {
  return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                          .attention = std::move(mixer),
                          .before_mlp = c.norm(s / "pre_ff_layernorm"),
                          .mlp = std::move(mlp)};
}

}  // namespace onnxport::models
