// Sines and cosines as positions.
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/op.h"

namespace onnxport::nn {

SinusoidalPositions::SinusoidalPositions(const Scope& s, std::int64_t rows, std::int64_t width,
                                         std::int64_t pad)
    : path_(s.path()), pad_(pad) {
  s.ignore("");
  constexpr std::int64_t kMost = std::int64_t{1} << 28;  // numbers of a table
  const std::int64_t half = width / 2;
  if (half < 2 || rows < 1 || rows > kMost / width) {
    throw ExportError(ErrorCode::bad_config, fmt::format("sinusoidal positions of width {} and {} rows, "
                                                         "expected at least 4 and 1, and at most {} numbers",
                                                         width, rows, kMost));
  }
  std::vector<double> values(static_cast<std::size_t>(rows * width));
  // Computed in float, like the originals.
  const auto step = static_cast<float>(-std::log(10000.0) / static_cast<double>(half - 1));
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < half; ++i) frequencies.push_back(std::exp(static_cast<float>(i) * step));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < half && row != pad; ++i) {
      const float angle = static_cast<float>(row) * frequencies[static_cast<std::size_t>(i)];
      values[static_cast<std::size_t>(row * width + i)] = std::sin(static_cast<double>(angle));
      values[static_cast<std::size_t>(row * width + half + i)] = std::cos(static_cast<double>(angle));
    }
  }
  table_ = Weight::from_doubles(DType::f32, {rows, width}, values, "embed_positions.weights");
}

SinusoidalPositions::SinusoidalPositions(std::string path, Weight table, std::int64_t pad)
    : path_(std::move(path)), table_(std::move(table)), pad_(pad) {}

Value SinusoidalPositions::rows(Value indices) const {
  const ModulePath at(indices, path_);
  return op::embedding(indices.graph().weight(table_), indices);
}

Value SinusoidalPositions::operator()(Value ids, const Dim& past) const {
  const ModulePath at(ids, path_);
  const Value real = op::cast(op::ne(ids, static_cast<double>(pad_)), DType::i64);
  const Value before = op::size(ids.graph(), past);
  const Value counted = op::add(op::cumsum(real, 1), before);
  const Value positions = op::add(op::mul(counted, real), static_cast<double>(pad_));
  return rows(positions);
}

Weight sinusoidal_table(std::int64_t positions, std::int64_t width) {
  const std::int64_t sines = (width + 1) / 2;
  std::vector<double> values(static_cast<std::size_t>(positions * width));
  std::vector<double> wavelengths;
  for (std::int64_t j = 0; j < width; ++j)
    wavelengths.push_back(std::pow(10000.0, static_cast<double>(j - j % 2) / static_cast<double>(width)));
  for (std::int64_t position = 0; position < positions; ++position) {
    for (std::int64_t j = 0; j < width; ++j) {
      const double angle = static_cast<double>(position) / wavelengths[static_cast<std::size_t>(j)];
      const std::int64_t column = j / 2 + (j % 2 == 0 ? 0 : sines);
      values[static_cast<std::size_t>(position * width + column)] =
          j % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
  }
  return Weight::from_doubles(DType::f32, {positions, width}, values, "embed_positions.weight");
}

}  // namespace onnxport::nn
