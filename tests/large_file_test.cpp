// Files beyond 4 GiB, made of holes: offsets and numbers of elements that 32 bits do not hold.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/zip.h"
#include "ir/weight_scaled.h"
#include "onnx/onnx_graph.h"
#include "runtime/session.h"
#include "serialize/layout.h"
#include "serialize/writer.h"
#include "support/file.h"
#include "support/temp_folder.h"
#include "torch_bytes.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using namespace torch_bytes;
constexpr std::int64_t kGiB = std::int64_t{1} << 30;
constexpr std::uint64_t k32Bits = std::uint64_t{1} << 32;

std::string floats_from(float first, std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i, first += 1) {
    bytes.append(reinterpret_cast<const char*>(&first), sizeof first);
  }
  return bytes;
}

class LargeFile : public ::testing::Test {
 protected:
  void SetUp() override {
    const fs::path probe = write("probe", {}, 5 * kGiB);
    struct stat info{};
    const bool holes = ::stat(probe.c_str(), &info) == 0 && info.st_size == 5 * kGiB && info.st_blocks < 2048;
    fs::remove(probe);
    if (!holes) GTEST_SKIP() << "the file system of '" << folder_.path().string() << "' has no holes";
  }

  /// A file of this size with these bytes in it, and holes around them.
  fs::path write(const std::string& name, const std::vector<std::pair<std::int64_t, std::string>>& pieces,
                 std::int64_t size) {
    const fs::path path = folder_.path() / name;
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = file >= 0 && ::ftruncate(file, size) == 0;
    for (const auto& [offset, bytes] : pieces) {
      good = good && ::pwrite(file, bytes.data(), bytes.size(), offset) == static_cast<ssize_t>(bytes.size());
    }
    if (file >= 0) ::close(file);
    if (!good) fs::remove(path);
    return path;
  }

  static std::vector<std::byte> read(const Weight& weight, std::int64_t begin, std::int64_t count) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(count) * size_of(weight.dtype()));
    weight.read(begin, count, bytes.data());
    return bytes;
  }
  static float read_float(const Weight& weight, std::int64_t at) {
    float value = 0;
    weight.read(at, 1, reinterpret_cast<std::byte*>(&value));
    return value;
  }

  TempFolder folder_;
};

/// `before` | `hole`, of more than 4 GiB, with a byte 0x5a near its end | `matrix` | `last`.
class LargeSafetensors : public LargeFile {
 protected:
  static constexpr std::int64_t kHole = 5 * kGiB, kMark = kHole - 7, kRows = 20, kColumns = 30;

  void SetUp() override {
    LargeFile::SetUp();
    if (IsSkipped()) return;
    const std::int64_t matrix = 16 + kHole, last = matrix + 4 * kRows * kColumns, end = last + 8;
    std::string header = fmt::format(R"({{"before":{{"dtype":"F32","shape":[4],"data_offsets":[0,16]}},)"
                                     R"("hole":{{"dtype":"U8","shape":[{}],"data_offsets":[16,{}]}},)"
                                     R"("matrix":{{"dtype":"F32","shape":[{},{}],"data_offsets":[{},{}]}},)"
                                     R"("last":{{"dtype":"F32","shape":[2],"data_offsets":[{},{}]}}}})",
                                     kHole, matrix, kRows, kColumns, matrix, last, last, end);
    const auto data = static_cast<std::int64_t>(8 + header.size());
    write("model.safetensors",
          {{0, le(header.size(), 8) + header + floats_from(1, 4)},
           {data + 16 + kMark, "\x5a"},
           {data + matrix, floats_from(100, kRows * kColumns)},
           {data + last, floats_from(-1, 2)}},
          data + end);
    checkpoint_ = Checkpoint::open(folder_.path());
  }

  Weight weight(std::string_view key) const { return checkpoint_->weight(*checkpoint_->find(key)); }

  std::shared_ptr<const Checkpoint> checkpoint_;
};

