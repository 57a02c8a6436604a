#include "checkpoint/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "checkpoint/adapter_keys.h"
#include "checkpoint/lora_module.h"
#include "checkpoint/spelling.h"
#include "ir/weight_compare.h"
#include "ir/weight_expr.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport {
namespace {

using Part = AdapterKey::Part;

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

std::string file_of(const Checkpoint& adapter) {
  return adapter.files().empty() ? adapter.name() : adapter.files().front().string();
}

std::string parent_of(std::string_view path) {
  return std::string(path.substr(0, path.rfind('.') == path.npos ? 0 : path.rfind('.')));
}

/// The weight as a computed one: files of an adapter are not the checkpoint's.
Weight without_place(const Weight& weight) {
  const detail::WeightExpr& expr = detail::WeightExpr::of(weight);
  return detail::WeightExpr::wrap({.source = expr.source, .shape = expr.shape, .name = expr.name});
}

/// A checkpoint with changes.
class Merger {
 public:
  Merger(const Checkpoint& base, const Checkpoint& adapter, const LoraSettings& settings)
      : base_(base), settings_(settings), file_(file_of(adapter)), key_of_(sort(adapter)) {}

  MergedCheckpoint merge() && {
    for (const auto& [path, tensor] : saved_) save(path, tensor);
    for (const auto& [path, module] : modules_) adapt(module);
    MergedCheckpoint result{.saved = std::move(saved_keys_), .modules = modules_.size()};
    std::vector<StoredTensor> tensors;
    for (const TensorView& view : base_.tensors()) {
      if (!changes_.contains(view.key)) tensors.push_back({view, view.file ? Weight() : base_.weight(view)});
    }
    for (auto& [key, tensor] : changes_) {
      result.changed.push_back(key);
      tensors.push_back(std::move(tensor));
    }
    result.checkpoint =
        std::make_shared<const Checkpoint>(std::move(tensors), base_.name(), base_.gguf(), base_.files());
    return result;
  }

 private:
  /// A tensor of the adapter that is none of LoRA.
  struct Saved {
    std::string key;
    Weight weight;
  };

  /// Sorts the tensors of the adapter into modules and saved ones.
  AdapterKeyMap sort(const Checkpoint& adapter) {
    std::vector<std::string> wanted;
    for (const TensorView& view : adapter.tensors()) {
      AdapterKey parsed = parse_adapter_key(view.key, file_);
      if (parsed.part == Part::original) continue;
      if (parsed.part == Part::saved) {
        wanted.push_back(parsed.path);
        // With trained biases, a saved module is there twice: by its own name, and by that of its wrapper.
        const bool wrapped = view.key.find(".modules_to_save.") != std::string::npos;
        if (wrapped && saved_.contains(parsed.path)) continue;
        saved_.insert_or_assign(std::move(parsed.path), Saved{view.key, adapter.weight(view)});
        continue;
      }
      LoraModule& module = modules_.try_emplace(parsed.path, LoraModule{parsed.path, file_}).first->second;
      if (!module.tensors.try_emplace(parsed.part, LoraModule::Tensor{view.key, adapter.weight(view)})
               .second) {
        fail(kBad, "tensor '{}' in {} occurs twice: also as '{}'", printable(view.key), file_,
             printable(module.find(parsed.part)->key));
      }
    }
    if (modules_.empty() && saved_.empty())
      fail(kBad, "{} has no tensors, expected those of an adapter", file_);
    for (const auto& [path, module] : modules_) wanted.push_back(path + ".weight");
    return {base_, wanted};
  }

  [[noreturn]] void fail_unmatched(const std::string& key, const std::string& what,
                                   const std::string& wanted) {
    const auto nearest = base_.nearest(wanted);
    fail(kBad,
         "tensor '{}' in {} {}; {} has no tensor '{}'{}{}; is this the base model of the adapter? If "
         "the module shares a weight that is stored under another name, {}",
         printable(key), file_, what, base_.name(), printable(wanted),
         nearest.empty() ? "" : "; nearest keys: ", text::join_quoted(nearest), kMergeFirst);
  }

