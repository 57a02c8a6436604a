// The rules of docs/architecture.md, applied to this repository; and each of them to a small example that
// breaks it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "house_rules.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;
using Numbers = std::map<std::string, std::size_t>;

constexpr std::size_t kMostLines = 300;
constexpr std::size_t kMostFlags = 2;

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + file.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<SourceFile> files_below(const Texts& folders, const std::set<std::string>& endings) {
  const fs::path root = source_dir();
  std::vector<SourceFile> files;
  for (const std::string& folder : folders) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.is_regular_file() && endings.contains(entry.path().extension().string()))
        files.push_back({fs::relative(entry.path(), root).generic_string(), read_text(entry.path())});
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

std::string page() { return read_text(fs::path(source_dir()) / "docs" / "architecture.md"); }
std::string exceptions() { return read_text(fs::path(source_dir()) / "tests" / "house_exceptions.txt"); }

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// ---- the repository ----

TEST(House, RoomsIncludeWhatTheirRowsPermit) {
  const std::vector<SourceFile> files = files_below({"src", "include"}, {".cpp", ".h", ".def", ".inc"});
  EXPECT_GT(files.size(), 200U);
  EXPECT_EQ(room_complaints(read_house_tables(page()), files), Texts());
}

TEST(House, RoomsDoNotCallEachOtherInACircle) { EXPECT_EQ(circles(read_house_tables(page())), Texts()); }

TEST(House, FilesAreShort) {
  Numbers lines;
  for (const SourceFile& file :
       files_below({"src", "include", "tests", "tools", "bench", "fuzz", "examples", "cmake"},
                   {".cpp", ".h", ".def", ".py", ".sh", ".mjs", ".cmake"}))
    lines[file.path] = lines_of(file.text);
  lines["dev"] = lines_of(read_text(fs::path(source_dir()) / "dev"));
  lines["bench/run"] = lines_of(read_text(fs::path(source_dir()) / "bench" / "run"));
  EXPECT_GT(lines.size(), 300U);
  EXPECT_EQ(limit_complaints(kMostLines, lines, read_exceptions(exceptions(), "lines")), Texts());
}

TEST(House, PublicStructsHaveFewFlags) {
  Numbers flags;
  for (const SourceFile& file : files_below({"include"}, {".h"})) {
    for (const auto& [name, number] : flags_of_classes(file.text)) flags[name] += number;
  }
  EXPECT_GT(flags.size(), 10U);
  EXPECT_EQ(limit_complaints(kMostFlags, flags, read_exceptions(exceptions(), "flags")), Texts());
}

TEST(House, DefinitionsNameNoRuntime) {
  std::vector<SourceFile> files =
      files_below({"src/models", "src/nn", "src/op", "include/onnxport/nn"}, {".cpp", ".h", ".def", ".inc"});
  for (const char* header : {"include/onnxport/op.h", "include/onnxport/ops.def"})
    files.push_back({header, read_text(fs::path(source_dir()) / header)});
  EXPECT_GT(files.size(), 100U);
  for (const SourceFile& file : files) EXPECT_EQ(runtimes_named(file.text), Texts()) << file.path;
}

// ---- small wrong examples ----

const char* const kPage =
    "| Folder | What lives there | May call |\n"
    "|---|---|---|\n"
    "| `include/onnxport/` | the API | – |\n"
    "| `src/base/` | files, text | – |\n"
    "| `src/graph/` | nodes | base |\n"
    "| `src/rules/` | passes (all of them) | graph (`walk.h`) |\n"
    "| `src/types/` | definitions | the public headers of base, graph |\n"
    "| `src/most/` | | all above |\n"
    "| `src/tool/` | | the public API |\n"
    "| `tests/` | | |\n"
    "\n"
    "| Room | Its public headers |\n"
    "|---|---|\n"
    "| all | `error.h` |\n"
    "| graph | `graph.h`, `parts/*.h` |\n"
    "\n"
    "| Library | Its headers | Only in |\n"
    "|---|---|---|\n"
    "| zip | `zip/*.h` | base |\n"
    "\n"
    "| File | May include | Why |\n"
    "|---|---|---|\n"
    "| `src/*/odd.cpp` | `graph/node.h` | a reason |\n";

// The complaints about one file in a house that is otherwise right.
Texts complaints_of(const std::string& path, const std::string& text) {
  return room_complaints(read_house_tables(kPage), {{path, text},
                                                    {"src/base/odd.cpp", "#include \"graph/node.h\"\n"},
                                                    {"include/onnxport/error.h", ""},
                                                    {"include/onnxport/graph.h", ""},
                                                    {"include/onnxport/parts/a.h", ""}});
}

TEST(HouseRules, IncludesWithinTheTableArePermitted) {
  EXPECT_EQ(
      complaints_of("src/graph/a.cpp", "#include \"graph/a.h\"\n#include \"base/b.h\"\n#include <map>\n"),
      Texts());
  EXPECT_EQ(complaints_of("src/rules/a.cpp", "#include \"graph/walk.h\"\n"), Texts());
  EXPECT_EQ(
      complaints_of("src/types/deep/a.cpp", "#include \"onnxport/graph.h\"\n#include \"onnxport/error.h\"\n"),
      Texts());
  EXPECT_EQ(complaints_of("src/most/a.cpp", "#include \"types/deep/a.h\"\n#include \"onnxport/parts/a.h\"\n"),
            Texts());
  EXPECT_EQ(complaints_of("src/tool/a.cpp", "#include \"onnxport/parts/a.h\"\n"), Texts());
}

