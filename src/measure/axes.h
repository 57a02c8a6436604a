/// Sizes of the symbolic axes of a file.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/file_inputs.h"
#include "onnxport/inspect.h"

namespace onnxport::measure {

/// Whether a text contains one of these parts.
inline bool has_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(parts, [&](std::string_view part) { return text.find(part) != text.npos; });
}

/// The inputs that a caller gives: old files list initializers among the inputs.
std::vector<ValueSummary> given_inputs(const GraphSummary& graph);

/// Whether an input is a cache: a tensor of at least three axes with such a name.
bool is_past(const ValueSummary& input);

/// Whether a kernel of the CPU takes several new tokens after a cache only in batches of one row.
bool takes_one_row(const ModelSummary& model);

/// Finds the size of each axis of the inputs of one file.
class Axes {
 public:
  Axes(const ModelSummary& model, const AxisSizes& given);

  /// The extents of an input.
  std::vector<std::int64_t> shape_of(const ValueSummary& input);
  /// The size that a name stands for: of an axis, or of an input that tells a length.
  std::int64_t size_of(const std::string& name);
  /// The sizes of all symbols so far.
  const AxisSizes& sizes() const { return sizes_; }
  /// Positions of the cache that the file takes; 0 if it takes none.
  std::int64_t past();
  /// New and cached positions.
  std::int64_t total() { return past() + standard("sequence_length"); }
  /// Height and width, in patches, of images that are given as rows of patches.
  std::int64_t patch_side();

 private:
  std::int64_t standard(const std::string& name) const;
  std::int64_t unnamed(const ValueSummary& input, std::size_t axis);
  std::int64_t evaluate(const std::string& text, const ValueSummary& input, std::size_t axis);
  void find_sizes_of_contents();

  const ModelSummary& model_;
  AxisSizes given_, defaults_, sizes_;
  std::int64_t patches_ = 0;  ///< rows of images that a grid describes; 0: no grid
};

/// An image of a grid of patches (time, height, width), as `image_grid_thw` tells it.
inline constexpr std::int64_t kPatchGrid[] = {1, 4, 4};

}  // namespace onnxport::measure
