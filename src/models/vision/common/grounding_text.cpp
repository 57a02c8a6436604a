#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "models/vision/common/grounding_dino.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

GroundingConfig::GroundingConfig(const PretrainedConfig& c)
    : d_model(c.integer("d_model")),
      num_queries(c.integer("num_queries")),
      levels(c.integer("num_feature_levels")),
      max_text_len(c.integer("max_text_len")),
      encoder_layers(c.integer("encoder_layers")),
      encoder_heads(c.integer("encoder_attention_heads")),
      encoder_ffn_dim(c.integer("encoder_ffn_dim")),
      encoder_points(c.integer("encoder_n_points")),
      decoder_layers(c.integer("decoder_layers")),
      decoder_heads(c.integer("decoder_attention_heads")),
      decoder_ffn_dim(c.integer("decoder_ffn_dim")),
      decoder_points(c.integer("decoder_n_points")),
      activation(c.string("activation_function")),
      temperature(c.real("positional_embedding_temperature")),
      eps(c.real("layer_norm_eps")),
      two_stage(c.flag("two_stage")) {
  // Training; the head of the first stage is stored apart either way.
  c.harmless({"auxiliary_loss", "disable_custom_kernels", "is_encoder_decoder", "fusion_droppath",
              "fusion_dropout", "text_enhancer_dropout", "two_stage_bbox_embed_share", "tie_word_embeddings",
              "freeze_backbone_batch_norms"});
  const std::string type = c.string("position_embedding_type");
  positions = type == "learned" ? ImagePositionsKind::learned : ImagePositionsKind::sine;
  const std::int64_t query_dim = c.integer("query_dim");
  check_multiple(c, "d_model", d_model, "encoder_attention_heads", encoder_heads);
  check_multiple(c, "d_model", d_model, "decoder_attention_heads", decoder_heads);
  const bool halves = encoder_heads >= 2 && d_model % (encoder_heads / 2) == 0 &&
                      encoder_ffn_dim / 2 % (encoder_heads / 2) == 0;
  if ((type != "sine" && type != "learned") || query_dim != 4 || !c.flag("embedding_init_target") ||
      !halves || d_model % 4 != 0 || levels < 1 || levels > 64 || num_queries < 1 || decoder_layers < 1 ||
      max_text_len < 1 || !(temperature > 0)) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format(
            "{}: position_embedding_type '{}', query_dim {}, d_model {}, encoder_attention_heads {}, "
            "encoder_ffn_dim {}, num_feature_levels {}, num_queries {}, decoder_layers {}, max_text_len "
            "{}, positional_embedding_temperature {}: expected sine or learned, 4, multiples of 4 and of "
            "half of the heads, embedding_init_target, at most 64 levels, and positive numbers",
            c.origin(), type, query_dim, d_model, encoder_heads, encoder_ffn_dim, levels, num_queries,
            decoder_layers, max_text_len, temperature));
  }
}

nn::DeformableParameters GroundingConfig::sampling(std::int64_t heads, std::int64_t points) const {
  return {.width = d_model,
          .heads = heads,
          .points = std::vector<std::int64_t>(static_cast<std::size_t>(levels), points)};
}

TextBlocks text_blocks(Value input_ids) {
  Graph& graph = input_ids.graph();
  const Dim& length = input_ids.dim(1);
  const Value place = op::arange(graph, length);
  Value special;
  for (const double id : {101, 102, 1012, 1029}) {
    const Value found = op::eq(input_ids, id);
    special = special ? op::logical_or(special, found) : found;
  }
  special = op::logical_and(special, op::lt(place, op::size(graph, length - 1)));
  const Value ends = op::cast(special, DType::i64);
  const Value before = op::sub(op::cumsum(ends, 1), ends);  // the number of the block
  const Value more = op::lt(before, op::sum(ends, 1, true));
  const Value in_block = op::logical_and(more, op::gt(place, 0));
  const auto rows = [](Value x) { return op::unsqueeze(x, 2); };
  const auto columns = [](Value x) { return op::unsqueeze(x, 1); };
  const Value of_row = rows(before);
  const Value same = op::eq(of_row, columns(before));
  const Value left = op::logical_and(same, rows(in_block));
  const Value block = op::logical_and(left, columns(in_block));
  const Value row = op::unsqueeze(place, 1), column = op::unsqueeze(place, 0);
  const Value earlier = op::logical_and(block, op::lt(column, row));
  const Value positions = op::sum(op::cast(earlier, DType::i64), 2);
  return {op::logical_or(block, op::eq(row, column)), positions};
}

GroundingText encode_text(const Scope& base, const PretrainedConfig& config, const GroundingConfig& c,
                          const Inputs& inputs) {
  const PretrainedConfig text = config.sub("text_config", "bert");
  if (text.model_type() != "bert") {
    throw ExportError(ErrorCode::unsupported, fmt::format("{}: text_config of type '{}', expected bert",
                                                          config.origin(), text.model_type()));
  }
  text.harmless({"use_cache", "classifier_dropout"});
  const TextEncoderConfig t(text);
  const Value ids = inputs["input_ids"];
  GroundingText result{.real = op::ne(inputs["attention_mask"], 0), .blocks = text_blocks(ids)};
  const Scope s = base / "text_backbone";
  const nn::TextEmbeddings embeddings(s / "embeddings", t.embeddings());
  const nn::PostNormEncoder encoder(s / "encoder" / "layer", t.num_hidden_layers, t.layer());
  s.ignore("pooler");
  s.ignore("embeddings.position_ids");
  const Value embedded = embeddings(ids, inputs["token_type_ids"], result.blocks.positions);
  const Value hidden = encoder(embedded, {.visible = op::unsqueeze(result.blocks.together, 1)});
  result.tokens = nn::Linear(base / "text_projection", t.hidden_size, c.d_model)(hidden);
  return result;
}

