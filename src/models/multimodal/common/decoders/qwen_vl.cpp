#include "models/multimodal/common/decoders/qwen_vl.h"

#include <fmt/format.h>

#include "onnxport/error.h"

namespace onnxport::models {

PatchTowerConfig::PatchTowerConfig(const PretrainedConfig& c, std::int64_t hidden_size)
    : hidden_size(hidden_size),
      depth(c.integer("depth", 32)),
      heads(c.integer("num_heads", 16)),
      channels(c.integer("in_channels", 3)),
      frames(c.integer("temporal_patch_size", 2)),
      patch(c.integer("patch_size", 14)),
      side(c.integer("spatial_merge_size", 2)) {
  if (c.given("rope_parameters")) {
    const PretrainedConfig rope = c.sub("rope_parameters");
    rope.harmless({"rope_type", "type"});  // by row and column, as version 5 calls it
    theta = rope.real("rope_theta", theta);
  }
  check_multiple(c, "the width of the vision tower", hidden_size, "num_heads", heads);
  for (const std::int64_t extent : {channels, frames, patch, side}) {
    if (extent > 0 && extent <= 1024) continue;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: patches of {} channels, {} frames and {} pixels, merged by {}: expected "
                    "positive numbers up to 1024",
                    c.origin(), channels, frames, patch, side));
  }
}

std::int64_t PatchTowerConfig::places_on_side(const PretrainedConfig& c, std::int64_t image_size) const {
  if (image_size >= patch) return image_size / patch;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: image_size is {}, expected at least patch_size {}", c.origin(), image_size, patch));
}

Dim PatchTowerConfig::squares_of(const Dim& patches) const {
  return patches.exact_div(Dim(side * side)).value_or(patches.floor_div(side * side));
}

Value embed_patch_rows(const Scope& s, const PatchTowerConfig& c, Value patches, bool bias) {
  const Weight weight = s.weight("weight", {c.hidden_size, c.channels, c.frames, c.patch, c.patch});
  const Weight added = bias ? s.weight("bias", {c.hidden_size}) : Weight();
  return nn::Linear(s.path(), weight.reshape({c.hidden_size, c.patch_elements()}), added)(patches);
}

PatchAttention::PatchAttention(const PatchTowerConfig& c, const PatchPlaces& places, Value visible,
                               const PatchAttentionOptions& options)
    : c_(c), options_(options), rope_(grid_rope(places, c.head_dim(), c.theta)), visible_(visible) {}

Value PatchAttention::attended(const nn::QueryKeyValue& qkv, Value visible) const {
  const op::AttentionOperands operands{
      .query = qkv.query, .key = qkv.key, .value = qkv.value, .mask = {.visible = visible}, .rope = rope_};
  return op::attention(operands, c_.heads, c_.heads).output;
}

Value PatchAttention::operator()(const Scope& s, Value x, Value visible) const {
  const ModulePath at(x, s.path());
  const std::int64_t width = c_.hidden_size;
  const Value all = nn::Linear(s / "qkv", width, 3 * width, options_.qkv_bias)(x);
  const std::vector<Value> parts = op::chunk(op::unsqueeze(all, 0), -1, 3);
  nn::QueryKeyValue qkv{.query = parts[0], .key = parts[1], .value = parts[2]};
  if (options_.head_norm_eps) {
    const auto normed = [&](const char* key, Value heads) {
      const nn::RmsNorm norm(s / key, c_.head_dim(), {.eps = *options_.head_norm_eps});
      return nn::per_head(norm, c_.head_dim())(heads);
    };
    qkv.query = normed("q_norm", qkv.query);
    qkv.key = normed("k_norm", qkv.key);
  }
  const Value heads = op::squeeze(attended(qkv, visible), 0);
  return nn::Linear(s / "proj", width, width, options_.proj_bias)(heads);
}

Value merge_patches(const Scope& s, const std::pair<const char*, const char*>& names,
                    const PatchTowerConfig& c, Value x, std::int64_t out) {
  const ModulePath at(x, s.path());
  const std::int64_t square = c.hidden_size * c.side * c.side;
  if (*x.dim(1).constant() != square) x = op::reshape(x, {c.squares_of(x.dim(0)), square});
  const Value wide = nn::Linear(s / names.first, square, square)(x);
  return nn::Linear(s / names.second, square, out)(op::gelu(wide));
}

Dim QwenVlOnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  if (symbol != "num_patches") return MultimodalDecoderOnnxConfig::axis_length(tensor, symbol);
  const std::int64_t side = tower_config().side;
  return Dim::symbol("num_image_tokens") * Dim(side * side);
}

AxesByName QwenVlOnnxConfig::encoder_inputs() const {
  return {{"pixel_values", {{0, "num_patches"}}}, {grid_name(), {{0, "num_images"}}}};
}

AxesByName QwenVlOnnxConfig::encoder_outputs() const {
  return {{"image_features", {{0, "num_image_tokens"}}}};
}

DummyInputGenerators QwenVlOnnxConfig::encoder_dummies() const {
  const PatchTowerConfig c = tower_config();
  return {std::make_shared<const DummyPatchGenerator>(c.side, std::vector{c.patch_elements()})};
}

DummyInputGenerators QwenVlOnnxConfig::dummy_input_generators() const {
  DummyInputGenerators generators = MultimodalDecoderOnnxConfig::dummy_input_generators();
  if (part() == kDecoder)
    generators.insert(generators.begin(), std::make_shared<const DummyAxesPositionsGenerator>());
  return generators;
}

NormalizedConfig QwenVlOnnxConfig::normalized_config() const {
  if (part() != kDecoder && part() != kEmbedding) return MultimodalDecoderOnnxConfig::normalized_config();
  return NormalizedTextConfig(text_config().with("hidden_size", std::to_string(embeds_width())));
}

PretrainedConfig QwenVlOnnxConfig::text_config() const {
  return qwen_vl_text_config(config().unaccounted(), text_type());
}

PretrainedConfig qwen_vl_text_config(const PretrainedConfig& config, const std::string& text_type) {
  if (config.given("text_config")) return config.sub("text_config", text_type);
  return config.as(text_type);
}

void leave_media_token_ids(const PretrainedConfig& config) {
  config.harmless({"image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id",
                   "vision_token_id"});
}

NamedValues forward_qwen_vl(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                            const Component& component, EncodePatches encode) {
  const PretrainedConfig& c = model.config();
  leave_media_token_ids(c);
  // In an old file, the language model's keys are beside these.
  const bool encodes = component.part != kDecoder && component.part != kEmbedTokens;
  if (encodes && !c.given("text_config")) leave_other_keys(c, "vision_config");
  return forward_multimodal_decoder(
      tasks, inputs, model, component,
      [](const PretrainedConfig& whole) { return qwen_vl_text_config(whole, whole.model_type() + "_text"); },
      [&](const Inputs& in, const Component&) -> NamedValues {
        return {{"image_features", encode(in, model)}};
      },
      "");
}

KeyNames qwen_vl_key_names() {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"model.", "model.language_model."}, {"visual.", "model.visual."}};
  return names;
}

}  // namespace onnxport::models