TEST_F(LargeSafetensors, ReadsBeyondFourGiB) {
  EXPECT_GT(checkpoint_->find("matrix")->offset, k32Bits);
  EXPECT_EQ(weight("before").to_doubles(), (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(weight("last").to_doubles(), (std::vector<double>{-1, 0}));
  EXPECT_EQ(read_float(weight("matrix"), 599), 699);
  EXPECT_EQ(read_float(weight("matrix").permute({1, 0}), 1), 130);
  EXPECT_EQ(weight("matrix").slice(1, 29, 30).to_doubles()[19], 699);
  EXPECT_EQ(weight("matrix").cast(DType::f16).to_doubles()[31], 131);
  EXPECT_EQ(checkpoint_->num_parameters(), 4 + 600 + 2);
}

TEST_F(LargeSafetensors, MoreElementsThan32BitsCount) {
  constexpr auto kByte = std::byte{0x5a};
  const Weight hole = weight("hole");
  const auto around = [&](const Weight& w, std::int64_t at) {
    const auto bytes = read(w, at - 1, 3);
    return bytes[0] == std::byte{0} && bytes[1] == kByte && bytes[2] == std::byte{0};
  };
  EXPECT_TRUE(around(hole, kMark));
  EXPECT_TRUE(around(hole.slice(0, 3, kHole), kMark - 3));
  EXPECT_NE(hole.slice(0, 3, kHole).view(), nullptr);
  // Row 4 of 5, column 2^30 - 7: in the transposed matrix, the last but 6 of the rows.
  const Weight turned = hole.reshape({5, kGiB}).permute({1, 0});
  EXPECT_TRUE(around(turned, (kGiB - 7) * 5 + 4));
  EXPECT_TRUE(around(hole.reshape({5, kGiB}).slice(1, 10, kGiB), 4 * (kGiB - 10) + kGiB - 17));
  const std::vector<Weight> parts = {hole, hole};
  EXPECT_TRUE(around(Weight::concat(parts, 0), kHole + kMark));
  EXPECT_TRUE(
      around(hole.reshape({5, kGiB}).take(Weight::from_ints({6}, Dims{0, 1, 2, 3, 3, 4})), kMark + kGiB));
  EXPECT_EQ(read_float(hole.cast(DType::f32), kMark), 0x5a);
  EXPECT_EQ(read_float(from_float8(hole, Float8::e4m3), kMark), e4m3_to_float(0x5a));
  const Weight scales = Weight::from_doubles(DType::f32, {5, 1}, std::vector<double>{1, 2, 3, 4, 5});
  EXPECT_EQ(
      read_float(scale_blocks(from_float8(hole, Float8::e4m3).reshape({5, kGiB}), scales, 1, kGiB), kMark),
      5 * e4m3_to_float(0x5a));
}

TEST_F(LargeSafetensors, ModelsPointBeyondFourGiB) {
  OnnxGraph graph;
  graph.opsets[""] = 17;
  graph.inputs = {{"x", {DType::f32, {kRows, kColumns}}}};
  graph.outputs = {{"y", {DType::f32, {kRows, kColumns}}}};
  graph.initializers = {{"matrix", weight("matrix")}};
  graph.nodes = {{"Add", "", "add", {"x", "matrix"}, {"y"}, {}}};
  const fs::path model = folder_.path() / "model.onnx";
  const auto written =
      serialize::write_model(graph, model, {.external_data = serialize::ExternalData::checkpoint});
  ASSERT_EQ(written.size(), 1U);

  std::ifstream in(model, std::ios::binary);
  onnx::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(std::string(std::istreambuf_iterator<char>(in), {})));
  ASSERT_EQ(proto.graph().initializer_size(), 1);
  EXPECT_EQ(proto.graph().initializer(0).external_data(1).key(), "offset");
  EXPECT_EQ(proto.graph().initializer(0).external_data(1).value(),
            std::to_string(checkpoint_->find("matrix")->offset));
  serialize::check_model_file(model);
  const NamedTensors outputs =
      runtime::Session(model, {.intra_op_threads = 1}).run({{"x", Tensor(DType::f32, {kRows, kColumns})}});
  EXPECT_EQ(outputs[0].second.to_doubles()[599], 699);
}

TEST_F(LargeSafetensors, LayoutBeyondFourGiB) {
  serialize::Layout layout;
  layout.add("text");
  layout.align(4096);
  layout.add(weight("hole"));
  layout.align(64);
  layout.add(weight("matrix").reshape({kRows * kColumns}).cast(DType::f64));
  ASSERT_EQ(layout.payloads().size(), 2U);
  EXPECT_EQ(layout.payloads()[0].offset, 4096U);
  EXPECT_EQ(layout.payloads()[1].offset, 4096U + kHole);
  EXPECT_EQ(layout.size(), 4096U + kHole + 8 * kRows * kColumns);
  EXPECT_EQ(layout.payload_bytes(), kHole + 8 * kRows * kColumns);
}

TEST_F(LargeSafetensors, OneByteIsMissing) {
  const fs::path path = folder_.path() / "model.safetensors";
  fs::resize_file(path, fs::file_size(path) - 1);
  try {
    Checkpoint::open(folder_.path());
    FAIL() << "no error";
  } catch (const ExportError& error) {
    EXPECT_NE(std::string(error.what())
                  .find("model.safetensors is truncated: tensor 'last' ends at byte 5368711544"),
              std::string::npos)
        << error.what();
  }
}

/// A zip64 archive of stored entries, each with zeros before its content.
class LargeTorchFile : public LargeFile {
 protected:
  struct Item {
    std::string name;
    std::int64_t size;
    std::string end;  ///< its last bytes
  };

  std::shared_ptr<const Checkpoint> open(const std::vector<Item>& items) {
    std::vector<std::pair<std::int64_t, std::string>> pieces;
    std::int64_t at = 0;
    std::string directory;
    for (const Item& item : items) {
      const auto size = static_cast<std::uint64_t>(item.size), header = static_cast<std::uint64_t>(at);
      // Only data.pkl is read whole, and compared with its checksum.
      const std::uint64_t crc =
          crc32(0, reinterpret_cast<const Bytef*>(item.end.data()), static_cast<uInt>(item.end.size()));
      pieces.emplace_back(at, "PK\x03\x04" + le(45, 2) + le(0x808, 2) + le(0, 2) + le(0, 16) +
                                  le(item.name.size(), 2) + le(0, 2) + item.name);
      at += static_cast<std::int64_t>(pieces.back().second.size()) + item.size;
      pieces.emplace_back(at - static_cast<std::int64_t>(item.end.size()), item.end);
      const std::string extra = le(1, 2) + le(24, 2) + le(size, 8) + le(size, 8) + le(header, 8);
      directory += "PK\x01\x02" + le(45, 2) + le(45, 2) + le(0x808, 2) + le(0, 2) + le(0, 4) + le(crc, 4) +
                   std::string(8, '\xff') + le(item.name.size(), 2) + le(extra.size(), 2) + le(0, 10) +
                   le(0xffffffff, 4) + item.name + extra;
    }
    pieces.emplace_back(
        at, directory + zip_end(items.size(), directory.size(), static_cast<std::uint64_t>(at), true));
    const std::int64_t end = at + static_cast<std::int64_t>(pieces.back().second.size());
    return Checkpoint::open(write("pytorch_model.bin", pieces, end));
  }

  static Item pickle(const std::vector<std::pair<std::string, std::string>>& tensors) {
    const std::string bytes = pickled(tensors);
    return {"m/data.pkl", static_cast<std::int64_t>(bytes.size()), bytes};
  }
};

TEST_F(LargeTorchFile, ReadsBeyondFourGiB) {
  constexpr std::int64_t kFloats = 5 * kGiB / 4;
  const auto checkpoint = open({pickle({{"late", tensor(storage("0", kFloats), kFloats - 6, {2, 3}, {3, 1})},
                                        {"whole", tensor(storage("0", kFloats), 0, {kFloats}, {1})},
                                        {"turned", tensor(storage("1", 6), 0, {3, 2}, {1, 3})}}),
                                {"m/data/0", 5 * kGiB, floats_from(7, 6)},
                                {"m/data/1", 24, floats_from(10, 6)}});
  EXPECT_GT(checkpoint->find("late")->offset, k32Bits);
  EXPECT_EQ(checkpoint->weight(*checkpoint->find("late")).to_doubles(),
            (std::vector<double>{7, 8, 9, 10, 11, 12}));
  EXPECT_EQ(checkpoint->weight(*checkpoint->find("turned")).to_doubles(),
            (std::vector<double>{10, 13, 11, 14, 12, 15}));
  EXPECT_EQ(read_float(checkpoint->weight(*checkpoint->find("whole")), kFloats - 1), 12);
}

TEST_F(LargeTorchFile, AsManyBytesAsTheMarkOfZip64) {
  // 2^32 - 1 is the number that says "see the zip64 field"; it may stand there as well.
  constexpr std::int64_t kBytes = 4 * kGiB - 1;
  const auto checkpoint =
      open({pickle({{"x", tensor(storage("0", kBytes, "ByteStorage"), 0, {kBytes}, {1})}}),
            {"m/data/0", kBytes, "\x07"}});
  EXPECT_EQ(read(checkpoint->weight(*checkpoint->find("x")), kBytes - 1, 1)[0], std::byte{7});
}

}  // namespace
}  // namespace onnxport
