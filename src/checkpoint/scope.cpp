#include "onnxport/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport {
namespace {

std::string join_path(std::string_view path, std::string_view name) {
  if (path.empty()) return std::string(name);
  if (name.empty()) return std::string(path);
  return fmt::format("{}.{}", path, name);
}

/// Pairs of key endings: the name that a module asks for, and another name under which it may be stored.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kSpellings = {{
    {"weight", "gamma"},
    {"bias", "beta"},
    {"parametrizations.weight.original0", "weight_g"},
    {"parametrizations.weight.original1", "weight_v"},
    {"weight_g", "parametrizations.weight.original0"},
    {"weight_v", "parametrizations.weight.original1"},
}};

/// The other spelling of a key, or nothing.
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

}  // namespace

Scope::Scope(std::shared_ptr<const Checkpoint> checkpoint, std::shared_ptr<KeyAccounting> accounting,
             std::string path)
    : checkpoint_(std::move(checkpoint)), accounting_(std::move(accounting)), path_(std::move(path)) {
  if (!checkpoint_ || !accounting_) {
    fail(ErrorCode::internal, "a scope needs a checkpoint and its accounting");
  }
}

Scope Scope::operator/(std::string_view name) const {
  return {checkpoint_, accounting_, join_path(path_, name)};
}
Scope Scope::operator/(std::int64_t index) const { return *this / std::to_string(index); }

Scope Scope::base_model(std::string_view prefix) const {
  const Scope below = *this / prefix;
  const Scope& base = below.exists() ? below : *this;
  accounting_->mark_base(path_, base.path_);
  return base;
}

Weight Scope::weight(std::string_view name, const std::vector<std::int64_t>& shape) const {
  if (Weight found = try_weight(name, shape)) return found;
  const std::string key = join_path(path_, name);
  const std::string why = checkpoint_->why_absent(key);
  if (!why.empty()) {
    fail(ErrorCode::bad_checkpoint, "tensor '{}' of shape {} is missing: {}; download both again", key,
         text::shape_text(shape), why);
  }
  const auto nearest = checkpoint_->nearest(key);
  fail(ErrorCode::bad_checkpoint, "tensor '{}' of shape {} is missing in {}{}{}", key,
       text::shape_text(shape), checkpoint_->name(),
       nearest.empty() ? "" : "; nearest keys: ", text::join_quoted(nearest));
}

Weight Scope::try_weight(std::string_view name, const std::vector<std::int64_t>& shape) const {
  const TensorView* view = find_spelled(*checkpoint_, join_path(path_, name));
  if (view == nullptr) return {};
  if (view->shape != shape) {
    accounting_->mark_misfit(view->key);
    fail(ErrorCode::bad_checkpoint, "tensor '{}' in {} has shape {}, expected {}", view->key,
         view->file ? view->file->name() : checkpoint_->name(), text::shape_text(view->shape),
         text::shape_text(shape));
  }
  accounting_->mark_read(view->key);
  return checkpoint_->weight(*view);
}

bool Scope::has(std::string_view name) const {
  return find_spelled(*checkpoint_, join_path(path_, name)) != nullptr;
}

std::optional<std::vector<std::int64_t>> Scope::shape_of(std::string_view name) const {
  const TensorView* view = find_spelled(*checkpoint_, join_path(path_, name));
  if (view == nullptr) return std::nullopt;
  return view->shape;
}

bool Scope::exists() const { return checkpoint_->has_prefix(path_.empty() ? std::string() : path_ + "."); }

void Scope::ignore(std::string_view name) const {
  const std::string key = join_path(path_, name);
  accounting_->mark_ignored(key);
  if (const std::string other = other_spelling(key); !other.empty()) accounting_->mark_ignored(other);
}

}  // namespace onnxport
