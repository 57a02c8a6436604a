#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ir/weight_compare.h"
#include "measure/weights.h"
#include "onnxport/diff.h"
#include "serialize/stored_tensors.h"
#include "support/text.h"

namespace onnxport {
namespace {

using serialize::StoredTensor;

constexpr std::int64_t kSmall = 8;  // elements

std::int64_t count_of(const StoredTensor& tensor) {
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.shape) count *= extent;
  return count;
}

std::string type_of(const StoredTensor& tensor) { return tensor.type + text::shape_text(tensor.shape); }

/// The name without the suffixes of casts, which this program appends.
std::string plain(std::string name) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    const std::string suffix = "." + std::string(short_name(dtype));
    const std::size_t at = name.find(suffix);
    if (at != std::string::npos) name.erase(at, suffix.size());
  }
  return name;
}

/// The tensors of one file.
class Side {
 public:
  explicit Side(const std::filesystem::path& path) : tensors(serialize::stored_tensors(path)) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      by_name_.emplace(tensors[i].name, i);
      by_plain_name_.emplace(plain(tensors[i].name), i);
      by_form_[form(tensors[i])].push_back(i);
    }
    matched.resize(tensors.size());
    hashes_.resize(tensors.size());
  }

  const StoredTensor* find(const std::string& name) const {
    if (const auto found = by_name_.find(name); found != by_name_.end()) return &tensors[found->second];
    const auto found = by_plain_name_.find(plain(name));
    return found == by_plain_name_.end() ? nullptr : &tensors[found->second];
  }
  std::size_t index_of(const StoredTensor& tensor) const {
    return static_cast<std::size_t>(&tensor - tensors.data());
  }

  /// A tensor with the same elements as that of the other side, in any order of the axes: one without a
  /// partner, if there is one.
  std::optional<std::pair<std::size_t, bool>> find_content(const StoredTensor& wanted, std::string& hash) {
    std::optional<std::pair<std::size_t, bool>> best;
    const auto candidates = by_form_.find(form(wanted));
    if (candidates == by_form_.end() || !wanted.weight) return best;
    if (hash.empty()) hash = measure::unordered_hash(wanted.weight);
    for (const std::size_t i : candidates->second) {
      if (!tensors[i].weight || (best && matched[i])) continue;
      if (hashes_[i].empty()) hashes_[i] = measure::unordered_hash(tensors[i].weight);
      if (hashes_[i] != hash) continue;
      const auto axes = measure::same_by_permutation(wanted.weight, tensors[i].weight);
      if (!axes) continue;
      best = {i, !std::ranges::is_sorted(*axes)};
      if (!matched[i]) break;
    }
    return best;
  }

  std::string& hash(std::size_t i) { return hashes_[i]; }

  std::vector<StoredTensor> tensors;
  std::vector<bool> matched;  ///< has a partner

 private:
  /// What tensors have in common that are the same but for the order of their axes.
  static std::string form(const StoredTensor& tensor) {
    std::vector<std::int64_t> extents = tensor.shape;
    std::ranges::sort(extents);
    return tensor.type + text::shape_text(extents);
  }

  std::map<std::string, std::size_t> by_name_, by_plain_name_;
  std::map<std::string, std::vector<std::size_t>> by_form_;
  std::vector<std::string> hashes_;
};

/// Tensors of `own` that have the elements of a tensor of `other`: pairs of own and other.
void match_contents(Side& own, Side& other, bool swapped, WeightsDiff& diff) {
  for (std::size_t i = 0; i < own.tensors.size(); ++i) {
    const StoredTensor& tensor = own.tensors[i];
    if (own.matched[i] || count_of(tensor) < kSmall) continue;
    const auto found = other.find_content(tensor, own.hash(i));
    if (!found) continue;
    const auto [index, transposed] = *found;
    own.matched[i] = true;
    other.matched[index] = true;
    TextDiff pair{"", tensor.name, other.tensors[index].name};
    if (swapped) std::swap(pair.a, pair.b);
    (transposed ? diff.transposed : diff.renamed).push_back(std::move(pair));
  }
}

/// What is left of one file.
void list_rest(const Side& side, bool swapped, std::vector<WeightDiff>& list, std::size_t& small) {
  for (std::size_t i = 0; i < side.tensors.size(); ++i) {
    const StoredTensor& tensor = side.tensors[i];
    if (side.matched[i]) continue;
    if (count_of(tensor) < kSmall) {
      ++small;
      continue;
    }
    WeightDiff one{tensor.name, "", type_of(tensor), "", tensor.bytes};
    if (swapped) {
      std::swap(one.a, one.b);
      std::swap(one.type_a, one.type_b);
    }
    list.push_back(std::move(one));
  }
}

}  // namespace

WeightsDiff diff_weights(const std::filesystem::path& a, const std::filesystem::path& b) {
  Side first(a), second(b);
  WeightsDiff diff;
  diff.count_a = first.tensors.size();
  diff.count_b = second.tensors.size();
  for (const StoredTensor& tensor : first.tensors) diff.bytes_a += tensor.bytes;
  for (const StoredTensor& tensor : second.tensors) diff.bytes_b += tensor.bytes;
  // Names first: most files name weights after modules. Then contents, because names that an exporter made up
  // mean nothing. What has the same name and shape still, was changed.
  const auto for_each_pair = [&](auto&& fn) {
    for (std::size_t i = 0; i < first.tensors.size(); ++i) {
      if (first.matched[i]) continue;
      const StoredTensor& tensor = first.tensors[i];
      const StoredTensor* other = second.find(tensor.name);
      if (other == nullptr || second.matched[second.index_of(*other)]) continue;
      if (other->shape != tensor.shape || !tensor.weight || !other->weight || !fn(tensor, *other)) continue;
      first.matched[i] = true;
      second.matched[second.index_of(*other)] = true;
    }
  };
  for_each_pair([&](const StoredTensor& x, const StoredTensor& y) {
    if (x.name != y.name || x.type != y.type || !same_elements(x.weight, y.weight)) return false;
    ++diff.same;
    return true;
  });
  match_contents(first, second, false, diff);
  match_contents(second, first, true, diff);
  for_each_pair([&](const StoredTensor& x, const StoredTensor& y) {
    if (count_of(x) < kSmall || x.weight.shape() != y.weight.shape()) return false;
    diff.changed.push_back(
        {x.name, y.name, type_of(x), type_of(y), x.bytes, measure::largest_difference(x.weight, y.weight)});
    return true;
  });
  std::ranges::stable_sort(diff.changed, std::ranges::greater{}, &WeightDiff::max_difference);
  list_rest(first, false, diff.only_a, diff.small_a);
  list_rest(second, true, diff.only_b, diff.small_b);
  return diff;
}

}  // namespace onnxport