TEST(HouseRules, OtherIncludesAreNot) {
  const auto expect_refused = [](const std::string& path, const std::string& include) {
    EXPECT_EQ(complaints_of(path, "#include <map>\n  #include \"" + include + "\"\n").size(), 1U) << path;
  };
  expect_refused("src/base/a.cpp", "graph/a.h");            // not in its row
  expect_refused("src/base/a.cpp", "onnxport/graph.h");     // a public header of such a room
  expect_refused("src/rules/a.cpp", "base/b.h");            // rooms of a room that it may call
  expect_refused("src/rules/a.cpp", "graph/node.h");        // the row names another header
  expect_refused("src/types/a.cpp", "graph/node.h");        // not public
  expect_refused("src/tool/a.cpp", "most/a.h");             // not public
  expect_refused("src/most/a.cpp", "tool/a.h");             // below it in the table
  expect_refused("src/most/a.cpp", "third_party.h");        // of no room
  expect_refused("src/graph/a.cpp", "onnxport/unknown.h");  // a public header without an owner
  expect_refused("include/onnxport/graph.h", "rules/a.h");  // a public header belongs to its room
  EXPECT_EQ(complaints_of("src/cellar/a.cpp", "").size(), 1U);
}

TEST(HouseRules, ALibraryBelongsToOneRoom) {
  EXPECT_EQ(complaints_of("src/base/a.cpp", "#include <zip/open.h>\n"), Texts());
  EXPECT_EQ(complaints_of("src/graph/a.cpp", "#include <zip/open.h>\n").size(), 1U);
}

TEST(HouseRules, RowsThatNothingNeedsAreFound) {
  EXPECT_EQ(room_complaints(read_house_tables(kPage), {}).size(), 4U);  // an exception, three headers
}

TEST(HouseRules, ACircleIsFound) {
  EXPECT_EQ(circles(read_house_tables(kPage)), Texts());
  std::string page = kPage;
  page.replace(page.find("files, text | –"), std::string("files, text | –").size(), "files, text | rules");
  EXPECT_EQ(circles(read_house_tables(page)).size(), 1U);
}

TEST(HouseRules, APageThatCannotBeReadFails) {
  EXPECT_THROW(read_house_tables("# Architecture\n"), std::runtime_error);
  std::string page = kPage;
  page.replace(page.find("nodes | base"), std::string("nodes | base").size(), "nodes | bass");
  EXPECT_THROW(read_house_tables(page), std::runtime_error);
}

TEST(HouseRules, ExceptionsOnlyShrink) {
  const Exceptions list =
      read_exceptions("# a comment\nlines a.cpp 500\nlines b.cpp 301\nflags Options 3\n", "lines");
  EXPECT_EQ(list, (Exceptions{{"a.cpp", 500}, {"b.cpp", 301}}));
  const auto complaints = [&](const Numbers& numbers) { return limit_complaints(300, numbers, list).size(); };
  EXPECT_EQ(complaints({{"a.cpp", 500}, {"b.cpp", 301}, {"c.cpp", 300}}), 0U);
  EXPECT_EQ(complaints({{"a.cpp", 400}, {"b.cpp", 301}}), 0U);
  EXPECT_EQ(complaints({{"a.cpp", 501}, {"b.cpp", 301}}), 1U);                  // grew
  EXPECT_EQ(complaints({{"a.cpp", 500}, {"b.cpp", 300}}), 1U);                  // is no exception any more
  EXPECT_EQ(complaints({{"a.cpp", 500}}), 1U);                                  // is gone
  EXPECT_EQ(complaints({{"a.cpp", 500}, {"b.cpp", 301}, {"c.cpp", 301}}), 1U);  // is new
}

TEST(HouseRules, FlagsAreDataMembers) {
  EXPECT_EQ(flags_of_classes("struct A { bool a = false, b{true}; int n = 1; mutable bool c; };"),
            (Numbers{{"A", 3}}));
  EXPECT_EQ(flags_of_classes("namespace n { class API Outer final : public Base {\n"
                             " public:\n  bool a = f(1, 2);  // bool of_a_comment;\n"
                             "  struct Inner { bool b; };\n  bool c;\n};\n}"),
            (Numbers{{"Outer", 2}, {"Outer::Inner", 1}}));
}

TEST(HouseRules, OtherBoolsAreNoFlags) {
  EXPECT_EQ(flags_of_classes(
                "struct A {\n  bool has(bool deep = true) const { bool found = false; return found; }\n"
                "  bool operator==(const A&) const = default;\n  static constexpr bool kFast = true;\n"
                "  std::function<bool(int)> wanted;\n  void run(bool now, bool loud = false);\n"
                "  explicit A(bool a) : a_(a) {}\n  enum class Kind { a, b };\n"
                "  const char* text = \"; bool quoted;\";\n};\nbool global;\nvoid f() { bool local; }\n"),
            Numbers());
}

TEST(HouseRules, RuntimesAreFoundInCodeAndComments) {
  EXPECT_EQ(
      runtimes_named("int a;\n// Faster in ONNX Runtime.\nuse_openvino();\nif (target == ORT) TensorRT();\n"),
      (Texts{"2: onnx runtime", "3: openvino", "4: tensorrt", "4: ort"}));
  EXPECT_EQ(runtimes_named("#include <onnxruntime_c_api.h>\nnode.domain = \"com.microsoft\";\n"),
            (Texts{"1: onnxruntime", "2: com.microsoft"}));
  EXPECT_EQ(runtimes_named("for_ort(x);"), Texts{"1: ort"});
  EXPECT_EQ(runtimes_named(
                "export_onnx(); sort(); support(); runtime(); // ONNX, at run time: microsoft/deberta\n"),
            Texts());
}

}  // namespace
}  // namespace onnxport::test
