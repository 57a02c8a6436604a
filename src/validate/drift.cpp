#include "validate/drift.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace onnxport::validate {
namespace {

bool counts(double value) {
  constexpr double kSentinel = 1e6;  // see compare_outputs()
  return std::abs(value) < kSentinel;
}

std::ptrdiff_t largest_of(std::span<const double> row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

}  // namespace

VisibleTokens::VisibleTokens(const Interface& interface, const NamedTensors& inputs) {
  const Tensor* mask = find(inputs, "attention_mask");
  if (mask == nullptr || mask->shape.size() != 2) return;
  const TensorSpec* tokens = nullptr;
  for (const char* name : {"input_ids", "inputs_embeds"})
    if (tokens == nullptr) tokens = interface.find_input(name);
  if (tokens == nullptr || !tokens->axes.contains(1)) return;
  for (const TensorSpec& output : interface.outputs) {
    const auto axis = output.axes.find(1);
    if (axis != output.axes.end() && axis->second.name == tokens->axes.at(1).name)
      outputs_.push_back(output.name);
  }
  mask_ = mask->to_ints();
  length_ = static_cast<std::size_t>(mask->shape[1]);
}

std::vector<bool> VisibleTokens::rows(const std::string& output,
                                      const std::vector<std::int64_t>& shape) const {
  if (shape.size() < 3 || std::find(outputs_.begin(), outputs_.end(), output) == outputs_.end())
    return {true};
  const auto batch = static_cast<std::size_t>(shape[0]), tokens = static_cast<std::size_t>(shape[1]);
  if (tokens > length_) return {true};
  std::vector<bool> visible;
  for (std::size_t row = 0; row < batch; ++row) {
    for (std::size_t i = length_ - tokens; i < length_; ++i)  // the mask begins with the past
      visible.push_back(mask_.at(row * length_ + i) != 0);
  }
  return visible;
}

DriftMeter::Sums& DriftMeter::sums_of(const std::string& output) {
  const auto found =
      std::find_if(outputs_.begin(), outputs_.end(), [&](const Sums& one) { return one.output == output; });
  if (found != outputs_.end()) return *found;
  outputs_.push_back({.output = output});
  return outputs_.back();
}

void DriftMeter::add(const NamedTensors& got, const NamedTensors& original, const VisibleTokens& visible) {
  for (const auto& [name, expected] : original) {
    const Tensor* tensor = find(got, name);
    if (tensor == nullptr || !is_float(expected.dtype) || tensor->shape != expected.shape) continue;
    Sums& sums = sums_of(name);
    const std::vector<double> a = tensor->to_doubles(), b = expected.to_doubles();
    if (a.empty()) continue;
    const std::vector<bool> rows = visible.rows(name, expected.shape);
    const std::size_t inner = a.size() / rows.size();
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!counts(a[i]) || !counts(b[i]) || !rows[i / inner]) continue;
      const double difference = std::abs(a[i] - b[i]);
      sums.largest = std::max(sums.largest, difference);
      sums.total += difference;
      sums.product += a[i] * b[i];
      sums.of_got += a[i] * a[i];
      sums.of_original += b[i] * b[i];
      ++sums.count;
    }
    const std::size_t width =
        name == "logits" && !expected.shape.empty() ? static_cast<std::size_t>(expected.shape.back()) : 0;
    for (std::size_t at = 0; width > 1 && at + width <= a.size(); at += width) {
      if (!rows[at / inner]) continue;
      ++sums.rows;
      sums.same += largest_of({a.data() + at, width}) == largest_of({b.data() + at, width}) ? 1 : 0;
    }
  }
}

std::vector<Drift> DriftMeter::result() const {
  std::vector<Drift> drifts;
  for (const Sums& sums : outputs_) {
    Drift& drift = drifts.emplace_back();
    drift.output = sums.output;
    drift.bound = bound_;
    if (sums.count == 0) continue;
    drift.max_difference = sums.largest;
    drift.mean_difference = sums.total / static_cast<double>(sums.count);
    const double lengths = std::sqrt(sums.of_got) * std::sqrt(sums.of_original);
    if (lengths > 0) drift.cosine = sums.product / lengths;
    if (lengths == 0 && sums.of_got != sums.of_original) drift.cosine = 0;
    if (sums.rows > 0) drift.agreement = static_cast<double>(sums.same) / static_cast<double>(sums.rows);
  }
  return drifts;
}

}  // namespace onnxport::validate
