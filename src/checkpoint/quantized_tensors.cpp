#include "checkpoint/quantized_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "support/fail.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport {
namespace {

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

}  // namespace

QuantizedTensors::QuantizedTensors(std::vector<StoredTensor> tensors, const std::string& file)
    : file_(file), tensors_(std::move(tensors)), taken_(tensors_.size(), false) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) by_key_.emplace(tensors_[i].view.key, i);
}

const StoredTensor* QuantizedTensors::find(std::string_view key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &tensors_[found->second];
}

const StoredTensor& QuantizedTensors::require(std::string_view key, const StoredTensor& owner) const {
  const StoredTensor* tensor = find(key);
  if (tensor == nullptr) {
    fail(kBad, "tensor '{}' in {} has quantized values, but '{}' is missing", printable(owner.view.key),
         file_, printable(key));
  }
  return *tensor;
}

void QuantizedTensors::take(std::string_view key) {
  if (const StoredTensor* tensor = find(key)) take(*tensor);
}

void QuantizedTensors::add(std::string key, const Weight& weight) {
  const StoredTensor* other = find(key);
  if (other != nullptr && !is_taken(*other)) {
    fail(kBad, "tensor '{}' in {} occurs twice: plain and quantized", printable(key), file_);
  }
  added_.push_back({{.key = std::move(key), .dtype = weight.dtype(), .shape = weight.shape()}, weight});
}

std::vector<StoredTensor> QuantizedTensors::rest() && {
  std::vector<StoredTensor> result;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (!taken_[i]) result.push_back(std::move(tensors_[i]));
  }
  std::move(added_.begin(), added_.end(), std::back_inserter(result));
  return result;
}

void QuantizedTensors::fail_tensor(const StoredTensor& tensor, std::string_view expected,
                                   std::string_view why) const {
  fail(kBad, "tensor '{}' in {} is {}, expected {}: {}", printable(tensor.view.key), file_,
       describe(tensor.view), expected, why);
}

std::string describe(const TensorView& view) {
  return fmt::format("{}{}", to_string(view.dtype), text::shape_text(view.shape));
}

std::string_view stem(std::string_view key, std::string_view suffix) {
  return key.ends_with(suffix) ? key.substr(0, key.size() - suffix.size()) : std::string_view();
}

std::vector<std::int64_t> read_indices(const QuantizedTensors& tensors, const StoredTensor& tensor,
                                       std::int64_t end) {
  std::vector<std::int64_t> indices = tensor.as_weight().to_ints();
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= end) {
      fail(kBad, "tensor '{}' in {} has the group {}, expected at least 0 and less than {}",
           printable(tensor.view.key), tensors.file(), index, end);
    }
  }
  return indices;
}

}  // namespace onnxport
