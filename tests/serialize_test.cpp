#include <fcntl.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>

#include "errors.h"
#include "ir/weight_steps.h"
#include "onnx/onnx_graph.h"
#include "onnx/refer_to_checkpoint.h"
#include "onnxport/error.h"
#include "runtime/session.h"
#include "serialize/summary.h"
#include "serialize/writer.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport::serialize {
namespace {

namespace fs = std::filesystem;
using test::complaint;

std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_all(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << part << "' is not in '" << text << "'";
}

/// Two linear layers with all kinds of weights: views, one of them transposed, one stored as float16, and
/// constants.
class WriterTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kIn = 512, kHidden = 600, kOut = 16;

  WriterTest() {
    // first.weight | first.bias | second.weight, float32, at an odd offset.
    std::string bytes(3, '\0');
    const auto floats = static_cast<std::size_t>(kHidden * kIn + kHidden + kOut * kHidden);
    for (std::size_t i = 0; i < floats; ++i) {
      const float value = static_cast<float>(static_cast<int>(i * 7919 % 2001) - 1000) / 10000.0F;
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    write_all(folder.path() / "weights.bin", bytes);
    source = File::open(folder.path() / "weights.bin");
    first_weight = view("first.weight", {kHidden, kIn}, 3);
    first_bias = view("first.bias", {kHidden}, 3 + 4 * kHidden * kIn);
    second_weight = view("second.weight", {kOut, kHidden}, 3 + 4 * (kHidden * kIn + kHidden)).permute({1, 0});
    std::vector<double> bias(kOut);
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<double>(i) / 8;
    second_bias = Weight::from_doubles(DType::f16, {kOut}, bias);
  }

  Weight view(std::string key, std::vector<std::int64_t> shape, std::uint64_t offset) const {
    return TensorView{std::move(key), DType::f32, std::move(shape), source, offset};
  }

  OnnxGraph graph() const {
    OnnxGraph graph;
    graph.opsets[""] = 17;
    const Dim batch = Dim::symbol("batch_size");
    graph.inputs = {{"x", {DType::f32, {batch, kIn}}}};
    graph.outputs = {{"y", {DType::f32, {batch, 1, kOut}}}};
    const std::vector<std::int64_t> shape = {-1, 1, kOut};
    graph.initializers = {
        {"first.weight", first_weight},           {"first.bias", first_bias},
        {"second.weight.T", second_weight},       {"second.bias", second_bias},
        {"shape", Weight::from_ints({3}, shape)}, {"unused", Weight::from_doubles(DType::f32, {0, 4}, {})}};
    graph.nodes = {{"Gemm",
                    "",
                    "first",
                    {"x", "first.weight", "first.bias"},
                    {"h"},
                    {{"transB", std::int64_t{1}}, {"alpha", 0.5F}}},
                   {"MatMul", "", "second", {"h", "second.weight.T"}, {"m"}, {}},
                   {"Cast", "", "widen", {"second.bias"}, {"b"}, {{"to", std::int64_t{1}}}},
                   {"Add", "", "add", {"m", "b"}, {"s"}, {}},
                   {"Reshape", "", "reshape", {"s", "shape"}, {"y"}, {}}};
    return graph;
  }

  /// What the graph computes, in double precision.
  std::vector<double> expected(const std::vector<double>& x, std::int64_t batch) const {
    const auto w1 = first_weight.to_doubles(), b1 = first_bias.to_doubles(), w2 = second_weight.to_doubles(),
               b2 = second_bias.to_doubles();
    std::vector<double> y;
    for (std::int64_t n = 0; n < batch; ++n) {
      std::vector<double> out = b2;
      for (std::int64_t h = 0; h < kHidden; ++h) {
        const double hidden =
            b1[h] + 0.5 * std::inner_product(&w1[h * kIn], &w1[h * kIn] + kIn, &x[n * kIn], 0.0);
        for (std::int64_t o = 0; o < kOut; ++o) out[o] += hidden * w2[h * kOut + o];
      }
      y.insert(y.end(), out.begin(), out.end());
    }
    return y;
  }

  void expect_right_numbers(const fs::path& model) const {
    constexpr std::int64_t kBatch = 3;
    std::vector<double> x(kBatch * kIn);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i));
    const Tensor input = Tensor::from_doubles(DType::f32, {kBatch, kIn}, x);
    const NamedTensors outputs = runtime::Session(model, {.intra_op_threads = 1}).run({{"x", input}});
    ASSERT_EQ(outputs.size(), 1U);
    EXPECT_EQ(outputs[0].first, "y");
    EXPECT_EQ(outputs[0].second.shape, (std::vector<std::int64_t>{kBatch, 1, kOut}));
    const auto y = outputs[0].second.to_doubles(), want = expected(input.to_doubles(), kBatch);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], want[i], 1e-4);
  }

  /// Names in a folder below the temporary one, sorted.
  std::vector<std::string> files(const fs::path& name = "out") const {
    std::vector<std::string> names;
    if (!fs::exists(folder.path() / name)) return names;
    for (const auto& entry : fs::directory_iterator(folder.path() / name))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  TempFolder folder;
  fs::path model = folder.path() / "out" / "model.onnx";
  fs::path data = folder.path() / "out" / "model.onnx_data";
  std::shared_ptr<const File> source;
  Weight first_weight, first_bias, second_weight, second_bias;
};

