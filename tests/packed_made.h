/// Quantized weights made of floats, in the tensors of the libraries.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/tensor.h"
#include "raw_tensors.h"

namespace onnxport::test {

/// A quantized weight, and its values.
struct Made {
  std::vector<Raw> tensors;
  std::string dtype;  ///< of the values
  std::vector<float> values;
};

/// The weight of a module `path`. `tensor`: [N, K], where 8 divides N and 16 divides K.
/// 4 bits in float16, with act-order.
Made gptq(const std::string& path, const Tensor& tensor, std::int64_t group_size);
/// 4 bits in groups of 16.
Made awq(const std::string& path, const Tensor& tensor);
Made compressed_pack(const std::string& path, const Tensor& tensor);
/// 8 bits, a scale for each output.
Made compressed_int8(const std::string& path, const Tensor& tensor);
Made bitsandbytes_8bit(const std::string& path, const Tensor& tensor);
/// `table`: the values of the 16 codes.
Made bitsandbytes_4bit(const std::string& path, const Tensor& tensor, const std::vector<float>& table);
/// A table of 16 values that no library has.
std::vector<float> sine_table();

}  // namespace onnxport::test
