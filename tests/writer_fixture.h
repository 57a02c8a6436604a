/// A small model with weights of all kinds, for tests of written files.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnx/onnx_graph.h"
#include "runtime/session.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport::serialize {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

inline std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_all(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << part << "' is not in '" << text << "'";
}

/// A graph with these weights, which it does not use.
inline OnnxGraph holding(std::vector<OnnxInitializer> initializers, int opset = 17) {
  OnnxGraph graph;
  graph.opsets[""] = opset;
  graph.inputs = {{"x", {DType::f32, {2}}}};
  graph.outputs = {{"y", {DType::f32, {2}}}};
  graph.nodes = {{"Identity", "", "", {"x"}, {"y"}, {}}};
  graph.initializers = std::move(initializers);
  return graph;
}

/// Bytes that this process has asked the kernel to read so far; nothing where the kernel does not count.
inline std::optional<std::uint64_t> bytes_read() {
  std::ifstream in("/proc/self/io");
  std::string word;
  std::uint64_t count = 0;
  if (in >> word >> count && word == "rchar:") return count;
  return std::nullopt;
}

/// The content of all files below a folder.
inline std::map<std::string, std::string> all_files(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder)] = read_all(entry.path());
  }
  return files;
}

/// Two linear layers with all kinds of weights: views, one of them transposed, one stored as float16, and
/// constants.
class WriterTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kIn = 512, kHidden = 600, kOut = 16;

  WriterTest() {
    // first.weight | first.bias | second.weight, float32, at an odd offset.
    std::string bytes(3, '\0');
    const auto floats = static_cast<std::size_t>(kHidden * kIn + kHidden + kOut * kHidden);
    for (std::size_t i = 0; i < floats; ++i) {
      const float value = static_cast<float>(static_cast<int>(i * 7919 % 2001) - 1000) / 10000.0F;
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    write_all(folder.path() / "weights.bin", bytes);
    source = File::open(folder.path() / "weights.bin");
    first_weight = view("first.weight", {kHidden, kIn}, 3);
    first_bias = view("first.bias", {kHidden}, 3 + 4 * kHidden * kIn);
    second_weight = view("second.weight", {kOut, kHidden}, 3 + 4 * (kHidden * kIn + kHidden)).permute({1, 0});
    std::vector<double> bias(kOut);
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<double>(i) / 8;
    second_bias = Weight::from_doubles(DType::f16, {kOut}, bias);
  }

  Weight view(std::string key, std::vector<std::int64_t> shape, std::uint64_t offset) const {
    return TensorView{std::move(key), DType::f32, std::move(shape), source, offset};
  }

  OnnxGraph graph() const {
    OnnxGraph graph;
    graph.opsets[""] = 17;
    const Dim batch = Dim::symbol("batch_size");
    graph.inputs = {{"x", {DType::f32, {batch, kIn}}}};
    graph.outputs = {{"y", {DType::f32, {batch, 1, kOut}}}};
    const std::vector<std::int64_t> shape = {-1, 1, kOut};
    graph.initializers = {
        {"first.weight", first_weight},           {"first.bias", first_bias},
        {"second.weight.T", second_weight},       {"second.bias", second_bias},
        {"shape", Weight::from_ints({3}, shape)}, {"unused", Weight::from_doubles(DType::f32, {0, 4}, {})}};
    graph.nodes = {{"Gemm",
                    "",
                    "first",
                    {"x", "first.weight", "first.bias"},
                    {"h"},
                    {{"transB", std::int64_t{1}}, {"alpha", 0.5F}}},
                   {"MatMul", "", "second", {"h", "second.weight.T"}, {"m"}, {}},
                   {"Cast", "", "widen", {"second.bias"}, {"b"}, {{"to", std::int64_t{1}}}},
                   {"Add", "", "add", {"m", "b"}, {"s"}, {}},
                   {"Reshape", "", "reshape", {"s", "shape"}, {"y"}, {}}};
    return graph;
  }

  /// What the graph computes, in double precision.
  std::vector<double> expected(const std::vector<double>& x, std::int64_t batch) const {
    const auto w1 = first_weight.to_doubles(), b1 = first_bias.to_doubles(), w2 = second_weight.to_doubles(),
               b2 = second_bias.to_doubles();
    std::vector<double> y;
    for (std::int64_t n = 0; n < batch; ++n) {
      std::vector<double> out = b2;
      for (std::int64_t h = 0; h < kHidden; ++h) {
        const double hidden =
            b1[h] + 0.5 * std::inner_product(&w1[h * kIn], &w1[h * kIn] + kIn, &x[n * kIn], 0.0);
        for (std::int64_t o = 0; o < kOut; ++o) out[o] += hidden * w2[h * kOut + o];
      }
      y.insert(y.end(), out.begin(), out.end());
    }
    return y;
  }

  void expect_right_numbers(const fs::path& model) const {
    constexpr std::int64_t kBatch = 3;
    std::vector<double> x(kBatch * kIn);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i));
    const Tensor input = Tensor::from_doubles(DType::f32, {kBatch, kIn}, x);
    const NamedTensors outputs = runtime::Session(model, {.intra_op_threads = 1}).run({{"x", input}});
    ASSERT_EQ(outputs.size(), 1U);
    EXPECT_EQ(outputs[0].first, "y");
    EXPECT_EQ(outputs[0].second.shape, (std::vector<std::int64_t>{kBatch, 1, kOut}));
    const auto y = outputs[0].second.to_doubles(), want = expected(input.to_doubles(), kBatch);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], want[i], 1e-4);
  }

  /// Names in a folder below the temporary one, sorted.
  std::vector<std::string> files(const fs::path& name = "out") const {
    std::vector<std::string> names;
    if (!fs::exists(folder.path() / name)) return names;
    for (const auto& entry : fs::directory_iterator(folder.path() / name))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  TempFolder folder;
  fs::path model = folder.path() / "out" / "model.onnx";
  fs::path data = folder.path() / "out" / "model.onnx_data";
  std::shared_ptr<const File> source;
  Weight first_weight, first_bias, second_weight, second_bias;
};

}  // namespace onnxport::serialize