using Strings = std::vector<std::string>;

TEST_F(WriterTest, InsideTheMessage) {
  std::uint64_t last_done = 0, last_total = 0;
  WriteOptions options;
  options.on_progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GT(done, last_done);
    last_done = done;
    last_total = total;
  };
  const auto written = write_model(graph(), model, options);
  ASSERT_EQ(written.size(), 1U);
  EXPECT_EQ(written[0].path, model);
  EXPECT_EQ(written[0].bytes, fs::file_size(model));
  EXPECT_EQ(last_total, 4 * (kHidden * kIn + kHidden + kOut * kHidden) + 2 * kOut + 8 * 3);
  EXPECT_EQ(last_done, last_total);
  EXPECT_EQ(files(), Strings{"model.onnx"});
  expect_right_numbers(model);
}

TEST_F(WriterTest, BytesAreThoseOfProtobuf) {
  write_model(graph(), model);
  const std::string bytes = read_all(model);
  onnx::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(bytes));
  EXPECT_TRUE(bytes == proto.SerializeAsString());
  EXPECT_EQ(proto.ir_version(), 8);
  EXPECT_EQ(proto.producer_name(), "onnxport");
  EXPECT_TRUE(proto.graph().value_info().empty());
  EXPECT_EQ(proto.graph().input(0).type().tensor_type().shape().dim(0).dim_param(), "batch_size");
  EXPECT_EQ(proto.graph().initializer(3).data_type(), onnx::TensorProto::FLOAT16);
  EXPECT_EQ(proto.graph().initializer(3).raw_data().size(), 2U * kOut);
  EXPECT_FALSE(proto.graph().initializer(5).has_raw_data());
}

TEST_F(WriterTest, OutsideOfTheMessage) {
  WriteOptions options;
  options.external_data = ExternalData::always;
  const auto written = write_model(graph(), model, options);
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written[1].path, data);
  EXPECT_EQ(written[1].bytes, fs::file_size(data));
  EXPECT_EQ(files(), (Strings{"model.onnx", "model.onnx_data"}));
  expect_right_numbers(model);
  check_model_file(model);

  onnx::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(read_all(model)));
  std::vector<std::string> outside;
  for (const auto& tensor : proto.graph().initializer()) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    outside.push_back(tensor.name());
    ASSERT_EQ(tensor.external_data_size(), 3);
    EXPECT_EQ(tensor.external_data(0).value(), "model.onnx_data");
    const auto offset = std::stoull(tensor.external_data(1).value()),
               length = std::stoull(tensor.external_data(2).value());
    EXPECT_EQ(offset % (length >= 1 << 20 ? 4096 : 64), 0U) << tensor.name();
  }
  EXPECT_EQ(outside, (Strings{"first.weight", "first.bias", "second.weight.T"}));
}

