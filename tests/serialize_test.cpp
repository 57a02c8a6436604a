#include <fcntl.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "errors.h"
#include "onnxport/error.h"
#include "serialize/summary.h"
#include "serialize/writer.h"
#include "support/file.h"
#include "writer_fixture.h"

namespace onnxport::serialize {
namespace {

using test::complaint;

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
