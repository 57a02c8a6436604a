#include <fmt/format.h>

#include <numbers>

#include "models/vision/common/sam.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// Random frequencies of x and y, in radians: [2, width / 2].
Weight frequencies(const Scope& s, std::int64_t width) {
  const double turn = 2 * std::numbers::pi;
  return s.weight("positional_embedding", {2, width / 2})
      .cast(DType::f32)
      .mul(Weight::from_doubles(DType::f32, {}, {&turn, 1}));
}

}  // namespace

SamPromptConfig::SamPromptConfig(const PretrainedConfig& c, const SamVisionConfig& vision,
                                 std::int64_t decoder_width)
    : width(c.integer("hidden_size")), image_size(c.integer("image_size")) {
  // The others concern masks and boxes as inputs. The class computes the last one.
  c.harmless({"mask_input_channels", "num_point_embeddings", "hidden_act", "layer_norm_eps",
              "image_embedding_size"});
  const std::int64_t patch = c.integer("patch_size");
  const auto bad = [&](const std::string& what) {
    return ExportError(ErrorCode::bad_config, c.origin() + ": " + what);
  };
  if (image_size != vision.image_size || patch != vision.patch_size) {
    throw bad(fmt::format(
        "images of {} with patches of {} in prompt_encoder_config, of {} with {} in vision_config",
        image_size, patch, vision.image_size, vision.patch_size));
  }
  if (width != decoder_width || width != vision.output_channels || width != 2 * vision.num_pos_feats) {
    throw bad(
        fmt::format("hidden_size of prompt_encoder_config is {}, expected that of mask_decoder_config "
                    "({}), output_channels ({}) and twice num_pos_feats ({}) of vision_config",
                    width, decoder_width, vision.output_channels, vision.num_pos_feats));
  }
}

AxesByName sam_prompts(bool image) {
  const Axes per_image = {{0, "batch_size"}};
  const Axes points = {{0, "batch_size"}, {1, "point_batch_size"}, {2, "nb_points_per_image"}};
  AxesByName names;
  if (image) names = {{"image_positional_embeddings", per_image}, {"image_embeddings", per_image}};
  names.emplace_back("input_points", points);
  names.emplace_back("input_labels", points);
  return names;
}

Weight sam_image_positions(const Scope& s, std::int64_t width, std::int64_t grid) {
  std::vector<double> centres;
  for (std::int64_t i = 0; i < grid; ++i)
    centres.push_back(2 * (static_cast<double>(i) + 0.5) / static_cast<double>(grid) - 1);
  const Weight both = frequencies(s, width);
  const auto along = [&](std::int64_t part, const std::vector<std::int64_t>& shape) {
    const Weight frequency = both.slice(0, part, part + 1).reshape({width / 2, 1, 1});
    return Weight::from_doubles(DType::f32, shape, centres).mul(frequency);
  };
  const Weight angles = along(0, {1, 1, grid}).add(along(1, {1, grid, 1}));
  const Weight parts[] = {angles.sin(), angles.cos()};
  return Weight::concat(parts, 0).reshape({1, width, grid, grid}).named("image_positional_embeddings");
}

Value place_sam_points(const Scope& s, std::int64_t width, std::int64_t image_size, Value points) {
  const Value centres = op::add(op::cast(points, DType::f32), 0.5);  // angles are float32 in every dtype
  const Value scaled = op::sub(op::mul(centres, 2 / static_cast<double>(image_size)), 1.0);
  const Value angles = op::matmul(scaled, points.graph().weight_as_is(frequencies(s, width)));
  const Value sines = op::sin(angles);
  return op::cast(op::concat({sines, op::cos(angles)}, -1), points.dtype());
}

Value hide_sam_fillers(Value embedded, Value labels, Value not_a_point) {
  const Value label = op::unsqueeze(labels, 3);
  const Value zero = op::scalar(embedded.graph(), 0, embedded.dtype());
  const Value filled = op::where(op::eq(label, -10.0), zero, embedded);
  return op::where(op::eq(label, -1.0), not_a_point, filled);
}

Value embed_sam_points(const Scope& root, const SamPromptConfig& c, Value points, Value labels) {
  const Scope s = root / "prompt_encoder";
  const ModulePath at(points, s.path());
  Graph& graph = points.graph();
  const Value placed = place_sam_points(root / "shared_image_embedding", c.width, c.image_size, points);
  const auto embedding = [&](const Scope& of) { return graph.weight(of.weight("weight", {1, c.width})); };
  const Value label = op::unsqueeze(labels, 3);
  const Value background = embedding(s / "point_embed" / 0);
  const Value foreground = embedding(s / "point_embed" / 1);
  const Value not_a_point = embedding(s / "not_a_point_embed");
  const Value zero = op::scalar(graph, 0, points.dtype());
  Value kind = op::where(op::eq(label, 0.0), background, zero);
  kind = op::where(op::eq(label, 1.0), foreground, kind);
  const Value embedded = hide_sam_fillers(op::add(placed, kind), labels, not_a_point);
  const Value last = op::expand(not_a_point, {points.dim(0), points.dim(1), 1, c.width});
  return op::concat({embedded, last}, 2);
}

Value without_mask(const Scope& s, Value image) {
  const std::int64_t width = *image.dim(1).constant();
  const Weight no_mask = (s / "no_mask_embed").weight("weight", {1, width});
  return op::add(image, image.graph().weight(no_mask.reshape({1, width, 1, 1})));
}

}  // namespace onnxport::models
