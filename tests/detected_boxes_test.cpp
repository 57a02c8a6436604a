// Detectors with post-processing in the file: the best of the original's scores, and their boxes in pixels.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "runtime/session.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

constexpr double kWidth = 50, kHeight = 30;  // of the original images

class DetectedBoxes : public testing::TestWithParam<const char*> {
 protected:
  // The file of the variant, validated.
  void export_boxes() {
    synthesize(fixture_, folder_.path() / "checkpoint");
    MainExportOptions options{
        .model = folder_.path() / "checkpoint", .output = folder_.path() / "out", .task = fixture_.task};
    options.variant = "boxes";
    EXPECT_TRUE(main_export(options).passed());
  }
  GoldenFixture fixture_ = read_fixture(GetParam());
  TempFolder folder_;
};

// Of image `b`: the places of the best scores among all queries and classes, best first.
std::vector<std::size_t> best_places(const std::vector<double>& logits, std::size_t count, std::size_t keep,
                                     std::size_t b) {
  std::vector<std::size_t> places(count);
  std::iota(places.begin(), places.end(), b * count);
  std::stable_sort(places.begin(), places.end(), [&](auto i, auto j) { return logits[i] > logits[j]; });
  places.resize(keep);
  return places;
}

TEST_P(DetectedBoxes, AreTheBestOfTheOriginals) {
  export_boxes();
  const runtime::Session session(folder_.path() / "out" / "model.onnx",
                                 runtime::SessionOptions{.intra_op_threads = 1});
  for (const GoldenCase& one : fixture_.files.front().cases) {
    const Tensor& images = *find(one.inputs, "pixel_values");
    const std::int64_t batch = images.shape[0];
    std::vector<std::int64_t> sizes;
    for (std::int64_t b = 0; b < batch; ++b)
      sizes.insert(sizes.end(), {static_cast<std::int64_t>(kWidth), static_cast<std::int64_t>(kHeight)});
    const NamedTensors found = session.run(
        {{"images", images}, {"orig_target_sizes", Tensor::from_ints(DType::i64, {batch, 2}, sizes)}});
    const Tensor& shape = *find(one.outputs, "logits");
    const auto queries = static_cast<std::size_t>(shape.shape[1]),
               classes = static_cast<std::size_t>(shape.shape[2]);
    const std::vector<double> logits = shape.to_doubles(),
                              boxes = find(one.outputs, "pred_boxes")->to_doubles();
    const std::vector<double> scores = find(found, "scores")->to_doubles(),
                              labels = find(found, "labels")->to_doubles(),
                              corners = find(found, "boxes")->to_doubles();
    ASSERT_EQ(scores.size(), static_cast<std::size_t>(batch) * queries);
    for (std::size_t row = 0; row < scores.size(); ++row) {
      SCOPED_TRACE(row);
      const std::size_t place = best_places(logits, queries * classes, queries, row / queries)[row % queries];
      EXPECT_EQ(labels[row], static_cast<double>(place % classes));
      EXPECT_NEAR(scores[row], 1 / (1 + std::exp(-logits[place])), 1e-4);
      const double* box = &boxes[place / classes * 4];  // center, width and height
      const double expected[] = {box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2,
                                 box[1] + box[3] / 2};
      for (std::size_t i = 0; i < 4; ++i)
        EXPECT_NEAR(corners[row * 4 + i], expected[i] * (i % 2 == 0 ? kWidth : kHeight), 1e-2);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DetectedBoxes,
                         testing::Values("rt_detr/object-detection", "rt_detr_v2/object-detection",
                                         "d_fine/object-detection"));

}  // namespace
}  // namespace onnxport::test
