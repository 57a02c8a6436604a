// What the quantizers of ONNX Runtime's package make of some matrices (tests/quantized/weights.safetensors).
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "golden_fixture.h"
#include "ir/weight_quantized.h"
#include "onnxport/tensor.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

using Bytes = std::vector<std::byte>;

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, '/');) parts.push_back(part);
  return parts;
}

Bytes read_all(const Weight& weight) {
  Bytes bytes(static_cast<std::size_t>(weight.numel()) * size_of(weight.dtype()));
  weight.read(0, weight.numel(), bytes.data());
  return bytes;
}

using Results = std::map<std::string, Weight>;

/// The results of a case by name. `parts`: its key without the last part; see
/// tools/make_quantized_weights.py.
Results run_case(const std::vector<std::string>& parts, const Weight& matrix) {
  if (parts[0] == "blocks") {
    const auto made = quantize_blocks(
        matrix, {.bits = std::stoi(parts[2]),
                 .block_size = std::stoi(parts[3]),
                 .symmetric = parts[4] == "sym",
                 .algorithm = parts[1] == "rtn" ? BlockAlgorithm::rtn : BlockAlgorithm::k_quant});
    Results results = {{"codes", made.codes}, {"scales", made.scales}};
    if (made.zero_points) results["zero_points"] = made.zero_points;
    return results;
  }
  if (parts[0] == "bnb4") {
    const auto made = quantize_bnb4(matrix, parts[1] == "nf4", std::stoi(parts[2]));
    return {{"codes", made.codes}, {"absmax", made.absmax}};
  }
  TensorParameters parameters{.dtype = parts[1] == "int8" ? DType::i8 : DType::u8,
                              .symmetric = parts[2] == "sym",
                              .reduce_range = parts[3] == "reduced"};
  if (parts[4] != "-") parameters.axis = std::stoi(parts[4]);
  const auto made = quantize_tensor(matrix, parameters);
  return {{"codes", made.codes}, {"scale", made.scale}, {"zero_point", made.zero_point}};
}

/// Clears the codes behind the last value of each row that share its byte. The package leaves those of the
/// byte before it there; ours are 0. The kernels multiply them by 0.
Bytes without_padding(const std::vector<std::string>& parts, Bytes codes, std::int64_t columns) {
  const std::int64_t per_byte = 8 / std::stoi(parts[2]), block_size = std::stoi(parts[3]);
  const std::int64_t row_bytes = ((columns - 1) / block_size + 1) * block_size / per_byte;
  if (columns % per_byte == 0) return codes;
  const auto used = std::byte((1 << (columns % per_byte * std::stoi(parts[2]))) - 1);
  for (std::size_t i = static_cast<std::size_t>(columns / per_byte); i < codes.size();
       i += static_cast<std::size_t>(row_bytes)) {
    codes[i] &= used;
  }
  return codes;
}

class OnnxRuntimeQuantizer : public testing::TestWithParam<std::string> {};

TEST_P(OnnxRuntimeQuantizer, GivesTheSameBits) {
  const auto file = std::filesystem::path(source_dir()) / "tests/quantized/weights.safetensors";
  std::map<std::string, Tensor> matrices;
  std::map<std::string, std::map<std::string, Tensor>> cases;
  for (const auto& [key, tensor] : read_safetensors(file)) {
    const std::size_t slash = key.rfind('/');
    if (key.starts_with("matrix/")) {
      matrices[key.substr(slash + 1)] = tensor;
    } else if (key.starts_with(GetParam())) {
      cases[key.substr(0, slash)][key.substr(slash + 1)] = tensor;
    }
  }
  EXPECT_GE(cases.size(), 10U);
  for (const auto& [prefix, expected] : cases) {
    const std::vector<std::string> parts = split(prefix);
    const Tensor& matrix = matrices.at(parts.back());
    const Results results =
        run_case(parts, Weight::constant(matrix.dtype, matrix.shape, matrix.data, parts.back()));
    for (const auto& [name, tensor] : expected) {
      ASSERT_TRUE(results.contains(name)) << prefix << '/' << name;
      const Weight& weight = results.at(name);
      EXPECT_EQ(weight.dtype(), tensor.dtype) << prefix << '/' << name;
      EXPECT_EQ(weight.shape(), tensor.shape) << prefix << '/' << name;
      const Bytes got = read_all(weight);
      Bytes expected_bytes = tensor.data;
      if (name == "codes" && prefix.starts_with("blocks/rtn/")) {
        expected_bytes = without_padding(parts, std::move(expected_bytes), matrix.shape[1]);
      }
      ASSERT_EQ(got.size(), expected_bytes.size()) << prefix << '/' << name;
      std::size_t differ = 0, first = 0;
      for (std::size_t i = got.size(); i-- > 0;) {
        if (got[i] != expected_bytes[i]) ++differ, first = i;
      }
      EXPECT_EQ(differ, 0U) << prefix << '/' << name << ": bytes differ, first " << first << ", "
                            << static_cast<int>(got[first]) << " for "
                            << static_cast<int>(expected_bytes[first]);
    }
    EXPECT_EQ(results.size(), expected.size()) << prefix;
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, OnnxRuntimeQuantizer,
                         testing::Values("blocks/rtn/2/", "blocks/rtn/4/", "blocks/rtn/8/", "blocks/k_quant/",
                                         "bnb4/nf4/", "bnb4/fp4/", "tensor/int8/", "tensor/uint8/"),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) c = c == '/' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace onnxport::test