TEST_F(WriterTest, AlignsTensorsInDataFiles) {
  for (const std::uint64_t alignment : {1, 32, 4096, 65536}) {
    for (const ExternalData where : {ExternalData::always, ExternalData::shared}) {
      WriteOptions options;
      options.external_data = where;
      options.alignment = alignment;
      write_model(graph(), model, options);
      expect_right_numbers(model);
      onnx::ModelProto proto;
      ASSERT_TRUE(proto.ParseFromString(read_all(model)));
      std::uint64_t end = 0;
      for (const auto& tensor : proto.graph().initializer()) {
        if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
        const auto offset = std::stoull(tensor.external_data(1).value());
        EXPECT_EQ(offset, (end + alignment - 1) / alignment * alignment) << tensor.name();
        end = offset + std::stoull(tensor.external_data(2).value());
      }
      EXPECT_EQ(end, fs::file_size(data));
    }
  }
}

TEST_F(WriterTest, GoesOutsideWhenTheMessageIsTooLarge) {
  WriteOptions options;
  options.message_limit = 1'000'000;
  EXPECT_EQ(write_model(graph(), model, options).size(), 2U);
  expect_right_numbers(model);
  options.message_limit = 2'000'000;
  EXPECT_EQ(write_model(graph(), model, options).size(), 1U);
  expect_right_numbers(model);
}

TEST_F(WriterTest, RefusesAMessageThatIsTooLarge) {
  WriteOptions options;
  options.external_data = ExternalData::never;
  options.message_limit = 1'000'000;
  EXPECT_TRUE(contains(complaint(ErrorCode::io, [&] { write_model(graph(), model, options); }),
                       "allow external data"));
  EXPECT_FALSE(fs::exists(model.parent_path()));
}

TEST_F(WriterTest, SameInputGivesSameBytes) {
  for (const ExternalData kind : {ExternalData::always, ExternalData::never}) {
    WriteOptions options;
    options.external_data = kind;
    write_model(graph(), model, options);
    const std::string first = read_all(model), first_data = fs::exists(data) ? read_all(data) : "";
    write_model(graph(), model, options);
    EXPECT_TRUE(first == read_all(model));
    EXPECT_TRUE(first_data == (fs::exists(data) ? read_all(data) : ""));
  }
}

TEST_F(WriterTest, SeveralModelsShareTheirData) {
  OnnxGraph other = graph();
  other.initializers[0].name = "renamed";
  for (OnnxNode& node : other.nodes) std::ranges::replace(node.inputs, "first.weight", "renamed");
  const OnnxGraph first = graph();
  const fs::path second = model.parent_path() / "second.onnx";
  WriteOptions options;
  options.external_data = ExternalData::shared;
  const auto written = write_models({{&first, model}, {&other, second}}, options);
  ASSERT_EQ(written.size(), 3U);
  EXPECT_EQ(files(), (Strings{"model.onnx", "model.onnx_data", "second.onnx"}));
  expect_right_numbers(model);
  expect_right_numbers(second);
  const std::uint64_t both = written[2].bytes;
  EXPECT_EQ(written[2].path, data);
  EXPECT_EQ(both, fs::file_size(data));
  write_models({{&first, model}}, options);
  EXPECT_EQ(both, fs::file_size(data));  // as much as one alone
}

/// The same graph over a checkpoint of float16, with models in its folder.
class CheckpointDataTest : public WriterTest {
 protected:
  CheckpointDataTest() {
    const std::vector<Weight> parts = {first_weight, first_bias, second_weight.transpose_of()};
    std::string bytes(8, '\0');
    std::vector<TensorView> stored;
    for (const Weight& part : parts) {
      stored.push_back({part.name(), DType::f16, part.shape(), nullptr, bytes.size()});
      const Weight narrow = part.cast(DType::f16);
      std::vector<std::byte> data(static_cast<std::size_t>(narrow.numel()) * 2);
      narrow.read(0, narrow.numel(), data.data());
      bytes.append(reinterpret_cast<const char*>(data.data()), data.size());
    }
    write_all(safetensors, bytes);
    for (TensorView& view : stored) view.file = File::open(safetensors);
    first_weight = Weight(stored[0]).cast(DType::f32);
    first_bias = Weight(stored[1]).cast(DType::f32);
    second_weight = Weight(stored[2]).cast(DType::f32).permute({1, 0});
    options.external_data = ExternalData::checkpoint;
  }

