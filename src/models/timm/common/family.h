/// Families of architectures of the library timm: how one is registered, and the ends of their networks.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "models/timm/common/timm_config.h"

namespace onnxport::models {

struct TimmOutputs {
  Value features;  ///< before pooling: [B, C, H, W] or [B, tokens, H], as the original has them
  Value logits;    ///< [B, classes]; without classes the pooled features
};

/// A family: architectures with the same blocks.
struct TimmFamily {
  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();  ///< stages

  std::string name;
  std::vector<std::string> architectures;
  /// pixel_values [B, C, H, W] -> the results of the whole network. `s`: the root of its keys.
  std::function<TimmOutputs(const Scope& s, const TimmConfig& c, Value pixel_values)> run;
  /// The images after the stem and each stage, up to number `last`: [B, C, H', W']. Absent: the family is no
  /// backbone. Throws ExportError(bad_config) for a stage that does not exist.
  std::function<std::vector<Value>(const Scope& s, const TimmConfig& c, Value pixel_values,
                                   std::int64_t last)>
      stages = {};
  /// The keys of a backbone, where they differ: timm takes apart what is a sequence of modules.
  KeyNames key_names = {};
};

/// The definition of a family, but for its configuration class.
ModelDefinition timm_definition(TimmFamily family);

/// The names in a table of architectures.
template <class Table>
std::vector<std::string> architectures_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& [name, parameters] : table) names.push_back(name);
  return names;
}

/// The entry of an architecture in the table of its family. Throws ExportError(unsupported) if it has none.
template <class Table>
const typename Table::mapped_type& architecture_in(const Table& table, const TimmConfig& c) {
  const auto found = table.find(c.architecture());
  if (found == table.end()) c.refuse("the family has no architecture '" + c.architecture() + "'");
  return found->second;
}

/// An activation by timm's name for it. Throws ExportError(bad_config) for an unknown one.
std::function<Value(Value)> timm_activation(const std::string& name);

/// The pixels of an image as one vector: [B, C, H, W] -> [B, C], or [B, 2 C] for "catavgmax". Throws
/// ExportError(bad_config) for another kind than avg, max, avgmax or catavgmax.
Value pool_image(Value image, const std::string& kind);
/// The width of the result for images of this many channels.
std::int64_t pooled_width(std::int64_t channels, const std::string& kind);

/// The last layer of a network. [B, width] -> [B, classes]; the same without classes.
Value classify(const Scope& s, const TimmConfig& c, Value pooled, std::int64_t width);
/// Pooling and the last layer.
Value classify_image(const Scope& s, const TimmConfig& c, Value image, std::int64_t channels);

}  // namespace onnxport::models
