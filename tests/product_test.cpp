// Every form of the product of matrices that this processor runs, against plain loops.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "reference/product.h"

namespace onnxport::reference {
namespace {

/// A matrix with `padding` further elements behind each row, or behind each column of a transposed one.
class Stored {
 public:
  Stored(std::int64_t rows, std::int64_t cols, std::int64_t padding, bool transposed)
      : stride_((transposed ? rows : cols) + padding), rows_(rows), cols_(cols), transposed_(transposed) {
    const auto count = static_cast<std::size_t>(stride_ * (transposed ? cols : rows));
    for (std::size_t i = 0; i < count; ++i) values_.push_back(std::sin(static_cast<double>(7 * i + 3)));
  }
  Factor factor() const { return {values_.data(), rows_, cols_, stride_, transposed_}; }
  double& at(std::int64_t i, std::int64_t j) {
    return values_[static_cast<std::size_t>(transposed_ ? j * stride_ + i : i * stride_ + j)];
  }

 private:
  std::vector<double> values_;
  std::int64_t stride_, rows_, cols_;
  bool transposed_;
};

TEST(Product, EveryFormComputesTheSame) {
  struct Sizes {
    std::int64_t rows, inner, cols;
  };
  for (const MultiplyForm& form : multiply_forms()) {
    for (const auto& [rows, inner, cols] : {Sizes{1, 1, 1},
                                            {3, 5, 2},
                                            {1, 70, 90},
                                            {80, 70, 1},
                                            {33, 65, 49},
                                            {2, 0, 3},
                                            {0, 4, 2},
                                            {130, 300, 97}}) {
      for (int layout = 0; layout < 8; ++layout) {
        SCOPED_TRACE(fmt::format("{}: {} x {} x {}, layout {}", form.vectors, rows, inner, cols, layout));
        const std::int64_t padding = layout < 4 ? 0 : 3;
        Stored a(rows, inner, padding, layout % 2 == 1), b(inner, cols, padding, layout / 2 % 2 == 1);
        const std::int64_t stride = cols + padding;
        std::vector<double> out(static_cast<std::size_t>(rows * stride), -7);
        form.multiply(a.factor(), b.factor(), out.data(), stride);
        for (std::int64_t i = 0; i < rows; ++i) {
          for (std::int64_t j = 0; j < stride; ++j) {
            double expected = j < cols ? 0 : -7;  // what lies behind a row stays
            for (std::int64_t k = 0; j < cols && k < inner; ++k) expected += a.at(i, k) * b.at(k, j);
            ASSERT_NEAR(out[static_cast<std::size_t>(i * stride + j)], expected, 1e-12) << i << ", " << j;
          }
        }
      }
    }
  }
}

TEST(Product, NothingIsLostBesideInfinityAndNaN) {
  for (const MultiplyForm& form : multiply_forms()) {
    SCOPED_TRACE(form.vectors);
    Stored a(40, 30, 0, false), b(30, 20, 0, true);
    a.at(17, 4) = std::numeric_limits<double>::infinity();
    a.at(23, 29) = std::numeric_limits<double>::quiet_NaN();
    b.at(4, 5) = 0;
    std::vector<double> out(800);
    form.multiply(a.factor(), b.factor(), out.data(), 20);
    for (std::size_t i = 0; i < 40; ++i) {
      for (std::size_t j = 0; j < 20; ++j) {
        const double value = out[i * 20 + j];
        if (i == 23 || (i == 17 && j == 5)) {
          EXPECT_TRUE(std::isnan(value)) << i << ", " << j;
        } else {
          EXPECT_EQ(std::isinf(value), i == 17) << i << ", " << j;
        }
      }
    }
  }
}

TEST(Product, TheBaselineRunsEverywhere) {
  const std::vector<MultiplyForm> forms = multiply_forms();
  ASSERT_FALSE(forms.empty());
  EXPECT_STREQ(forms.back().vectors, "baseline");
}

}  // namespace
}  // namespace onnxport::reference
