#include "exporter/proof.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "onnxport/tasks_manager.h"
#include "support/json.h"
#include "support/text.h"

namespace onnxport {
namespace exporter {
namespace {

using nlohmann::json;

struct Row {
  std::string_view library, model_type, fixtures;
};
const Row table[] = {
#include "exporter/proof_table.inc"
};

/// Do these fixtures exercise the class? 1 needs no fixture of its own where other numbers have one: it is
/// what a product ignores.
bool covers(const TaskFixtures& fixtures, const std::string& token) {
  if (fixtures.tokens.contains(token)) return true;
  return token.ends_with(":1") && fixtures.tokens.contains(token.substr(0, token.size() - 1) + "n");
}

/// Which fixtures of a type exercise a class, the best first.
enum class Where { here, elsewhere, nowhere };

Where find(const TypeFixtures& fixtures, const TaskFixtures& own, const std::string& token) {
  if (covers(own, token)) return Where::here;
  const bool elsewhere = std::any_of(fixtures.begin(), fixtures.end(),
                                     [&](const auto& task) { return covers(task.second, token); });
  return elsewhere ? Where::elsewhere : Where::nowhere;
}

}  // namespace

std::optional<TypeFixtures> fixtures_of(std::string_view library, std::string_view model_type) {
  const auto* const row = std::find_if(std::begin(table), std::end(table), [&](const Row& one) {
    return one.library == library && one.model_type == model_type;
  });
  if (row == std::end(table)) return {};
  const json fixtures = parse_json<json>(row->fixtures);
  TypeFixtures types;
  std::vector<TaskFixtures*> tasks;
  for (const json& task : fixtures.at("tasks")) {
    TaskFixtures& one = types[task.at(0).get<std::string>()];
    one.count = task.at(1).get<std::map<std::string, std::int64_t>>();
    tasks.push_back(&one);
  }
  for (const auto& [of, tokens] : fixtures.at("tokens").items()) {
    const std::uint64_t bits = std::stoull(of, nullptr, 16);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      if ((bits >> i & 1) != 0) tasks[i]->tokens.insert(tokens.begin(), tokens.end());
    }
  }
  return types;
}

std::vector<Exercised> exercised(const Model& model) {
  std::vector<ReadKey> keys = model.config().read_keys();
  // The format of the weights is none of the definition's business.
  std::erase_if(keys, [](const ReadKey& read) {
    return read.path == "quantization_config" || read.key == "quantization_config";
  });
  return exercised(model.definition().model_type, keys);
}

Proof compare(const TypeFixtures& fixtures, const std::string& task, const std::vector<Exercised>& values) {
  Proof proof;
  const auto own = fixtures.find(task);
  if (own == fixtures.end()) return proof;
  for (const auto& [version, count] : own->second.count) {
    proof.fixtures += count;
    proof.versions.push_back(version);
  }
  std::map<std::string, Where> objects;
  for (const Exercised& value : values) {
    const auto outer = objects.find(value.inside);
    const Where around = outer == objects.end() ? Where::here : outer->second;
    const Where where = std::max(around, find(fixtures, own->second, value.token));
    objects[value.token] = where;
    if (where == around) continue;  // the object stands for its content
    (where == Where::elsewhere ? proof.covered_elsewhere : proof.not_covered).push_back(value.text);
  }
  return proof;
}

}  // namespace exporter

Proof get_proof(const Model& model) {
  const ModelDefinition& definition = model.definition();
  if (!TasksManager::instance().is_built_in(definition.model_type, definition.library)) return {};
  const auto fixtures = exporter::fixtures_of(definition.library, definition.model_type);
  if (!fixtures) return {};
  Proof proof = exporter::compare(*fixtures, model.task(), exporter::exercised(model));
  if (definition.library == "timm" || definition.library == "diffusers") {
    for (std::string& version : proof.versions) version.insert(0, definition.library + " ");
  }
  return proof;
}

std::string to_string(const Proof& proof) {
  if (proof.fixtures == 0) return "no fixture proves this definition";
  // Versions of another library have its name in front.
  const bool named = !proof.versions.empty() && proof.versions.front().find(' ') != std::string::npos;
  std::string text =
      fmt::format("definition proven by {} fixture{} ({}{})", proof.fixtures, proof.fixtures == 1 ? "" : "s",
                  named ? "" : "transformers ", text::join(proof.versions));
  if (!proof.not_covered.empty())
    text += fmt::format("; not covered by any of them: {}", text::join(proof.not_covered));
  if (!proof.covered_elsewhere.empty())
    text += fmt::format("; covered only by those of other tasks: {}", text::join(proof.covered_elsewhere));
  return text;
}

}  // namespace onnxport