  OnnxGraph referring(std::int64_t smallest = 1024, int opset = 17) const {
    OnnxGraph made = graph();
    made.opsets[""] = opset;
    refer_to_checkpoint(made, smallest);
    return made;
  }

  static Strings ops(const OnnxGraph& graph) {
    Strings types;
    for (const OnnxNode& node : graph.nodes) types.push_back(node.op_type);
    return types;
  }

  std::string refusal(const fs::path& folder_of_model) {
    return complaint(ErrorCode::invalid_argument,
                     [&] { write_model(referring(), folder_of_model / "model.onnx", options); });
  }

  fs::path safetensors = folder.path() / "model.safetensors";
  fs::path beside = folder.path() / "model.onnx";
  WriteOptions options;
};

TEST_F(CheckpointDataTest, WeightsStayWhereTheyAre) {
  const OnnxGraph made = referring();
  EXPECT_EQ(ops(made),
            (Strings{"Cast", "Cast", "Cast", "Transpose", "Gemm", "MatMul", "Cast", "Add", "Reshape"}));
  const auto written = write_model(made, beside, options);
  ASSERT_EQ(written.size(), 1U);
  EXPECT_LT(written[0].bytes, 5000U);
  expect_right_numbers(beside);
  check_model_file(beside);

  onnx::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(read_all(beside)));
  Strings outside;
  for (const auto& tensor : proto.graph().initializer()) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    outside.push_back(tensor.name());
    EXPECT_EQ(tensor.data_type(), onnx::TensorProto::FLOAT16);
    EXPECT_EQ(tensor.external_data(0).value(), "model.safetensors");
  }
  // Names that the graph uses for casts are taken.
  EXPECT_EQ(outside, (Strings{"first.weight_1", "first.bias_1", "second.weight"}));
}

TEST_F(CheckpointDataTest, WhatIsNotStoredIsWritten) {
  second_weight = second_weight.add(second_weight);  // computed
  const auto written = write_model(referring(2401), beside, options);
  ASSERT_EQ(written.size(), 2U);
  EXPECT_EQ(written[1].path, folder.path() / "model.onnx_data");
  // The bias is too small for a cast of its own, and too large for the message.
  EXPECT_EQ(ops(referring(2401)), (Strings{"Cast", "Gemm", "MatMul", "Cast", "Add", "Reshape"}));
  expect_right_numbers(beside);
}

TEST_F(CheckpointDataTest, EqualStepsAreMadeOnce) {
  OnnxGraph made = graph();
  made.initializers[5] = {"unused", first_weight.permute({1, 0})};
  made.initializers.push_back({"stored", cast_of(first_weight)});
  refer_to_checkpoint(made, 1024);
  EXPECT_EQ(std::ranges::count(ops(made), "Cast"), 4);  // one is the graph's own
  EXPECT_EQ(std::ranges::count(ops(made), "Transpose"), 2);
  write_model(made, beside, options);
  expect_right_numbers(beside);
}

