#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>

#include "errors.h"
#include "models/vision/common/swin.h"
#include "onnxport/error.h"
#include "onnxport/nn/window_attention.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport {
namespace {

using test::complaint;

using Reals = std::vector<double>;
using Size = std::vector<std::int64_t>;  // batch, height, width

// Numbers from 1, one for each token.
Tensor numbered(const Size& size) {
  Reals values(static_cast<std::size_t>(size[0] * size[1] * size[2]));
  std::iota(values.begin(), values.end(), 1.0);
  return Tensor::from_doubles(DType::f32, {size[0], 1, size[1], size[2]}, values);
}

/// A graph of images [batch, 1, height, width], whose sizes it does not know.
struct Images {
  Graph graph;
  Value image = graph.input(
      "image", {DType::f32, {Dim::symbol("batch"), 1, Dim::symbol("height"), Dim::symbol("width")}});
  nn::TokenGrid grid = nn::grid_of(image);
  Value rows = nn::image_to_rows(image);

  std::vector<Reals> run(const Size& size) {
    const auto results = reference::interpret(graph, {{{"image", numbered(size)}}});
    std::vector<Reals> outputs;
    for (const reference::HostTensor& output : results[0]) outputs.push_back(output.reals);
    return outputs;
  }
};

std::int64_t padded(std::int64_t n, std::int64_t window) { return (n + window - 1) / window * window; }

// What the original does, step by step: pad, roll, cut.
Reals windows_of(const Size& size, std::int64_t window, std::int64_t shift) {
  const std::int64_t height = padded(size[1], window), width = padded(size[2], window);
  Reals result;
  for (std::int64_t b = 0; b < size[0]; ++b) {
    for (std::int64_t top = 0; top < height; top += window) {
      for (std::int64_t left = 0; left < width; left += window) {
        for (std::int64_t i = 0; i < window * window; ++i) {
          const std::int64_t y = (top + i / window + shift) % height;
          const std::int64_t x = (left + i % window + shift) % width;
          const bool inside = y < size[1] && x < size[2];
          result.push_back(inside ? static_cast<double>((b * size[1] + y) * size[2] + x + 1) : 0.0);
        }
      }
    }
  }
  return result;
}

// Regions by slices of the rolled image, as the original marks them.
Reals mask_of(const Size& size, std::int64_t window, std::int64_t shift) {
  const std::int64_t height = padded(size[1], window), width = padded(size[2], window);
  const auto slice = [&](std::int64_t i, std::int64_t n) {
    return i < n - window ? 0 : i < n - shift ? 1 : 2;
  };
  Reals result;
  for (std::int64_t top = 0; top < height; top += window) {
    for (std::int64_t left = 0; left < width; left += window) {
      const auto region = [&](std::int64_t i) {
        return 3 * slice(top + i / window, height) + slice(left + i % window, width);
      };
      for (std::int64_t q = 0; q < window * window; ++q)
        for (std::int64_t k = 0; k < window * window; ++k)
          result.push_back(region(q) == region(k) ? 0.0 : -100.0);
    }
  }
  return result;
}

TEST(WindowPartition, CutsAndJoinsGridsOfAnySize) {
  for (const std::int64_t shift : {0, 1, 2}) {
    constexpr std::int64_t kWindow = 4;
    Images images;
    const nn::WindowPartition windows(images.graph, images.grid, {.window = kWindow, .shift = shift});
    const Value cut = windows.split(images.rows);
    images.graph.output("cut", cut);
    images.graph.output("joined", windows.join(cut));
    if (shift > 0) images.graph.output("mask", windows.mask());
    EXPECT_EQ(static_cast<bool>(windows.mask()), shift > 0);
    for (const Size& size : {Size{1, 8, 12}, Size{2, 9, 4}, Size{3, 5, 7}, Size{2, 3, 6}}) {
      SCOPED_TRACE(fmt::format("shift {} of {}", shift, fmt::join(size, " x ")));
      const std::vector<Reals> outputs = images.run(size);
      EXPECT_EQ(outputs[0], windows_of(size, kWindow, shift));
      EXPECT_EQ(outputs[1], reference::to_host(numbered(size)).reals);
      if (shift > 0) EXPECT_EQ(outputs[2], mask_of(size, kWindow, shift));
    }
  }
}

TEST(WindowPartition, TheShiftMayDependOnTheSize) {
  Images images;
  const Dim larger = (images.grid.height - 4).min(1) * (images.grid.width - 4).min(1);
  const nn::WindowPartition windows(images.graph, images.grid, {.window = 4, .shift = larger * 2});
  images.graph.output("cut", windows.split(images.rows));
  images.graph.output("mask", windows.mask());
  EXPECT_EQ(images.run({1, 4, 9})[0], windows_of({1, 4, 9}, 4, 0));
  EXPECT_EQ(images.run({1, 4, 9})[1], Reals(3 * 256, 0.0));
  EXPECT_EQ(images.run({1, 5, 9})[0], windows_of({1, 5, 9}, 4, 2));
}

TEST(WindowPartition, MayRefuseAGridSmallerThanAWindow) {
  const nn::WindowParameters strict = {.window = 4, .smaller_grid = false};
  Images images;
  images.graph.output("cut", nn::WindowPartition(images.graph, images.grid, strict).split(images.rows));
  EXPECT_EQ(images.run({1, 4, 6})[0], windows_of({1, 4, 6}, 4, 0));
  EXPECT_THROW(images.run({1, 3, 6}), ExportError);
  EXPECT_THROW(images.run({1, 8, 2}), ExportError);

  Graph graph;
  const std::string message =
      complaint(ErrorCode::shape, [&] { const nn::WindowPartition windows(graph, {1, 3, 6}, strict); });
  EXPECT_NE(message.find("a grid of 3 by 6 tokens is smaller than a window of 4 by 4"), message.npos)
      << message;
}

TEST(PatchesOf, DropsOrFillsTheEdge) {
  Images images;
  const auto patches = [&](nn::PatchEdge edge) {
    return nn::patches_of(images.graph, images.grid, 2, edge)(images.rows);
  };
  images.graph.output("dropped", patches(nn::PatchEdge::drop));
  images.graph.output("filled", patches(nn::PatchEdge::fill));
  const std::vector<Reals> outputs = images.run({1, 3, 5});
  EXPECT_EQ(outputs[0], (Reals{1, 2, 6, 7, 3, 4, 8, 9}));
  EXPECT_EQ(outputs[1], (Reals{1,  2,  6, 7, 3,  4,  8, 9, 5,  0, 10, 0,  //
                               11, 12, 0, 0, 13, 14, 0, 0, 15, 0, 0,  0}));
}

PretrainedConfig swin_config(const std::string& more) {
  return PretrainedConfig::from_json(R"({"model_type": "swin")" + more + "}", "config.json");
}

TEST(Swin, KnowsItsSmallestImage) {
  EXPECT_EQ(models::swin_smallest_image(swin_config("")), (ImageSize{193, 193}));
  EXPECT_EQ(models::swin_smallest_image(swin_config(R"(, "patch_size": [2, 4], "window_size": 10)")),
            (ImageSize{145, 289}));
}

TEST(Swin, RefusesConfigurationsThatMakeNoSense) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {R"(, "window_size": 0)", "window_size 0 must be positive"},
      {R"(, "patch_size": -4)", "'patch_size' is -4"},
      {R"(, "depths": [])", "depths has 0 stages"},
      {R"(, "num_heads": [3, 6])", "num_heads 2"},
      {R"(, "num_heads": [3, 6, 0, 24])", "'num_heads' is 0"},
      {R"(, "embed_dim": 100)",
       "the 100 channels of stage 0 (embed_dim 100) are not a multiple of num_heads 3"},
  };
  for (const auto& [json, part] : bad) {
    const std::string message =
        complaint(ErrorCode::bad_config, [&json = json] { models::swin_smallest_image(swin_config(json)); });
    EXPECT_NE(message.find(part), message.npos) << message;
  }
  complaint(ErrorCode::unsupported,
            [] { models::swin_smallest_image(swin_config(R"(, "use_absolute_embeddings": true)")); });
}

}  // namespace
}  // namespace onnxport
