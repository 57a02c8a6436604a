/// The tensors of a quantized checkpoint while they are put together.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/quantization.h"

namespace onnxport {

/// The tensors of a checkpoint. Some are removed and some are replaced.
class QuantizedTensors {
 public:
  QuantizedTensors(std::vector<StoredTensor> tensors, const std::string& file);

  const std::string& file() const { return file_; }
  std::size_t size() const { return tensors_.size(); }
  const StoredTensor& operator[](std::size_t i) const { return tensors_[i]; }
  bool is_taken(const StoredTensor& tensor) const { return taken_[index_of(tensor)]; }

  /// Null if there is none.
  const StoredTensor* find(std::string_view key) const;
  /// Throws ExportError(bad_checkpoint) if there is none: `owner` is the tensor that needs it.
  const StoredTensor& require(std::string_view key, const StoredTensor& owner) const;

  /// Marks a tensor that is only a part of another one.
  void take(const StoredTensor& tensor) { taken_[index_of(tensor)] = true; }
  /// The same if there is such a tensor.
  void take(std::string_view key);
  /// Throws ExportError(bad_checkpoint) if there is already a tensor with this key that is not taken.
  void add(std::string key, const Weight& weight);

  /// Whether any tensor was replaced.
  bool changed() const { return !added_.empty(); }
  std::vector<StoredTensor> rest() &&;

  /// Throws ExportError(bad_checkpoint): the tensor is not as expected, and `why`.
  [[noreturn]] void fail_tensor(const StoredTensor& tensor, std::string_view expected,
                                std::string_view why) const;

 private:
  std::size_t index_of(const StoredTensor& tensor) const {
    return static_cast<std::size_t>(&tensor - tensors_.data());
  }

  const std::string& file_;
  std::vector<StoredTensor> tensors_, added_;
  std::vector<bool> taken_;
  std::map<std::string, std::size_t, std::less<>> by_key_;
};

/// "float32[2, 3]"
std::string describe(const TensorView& view);

/// `key` without `suffix`, or nothing.
std::string_view stem(std::string_view key, std::string_view suffix);

/// The integers of a small tensor of indices. Throws ExportError(bad_checkpoint) if one is not in [0, end).
std::vector<std::int64_t> read_indices(const QuantizedTensors& tensors, const StoredTensor& tensor,
                                       std::int64_t end);

// One function for each method of quantization.h.
void dequantize_gptq(QuantizedTensors& tensors, const PackedFormat& format);
void dequantize_awq(QuantizedTensors& tensors, const PackedFormat& format);
void dequantize_compressed(QuantizedTensors& tensors, const CompressedFormat& format);
void dequantize_bitsandbytes(QuantizedTensors& tensors);

}  // namespace onnxport
