// Every fixture of tests/golden: export it, run the file in ONNX Runtime and the graph in the interpreter,
// and compare both with what the original PyTorch model answered. The default opset is tried with all of
// them. The first fixture of each model type and task (by name: the one without a variant, where there is
// one) is tried at the oldest and the newest opset and at one between, and one fixture of each type at all.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <numeric>

#include "golden_fixture.h"
#include "lower/target.h"
#include "onnxport/export.h"
#include "onnxport/inspect.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "reference/interpreter.h"
#include "runtime/session.h"
#include "scan_bodies.h"
#include "serialize/writer.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

void expect_close(const std::string& what, const GoldenCase& golden, const NamedTensors& got) {
  EXPECT_EQ(got.size(), golden.outputs.size()) << what;
  for (const auto& [name, reference] : golden.outputs) {
    const Tensor* tensor = find(got, name);
    ASSERT_NE(tensor, nullptr) << what << ": no output " << name;
    EXPECT_EQ(tensor->dtype, reference.dtype) << what << ' ' << name;
    const OutputComparison comparison =
        compare_outputs(name, *tensor, reference, golden.atol, NonFinite::allow);
    EXPECT_EQ(comparison.shape, comparison.reference_shape) << what << ' ' << name;
    EXPECT_TRUE(comparison.passed) << what << ' ' << name << ": max difference " << comparison.max_difference
                                   << ", tolerance " << comparison.tolerance;
  }
}

// Runs a file and compares it with the original.
void expect_original(const GoldenFile& file, const std::filesystem::path& path, const std::string& what) {
  const runtime::Session session(path, {.intra_op_threads = 1, .use = runtime::Use::small_checks});
  for (const GoldenCase& golden : file.cases)
    expect_close(what + ", " + golden.name, golden, session.run(golden.inputs));
}

// The fixture's checkpoint, opened for its task.
class Golden : public testing::TestWithParam<std::string> {
 protected:
  const TempFolder folder;
  const GoldenFixture fixture = read_fixture(GetParam());
  const Model model = open();
  const ExportPlan plan = make_plan(
      model, {.variant = fixture.variant, .split = fixture.monolith ? Split::monolith : Split::merged});

  // The component of one of the fixture's files, whose name has a folder in front where there is one.
  const Component& part(const GoldenFile& file) const {
    for (const Component& one : plan.components) {
      if (!one.folder.empty() && one.folder + "/" + one.stem == file.stem) return one;
    }
    return plan.component(file.stem);
  }

  std::filesystem::path path_of(const GoldenFile& file) const {
    const std::filesystem::path path = folder.path() / (file.stem + ".onnx");
    std::filesystem::create_directories(path.parent_path());
    return path;
  }

  std::filesystem::path exported(const GoldenFile& file, int opset, const TargetOptions& target) const {
    const std::filesystem::path path = path_of(file);
    export_onnx(model, part(file), path, opset, {.target = target});
    return path;
  }

 private:
  Model open() const {
    synthesize(fixture, folder.path() / "checkpoint");
    return TasksManager::instance().get_model_from_task(
        fixture.task, folder.path() / "checkpoint",
        {.library = named_library(fixture.folder, fixture.library)});
  }
};