TEST_F(CheckpointDataTest, StackedWeightsAreConcatenated) {
  OnnxGraph made = graph();
  const Weight stored = cast_of(first_weight);
  const std::vector<Weight> parts = {stored, stored.named("again"), stored};
  const std::int64_t rows = stored.shape()[0], columns = stored.shape()[1];
  const Weight stack = Weight::concat(parts, 0).reshape({3, rows, columns}).named("stack");
  made.initializers.push_back({"stack", stack});
  made.initializers.push_back({"wide", stack.cast(DType::f32)});
  made.initializers.push_back({"flat", Weight::concat(parts, 0).named("flat")});
  made.initializers.push_back({"side", Weight::concat(parts, 1).named("side")});  // other axes stay computed
  refer_to_checkpoint(made, 1024);
  const Strings types = ops(made);
  EXPECT_EQ(std::ranges::count(types, "Concat"), 1);
  EXPECT_EQ(std::ranges::count(types, "Reshape"), 2);  // one is the graph's own
  const auto node = std::ranges::find(made.nodes, "Concat", &OnnxNode::op_type);
  ASSERT_NE(node, made.nodes.end());
  EXPECT_EQ(node->inputs, Strings(3, node->inputs.at(0)));
  EXPECT_EQ(std::ranges::count(made.initializers, "side", &OnnxInitializer::name), 1);
  write_model(made, beside, options);
  check_model_file(beside);
  expect_right_numbers(beside);
}

TEST_F(CheckpointDataTest, OldOpsetsCannotCastBfloat16) {
  TensorView view = *cast_of(first_bias).view();
  view.dtype = DType::bf16;
  first_bias = Weight(view).cast(DType::f32);
  EXPECT_EQ(std::ranges::count(ops(referring(1024, 12)), "Cast"), 3);
  EXPECT_EQ(std::ranges::count(ops(referring(1024, 13)), "Cast"), 4);
}

TEST_F(CheckpointDataTest, RefusesAnotherFolder) {
  const fs::path other = folder.path() / "other";
  fs::create_directories(other);
  const std::string absent = refusal(other);
  for (const std::string& part : {safetensors.string(), std::string("'first.weight'"), other.string(),
                                  "export into the checkpoint's own folder, " + folder.path().string()})
    EXPECT_TRUE(contains(absent, part));
  fs::copy_file(safetensors, other / "model.safetensors");
  EXPECT_TRUE(contains(refusal(other), "is another file"));
  fs::remove(other / "model.safetensors");
  fs::create_symlink(safetensors, other / "model.safetensors");
  EXPECT_TRUE(contains(refusal(other), "is a symbolic link"));
  fs::remove(other / "model.safetensors");
  fs::create_hard_link(safetensors, other / "model.safetensors");
  EXPECT_TRUE(contains(refusal(other), "has 2 hard links"));
  EXPECT_FALSE(fs::exists(other / "model.onnx"));
}

TEST_F(CheckpointDataTest, FilesInFoldersBelow) {
  const TempFolder whole;
  const fs::path inner = whole.path() / "2_Dense" / "model.safetensors";
  fs::create_directories(inner.parent_path());
  fs::copy_file(safetensors, inner);
  TensorView view = *cast_of(first_weight).view();
  view.file = File::open(inner);
  OnnxGraph made;
  made.opsets[""] = 17;
  made.inputs = {{"x", {DType::f16, {kHidden, kIn}}}};
  made.outputs = {{"y", {DType::f16, {kHidden, kIn}}}};
  made.initializers = {{"w", view}};
  made.nodes = {{"Add", "", "add", {"x", "w"}, {"y"}, {}}};
  write_model(made, whole.path() / "model.onnx", options);
  onnx::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(read_all(whole.path() / "model.onnx")));
  EXPECT_EQ(proto.graph().initializer(0).external_data(0).value(), "2_Dense/model.safetensors");
}

TEST_F(WriterTest, SeveralModelsOrNone) {
  const OnnxGraph good = graph();
  OnnxGraph wrong = graph();
  wrong.nodes.back().op_type = "NoSuchOp";
  const fs::path second = model.parent_path() / "second.onnx";
  for (const ExternalData kind : {ExternalData::shared, ExternalData::always, ExternalData::never}) {
    WriteOptions options;
    options.external_data = kind;
    complaint(ErrorCode::internal, [&] { write_models({{&good, model}, {&wrong, second}}, options); });
    EXPECT_FALSE(fs::exists(model.parent_path()));
  }
}

