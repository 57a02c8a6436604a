// Several variants of a model in one go: the files of single runs, and every stored byte read once.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "errors.h"
#include "ir/weight_expr.h"
#include "ir/weight_origin.h"
#include "onnxport/error.h"
#include "serialize/model_proto.h"
#include "serialize/summary.h"
#include "serialize/writer.h"
#include "writer_fixture.h"

namespace onnxport::serialize {
namespace {

using test::complaint;

/// For each row of floats: `out` numbers, each the largest magnitude in its part of the row. It reads whole
/// rows, like the scales of quantized weights.
class RowSource final : public detail::Source {
 public:
  RowSource(detail::SourcePtr input, std::int64_t width, std::int64_t out)
      : Source(DType::f32, "rows" + std::to_string(out) + "(" + input->text() + ")", input->depth() + 1),
        input_(std::move(input)),
        width_(width),
        out_(out) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    std::vector<float> row(static_cast<std::size_t>(width_));
    std::int64_t loaded = -1;
    for (std::int64_t i = begin; i < begin + count; ++i, out += sizeof(float)) {
      if (i / out_ != loaded) {
        loaded = i / out_;
        input_->read(loaded * width_, width_, reinterpret_cast<std::byte*>(row.data()));
      }
      float largest = 0;
      const std::int64_t part = width_ / out_;
      for (std::int64_t j = i % out_ * part; j < (i % out_ + 1) * part; ++j)
        largest = std::max(largest, std::abs(row[static_cast<std::size_t>(j)]));
      std::memcpy(out, &largest, sizeof largest);
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return detail::origins_by_unit(*input_, width_, out_, begin, count);
  }

 private:
  detail::SourcePtr input_;
  std::int64_t width_, out_;
};

Weight rows_of(const Weight& weight, std::int64_t out) {
  const std::int64_t rows = weight.shape()[0], width = weight.shape()[1];
  return detail::WeightExpr::wrap(
      {.source = std::make_shared<RowSource>(detail::WeightExpr::of(weight).source, width, out),
       .shape = {rows, out},
       .name = "rows" + std::to_string(out)});
}

class OnePassTest : public WriterTest {
 protected:
  OnePassTest() {
    const Weight half = first_weight.cast(DType::f16);
    graphs.push_back(holding({{"w", first_weight}, {"b", first_bias}, {"t", second_weight}}));
    graphs.push_back(
        holding({{"w.f16", half},
                 {"t", second_weight},
                 {"t.f16", second_weight.cast(DType::f16)},
                 {"stack", Weight::concat(std::array{first_weight, first_weight}, 0).cast(DType::f16)}}));
    graphs.push_back(
        holding({{"codes", rows_of(first_weight, kIn / 2)}, {"scales", rows_of(first_weight, 16)}}));
    graphs.push_back(
        holding({{"scales", rows_of(first_weight, 16)}, {"w.f64", first_weight.cast(DType::f64)}}));
  }

  std::vector<ModelFile> files_in(const fs::path& out) const {
    return {{graphs.data(), out / "model.onnx", "model.onnx_data"},
            {&graphs[1], out / "onnx" / "model_fp16.onnx", "model_fp16.onnx_data"},
            {&graphs[2], out / "onnx" / "model_q4.onnx", "model_q4.onnx.data"},
            {&graphs[3], out / "onnx" / "decoder_q4.onnx", "model_q4.onnx.data"}};
  }

