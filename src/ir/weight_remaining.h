/// Which elements of a buffer nobody has read yet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace onnxport::detail {

/// Elements [0, n) that are taken in ranges, in any order. A range may be taken again, in part or as a whole.
class Remaining {
 public:
  explicit Remaining(std::int64_t n) : count_(n) {}

  /// How many elements were never taken.
  std::int64_t count() const { return count_; }

  void take(std::int64_t begin, std::int64_t end) {
    auto next = taken_.lower_bound(begin);
    if (next != taken_.begin() && std::prev(next)->second >= begin) --next;
    while (next != taken_.end() && next->first <= end) {
      count_ += next->second - next->first;
      begin = std::min(begin, next->first);
      end = std::max(end, next->second);
      next = taken_.erase(next);
    }
    count_ -= end - begin;
    taken_.emplace(begin, end);
  }

 private:
  std::int64_t count_;
  std::map<std::int64_t, std::int64_t> taken_;  ///< begin and end of ranges with a gap between them
};

}  // namespace onnxport::detail