TEST_F(WriterTest, LargeIntegersDoNotDisturbShapeInference) {
  OnnxGraph graph;
  graph.opsets[""] = 17;
  std::vector<std::int64_t> positions(1000);
  std::iota(positions.begin(), positions.end(), 0);
  const auto ints = [](std::int64_t value) { return Weight::from_ints({1}, std::span(&value, 1)); };
  graph.inputs = {{"x", {DType::i64, {Dim::symbol("n")}}}};
  graph.initializers = {
      {"positions", Weight::from_ints({1000}, positions)}, {"begin", ints(0)}, {"end", ints(10)}};
  graph.nodes = {{"Slice", "", "", {"positions", "begin", "end"}, {"some"}, {}},
                 {"Gather", "", "", {"some", "x"}, {"y"}, {}}};
  graph.outputs = {{"y", {DType::i64, {Dim::symbol("n")}}}, {"some", {DType::i64, {10}}}};
  write_model(graph, model);
  WriteOptions options;
  options.external_data = ExternalData::always;
  write_model(graph, model, options);
  EXPECT_EQ(files(), (Strings{"model.onnx", "model.onnx_data"}));
}

TEST_F(WriterTest, AttributesOfAllKinds) {
  const auto branch = [](double value) {
    auto body = std::make_shared<OnnxGraph>();
    body->name = "branch";
    const std::vector<double> values(300, value);  // more than the reader loads
    body->initializers = {{"c", Weight::from_doubles(DType::f32, {300}, values)}};
    body->nodes = {{"Identity", "", "", {"c"}, {"out"}, {}}};
    body->outputs = {{"out", {DType::f32, {300}}}};
    return body;
  };
  OnnxGraph graph;
  graph.opsets[""] = 17;
  graph.inputs = {{"flag", {DType::boolean, {}}}};
  const std::vector<double> twos(300, 2);
  graph.nodes = {
      {"If", "", "choose", {"flag"}, {"z"}, {{"then_branch", branch(1)}, {"else_branch", branch(-1)}}},
      {"Constant", "", "", {}, {"c"}, {{"value", Weight::from_doubles(DType::f32, {300}, twos)}}},
      {"Constant", "", "", {}, {"f"}, {{"value_floats", std::vector<float>{0.5F}}}},
      {"Constant", "", "", {}, {"i"}, {{"value_ints", std::vector<std::int64_t>{15, 20}}}},
      {"Mul", "", "", {"z", "c"}, {"p"}, {}},
      {"Add", "", "", {"p", "f"}, {"s"}, {}},
      {"Reshape", "", "", {"s", "i"}, {"r"}, {}},
      {"Einsum", "", "", {"r"}, {"y"}, {{"equation", std::string("ij->ji")}}}};
  graph.outputs = {{"y", {DType::f32, {20, 15}}}};
  write_model(graph, model);
  const runtime::Session session(model);
  Tensor flag(DType::boolean, {});
  EXPECT_EQ(session.run({{"flag", flag}})[0].second.to_doubles(), std::vector<double>(300, -1.5));
  flag.data[0] = std::byte{1};
  EXPECT_EQ(session.run({{"flag", flag}})[0].second.to_doubles(), std::vector<double>(300, 2.5));

  const GraphSummary summary = summarize(model).graph;
  ASSERT_EQ(summary.nodes[0].graphs.size(), 2U);
  EXPECT_EQ(summary.nodes[0].graphs[1].attribute, "else_branch");
  EXPECT_EQ(summary.nodes[0].graphs[1].graph.initializers[0].bytes, 1200U);
}

// --- what the check finds ----------------------------------------------------------------------------------

TEST_F(WriterTest, FindsWrongAttributes) {
  OnnxGraph wrong = graph();
  wrong.nodes[0].attrs.emplace_back("transQ", std::int64_t{1});
  const std::string message = complaint(ErrorCode::internal, [&] { write_model(wrong, model); });
  EXPECT_TRUE(contains(
      message, "model.onnx: the onnx checker says: Unrecognized attribute: transQ for operator Gemm"));
  EXPECT_TRUE(contains(message, "first"));
  EXPECT_FALSE(fs::exists(model.parent_path()));
}

