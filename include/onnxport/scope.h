/// Scope: the key path of a module, and its weights in the checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/weight.h"

namespace onnxport {

class Checkpoint;     // src/checkpoint/checkpoint.h: the tensors of a folder
class KeyAccounting;  // src/checkpoint/accounting.h: which keys were asked for

/// Other keys under which a checkpoint may store the weights that modules ask for. Keys begin at the root of
/// the model.
struct KeyNames {
  /// Makes the key that a newer version of the library stores from the key that a module asks for: each pair
  /// replaces the first occurrence of a part of the key, one pair after the other. A `*` stands for one name
  /// between dots.
  std::vector<std::pair<std::string, std::string>> newer = {};
  /// The table of tokens: the key that modules ask for, then others that may hold the same weight.
  std::vector<std::string> embeddings = {};
  /// The output layer that may be tied to that table. A checkpoint may store the tied weight only here.
  std::string head = {};
};

/// Names for the keys of a model that begins at a place in the tree.
struct KeyNamesAt {
  std::size_t path_size = 0;  ///< of its path
  std::shared_ptr<const KeyNames> names = {};
};

/// A place in the tree of modules, which is also a prefix of checkpoint keys. A module takes a scope in its
/// constructor, asks it for weights, and passes `s / "child"` to its parts, so the caller of a constructor
/// composes the key path. Every requested key is recorded. If a key was never read, the export fails and
/// names it.
///
/// Scope also handles other spellings: `gamma`/`beta` for `weight`/`bias` of norms, `weight_g`/`weight_v` for
/// `parametrizations.weight.original0/1`, and the KeyNames of the model.
class ONNXPORT_API Scope {
 public:
  /// `names` hold for keys below the given path.
  Scope(std::shared_ptr<const Checkpoint> checkpoint, std::shared_ptr<KeyAccounting> accounting,
        std::string path = {}, std::shared_ptr<const KeyNames> names = {});

  /// The module one level down: `s / "encoder" / "layer" / 0`. A dotted name goes several levels down. An
  /// empty name gives the same scope.
  Scope operator/(std::string_view name) const;
  Scope operator/(std::int64_t index) const;

  /// The base model inside a checkpoint of a model with a head (`bert.…`): the scope below `prefix` if it has
  /// any keys, else this scope (a checkpoint of the bare base model has no prefix).
  Scope base_model(std::string_view prefix) const;

  /// The same place inside of a part that has newer names of its own.
  Scope with_newer(const KeyNames& part) const;

  /// The same place, whose model is a part of others: their names hold too. From the inside out.
  Scope inside(std::vector<KeyNamesAt> outer) const;

  /// The key path of this scope, without the final dot.
  const std::string& path() const { return path_; }

  /// The tensor `path.name` of exactly this shape. Throws ExportError(bad_checkpoint) that names the key, the
  /// expected shape, and the shape found (or the nearest keys).
  Weight weight(std::string_view name, const std::vector<std::int64_t>& shape) const;
  /// The tensor, or an empty Weight if the checkpoint has no tensor of that name. Still checks the shape.
  Weight try_weight(std::string_view name, const std::vector<std::int64_t>& shape) const;
  /// Whether there is a tensor `path.name`, in any spelling. Does not count as reading it.
  bool has(std::string_view name) const;
  /// The same for the name itself, in no other spelling.
  bool stores(std::string_view name) const;
  /// The stored shape of the tensor, if there is one. Does not count as reading it.
  std::optional<std::vector<std::int64_t>> shape_of(std::string_view name) const;
  /// Whether there are any keys below this scope.
  bool exists() const;
  /// Declares `path.name` (a tensor, or everything below it) as known but not needed: a copy of a tied
  /// weight, a stored buffer.
  void ignore(std::string_view name) const;

 private:
  Scope at(std::string path) const;
  /// The keys that may hold what `key` names, itself first.
  std::vector<std::string> candidates(const std::string& key) const;
  /// The key of a stored tensor for the key `path.name`; empty if there is none.
  std::string stored_key(std::string_view name) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  std::shared_ptr<KeyAccounting> accounting_;
  KeyNamesAt names_;
  std::vector<KeyNamesAt> outer_;
  std::string path_;
};

}  // namespace onnxport
