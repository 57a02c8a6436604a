/// Images of any size as rows of patches, and the places of those patches. (NaViT, Dehghani et al. 2023)
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/dummy_inputs.h"
#include "onnxport/graph.h"
#include "onnxport/op.h"

namespace onnxport::models {

/// Where each of N patches lies, all int64 [N].
struct PatchPlaces {
  Value frame;        ///< number of its frame among those of all images
  Value row, column;  ///< in its frame
  Value image;        ///< number of its image
  Value local;        ///< its number among the patches of its frame
};

/// grid int64 [images, 3]: frames, rows and columns of patches. The patches of a frame lie in squares of side
/// * side: row by row in a square, squares row by row in a frame. `count`: N, the sum over all images.
PatchPlaces patch_places(Value grid, const Dim& count, std::int64_t side);

/// A patch sees those of its own frame: bool [N, N].
Value same_frame(const PatchPlaces& places);

/// Rotation of heads by row and column: of head_dim / 2 pairs the first half turns with the row, the second
/// with the column, each with the frequencies of head_dim / 2 elements. Throws ExportError(bad_config) unless
/// head_dim is a multiple of 4.
op::Rope grid_rope(const PatchPlaces& places, std::int64_t head_dim, double theta = 10000);

/// Makes a grid, and patches of these extents for it: `grid` int64 [images, 3] and `pixel_values` [N,
/// extents…].
class DummyPatchGenerator : public DummyInputGenerator {
 public:
  DummyPatchGenerator(std::int64_t side, std::vector<std::int64_t> extents)
      : side_(side), extents_(std::move(extents)) {}
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  std::vector<std::int64_t> grid(std::int64_t images) const;
  std::int64_t side_;
  std::vector<std::int64_t> extents_;
};

/// Rows of numbers: `name` float [batch_size, visual_seq_length, width], or without the batch.
class DummyRowsGenerator : public DummyFloatInputGenerator {
 public:
  DummyRowsGenerator(std::string name, std::int64_t width, bool batched = true)
      : name_(std::move(name)), width_(width), batched_(batched) {}
  bool supports_input(std::string_view name) const override { return name == name_; }
  TensorType type(std::string_view, const DummyContext& context, const DummyShapes& shapes) const override {
    if (!batched_) return {context.float_dtype, {shapes.visual_seq_length, width_}};
    return {context.float_dtype, {shapes.batch_size, shapes.visual_seq_length, width_}};
  }

 private:
  std::string name_;
  std::int64_t width_;
  bool batched_;
};

/// position_ids with three axes: int [3, batch_size, sequence_length], all the same.
class DummyAxesPositionsGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == "position_ids"; }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

}  // namespace onnxport::models