TEST_F(WriterTest, FindsWrongShapes) {
  const auto check = [&](const std::function<void(OnnxGraph&)>& spoil) {
    OnnxGraph wrong = graph();
    spoil(wrong);
    return complaint(ErrorCode::internal, [&] { write_model(wrong, model); });
  };
  EXPECT_TRUE(contains(
      check([](OnnxGraph& wrong) { wrong.outputs[0].type.shape.back() = 17; }),
      "model.onnx: output y is declared as float32[batch_size, 1, 17], but the graph computes float32["));
  EXPECT_TRUE(contains(check([](OnnxGraph& wrong) { wrong.outputs[0].type.shape.pop_back(); }),
                       "output y is declared as float32[batch_size, 1], but"));
  EXPECT_TRUE(contains(check([](OnnxGraph& wrong) { wrong.outputs[0].type.dtype = DType::f16; }),
                       "output y is declared as float16[batch_size, 1, 16], but"));
  EXPECT_TRUE(
      contains(check([&](OnnxGraph& wrong) { wrong.initializers[2].weight = second_weight.permute({1, 0}); }),
               "node name: second"));
  EXPECT_FALSE(fs::exists(model.parent_path()));
}

TEST_F(WriterTest, FindsNamesGivenTwice) {
  OnnxGraph wrong = graph();
  wrong.initializers.push_back({"first.bias", first_bias});
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { write_model(wrong, model); }),
                       "'first.bias' is given twice"));
  wrong = graph();
  wrong.nodes[1].outputs[0] = "x";
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { write_model(wrong, model); }),
                       "an input and to an output of MatMul"));
  wrong = graph();
  wrong.outputs.clear();
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { write_model(wrong, model); }), "no outputs"));
}

TEST_F(WriterTest, FindsMissingAndShortData) {
  WriteOptions options;
  options.external_data = ExternalData::always;
  write_model(graph(), model, options);
  fs::resize_file(data, fs::file_size(data) - 1);
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { check_model_file(model); }), "second.weight.T"));
  fs::remove(data);
  EXPECT_TRUE(contains(complaint(ErrorCode::internal, [&] { check_model_file(model); }), "not regular file"));
}

TEST_F(WriterTest, ChecksFilesInTheWorkingFolder) {
  write_model(graph(), model);
  const fs::path before = fs::current_path();
  fs::current_path(model.parent_path());
  EXPECT_NO_THROW(check_model_file("model.onnx"));
  EXPECT_NO_THROW(write_model(graph(), "other.onnx"));
  fs::current_path(before);
}

// --- failures leave nothing --------------------------------------------------------------------------------

TEST_F(WriterTest, RefusesAFolderBelowAFile) {
  const std::string message =
      complaint(ErrorCode::io, [&] { write_model(graph(), folder.path() / "weights.bin/x/model.onnx"); });
  EXPECT_TRUE(contains(message, "weights.bin"));
}