// Names in order; a dynamic axis carries its name, unless it is truly fixed and therefore a number. The list
// of names counts a past also where the file takes none (prefill): its length is then 0, and a sliding window
// bounds what is left of the rest.
template <class Declared>
void expect_interface(const Declared& declared, const std::vector<ValueSummary>& written, bool has_past,
                      bool images_beside_text) {
  ASSERT_EQ(declared.size(), written.size());
  for (std::size_t i = 0; i < declared.size(); ++i) {
    EXPECT_EQ(declared[i].first, written[i].name);
    for (const auto& [axis, called_in_list] : declared[i].second) {
      // The list calls one batch of images "batch_size" in some inputs and "image_batch_size" in the outputs.
      const bool of_images = images_beside_text && called_in_list == "batch_size";
      const std::string symbol = of_images ? "image_batch_size" : called_in_list;
      const std::string& extent = written[i].shape.at(static_cast<std::size_t>(axis));
      const bool quotient = symbol.find('/') != symbol.npos;  // names that are no expressions
      const std::string called =
          has_past || quotient
              ? symbol
              : Dim::parse(symbol)
                    .substitute({{"past_sequence_length", 0}, {"past_decoder_sequence_length", 0}})
                    .str();
      // The list calls the one token that a client gives "1"; the file takes any number.
      if (symbol == "1") continue;
      const bool bounded = !has_past && extent.starts_with("min(" + called + ", ");
      EXPECT_TRUE(extent == called || extent == symbol || bounded ||
                  extent.find_first_not_of("0123456789") == std::string::npos)
          << declared[i].first << " axis " << axis << " is " << extent << ", expected " << symbol;
    }
    for (std::size_t axis = 0; axis < written[i].shape.size(); ++axis) {
      if (declared[i].second.contains(static_cast<int>(axis))) continue;
      // The list does not say that what is made of an image has its extents.
      std::vector<std::string> symbols = Dim::parse(written[i].shape[axis]).symbols();
      std::erase_if(symbols,
                    [](const std::string& symbol) { return symbol == "height" || symbol == "width"; });
      EXPECT_TRUE(symbols.empty()) << written[i].name << " axis " << axis << " should be static, is "
                                   << written[i].shape[axis];
    }
  }
}

