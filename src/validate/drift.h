/// How far a quantized model is from the original.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/tensor.h"
#include "onnxport/validate.h"

namespace onnxport::validate {

/// Adds up the differences of the float outputs over cases. Values that are not finite and mask fills (1e6 or
/// more) on either side do not count.
class DriftMeter {
 public:
  explicit DriftMeter(double smallest_cosine) : bound_(smallest_cosine) {}

  void add(const NamedTensors& got, const NamedTensors& original);
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