TEST_F(WriterTest, KeepsTheOldModelWhenWritingFails) {
  write_model(graph(), model);
  const std::string before = read_all(model);
  fs::resize_file(folder.path() / "weights.bin", 100'000);
  WriteOptions options;
  options.external_data = ExternalData::always;
  EXPECT_TRUE(
      contains(complaint(ErrorCode::io, [&] { write_model(graph(), model, options); }), "weights.bin"));
  EXPECT_EQ(files(), Strings{"model.onnx"});
  EXPECT_TRUE(before == read_all(model));
}

TEST_F(WriterTest, LeavesNothingWhenTheDiskIsFull) {
  const pid_t child = fork();
  if (child == 0) {  // a limit on the size of files stands in for a full disk
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{500'000, 500'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_model(graph(), model);
      _exit(1);
    } catch (const ExportError& error) {
      _exit(error.code() == ErrorCode::io && std::string(error.what()).find("model.onnx") != std::string::npos
                ? 0
                : 2);
    }
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(fs::exists(model.parent_path()));
}

// --- reading -----------------------------------------------------------------------------------------------

TEST_F(WriterTest, Summary) {
  for (const ExternalData kind : {ExternalData::always, ExternalData::never}) {
    WriteOptions options;
    options.external_data = kind;
    write_model(graph(), model, options);
    const ModelSummary summary = summarize(model);
    EXPECT_EQ(summary.ir_version, 8);
    EXPECT_TRUE(summary.producer.starts_with("onnxport "));
    EXPECT_EQ(summary.opsets, (std::vector<std::pair<std::string, std::int64_t>>{{"", 17}}));
    EXPECT_EQ(summary.graph.name, "main_graph");
    ASSERT_EQ(summary.graph.inputs.size(), 1U);
    EXPECT_EQ(summary.graph.inputs[0].type, "float32");
    EXPECT_EQ(summary.graph.inputs[0].shape, (Strings{"batch_size", "512"}));
    EXPECT_EQ(summary.graph.outputs[0].shape, (Strings{"batch_size", "1", "16"}));
    ASSERT_EQ(summary.graph.nodes.size(), 5U);
    EXPECT_EQ(summary.graph.nodes[0].op_type, "Gemm");
    EXPECT_EQ(summary.graph.nodes[0].inputs, (Strings{"x", "first.weight", "first.bias"}));
    ASSERT_EQ(summary.graph.initializers.size(), 6U);
    EXPECT_EQ(summary.graph.initializers[0].shape, (std::vector<std::int64_t>{kHidden, kIn}));
    EXPECT_EQ(summary.graph.initializers[0].bytes, 4U * kHidden * kIn);
    EXPECT_EQ(summary.graph.initializers[0].file, kind == ExternalData::always ? "model.onnx_data" : "");
    EXPECT_EQ(summary.graph.initializers[3].type, "float16");
    EXPECT_EQ(summary.graph.initializers[3].file, "");
  }
}

TEST_F(WriterTest, OtherFilesAreNotModels) {
  const fs::path path = folder.path() / "other.onnx";
  const auto reason = [&](std::string_view bytes) {
    write_all(path, bytes);
    return complaint(ErrorCode::io, [&] { summarize(path); });
  };
  EXPECT_TRUE(contains(reason(""), "other.onnx is not an onnx model"));
  EXPECT_TRUE(contains(reason("version https://git-lfs.github.com/spec/v1\n"), "is not an onnx model"));
  EXPECT_TRUE(
      contains(reason(std::string("\x90\x2a\0\0\0\0\0\0{\"__metadata__\":{}}", 26)), "is not an onnx model"));
  EXPECT_TRUE(contains(reason("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "bytes are announced"));
  EXPECT_TRUE(
      contains(complaint(ErrorCode::io, [&] { summarize(folder.path() / "none.onnx"); }), "none.onnx"));
}

TEST_F(WriterTest, TruncatedModels) {
  write_model(graph(), model);
  const std::uint64_t whole = fs::file_size(model), first_payload = 4 * kHidden * kIn;
  for (std::uint64_t size = whole; size-- > 0;) {
    if (size > 1000 && size < first_payload && size % 100'003 != 0) continue;
    if (size > first_payload + 5000 && size + 500 < whole && size % 1009 != 0) continue;
    fs::resize_file(model, size);
    EXPECT_TRUE(contains(complaint(ErrorCode::io, [&] { summarize(model); }), "truncated")) << "at " << size;
  }
}

TEST(IrVersion, LowestForTheOpset) {
  // From the table of releases in onnx/helper.py.
  const std::pair<int, int> pairs[] = {{7, 3},   {8, 3},   {9, 4},   {10, 5},  {11, 6},  {12, 7},
                                       {13, 7},  {14, 7},  {15, 8},  {18, 8},  {19, 9},  {20, 9},
                                       {21, 10}, {22, 10}, {23, 11}, {24, 12}, {25, 13}, {26, 13}};
  for (const auto& [opset, ir] : pairs) EXPECT_EQ(ir_version_for(opset), ir) << opset;
}

}  // namespace
}  // namespace onnxport::serialize
