// SPDX-License-Identifier: Apache-2.0
#include "onnx_checker.h"

#include <onnx/defs/operator_sets.h>
#include <onnx/defs/operator_sets_ml.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

namespace onnxport {
namespace {

struct Entry {
  std::string_view domain;  // as in the names of onnx's classes
  int version;
  std::string_view name;
  onnx::OpSchema (*make)();
};

using namespace onnx;  // the class names below are declared there
constexpr Entry kEntries[] = {
#define X(domain, version, name) \
  {#domain, version, #name, &GetOpSchema<ONNX_OPERATOR_SET_SCHEMA_CLASS_NAME(domain, version, name)>},
#include "onnx_schemas.inc"
#undef X
};

// Sorted by name, then version.
static_assert(std::is_sorted(std::begin(kEntries), std::end(kEntries), [](const Entry& a, const Entry& b) {
  return a.name != b.name ? a.name < b.name : a.version < b.version;
}));

class LazySchemas final : public ISchemaRegistry {
 public:
  const OpSchema* GetSchema(const std::string& key, int max_version,
                            const std::string& domain) const override {
    std::string_view wanted;
    if (domain.empty() || domain == "ai.onnx") {
      wanted = "Onnx";
    } else if (domain == "ai.onnx.ml") {
      wanted = "OnnxML";
    } else {
      return nullptr;
    }
    const Entry* best = nullptr;
    const Entry* entry =
        std::lower_bound(std::begin(kEntries), std::end(kEntries), std::string_view(key),
                         [](const Entry& e, std::string_view name) { return e.name < name; });
    for (; entry != std::end(kEntries) && entry->name == key && entry->version <= max_version; ++entry) {
      if (entry->domain == wanted) best = entry;
    }
    if (best == nullptr) return nullptr;
    const std::lock_guard<std::mutex> lock(mutex_);
    std::unique_ptr<OpSchema>& schema = schemas_[best - kEntries];
    if (!schema) {
      auto made = std::make_unique<OpSchema>(best->make());
      made->Finalize();
      schema = std::move(made);
    }
    return schema.get();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::unique_ptr<OpSchema> schemas_[std::size(kEntries)];
};

}  // namespace

const onnx::ISchemaRegistry& onnx_schemas() {
  static const LazySchemas registry;
  return registry;
}

}  // namespace onnxport