  void save(const std::string& path, const Saved& saved) {
    std::string key = key_of_(path);
    const TensorView* replaced = find_spelled(base_, key);
    if (replaced == nullptr && !is_saved_module(path)) {
      if (is_copy(path, saved)) return;  // of a tied weight that the base model stores once
      fail_unmatched(saved.key, "is not one of modules_to_save", key);
    }
    if (replaced != nullptr) {
      key = replaced->key;
      std::vector<std::int64_t> expected = replaced->shape;
      // Another number of labels or tokens is a matter of the configuration.
      const std::vector<std::int64_t>& shape = saved.weight.shape();
      if (!expected.empty() && !shape.empty()) expected[0] = shape[0];
      if (expected != shape) {
        fail(kBad, "tensor '{}' in {} has shape {}, expected {}, like '{}' in {}", printable(saved.key),
             file_, text::shape_text(shape), text::shape_text(replaced->shape), key, base_.name());
      }
    }
    saved_keys_.push_back(key);
    change(key, without_place(saved.weight).named(key));
  }

  bool is_copy(const std::string& path, const Saved& saved) const {
    return std::any_of(saved_.begin(), saved_.end(), [&](const auto& other) {
      return other.first != path && find_spelled(base_, key_of_(other.first)) != nullptr &&
             same_elements(other.second.weight, saved.weight);
    });
  }

  void adapt(const LoraModule& module) {
    check_lora(module, settings_);
    const BaseTensor weight = present(module, ".weight");
    const Weight merged = merge_weight(module, weight, settings_, layout_near(weight));
    const LoraModule::Tensor* has_bias = module.find(Part::lora_bias);
    change(weight.key, merged);
    if (has_bias == nullptr) return;
    const BaseTensor bias = present(module, ".bias");
    const Weight added = merge_bias(module, bias, settings_);
    change(bias.key, added);
  }

  void change(const std::string& key, const Weight& weight) {
    changes_.insert_or_assign(
        key, StoredTensor{{.key = key, .dtype = weight.dtype(), .shape = weight.shape()}, weight});
  }

  /// The tensor of an adapted module, as it is so far.
  BaseTensor present(const LoraModule& module, std::string_view name) {
    const std::string key = key_of_(module.path + std::string(name));
    if (const auto changed = changes_.find(key); changed != changes_.end())
      return {key, changed->second.as_weight().named(key)};
    const TensorView* view = base_.find(key);
    if (view == nullptr) fail_unmatched(module.tensors.begin()->second.key, "adapts a module", key);
    return {key, base_.weight(*view)};
  }

  bool is_saved_module(const std::string& path) const {
    const auto& names = settings_.saved_modules;
    for (std::string module = parent_of(path); !module.empty(); module = parent_of(module)) {
      if (std::any_of(names.begin(), names.end(), [&](const auto& name) { return module.ends_with(name); }))
        return true;
    }
    return false;
  }

  /// A square weight is stored like others near it: below its parent, or else the parent of that, and so on.
  /// The length of a bias is the number of outputs.
  SquareLayout layout_near(const BaseTensor& tensor) const {
    const std::vector<std::int64_t>& square = tensor.weight.shape();
    if (square.size() != 2 || square[0] != square[1]) return SquareLayout::out_in;
    for (std::string parent = parent_of(parent_of(tensor.key));; parent = parent_of(parent)) {
      const std::string prefix = parent.empty() ? parent : parent + ".";
      const auto& all = base_.tensors();
      auto bias = std::lower_bound(all.begin(), all.end(), prefix,
                                   [](const TensorView& view, const auto& key) { return view.key < key; });
      for (; bias != all.end() && bias->key.starts_with(prefix); ++bias) {
        if (!bias->key.ends_with(".bias") || bias->shape.size() != 1) continue;
        const TensorView* weight = base_.find(parent_of(bias->key) + ".weight");
        if (weight == nullptr || weight->shape.size() != 2 || weight->shape[0] == weight->shape[1]) continue;
        return weight->shape[1] == bias->shape[0] ? SquareLayout::in_out : SquareLayout::out_in;
      }
      if (parent.empty()) return SquareLayout::out_in;
    }
  }

  const Checkpoint& base_;
  const LoraSettings& settings_;
  std::string file_;
  std::map<std::string, LoraModule> modules_;
  std::map<std::string, Saved> saved_;  // by path
  std::vector<std::string> saved_keys_;
  std::map<std::string, StoredTensor, std::less<>> changes_;
  AdapterKeyMap key_of_;
};

}  // namespace

MergedCheckpoint merge_adapter(const Checkpoint& base, const Checkpoint& adapter,
                               const LoraSettings& settings) {
  return Merger(base, adapter, settings).merge();
}

}  // namespace onnxport