  std::vector<OnnxGraph> graphs;
};

TEST_F(OnePassTest, VariantsTogetherAreThoseWrittenOneByOne) {
  for (const ExternalData kind : {ExternalData::shared, ExternalData::always, ExternalData::never}) {
    const fs::path together = folder.path() / "together", single = folder.path() / "single";
    std::uint64_t done = 0, total = 0;
    WriteOptions options;
    options.external_data = kind;
    options.on_progress = [&](std::uint64_t now, std::uint64_t all) {
      EXPECT_GT(now, done);
      done = now;
      total = all;
    };
    const auto written = write_models(files_in(together), options);
    EXPECT_EQ(done, total);
    EXPECT_GT(total, 4U * kHidden * kIn);
    std::uint64_t bytes = 0;
    for (const WrittenFile& file : written) bytes += file.bytes;
    options.on_progress = nullptr;
    const std::vector<ModelFile> alone = files_in(single);
    write_models({alone[0]}, options);
    write_models({alone[1]}, options);
    write_models({alone[2], alone[3]}, options);
    const auto files = all_files(together);
    EXPECT_TRUE(files == all_files(single));
    EXPECT_EQ(files.size(), written.size());
    EXPECT_EQ(files.size(), kind == ExternalData::shared ? 7U : kind == ExternalData::always ? 8U : 4U);
    std::uint64_t sizes = 0;
    for (const auto& [name, content] : files) sizes += content.size();
    EXPECT_EQ(bytes, sizes);
    fs::remove_all(together);
    fs::remove_all(single);
  }
}

TEST_F(OnePassTest, ReadsEachStoredByteOnce) {
  if (!bytes_read()) GTEST_SKIP() << "the kernel does not count what a process reads";
  const std::vector<OnnxGraph> variants = {
      holding({{"w", first_weight}}), holding({{"w.f16", first_weight.cast(DType::f16)}}),
      holding({{"codes", rows_of(first_weight, kIn / 2)}, {"scales", rows_of(first_weight, 16)}}),
      holding({{"codes.f16", rows_of(first_weight, kIn / 2).cast(DType::f16)},
               {"w.f64", first_weight.cast(DType::f64)}}),
      holding({{"again", first_weight.cast(DType::f16)}})};
  std::vector<ModelFile> models;
  for (std::size_t i = 0; i < variants.size(); ++i)
    models.push_back({&variants[i], folder.path() / "out" / ("v" + std::to_string(i) + ".onnx")});
  WriteOptions options;
  options.external_data = ExternalData::always;
  options.check = false;
  const std::uint64_t before = *bytes_read();
  write_models(models, options);
  const std::uint64_t read = *bytes_read() - before, stored = 4 * kHidden * kIn;
  EXPECT_GE(read, stored);
  EXPECT_LT(read, stored + stored / 50);
}

TEST_F(OnePassTest, OneBadFileLeavesNothing) {
  for (const ExternalData kind : {ExternalData::shared, ExternalData::always, ExternalData::never}) {
    graphs[3].nodes[0].op_type = "NoSuchOp";
    WriteOptions options;
    options.external_data = kind;
    complaint(ErrorCode::internal, [&] { write_models(files_in(folder.path() / "out"), options); });
    EXPECT_FALSE(fs::exists(folder.path() / "out"));
  }
  graphs[3].nodes[0].op_type = "Identity";
  fs::create_directories(folder.path() / "out" / "onnx" / "decoder_q4.onnx");  // cannot become a file
  EXPECT_TRUE(contains(complaint(ErrorCode::io, [&] { write_models(files_in(folder.path() / "out")); }),
                       "decoder_q4.onnx"));
  EXPECT_EQ(files(), Strings{"onnx"});
  EXPECT_EQ(files("out/onnx"), Strings{"decoder_q4.onnx"});
}

TEST_F(OnePassTest, ShortCheckpointsLeaveNothing) {
  fs::resize_file(folder.path() / "weights.bin", 500'000);
  EXPECT_TRUE(contains(complaint(ErrorCode::io, [&] { write_models(files_in(folder.path() / "out")); }),
                       "weights.bin"));
  EXPECT_FALSE(fs::exists(folder.path() / "out"));
}

TEST_F(OnePassTest, Origins) {
  const std::int64_t whole = kHidden * kIn;
  const auto one = [](const Weight& weight) {
    const std::vector<Origin> origins = origins_of(weight);
    EXPECT_EQ(origins.size(), 1U);
    return origins.at(0);
  };
  const std::array<Weight, 3> same = {
      first_weight, first_weight.cast(DType::f16).reshape({whole}),
      first_weight.mul(Weight::from_doubles(DType::f32, {}, std::array{2.0}))};
  for (const Weight& weight : same) {
    const Origin origin = one(weight);
    EXPECT_EQ(origin.file, source);
    EXPECT_EQ(origin.offset, 3U);
    EXPECT_EQ(origin.count, whole);
    EXPECT_EQ(origin.source_bytes(), 4 * whole);
  }
  const Origin scales = one(rows_of(first_weight, 16));
  EXPECT_EQ(scales.elements, 16);
  EXPECT_EQ(scales.bytes, 4 * kIn);
  EXPECT_EQ(scales.source_bytes(), 4 * whole);
  EXPECT_FALSE(one(second_weight).known());

  const Weight half = first_weight.cast(DType::f16).slice(0, 10, 20);
  EXPECT_EQ(one(half).offset, 3U + 4 * 10 * kIn);
  EXPECT_EQ(one(half).begin, 0);
  const auto stack = origins_of(Weight::concat(std::array{half, first_weight.cast(DType::f16)}, 0));
  ASSERT_EQ(stack.size(), 2U);
  EXPECT_EQ(stack[1].begin, 10 * kIn);
  EXPECT_EQ(stack[1].count, whole);
  EXPECT_EQ(stack[1].offset, 3U);
  EXPECT_FALSE(one(Weight::concat(std::array{first_weight, first_weight}, 1)).known());  // short runs
}

// --- data files with a limit -------------------------------------------------------------------------------

TEST_F(WriterTest, DataFilesWithALimit) {
  WriteOptions options;
  options.external_data = ExternalData::always;
  options.data_chunk_limit = 4 * kHidden * kIn;  // the largest tensor fits exactly
  const auto written = write_model(graph(), model, options);
  ASSERT_EQ(written.size(), 3U);
  EXPECT_EQ(files(), (Strings{"model.onnx", "model.onnx_data", "model.onnx_data_1"}));
  EXPECT_EQ(written[1].path, data);
  EXPECT_EQ(written[1].bytes, options.data_chunk_limit);
  EXPECT_EQ(written[2].bytes, fs::file_size(data.string() + "_1"));
  expect_right_numbers(model);
  check_model_file(model);

  options.data_chunk_limit = 4 * kHidden * kIn + 64 + 4 * kHidden;  // the bias has room in the first file
  write_model(graph(), model, options);
  EXPECT_EQ(summarize(model).graph.initializers[1].file, "model.onnx_data");
  EXPECT_EQ(summarize(model).graph.initializers[2].file, "model.onnx_data_1");
  expect_right_numbers(model);
  options.data_chunk_limit = 10'000'000;
  EXPECT_EQ(write_model(graph(), model, options).size(), 2U);

  const OnnxGraph made = graph();
  options.external_data = ExternalData::shared;
  options.data_chunk_limit = 4 * kHidden * kIn;
  write_models({{&made, model, "both.onnx.data"}, {&made, model.parent_path() / "b.onnx", "both.onnx.data"}},
               options);
  expect_right_numbers(model);
  expect_right_numbers(model.parent_path() / "b.onnx");
  EXPECT_TRUE(fs::exists(model.parent_path() / "both.onnx.data_1"));
}

TEST_F(WriterTest, TensorsBeyondTheLimit) {
  WriteOptions options;
  options.external_data = ExternalData::always;
  options.data_chunk_limit = 4 * kHidden * kIn - 1;
  const std::string message =
      complaint(ErrorCode::invalid_argument, [&] { write_model(graph(), model, options); });
  EXPECT_TRUE(contains(message, "model.onnx_data: tensor 'first.weight' has"));
  EXPECT_TRUE(contains(message, "1228800 bytes"));
  EXPECT_TRUE(contains(message, "fewer bits"));
  EXPECT_FALSE(fs::exists(model.parent_path()));
}

}  // namespace
}  // namespace onnxport::serialize
