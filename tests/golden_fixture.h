/// Fixtures of tests/golden: the recipe of a checkpoint, and what the original model answers. See
/// tests/golden/README.md.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "onnxport/tensor.h"

namespace onnxport::test {

/// One set of inputs with the outputs of the original.
struct GoldenCase {
  std::string name;
  NamedTensors inputs;
  NamedTensors outputs;
  double atol = 0;
};

/// One ONNX file of a fixture.
struct GoldenFile {
  std::string stem;  ///< "model"
  std::vector<std::pair<std::string, std::map<int, std::string>>> inputs,
      outputs;  ///< names with dynamic axes
  std::vector<GoldenCase> cases;
};

struct GoldenFixture {
  std::filesystem::path folder;
  std::string task;
  std::string library;
  std::string variant;
  bool monolith = false;
  double atol = 0;
  std::vector<GoldenFile> files;
};

/// The fixtures <model type>/<task>[+<variant>] of tests/golden, sorted: "bert/fill-mask+untied".
std::vector<std::string> golden_fixtures();

/// Whether the fixture is the first of its model type and task, by name: "bert/fill-mask" of all
/// "bert/fill-mask+…".
bool is_first_of_task(const std::string& name);

/// One fixture of each model type: the first of its last task, which has a cache where there is one.
std::vector<std::string> fixture_of_each_type();

/// Whether the fixture has cases of an ONNX file. Reads none of them.
bool has_file(const std::string& name, const std::string& stem);

GoldenFixture read_fixture(const std::string& name);

/// Writes the checkpoint folder of a fixture: configs copied, weights made by the recipe.
void synthesize(const GoldenFixture& fixture, const std::filesystem::path& checkpoint);

/// The library that a user names to open a checkpoint in this folder as one of `library`; empty where the
/// folder tells. A folder of Sentence Transformers may also be opened as the transformer that is its first
/// module.
std::string named_library(const std::filesystem::path& folder, const std::string& library);

/// The tensors of a safetensors file.
NamedTensors read_safetensors(const std::filesystem::path& file);
void write_safetensors(const std::filesystem::path& file, const NamedTensors& tensors);

}  // namespace onnxport::test
