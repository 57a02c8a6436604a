// LFM2-VL: images of any size through SigLIP 2, merged in squares, in front of LFM2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/lfm2_vl/modeling_lfm2_vl.py
#include <fmt/format.h>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"
#include "models/multimodal/common/patches/padded_patches.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/signal_ops.h"

namespace onnxport::models {
namespace {

// The same class under both names.
PretrainedConfig whole_of(const PretrainedConfig& c) { return c.as("lfm2_vl"); }

// Of the squares of patches that become one token.
std::int64_t square_side(const PretrainedConfig& c) {
  const std::int64_t side = c.integer("downsample_factor");
  if (side >= 1 && side <= 1024) return side;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: downsample_factor is {}, expected 1 to 1024", c.origin(), side));
}

class Lfm2VlOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override { return {}; }

 protected:
  AxesByName encoder_inputs() const override {
    const Axes patches = {{0, "num_images"}, {1, "max_num_patches"}};
    return {{"pixel_values", patches},
            {"pixel_attention_mask", patches},
            {"spatial_shapes", {{0, "num_images"}}}};
  }
  AxesByName encoder_outputs() const override { return {{"image_features", {{0, "num_image_tokens"}}}}; }
  DummyInputGenerators encoder_dummies() const override {
    const PretrainedConfig vision = vision_config();
    const std::int64_t patch = vision.integer("patch_size");
    return {std::make_shared<const DummyPaddedPatchGenerator>(
        square_side(whole_of(config().unaccounted())), vision.integer("num_channels") * patch * patch)};
  }
};

// The patches of images [B, N, H] in squares of side * side, without the padding behind them: [tokens, side *
// side * H]. `shapes`: int64 [B, 2], rows and columns of patches.
Value squares(Value patches, Value shapes, std::int64_t side) {
  Graph& graph = patches.graph();
  const ModulePath at(graph, "pixel_unshuffle");
  const Dim &images = patches.dim(0), &length = patches.dim(1);
  const Dim tokens = Dim::symbol("num_image_tokens");
  const auto s = static_cast<double>(side);
  const Value columns = op::select(shapes, 1, 1);
  const Value across = op::div(columns, s);
  const Value down = op::div(op::select(shapes, 1, 0), s);
  const Value counts = op::mul(down, across);
  const Value ends = op::cumsum(counts, 0);
  const Value token = op::arange(op::sum(counts, 0), tokens);
  const Value column_of_tokens = op::unsqueeze(token, 1);
  const Value passed = op::ge(column_of_tokens, op::unsqueeze(ends, 0));
  const Value image = op::sum(op::cast(passed, DType::i64), 1);
  const auto of = [&](Value per_image) { return op::embedding(per_image, image); };

  const Value number = op::sub(token, of(op::sub(ends, counts)));
  const Value width = of(across), step = of(columns);
  const Value row = op::div(number, width);
  const Value column = op::sub(number, op::mul(row, width));
  // The number of the first patch of a square among all, and those of the others from there.
  const Value starts = op::select(op::reshape(op::arange(graph, images * length), {images, length}), 1, 0);
  const Value rows_passed = op::mul(op::mul(row, step), s);
  const Value inside_image = op::add(rows_passed, op::mul(column, s));
  const Value first = op::add(of(starts), inside_image);
  std::vector<std::int64_t> rows, places;
  for (std::int64_t i = 0; i < side * side; ++i) {
    rows.push_back(i / side);
    places.push_back(i % side);
  }
  const auto cells = [&](const std::vector<std::int64_t>& values) {
    return graph.weight(Weight::from_ints({side * side}, values));
  };
  const Value steps = op::unsqueeze(step, 1);
  const Value below = op::mul(steps, cells(rows));
  const Value inside = op::add(below, cells(places));
  const Value index = op::add(op::unsqueeze(first, 1), inside);
  const std::int64_t hidden = *patches.dim(2).constant();
  const Value all = op::reshape(patches, {images * length, hidden});
  return op::reshape(op::embedding(all, index), {tokens, side * side * hidden});
}

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig c = whole_of(model.config());
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, c.sub("vision_config"));
  const std::int64_t side = square_side(c);
  const std::int64_t width = *tower.hidden.dim(2).constant() * side * side;
  const Scope s = model.scope() / "multi_modal_projector";
  const TwoLayerProjector project(s, {.in = width,
                                      .out = text_width(c),
                                      .inner = c.integer("projector_hidden_size"),
                                      .activation = c.string("projector_hidden_act"),
                                      .bias = c.flag("projector_bias")});
  const Value x = squares(tower.hidden, inputs["spatial_shapes"], side);
  if (!c.flag("projector_use_layernorm", true)) return project(x);
  return project(nn::LayerNorm(s / "layer_norm", width, 1e-5)(x));
}

}  // namespace

void register_lfm2_vl(TasksManager& tasks) {
  register_multimodal_decoder<Lfm2VlOnnxConfig>(
      tasks, {.model_type = "lfm2_vl",
              .forward = image_text_forward(tasks, encode, {"image_token_id"}),
              .key_names = multimodal_key_names()});
  tasks.register_alias("lfm2-vl", "lfm2_vl");  // as version 4 calls it
}

}  // namespace onnxport::models
