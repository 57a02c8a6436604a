/// The values that fixtures exercise: the table behind get_proof(), and how a configuration is compared with
/// it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/proof.h"

namespace onnxport::exporter {

/// A value of a configuration, or a nested object.
struct Exercised {
  std::string token;  ///< its class, as the table has it: `hidden_act=gelu`, `hidden_size:n`, `rope_scaling`
  std::string text;   ///< for people: `hidden_size=768`
  std::string inside = {};  ///< token of the object that it lies in; empty: the whole file
};

/// The classes of the values that a definition read, each once; objects come before their values.
/// `definition`: the type that the definition is registered for.
///
/// Strings count as they are, those in a list each for itself and without digits (`stage4`). null, false and
/// an empty list are one class, true is another, a list of numbers a third. Numbers are negative, 0, 1 or any
/// other; ids of tokens are any. Where a definition compares a number with another one (heads of keys and of
/// queries), it equals that, is 1 or any other; head_dim is 1 where heads share the hidden size. A nested
/// object counts as one with its model_type, where it has one of its own.
std::vector<Exercised> exercised(std::string_view definition, const std::vector<ReadKey>& keys);

/// The same of a model, for the keys that it has read so far.
std::vector<Exercised> exercised(const Model& model);

/// The values that the fixtures of one task exercise.
struct TaskFixtures {
  std::map<std::string, std::int64_t> count;  ///< by version of transformers
  std::set<std::string> tokens;
};
using TypeFixtures = std::map<std::string, TaskFixtures>;  // by task

/// Of the built-in table; nothing for a type without fixtures.
std::optional<TypeFixtures> fixtures_of(std::string_view library, std::string_view model_type);

Proof compare(const TypeFixtures& fixtures, const std::string& task, const std::vector<Exercised>& values);

}  // namespace onnxport::exporter
