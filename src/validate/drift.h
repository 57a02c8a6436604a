/// How far a quantized model is from the original.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/interface.h"
#include "onnxport/tensor.h"
#include "onnxport/validate.h"

namespace onnxport::validate {

/// The tokens that count. Quantization may move the others far, and no client reads them.
class VisibleTokens {
 public:
  VisibleTokens() = default;  // all
  /// Those that `attention_mask` shows, in outputs with a row for each of the tokens given.
  VisibleTokens(const Interface& interface, const NamedTensors& inputs);
  /// Whether each row [B * S] of an output [B, S, …] counts. Another output is one row that counts.
  std::vector<bool> rows(const std::string& output, const std::vector<std::int64_t>& shape) const;

 private:
  std::vector<std::string> outputs_;
  std::vector<std::int64_t> mask_;  // [B, T]
  std::size_t length_ = 0;          // T
};

/// Adds up the differences of the float outputs over cases. Values that are not finite and mask fills (1e6 or
/// more) on either side do not count.
class DriftMeter {
 public:
  explicit DriftMeter(double smallest_cosine) : bound_(smallest_cosine) {}

  void add(const NamedTensors& got, const NamedTensors& original, const VisibleTokens& visible = {});
  std::vector<Drift> result() const;

 private:
  struct Sums {
    std::string output;
    double largest = 0, total = 0, product = 0, of_got = 0, of_original = 0;
    std::int64_t count = 0, rows = 0, same = 0;
  };
  Sums& sums_of(const std::string& output);

  double bound_;
  std::vector<Sums> outputs_;
};

}  // namespace onnxport::validate
