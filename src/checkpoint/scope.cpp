#include "onnxport/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/spelling.h"
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

/// Replaces the first occurrence of `part` in the key. `*` in `part` matches one name between dots, which
/// takes the place of `*` in `replacement`.
std::string replace_part(const std::string& key, std::string_view part, std::string_view replacement) {
  const std::size_t star = part.find('*');
  const std::string_view head = part.substr(0, star);
  const std::string_view tail = star == part.npos ? std::string_view() : part.substr(star + 1);
  for (std::size_t begin = key.find(head); begin != key.npos; begin = key.find(head, begin + 1)) {
    const std::size_t name = begin + head.size();
    std::size_t end = name;
    if (star != part.npos) end = std::min(key.find('.', name), key.size());
    if (key.compare(end, tail.size(), tail) != 0) continue;
    std::string made(replacement);
    if (star != part.npos) made.replace(made.find('*'), 1, key.substr(name, end - name));
    return key.substr(0, begin) + made + key.substr(end + tail.size());
  }
  return key;
}

/// The key that a newer version of the library stores; the same key if it has no other name.
std::string newer_name(const KeyNames& names, const std::string& key) {
  std::string newer = key;
  for (const auto& [part, replacement] : names.newer) newer = replace_part(newer, part, replacement);
  return newer;
}

/// Other keys that may hold the table of tokens, if the key is that of the table.
std::vector<std::string> tied_names(const KeyNames& names, const std::string& key) {
  std::vector<std::string> others;
  if (names.embeddings.empty() || key != names.embeddings.front()) return others;
  others.assign(names.embeddings.begin() + 1, names.embeddings.end());
  if (!names.head.empty()) others.push_back(names.head);
  return others;
}

}  // namespace

Scope::Scope(std::shared_ptr<const Checkpoint> checkpoint, std::shared_ptr<KeyAccounting> accounting,
             std::string path, std::shared_ptr<const KeyNames> names)
    : checkpoint_(std::move(checkpoint)),
      accounting_(std::move(accounting)),
      names_{path.size(), std::move(names)},
      path_(std::move(path)) {
  if (!checkpoint_ || !accounting_) {
    fail(ErrorCode::internal, "a scope needs a checkpoint and its accounting");
  }
}

Scope Scope::at(std::string path) const {
  Scope other = *this;
  other.path_ = std::move(path);
  return other;
}

Scope Scope::inside(std::vector<KeyNamesAt> outer) const {
  Scope other = *this;
  other.outer_ = std::move(outer);
  return other;
}

std::vector<std::string> Scope::candidates(const std::string& key) const {
  std::vector<KeyNamesAt> levels = outer_;
  levels.insert(levels.begin(), names_);
  std::erase_if(levels, [](const KeyNamesAt& level) { return level.names == nullptr; });
  std::vector<std::string> keys = {key};
  // Other names of the same weight come before other weights that may take its place.
  for (const bool newer : {true, false}) {
    for (const KeyNamesAt& level : levels) {
      const std::size_t root = level.path_size == 0 ? 0 : level.path_size + 1;
      const std::size_t known = keys.size();
      for (std::size_t i = 0; i < known; ++i) {
        if (keys[i].compare(0, root, key, 0, root) != 0) continue;  // outside of this model
        const std::string above = keys[i].substr(0, root), below = keys[i].substr(root);
        if (!newer) {
          for (const std::string& other : tied_names(*level.names, below)) keys.push_back(above + other);
        } else if (const std::string other = newer_name(*level.names, below); other != below) {
          keys.push_back(above + other);
        }
      }
    }
  }
  return keys;
}

std::string Scope::stored_key(std::string_view name) const {
  const std::string asked = join_path(path_, name);
  if (const TensorView* found = find_spelled(*checkpoint_, asked)) return found->key;
  for (const std::string& key : candidates(asked)) {
    if (const TensorView* found = find_spelled(*checkpoint_, key)) return found->key;
  }
  return {};
}

Scope Scope::operator/(std::string_view name) const { return at(join_path(path_, name)); }
Scope Scope::operator/(std::int64_t index) const { return *this / std::to_string(index); }

Scope Scope::base_model(std::string_view prefix) const {
  const Scope below = *this / prefix;
  const Scope& base = below.exists() ? below : *this;
  accounting_->mark_base(path_, base.path_);
  return base;
}

Scope Scope::with_newer(const KeyNames& part) const {
  if (part.newer.empty()) return *this;
  KeyNames both = names_.names ? *names_.names : KeyNames();
  both.newer.insert(both.newer.end(), part.newer.begin(), part.newer.end());
  Scope other = *this;
  other.names_.names = std::make_shared<const KeyNames>(std::move(both));
  return other;
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
  const TensorView* view = checkpoint_->find(stored_key(name));
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

bool Scope::stores(std::string_view name) const {
  return checkpoint_->find(join_path(path_, name)) != nullptr;
}
bool Scope::has(std::string_view name) const { return !stored_key(name).empty(); }

std::optional<std::vector<std::int64_t>> Scope::shape_of(std::string_view name) const {
  const TensorView* view = checkpoint_->find(stored_key(name));
  if (view == nullptr) return std::nullopt;
  return view->shape;
}

bool Scope::exists() const {
  if (path_.empty()) return checkpoint_->has_prefix({});
  const std::vector<std::string> prefixes = candidates(path_ + ".");
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return checkpoint_->has_prefix(prefix); });
}

void Scope::ignore(std::string_view name) const {
  const std::string key = join_path(path_, name);
  for (const std::string& prefix : candidates(key + "."))
    accounting_->mark_ignored(prefix.substr(0, prefix.size() - 1));
  if (const std::string stored = stored_key(name); !stored.empty()) accounting_->mark_ignored(stored);
  if (const std::string other = other_spelling(key); !other.empty()) accounting_->mark_ignored(other);
}

}  // namespace onnxport
