#include "runtime/session.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "errors.h"
#include "onnx/onnx_graph.h"
#include "onnxport/error.h"
#include "serialize/writer.h"
#include "support/temp_folder.h"

namespace onnxport::runtime {
namespace {

std::string failure(const std::function<void()>& action) {
  return test::complaint(ErrorCode::runtime, action);
}

::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << part << "' is not in '" << text << "'";
}

constexpr DType all_dtypes[] = {DType::f32, DType::f16, DType::bf16,   DType::f64, DType::i64,
                                DType::i32, DType::i16, DType::i8,     DType::u8,  DType::u16,
                                DType::u32, DType::u64, DType::boolean};

/// One Identity per dtype: `in.float32` [n, 2] -> `out.float32`, …
class SessionTest : public ::testing::Test {
 protected:
  SessionTest() {
    OnnxGraph graph;
    graph.opsets[""] = 17;
    for (const DType dtype : all_dtypes) {
      const std::string in = "in." + std::string(to_string(dtype)),
                        out = "out." + std::string(to_string(dtype));
      const TensorType type{dtype, {Dim::symbol("n"), 2}};
      graph.inputs.push_back({in, type});
      graph.outputs.push_back({out, type});
      graph.nodes.push_back({"Identity", "", in, {in}, {out}, {}});
    }
    serialize::write_model(graph, model);
  }

  static NamedTensors inputs(std::int64_t n) {
    NamedTensors tensors;
    for (const DType dtype : all_dtypes) {
      Tensor tensor(dtype, {n, 2});
      for (std::size_t i = 0; i < tensor.data.size(); ++i) {
        tensor.data[i] = static_cast<std::byte>(dtype == DType::boolean ? i % 2 : 3 * i + 1);
      }
      tensors.emplace_back("in." + std::string(to_string(dtype)), std::move(tensor));
    }
    return tensors;
  }

  TempFolder folder;
  std::filesystem::path model = folder.path() / "model.onnx";
};

TEST_F(SessionTest, DescribesInputsAndOutputs) {
  const Session session(model);
  ASSERT_EQ(session.inputs().size(), std::size(all_dtypes));
  ASSERT_EQ(session.outputs().size(), std::size(all_dtypes));
  for (std::size_t i = 0; i < std::size(all_dtypes); ++i) {
    const Session::Info& info = session.inputs()[i];
    EXPECT_EQ(info.name, "in." + std::string(to_string(all_dtypes[i])));
    EXPECT_EQ(info.dtype, all_dtypes[i]);
    EXPECT_EQ(info.shape, (std::vector<std::int64_t>{-1, 2}));
    EXPECT_EQ(info.symbols, (std::vector<std::string>{"n", ""}));
  }
}

TEST_F(SessionTest, RunsAllDtypesAndEmptyTensors) {
  for (const SessionOptions& options :
       {SessionOptions{.use = Use::service}, SessionOptions{.optimize = false},
        SessionOptions{.intra_op_threads = 1, .use = Use::small_checks}}) {
    const Session session(model, options);
    for (const std::int64_t n : {0, 1, 5}) {
      const NamedTensors given = inputs(n), got = session.run(given);
      ASSERT_EQ(got.size(), given.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].second.dtype, given[i].second.dtype);
        EXPECT_EQ(got[i].second.shape, given[i].second.shape);
        EXPECT_EQ(got[i].second.data, given[i].second.data) << given[i].first;
      }
    }
  }
}

TEST_F(SessionTest, GivesTheOutputsThatAreAskedFor) {
  Session first(model);
  Session session = std::move(first);
  NamedTensors given = inputs(1);
  given.emplace_back("something.else", Tensor(DType::f32, {1}));
  const NamedTensors got = session.run(given, {"out.int64", "out.bool"});
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].first, "out.int64");
  EXPECT_EQ(got[1].second.dtype, DType::boolean);
}

TEST_F(SessionTest, WrongCallsSayWhatIsWrong) {
  const Session session(model);
  NamedTensors given = inputs(1);
  EXPECT_TRUE(contains(failure([&] { session.run(given, {"none"}); }), "none"));
  given[0].second = Tensor(DType::f16, {1, 2});
  EXPECT_TRUE(contains(failure([&] { session.run(given); }), "in.float32"));
  given[0].second = Tensor(DType::f32, {1, 3});
  EXPECT_TRUE(contains(failure([&] { session.run(given); }), "model.onnx: onnx runtime 1."));
  given.erase(given.begin());
  EXPECT_TRUE(contains(failure([&] { session.run(given); }), "no value was given for input in.float32"));
}

TEST_F(SessionTest, FilesThatAreNoModels) {
  EXPECT_TRUE(contains(failure([&] { Session(folder.path() / "none.onnx"); }), "none.onnx"));
  std::ofstream(folder.path() / "text.onnx") << "hello";
  EXPECT_TRUE(contains(failure([&] { Session(folder.path() / "text.onnx"); }), "text.onnx"));
}

TEST(Runtime, Version) { EXPECT_TRUE(version().starts_with("1.")) << version(); }

}  // namespace
}  // namespace onnxport::runtime
