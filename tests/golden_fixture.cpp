#include "golden_fixture.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "checkpoint/safetensors.h"
#include "support/convert.h"
#include "support/dtype_names.h"
#include "support/file.h"
#include "support/json.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

fs::path golden_dir() { return fs::path(source_dir()) / "tests" / "golden"; }

json read_json(const fs::path& file) { return parse_json<json>(read_text_file(file)); }

// FNV-1a of the name and splitmix64 of the index: the formula of tests/golden/README.md.
std::uint64_t fnv1a64(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

Tensor synthetic(const std::string& name, std::uint64_t seed, const json& recipe) {
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
  Tensor tensor(parse_dtype(recipe.at("dtype").get<std::string>()),
                recipe.at("shape").get<std::vector<std::int64_t>>());
  const double mean = recipe.at("mean").get<float>();
  const double halfwidth = recipe.at("halfwidth").get<float>();
  const std::uint64_t base = fnv1a64(name) ^ (seed * kGolden);
  std::vector<float> values(static_cast<std::size_t>(tensor.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint64_t x = base + (i + 1) * kGolden;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    x = x ^ (x >> 31);
    values[i] = static_cast<float>(mean + halfwidth * (static_cast<double>(x >> 40) * 0x1p-23 - 1.0));
  }
  convert(DType::f32, reinterpret_cast<const std::byte*>(values.data()), tensor.dtype, tensor.data.data(),
          values.size());
  return tensor;
}

std::vector<std::pair<std::string, std::map<int, std::string>>> read_axes(const json& object) {
  std::vector<std::pair<std::string, std::map<int, std::string>>> result;
  for (const auto& [name, axes] : object.items()) {
    result.emplace_back(name, std::map<int, std::string>());
    for (const auto& [axis, symbol] : axes.items())
      result.back().second[std::stoi(axis)] = symbol.get<std::string>();
  }
  return result;
}

}  // namespace

std::vector<std::string> golden_fixtures() {
  static std::vector<std::string> names;
  if (!names.empty()) return names;
  for (const fs::directory_entry& type : fs::directory_iterator(golden_dir())) {
    if (!type.is_directory()) continue;
    for (const fs::directory_entry& fixture : fs::directory_iterator(type)) {
      if (fs::exists(fixture.path() / "expected.json"))
        names.push_back((type.path().filename() / fixture.path().filename()).generic_string());
    }
  }
  std::sort(names.begin(), names.end());
  if (names.empty()) throw std::runtime_error("no fixtures below " + golden_dir().string());
  return names;
}

namespace {

// Each family of pipelines has a network of its own, although all are variants of one task.
std::string task_of(const std::string& name) {
  std::string task = name.substr(0, name.find('+'));
  if (!task.starts_with("diffusers/")) return task;
  return task + read_json(golden_dir() / name / "expected.json").at("model_type").get<std::string>();
}

}  // namespace

bool is_first_of_task(const std::string& name) {
  static const std::set<std::string> first = [] {
    std::map<std::string, std::string> by_task;  // the names are sorted: emplace keeps the first
    for (const std::string& one : golden_fixtures()) by_task.emplace(task_of(one), one);
    std::set<std::string> names;
    for (const auto& [task, one] : by_task) names.insert(one);
    return names;
  }();
  return first.contains(name);
}

std::vector<std::string> fixture_of_each_type() {
  std::map<std::string, std::string> last;
  for (const std::string& name : golden_fixtures()) {
    const bool is_pipeline = name.starts_with("diffusers/");
    if (is_first_of_task(name)) last[is_pipeline ? task_of(name) : name.substr(0, name.find('/'))] = name;
  }
  std::vector<std::string> names;
  for (const auto& [type, name] : last) names.push_back(name);
  return names;
}

bool has_file(const std::string& name, const std::string& stem) {
  const fs::directory_iterator files(golden_dir() / name);
  return std::any_of(begin(files), end(files), [&](const fs::directory_entry& file) {
    return file.path().filename().string().starts_with(stem + ".");
  });
}

std::string named_library(const fs::path& folder, const std::string& library) {
  const bool has_modules = fs::exists(folder / "modules.json");
  return has_modules && library == "transformers" ? library : std::string();
}

GoldenFixture read_fixture(const std::string& name) {
  GoldenFixture fixture;
  fixture.folder = golden_dir() / name;
  const json expected = read_json(fixture.folder / "expected.json");
  fixture.task = expected.at("task").get<std::string>();
  fixture.library = expected.value("library", "transformers");
  fixture.variant = expected.value("variant", "default");
  fixture.monolith = expected.value("monolith", false);
  fixture.atol = expected.at("atol").get<double>();
  for (const auto& [stem, entry] : expected.at("files").items()) {
    GoldenFile& file = fixture.files.emplace_back();
    file.stem = stem;
    file.inputs = read_axes(entry.at("inputs"));
    file.outputs = read_axes(entry.at("outputs"));
    for (const json& one : entry.at("cases")) {
      GoldenCase& golden = file.cases.emplace_back();
      golden.name = stem + "." + std::to_string(one.at("n").get<int>());
      golden.atol = one.value("atol", fixture.atol);
      for (const auto& [key, tensor] : read_safetensors(fixture.folder / (golden.name + ".safetensors"))) {
        if (key.starts_with("in/")) golden.inputs.emplace_back(key.substr(3), tensor);
        if (key.starts_with("out/")) golden.outputs.emplace_back(key.substr(4), tensor);
      }
    }
  }
  return fixture;
}

void synthesize(const GoldenFixture& fixture, const fs::path& checkpoint) {
  std::set<std::string> not_weights = {"verbatim.safetensors"};
  for (const GoldenFile& file : fixture.files) {
    for (const GoldenCase& golden : file.cases) not_weights.insert(golden.name + ".safetensors");
  }
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(fixture.folder)) {
    if (!entry.is_regular_file()) continue;
    const fs::path relative = fs::relative(entry.path(), fixture.folder);
    const std::string name = entry.path().filename().string();
    const fs::path target = checkpoint / relative;
    fs::create_directories(target.parent_path());
    if (name == "weights.json") {
      const json recipe = read_json(entry.path());
      const auto seed = recipe.at("seed").get<std::uint64_t>();
      NamedTensors tensors;
      for (const auto& [key, one] : recipe.at("tensors").items())
        tensors.emplace_back(key, synthetic(key, seed, one));
      const fs::path verbatim = entry.path().parent_path() / "verbatim.safetensors";
      if (fs::exists(verbatim)) {
        for (auto& [key, tensor] : read_safetensors(verbatim)) {
          std::erase_if(tensors, [&, &key = key](const auto& other) { return other.first == key; });
          tensors.emplace_back(key, std::move(tensor));
        }
      }
      write_safetensors(target.parent_path() / recipe.value("file", "model.safetensors"), tensors);
    } else if (name != "expected.json" && name != "peer.json" &&
               !not_weights.contains(relative.generic_string())) {
      fs::copy_file(entry.path(), target);
    }
  }
}

NamedTensors read_safetensors(const fs::path& file) {
  NamedTensors tensors;
  for (const StoredTensor& stored : safetensors::read(File::open(file))) {
    const TensorView& view = stored.view;
    Tensor tensor(view.dtype, view.shape);
    stored.as_weight().read(0, view.numel(), tensor.data.data());
    tensors.emplace_back(view.key, std::move(tensor));
  }
  return tensors;
}

void write_safetensors(const fs::path& file, const NamedTensors& tensors) {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", std::string(safetensors_name(tensor.dtype))},
                    {"shape", tensor.shape},
                    {"data_offsets", {offset, offset + tensor.data.size()}}};
    offset += tensor.data.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out << text;
  for (const auto& [name, tensor] : tensors) {
    out.write(reinterpret_cast<const char*>(tensor.data.data()),
              static_cast<std::streamsize>(tensor.data.size()));
  }
  if (!out) throw std::runtime_error("cannot write " + file.string());
}

}  // namespace onnxport::test
