// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gemma4/modeling_gemma4.py
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "models/common/bounded_linear.h"
#include "models/multimodal/common/decoders/audio_text.h"
#include "models/multimodal/common/towers/gemma4_towers.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kChannels = 3;

struct Config {
  std::int64_t hidden_size, inner, layers, heads, kv_heads, head_dim, patch, places, pool;
  std::string activation;
  double eps, theta = 100;
  bool bounded, standardize;

  explicit Config(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        inner(c.integer("intermediate_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        kv_heads(c.integer("num_key_value_heads")),
        head_dim(c.integer("head_dim")),
        patch(divisor(c, "patch_size")),
        places(c.integer("position_embedding_size")),
        pool(divisor(c, "pooling_kernel_size")),
        activation(c.string("hidden_activation")),
        eps(c.real("rms_norm_eps")),
        bounded(c.flag("use_clipped_linears")),
        standardize(c.flag("standardize")) {
    // Positions have a table of their own. The original has no biases.
    c.harmless({"max_position_embeddings", "attention_bias", "rope_theta", "partial_rotary_factor"});
    check_multiple(c, "num_attention_heads", heads, "num_key_value_heads", kv_heads);
    check_multiple(c, "head_dim", head_dim, "the two axes of pairs", 4);
    if (c.has("rope_parameters")) {
      const PretrainedConfig rope = c.sub("rope_parameters");
      theta = rope.real("rope_theta", theta);
      const std::string type = rope.string("rope_type", "axial");
      if (type != "axial" && type != "default")
        throw ExportError(
            ErrorCode::unsupported,
            fmt::format("{}: rope_type of the vision tower is '{}', expected 'axial'", c.origin(), type));
    }
    if (pool == 1)
      throw ExportError(ErrorCode::unsupported,
                        c.origin() + ": pooling_kernel_size is 1, with which the original gives padding");
  }

  std::int64_t patch_elements() const { return kChannels * patch * patch; }
};

/// Where the patches of images lie.
struct Places {
  Value column, row;  ///< int64 [N, P], 0 where there is no patch
  Value real;         ///< bool [N, P]
};

Places places_of(Value positions) {
  const ModulePath at(positions, "patches");
  const auto coordinate = [&](std::int64_t axis) { return op::select(positions, 2, axis); };
  const Value column = coordinate(0), row = coordinate(1);
  const Value no_column = op::eq(column, -1.0), no_row = op::eq(row, -1.0);
  const Value real = op::logical_not(op::logical_and(no_column, no_row));
  return {op::maximum(column, 0.0), op::maximum(row, 0.0), real};
}

Value embed(const Scope& s, const Config& c, Value pixels, const Places& places) {
  const ModulePath at(pixels, s.path());
  Graph& graph = pixels.graph();
  const Value centred = op::mul(op::sub(pixels, 0.5), 2.0);
  const Value x = nn::Linear(s / "input_proj", c.patch_elements(), c.hidden_size, false)(centred);
  const Weight both = s.weight("position_embedding_table", {2, c.places, c.hidden_size});
  const auto looked_up = [&](std::int64_t axis, Value place) {
    const Weight table = both.slice(0, axis, axis + 1).reshape({c.places, c.hidden_size});
    return op::embedding(graph.weight(table), place);
  };
  const Value columns = looked_up(0, places.column);
  const Value positions = op::add(columns, looked_up(1, places.row));
  const Value none = op::unsqueeze(op::logical_not(places.real), 2);
  return op::add(x, op::masked_fill(positions, none, 0));
}

// The first half of a head turns with the column, the other with the row.
op::Rope rope(const Config& c, const Places& places) {
  Graph& graph = places.row.graph();
  const ModulePath at(graph, "rotary_emb");
  const std::int64_t pairs = c.head_dim / 4;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < 2 * pairs; ++i)
    frequencies.push_back(1 / std::pow(c.theta, static_cast<double>(i % pairs) / static_cast<double>(pairs)));
  const auto repeated = [&](Value place) {
    return op::expand(op::unsqueeze(place, 2), {place.dim(0), place.dim(1), pairs});
  };
  const Value columns = repeated(places.column);
  const Value both = op::concat({columns, repeated(places.row)}, 2);
  const Weight table = Weight::from_doubles(DType::f32, {2 * pairs}, frequencies, "inv_freq");
  return {.position_ids = both, .frequencies = graph.weight_as_is(table)};
}

// The original turns pairs inside of each half of a head. Elements change places, so that pairs are those of
// whole heads: the first elements of both halves, then the second ones. Scores do not depend on the order.
Value pairs_of_heads(Value x, std::int64_t heads, std::int64_t head_dim) {
  const Value parts = op::reshape(x, {x.dim(0), x.dim(1), heads, 2, 2, head_dim / 4});
  return op::reshape(op::permute(parts, {0, 1, 2, 4, 3, 5}), x.shape());
}

Value attend(const Scope& s, const Config& c, Value x, const op::Rope& turn, Value real) {
  const ModulePath at(x, s.path());
  const auto projected = [&](const char* key, std::int64_t heads) {
    return BoundedLinear(s / key, c.hidden_size, heads * c.head_dim, c.bounded)(x);
  };
  const auto by_head = [&](Value all, std::int64_t heads, const auto& norm) {
    const Value split = op::reshape(all, {all.dim(0), all.dim(1), heads, c.head_dim});
    return op::reshape(norm(split), all.shape());
  };
  const nn::RmsNorm q_norm(s / "q_norm", c.head_dim, {.eps = c.eps}),
      k_norm(s / "k_norm", c.head_dim, {.eps = c.eps});
  const auto v_norm = [&](Value heads) { return op::rms_norm(heads, {}, c.eps); };
  const Value query = by_head(projected("q_proj", c.heads), c.heads, q_norm);
  const Value key = by_head(projected("k_proj", c.kv_heads), c.kv_heads, k_norm);
  const Value value = by_head(projected("v_proj", c.kv_heads), c.kv_heads, v_norm);
  op::AttentionOperands operands = {.query = pairs_of_heads(query, c.heads, c.head_dim)};
  operands.key = pairs_of_heads(key, c.kv_heads, c.head_dim);
  operands.value = value;
  operands.mask = {.padding = real, .no_keys = op::NoKeys::uniform};
  operands.rope = turn;
  const Value seen = op::attention(operands, c.heads, c.kv_heads, {.scale = 1}).output;
  return BoundedLinear(s / "o_proj", c.heads * c.head_dim, c.hidden_size, c.bounded)(seen);
}

Value feed_forward(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const auto wide = [&](const char* key) {
    return BoundedLinear(s / key, c.hidden_size, c.inner, c.bounded)(x);
  };
  const Value gate = nn::Activation(c.activation)(wide("gate_proj"));
  const Value gated = op::mul(gate, wide("up_proj"));
  return BoundedLinear(s / "down_proj", c.inner, c.hidden_size, c.bounded)(gated);
}

// Means of squares of patches, in float32: those of a square have one number. [N, P, H] -> the squares that
// have patches, one after the other [num_image_tokens, H].
Value pooled(const Config& c, Value x, const Places& places) {
  const ModulePath at(x, "pooler");
  Graph& graph = x.graph();
  const auto side = static_cast<double>(c.pool);
  const Dim squares = x.dim(1).floor_div(c.pool * c.pool);
  const Value none = op::unsqueeze(op::logical_not(places.real), 2);
  const Value patches = op::cast(op::masked_fill(x, none, 0), DType::f32);
  const Value columns = op::add(op::amax(places.column, 1, true), 1.0);
  const Value across = op::div(columns, side);
  const Value row = op::mul(op::div(places.row, side), across);
  const Value number = op::add(row, op::div(places.column, side));
  const Value all = op::reshape(op::arange(graph, squares), {1, squares, 1});
  const Value inside = op::cast(op::eq(op::unsqueeze(number, 1), all), DType::f32);  // [N, squares, P]
  const Value sums = op::matmul(inside, patches);
  const Value means = op::mul(sums, std::sqrt(static_cast<double>(c.hidden_size)) / (side * side));
  const Value used = op::gt(op::amax(inside, 2), 0.0);
  return real_rows(means, used, Dim::symbol("num_image_tokens"));
}

// Images of different sizes, padded to the same number of patches.
class DummyPlacedPatchGenerator : public DummyInputGenerator {
 public:
  DummyPlacedPatchGenerator(std::int64_t side, std::int64_t width) : side_(side), width_(width) {}
  bool supports_input(std::string_view name) const override {
    return name == "pixel_values" || name == "pixel_position_ids";
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const std::int64_t most = 4 * side_ * side_;  // two by two squares
    if (name == "pixel_values") return {context.float_dtype, {shapes.batch_size, most, width_}};
    return {context.int_dtype, {shapes.batch_size, most, 2}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (name == "pixel_values") return random_floats(seed, name, type);
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < shapes.batch_size; ++i) {
      const std::int64_t columns = 2 * side_, rows = side_ * (i % 2 == 0 ? 2 : 1);
      for (std::int64_t place = 0; place < 4 * side_ * side_; ++place) {
        const bool real = place < rows * columns;
        values.push_back(real ? place % columns : -1);
        values.push_back(real ? place / columns : -1);
      }
    }
    return Tensor::from_ints(type.dtype, {shapes.batch_size, 4 * side_ * side_, 2}, values);
  }

 private:
  std::int64_t side_, width_;
};

}  // namespace

Value gemma4_image_features(const Scope& root, const PretrainedConfig& vision_config, const Inputs& inputs,
                            std::int64_t width) {
  const Config c(vision_config);
  const Scope s = root / "vision_tower";
  const Places places = places_of(inputs["pixel_position_ids"]);
  Value x = embed(s / "patch_embedder", c, inputs["pixel_values"], places);
  const op::Rope turn = rope(c, places);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "encoder" / "layers" / i;
    const ModulePath at(x, layer.path());
    const auto norm = [&](const char* key) {
      return nn::RmsNorm(layer / key, c.hidden_size, {.eps = c.eps});
    };
    const Value seen = attend(layer / "self_attn", c, norm("input_layernorm")(x), turn, places.real);
    x = op::add(x, norm("post_attention_layernorm")(seen));
    const Value inner = feed_forward(layer / "mlp", c, norm("pre_feedforward_layernorm")(x));
    x = op::add(x, norm("post_feedforward_layernorm")(inner));
  }
  const DType dtype = x.dtype();
  x = pooled(c, x, places);
  if (c.standardize) {
    const ModulePath at(x, s.path());
    const Value bias = op::cast(x.graph().weight(s.weight("std_bias", {c.hidden_size})), DType::f32);
    x = op::sub(x, bias);
    x = op::mul(x, op::cast(x.graph().weight(s.weight("std_scale", {c.hidden_size})), DType::f32));
  }
  const Scope e = root / "embed_vision";
  const ModulePath at(x, e.path());
  const Value normed = op::rms_norm(op::cast(x, dtype), {}, c.eps);
  return nn::Linear(e / "embedding_projection", c.hidden_size, width, false)(normed);
}

// ---- interface ----

AxesByName gemma4_image_inputs() {
  const Axes patches = {{0, "num_images"}, {1, "max_num_patches"}};
  return {{"pixel_values", patches}, {"pixel_position_ids", patches}};
}

AxesByName gemma4_image_outputs() { return {{"image_features", {{0, "num_image_tokens"}}}}; }

DummyInputGenerators gemma4_image_dummies(const PretrainedConfig& vision_config) {
  const Config c(vision_config);
  return {std::make_shared<const DummyPlacedPatchGenerator>(c.pool, c.patch_elements())};
}

Value without_media_tokens(const PretrainedConfig& c, Value input_ids, std::int64_t pad_token_id) {
  const ModulePath at(input_ids, "embed_tokens");
  Value media;
  for (const char* key : {"image_token_id", "video_token_id", "audio_token_id"}) {
    const auto id = c.maybe_integer(key);
    if (!id) continue;
    const Value same = op::eq(input_ids, static_cast<double>(*id));
    media = media ? op::logical_or(media, same) : same;
  }
  return media ? op::masked_fill(input_ids, media, static_cast<double>(pad_token_id)) : input_ids;
}

}  // namespace onnxport::models
