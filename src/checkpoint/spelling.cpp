#include "checkpoint/spelling.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace onnxport {
namespace {

/// Pairs of key endings: the name that a module asks for, and another name under which it may be stored.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kSpellings = {{
    {"weight", "gamma"},
    {"bias", "beta"},
    {"parametrizations.weight.original0", "weight_g"},
    {"parametrizations.weight.original1", "weight_v"},
    {"weight_g", "parametrizations.weight.original0"},
    {"weight_v", "parametrizations.weight.original1"},
}};

}  // namespace

std::string other_spelling(std::string_view key) {
  for (const auto& [asked, stored] : kSpellings) {
    if (!key.ends_with(asked)) continue;
    const std::string_view stem = key.substr(0, key.size() - asked.size());
    if (stem.empty() || stem.ends_with('.')) return fmt::format("{}{}", stem, stored);
  }
  return {};
}

const TensorView* find_spelled(const Checkpoint& checkpoint, std::string_view key) {
  if (const TensorView* view = checkpoint.find(key)) return view;
  const std::string other = other_spelling(key);
  return other.empty() ? nullptr : checkpoint.find(other);
}

}  // namespace onnxport