std::string bytes_of(const std::filesystem::path& file) {
  std::string bytes(std::filesystem::file_size(file), '\0');
  std::ifstream(file, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

TEST_P(Golden, MatchesTheOriginal) {
  EXPECT_EQ(model.definition().library, fixture.library);
  for (const GoldenFile& file : fixture.files) {
    const std::filesystem::path path = path_of(file);
    export_onnx(model, part(file), path);
    if (is_first_of_task(GetParam())) {
      const std::filesystem::path again = folder.path() / "again.onnx";
      export_onnx(model, part(file), again);
      EXPECT_TRUE(bytes_of(path) == bytes_of(again)) << "the same export twice gives other bytes";
    }

    const ModelSummary summary = summarize(path);
    EXPECT_EQ(taken_from_outside(summary.graph), std::vector<std::string>());
    const bool has_past = std::any_of(file.inputs.begin(), file.inputs.end(),
                                      [](const auto& input) { return input.first.starts_with("past_"); });
    const bool images_beside_text =
        std::any_of(file.outputs.begin(), file.outputs.end(), [](const auto& output) {
          return output.second.contains(0) && output.second.at(0) == "image_batch_size";
        });
    expect_interface(file.inputs, summary.graph.inputs, has_past, images_beside_text);
    expect_interface(file.outputs, summary.graph.outputs, has_past, images_beside_text);

    const runtime::Session session(path, {.intra_op_threads = 1});
    const Graph graph = model.build(part(file));
    std::vector<reference::Case> inputs;
    for (const GoldenCase& golden : file.cases) {
      expect_close("ONNX Runtime, " + golden.name, golden, session.run(golden.inputs));
      reference::Case& one = inputs.emplace_back();
      for (const auto& [name, value] : graph.inputs()) {
        const Tensor* tensor = find(golden.inputs, name);
        ASSERT_NE(tensor, nullptr) << "the fixture has no input " << name;
        one.emplace_back(name, *tensor);
      }
    }
    const auto results = reference::interpret(graph, inputs);
    for (std::size_t i = 0; i < results.size(); ++i) {
      NamedTensors outputs;
      for (std::size_t o = 0; o < results[i].size(); ++o) {
        outputs.emplace_back(graph.outputs()[o].first, reference::to_tensor(results[i][o]));
      }
      expect_close("interpreter, " + file.cases[i].name, file.cases[i], outputs);
    }
    // With the contrib operators of ONNX Runtime.
    expect_original(file, exported(file, 18, {.runtime = "ort"}), "target ort");
  }
}

// The first fixture of each type and task.
class GoldenOpsets : public Golden {
 protected:
  // A file without its versions: that of the IR is its first field, that of the opset its last byte.
  static std::string without_versions(const std::filesystem::path& path, int opset) {
    std::string bytes = bytes_of(path);
    EXPECT_EQ(bytes.substr(0, 2), std::string({8, static_cast<char>(serialize::ir_version_for(opset))}));
    EXPECT_EQ(bytes.back(), opset);
    return bytes.substr(2, bytes.size() - 3);
  }

  // The tasks of a type differ in their heads, so one fixture of each type takes every opset. The others take
  // the oldest, the newest, and one between that depends on their name.
  static std::vector<int> opsets(const std::string& name) {
    const std::vector<std::string> complete = fixture_of_each_type();
    std::vector<int> every(runtime::newest_opset - lower::oldest_opset + 1);
    std::iota(every.begin(), every.end(), lower::oldest_opset);
    if (std::find(complete.begin(), complete.end(), name) != complete.end()) return every;
    const auto between = std::accumulate(name.begin(), name.end(), std::size_t{0}) % (every.size() - 2);
    return {every.front(), every[1 + between], every.back()};
  }
};

// Every export runs the official full check at its opset. ONNX Runtime runs each file that differs from that
// of the opset before in more than the version, and the newest one. `Lowering` runs every op at every opset.
TEST_P(GoldenOpsets, MatchTheOriginal) {
  const std::vector<int> opsets_of_this = opsets(GetParam());
  for (const GoldenFile& file : fixture.files) {
    std::string before;
    for (const int opset : opsets_of_this) {
      const std::filesystem::path path = exported(file, opset, {});
      std::string now = without_versions(path, opset);
      const bool tried = now == before || opset == part(file).interface.opset;
      if (!tried || opset == runtime::newest_opset)
        expect_original(file, path, "opset " + std::to_string(opset));
      before = std::move(now);
    }
  }
}

// decoder_model_merged.onnx answers as decoder_model and as decoder_with_past_model. The first fixture of
// each type and task does so at the oldest and the newest opset too, and is validated.
class MergedDecoder : public Golden {};

TEST_P(MergedDecoder, AnswersAsItsBranches) {
  const bool first = is_first_of_task(GetParam());
  const std::vector<int> oldest_to_newest = {lower::oldest_opset, 18, runtime::newest_opset};
  for (const int opset : first ? oldest_to_newest : std::vector<int>{18}) {
    SCOPED_TRACE("opset " + std::to_string(opset));
    MainExportOptions options{.model = folder.path() / "checkpoint",
                              .output = folder.path() / ("out" + std::to_string(opset)),
                              .task = fixture.task,
                              .opset = opset,
                              .variant = fixture.variant,
                              .validate = first && opset == 18};
    EXPECT_TRUE(main_export(options).passed());
    const runtime::Session session(options.output / "decoder_model_merged.onnx",
                                   {.intra_op_threads = 1, .use = runtime::Use::small_checks});
    for (const GoldenFile& file : fixture.files) {
      if (file.stem != "decoder_model" && file.stem != "decoder_with_past_model") continue;
      const std::int64_t branch = file.stem == "decoder_with_past_model" ? 1 : 0;
      for (const GoldenCase& golden : file.cases) {
        NamedTensors inputs = golden.inputs;
        std::vector<std::string> outputs;
        for (const auto& [name, tensor] : golden.outputs) outputs.push_back(name);
        for (const auto& info : session.inputs()) {
          if (find(inputs, info.name) != nullptr) continue;
          if (info.name == "use_cache_branch") {
            inputs.emplace_back(info.name, Tensor::from_ints(DType::boolean, {1}, {&branch, 1}));
            continue;
          }
          std::vector<std::int64_t> shape = info.shape;  // a past that the branch does not look at
          for (std::int64_t& extent : shape) extent = extent < 0 ? 1 : extent;
          inputs.emplace_back(info.name, Tensor(info.dtype, shape));
        }
        expect_close("merged, " + golden.name, golden, session.run(inputs, outputs));
      }
    }
  }
}

std::vector<std::string> fixtures_if(const std::function<bool(const std::string&)>& wanted) {
  std::vector<std::string> names = golden_fixtures();
  std::erase_if(names, [&](const std::string& name) { return !wanted(name); });
  return names;
}

bool has_merged_decoder(const std::string& name) { return has_file(name, "decoder_with_past_model"); }

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Golden, testing::ValuesIn(golden_fixtures()), test_name);
INSTANTIATE_TEST_SUITE_P(Fixtures, GoldenOpsets, testing::ValuesIn(fixtures_if(is_first_of_task)), test_name);
INSTANTIATE_TEST_SUITE_P(Fixtures, MergedDecoder, testing::ValuesIn(fixtures_if(has_merged_decoder)),
                         test_name);

}  // namespace
}  // namespace onnxport::test