Value grounding_attention(const Scope& s, std::int64_t width, std::int64_t heads, Value query, Value key,
                          Value value, const op::AttentionMask& mask) {
  const ModulePath at(query, s.path());
  const Value q = nn::Linear(s / "query", width, width)(query);
  const Value k = nn::Linear(s / "key", width, width)(key);
  const Value v = nn::Linear(s / "value", width, width)(value);
  return nn::Linear(s / "out_proj", width, width)(
      op::attention({.query = q, .key = k, .value = v, .mask = mask}, heads, heads).output);
}

namespace {

// Attention of pixels to the text, and of the text to pixels. Keys: layer_norm_vision, layer_norm_text, attn,
// vision_param, text_param.
void fuse(const Scope& s, const GroundingConfig& c, Value& pixels, Value& tokens, Value seen, Value real) {
  const ModulePath at(pixels, s.path());
  const std::int64_t inner = c.encoder_ffn_dim / 2, heads = c.encoder_heads / 2;
  const Scope attn = s / "attn";
  const auto in = [&](const char* name, Value x) { return nn::Linear(attn / name, c.d_model, inner)(x); };
  const auto look = [&](const char* name, Value query, Value key, Value value, Value mask) {
    const op::AttentionOperands operands = {
        .query = query, .key = key, .value = value, .mask = nn::padding_mask(mask)};
    return nn::Linear(attn / name, inner, c.d_model)(op::attention(operands, heads, heads).output);
  };
  const auto scaled = [&](const char* name, Value x) {
    return op::mul(x, x.graph().weight(s.weight(name, {c.d_model})));
  };
  pixels = nn::LayerNorm(s / "layer_norm_vision", c.d_model, c.eps)(pixels);
  tokens = nn::LayerNorm(s / "layer_norm_text", c.d_model, c.eps)(tokens);
  const Value of_pixels = in("vision_proj", pixels), of_tokens = in("text_proj", tokens);
  const Value pixel_values = in("values_vision_proj", pixels), token_values = in("values_text_proj", tokens);
  const Value for_pixels = look("out_vision_proj", of_pixels, of_tokens, token_values, real);
  const Value for_tokens = look("out_text_proj", of_tokens, of_pixels, pixel_values, seen);
  pixels = op::add(pixels, scaled("vision_param", for_pixels));
  tokens = op::add(tokens, scaled("text_param", for_tokens));
}

// Attention within each block of the text. Keys: self_attn, layer_norm_before, fc1, fc2, layer_norm_after.
Value enhance(const Scope& s, const GroundingConfig& c, Value x, Value positions, Value together) {
  const ModulePath at(x, s.path());
  const std::int64_t inner = c.encoder_ffn_dim / 2;
  const Value placed = op::add(x, positions);
  const op::AttentionMask block = {.visible = op::unsqueeze(together, 1)};
  const Value mixed =
      grounding_attention(s / "self_attn", c.d_model, c.encoder_heads / 2, placed, placed, x, block);
  x = nn::LayerNorm(s / "layer_norm_before", c.d_model, c.eps)(op::add(x, mixed));
  const Value wide = nn::Activation(c.activation)(nn::Linear(s / "fc1", c.d_model, inner)(x));
  const Value out = nn::Linear(s / "fc2", inner, c.d_model)(wide);
  return nn::LayerNorm(s / "layer_norm_after", c.d_model, c.eps)(op::add(out, x));
}

}  // namespace

Value ground(const Scope& s, const GroundingConfig& c, const FeatureLevels& maps, GroundingText& text) {
  const ModulePath at(maps.tokens, s.path());
  const Value references = pixel_references(maps);
  const Value sines = sines_of(op::cast(text.blocks.positions, DType::f32), c.d_model);
  const Value positions = op::cast(sines, text.tokens.dtype());
  const DeformableLayerParameters deformable = {.attention = c.sampling(c.encoder_heads, c.encoder_points),
                                                .inner = c.encoder_ffn_dim,
                                                .activation = c.activation,
                                                .eps = c.eps};
  Value pixels = maps.tokens;
  for (std::int64_t i = 0; i < c.encoder_layers; ++i) {
    const Scope layer = s / "layers" / i;
    fuse(layer / "fusion_layer", c, pixels, text.tokens, maps.seen, text.real);
    text.tokens = enhance(layer / "text_enhancer_layer", c, text.tokens, positions, text.blocks.together);
    pixels = deformable_layer(layer / "deformable_layer", deformable, pixels, maps, references);
  }
  return pixels;
}

Value similarity(const Scope& s, Contrast contrast, Value x, const GroundingText& text) {
  const ModulePath at(x, s.path());
  Value made = op::matmul(x, op::transpose(text.tokens, 1, 2));
  if (contrast == Contrast::scaled) {
    made = op::div(made, std::sqrt(static_cast<double>(*x.dim(2).constant())));
    made = op::add(made, made.graph().weight(s.weight("bias", {})));
  }
  const Value padding = op::unsqueeze(op::logical_not(text.real), 1);
  return op::masked_fill(made, padding, -std::numeric_limits<double>::infinity());
}

}  // namespace onnxport::models
