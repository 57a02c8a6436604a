/// Deformable attention: each query looks at a few places of feature maps instead of at all keys. (Zhu et al.
/// 2021)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// The size of a feature map. Its pixels are tokens, row by row; those of several maps follow each other.
struct MapSize {
  Dim rows, columns;
};
/// Those of images [B, C, rows, columns].
ONNXPORT_API std::vector<MapSize> sizes_of(const std::vector<Value>& images);

/// How a place between pixels reads them.
enum class PlaceReading {
  bilinear,  ///< four neighbours, with zeros outside of the map
  nearest,   ///< the pixel whose number is nearest to column * columns and row * rows ("discrete")
};

/// Weighted sums of values at places. value [B, all pixels, heads * d]; `points`: for each map, the number of
/// places per query and head, N altogether; places float32 [B, Q, heads, N, 2]: columns and rows as fractions
/// of the map; weights [B, Q, heads, N] -> [B, Q, heads * d]. (transformers.MultiScaleDeformableAttention)
ONNXPORT_API Value sum_at_places(Value value, const std::vector<MapSize>& sizes,
                                 const std::vector<std::int64_t>& points, Value places, Value weights,
                                 PlaceReading reading = PlaceReading::bilinear);

struct DeformableParameters {
  std::int64_t width = 0;
  std::int64_t heads = 0;
  std::vector<std::int64_t> points;  ///< per query and head in each map
  double offset_scale = 0.5;         ///< of offsets from the centre of a box
  PlaceReading reading = PlaceReading::bilinear;
};

/// The places and weights of each query, without projections of values. Keys: sampling_offsets,
/// attention_weights. Throws ExportError(bad_config) for sizes that do not fit each other.
class ONNXPORT_API DeformableSampling {
 public:
  DeformableSampling(const Scope& s, const DeformableParameters& p);
  /// query [B, Q, width], value [B, all pixels, width] -> [B, Q, width]. `reference` [B or 1, Q, 1 or one per
  /// map, 2 or 4]: where each query looks, as fractions of the map: a column and a row, from which offsets
  /// count in pixels; or the centre, width and height of a box, of which offsets are fractions. Computes
  /// places in float32.
  Value operator()(Value query, Value reference, Value value, const std::vector<MapSize>& sizes) const;

 private:
  std::string path_;
  DeformableParameters parameters_;
  Linear offsets_, weights_;
};

/// Deformable attention to a memory. Keys: value_proj, output_proj, and those of the sampling.
class ONNXPORT_API DeformableAttention {
 public:
  DeformableAttention(const Scope& s, const DeformableParameters& p);
  /// query [B, Q, width], reference as in DeformableSampling, memory [B, all pixels, width] -> [B, Q, width].
  /// `seen`, bool [B, all pixels]: false makes a pixel's value zero; absent: all are seen.
  Value operator()(Value query, Value reference, Value memory, const std::vector<MapSize>& sizes,
                   Value seen = {}) const;

 private:
  std::string path_;
  DeformableSampling sampling_;
  Linear value_proj_, output_proj_;
};

}  // namespace onnxport::nn
