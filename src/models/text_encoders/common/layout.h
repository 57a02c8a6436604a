/// Text with the places of its tokens on a page.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "onnxport/dummy_inputs.h"
#include "onnxport/graph.h"
#include "onnxport/middle_end.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::models {

/// bbox [batch_size, sequence_length, 4]: left, upper, right and lower edge of each token, as integers below
/// `limit`, or as floats from 0 to 1.
class DummyBoxInputGenerator : public DummyInputGenerator {
 public:
  explicit DummyBoxInputGenerator(std::optional<std::int64_t> limit) : limit_(limit) {}
  bool supports_input(std::string_view name) const override { return name == "bbox"; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  std::optional<std::int64_t> limit_;
};

/// Text with boxes of integers below max_2d_position_embeddings.
class BoxedTextOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  DummyInputGenerators dummy_input_generators() const override;
};

struct BoxEmbeddingsParameters {
  std::int64_t rows = 0;  ///< of each table
  std::int64_t coordinate_width = 0, size_width = 0;
  std::optional<std::int64_t> largest_size = {};  ///< height and width are limited to 0 … this
};

/// Tables for the edges of a box, its height and its width. Keys: {x,y,h,w}_position_embeddings.
class BoxEmbeddings {
 public:
  BoxEmbeddings(const Scope& s, const BoxEmbeddingsParameters& p);
  /// bbox int [B, S, 4] -> left, upper, right, lower, height, width, each [B, S, width of its table].
  std::vector<Value> operator()(Value bbox) const;

 private:
  nn::Embedding x_, y_, h_, w_;
  std::optional<std::int64_t> largest_size_;
};

}  // namespace onnxport::models
