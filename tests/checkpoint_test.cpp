#include "checkpoint/checkpoint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "errors.h"
#include "onnxport/error.h"
#include "safetensors_bytes.h"
#include "support/dtype_names.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::float_file;
using test::length_prefix;
using test::safetensors_file;
using Dims = std::vector<std::int64_t>;

class CheckpointTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& content) {
    const fs::path path = folder_.path() / name;
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    return path;
  }

  /// The error of a file with this content.
  std::string file_error(const std::string& content, ErrorCode code = ErrorCode::bad_checkpoint) {
    write("model.safetensors", content);
    return error_of([&] { Checkpoint::open(folder_.path()); }, code);
  }

  /// The error of a file with this header and 16 bytes of data.
  std::string header_error(const std::string& header, ErrorCode code = ErrorCode::bad_checkpoint) {
    return file_error(safetensors_file(header, 16), code);
  }

  /// The error of one tensor 't' with these fields, in a file with 16 bytes of data.
  std::string tensor_error(const std::string& fields, ErrorCode code = ErrorCode::bad_checkpoint) {
    return header_error(R"({"t":{)" + fields + "}}", code);
  }

  TempFolder folder_;
};

// --- good files ---

TEST_F(CheckpointTest, EveryDType) {
  std::string header;
  std::size_t end = 0;
  for (DType dtype : kAllDTypes) {
    const std::size_t bytes = 3 * size_of(dtype);
    header += fmt::format(R"("{}":{{"dtype":"{}","shape":[3,1],"data_offsets":[{},{}]}},)", to_string(dtype),
                          safetensors_name(dtype), end, end + bytes);
    end += bytes;
  }
  // Metadata, escapes, blanks at the end, and fields in any order.
  header =
      R"({"__metadata__":{"format":"pt"},)" + header +
      R"("":{"data_offsets":[0,0],"shape":[0,7],"dtype":"I8"},"é\n":{"shape":[],"dtype":"U8","data_offsets":[)" +
      fmt::format("{},{}]}}}}   ", end, end + 1);
  write("model.safetensors", safetensors_file(header, end + 1));
  const auto checkpoint = Checkpoint::open(folder_.path());
  EXPECT_EQ(checkpoint->tensors().size(), kAllDTypes.size() + 2);
  for (DType dtype : kAllDTypes) {
    const TensorView* view = checkpoint->find(to_string(dtype));
    ASSERT_NE(view, nullptr);
    EXPECT_EQ(view->dtype, dtype);
    EXPECT_EQ(view->shape, (Dims{3, 1}));
    EXPECT_EQ(view->bytes(), 3 * size_of(dtype));
  }
  EXPECT_EQ(checkpoint->find("")->numel(), 0);
  EXPECT_EQ(checkpoint->find("é\n")->shape, Dims{});
  const std::uint64_t data = 8 + header.size();
  EXPECT_EQ(checkpoint->find("float16")->offset, data + 12);
  EXPECT_EQ(Weight(*checkpoint->find("int8")).to_ints().size(), 3U);
  EXPECT_EQ(Weight(*checkpoint->find("é\n")).to_ints()[0], static_cast<std::int64_t>(end & 0xff));
  EXPECT_EQ(checkpoint->num_parameters(), 4 * 3);
}

TEST_F(CheckpointTest, FindAndKeys) {
  write("model.safetensors", float_file({{"b.weight", {2, 3}}, {"a.weight", {1}}, {"b.bias", {2}}}));
  const auto checkpoint = Checkpoint::open(folder_.path());
  EXPECT_EQ(checkpoint->keys(), (std::vector<std::string>{"a.weight", "b.bias", "b.weight"}));
  EXPECT_EQ(checkpoint->find("b.weight")->key, "b.weight");
  EXPECT_EQ(checkpoint->find("b"), nullptr);
  EXPECT_EQ(checkpoint->find("c"), nullptr);
  EXPECT_TRUE(checkpoint->has_prefix("b."));
  EXPECT_FALSE(checkpoint->has_prefix("c"));
  EXPECT_EQ(checkpoint->num_parameters(), 9);
  EXPECT_EQ(checkpoint->name(), "model.safetensors");
  EXPECT_EQ(checkpoint->nearest("b.wieght", 1), std::vector<std::string>{"b.weight"});
  EXPECT_EQ(Checkpoint::open(folder_.path() / "model.safetensors")->keys().size(), 3U);
}

TEST_F(CheckpointTest, ThousandsOfTensorsInMilliseconds) {
  std::vector<std::pair<std::string, Dims>> tensors;
  tensors.reserve(4000);
  for (int i = 0; i < 4000; ++i) {
    tensors.emplace_back(
        fmt::format("model.decoder.layers.{}.self_attention.projection.{}.weight", i / 10, i % 10),
        Dims{2, 2});
  }
  write("model.safetensors", float_file(tensors));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Checkpoint::open(folder_.path())->tensors().size(), 4000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1)) << "even under a sanitizer";
}

TEST_F(CheckpointTest, LinksOfTheHubCache) {
  fs::create_directories(folder_.path() / "blobs");
  fs::create_directories(folder_.path() / "snapshots" / "1");
  write("blobs/abc", float_file({{"a", {2}}}));
  const fs::path link = folder_.path() / "snapshots" / "1" / "model.safetensors";
  fs::create_symlink("../../blobs/abc", link);
  const auto checkpoint = Checkpoint::open(link.parent_path());
  EXPECT_EQ(Weight(*checkpoint->find("a")).to_doubles().size(), 2U);
  EXPECT_EQ(checkpoint->name(), "model.safetensors");
  fs::remove(folder_.path() / "blobs" / "abc");
  EXPECT_EQ(
      error_of([&] { Checkpoint::open(link.parent_path()); }),
      fmt::format("'{}' is a link to '../../blobs/abc', which does not exist: the download is not complete",
                  link.string()));
}

// --- bad files ---

TEST_F(CheckpointTest, BrokenFiles) {
  EXPECT_EQ(file_error(""),
            "model.safetensors has 0 bytes, too short for a safetensors file; download it again");
  EXPECT_EQ(file_error("1234567"),
            "model.safetensors has 7 bytes, too short for a safetensors file; download it again");
  EXPECT_EQ(file_error(length_prefix(10) + "{}"),
            "model.safetensors is truncated: it announces a header of 10 bytes, but has 2 after the length; "
            "download it again");
  EXPECT_EQ(file_error(length_prefix(100'000'001) + "{}"),
            "model.safetensors announces a header of 100000001 bytes, expected at most 100000000: it is "
            "damaged, or not a safetensors file");
  EXPECT_EQ(file_error(length_prefix(~0ULL) + "{}"),
            "model.safetensors announces a header of 18446744073709551615 bytes, expected at most 100000000: "
            "it is damaged, or not a safetensors file");
  EXPECT_EQ(file_error("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n"),
            "model.safetensors is a git-lfs pointer, not the weights; run `git lfs pull` in its folder");
}

TEST_F(CheckpointTest, BrokenHeaders) {
  EXPECT_EQ(header_error(""), "header of model.safetensors is not a JSON object");
  EXPECT_EQ(header_error("[]"), "header of model.safetensors is not a JSON object");
  EXPECT_EQ(header_error(" {}"), "header of model.safetensors is not a JSON object");
  EXPECT_EQ(header_error("{"), "header of model.safetensors is broken JSON at byte 2");
  EXPECT_EQ(header_error("{}x"), "header of model.safetensors is broken JSON at byte 3");
  EXPECT_EQ(header_error("{\"t\xff\":1}"), "header of model.safetensors is not valid UTF-8 at byte 4");
  EXPECT_EQ(header_error(R"({"t":1})"), "tensor 't' in model.safetensors is a number, expected an object");
  EXPECT_EQ(header_error(R"({"t":[]})"), "tensor 't' in model.safetensors is an array, expected an object");
  EXPECT_EQ(
      header_error(
          R"({"t":{"dtype":"I8","shape":[8],"data_offsets":[0,8]},"t":{"dtype":"I8","shape":[8],"data_offsets":[8,16]}})"),
      "header of model.safetensors has key 't' twice");
  EXPECT_EQ(header_error(R"({"__metadata__":{},"__metadata__":{}})"),
            "header of model.safetensors has key '__metadata__' twice");
  EXPECT_EQ(file_error(safetensors_file(R"({"__metadata__":null})", 0)), "no error") << "some writers' none";
  EXPECT_EQ(header_error(R"({"__metadata__":{"a":1}})"),
            "__metadata__ in model.safetensors holds a number, expected an object of strings");
  EXPECT_EQ(header_error(R"({"__metadata__":"a"})"),
            "__metadata__ in model.safetensors holds a string, expected an object of strings");
  EXPECT_EQ(header_error(R"({"__metadata__":{"a":{}}})"),
            "__metadata__ in model.safetensors has an object inside, expected strings");
  EXPECT_EQ(header_error(R"({"__metadata__":[]})"),
            "__metadata__ in model.safetensors has an array inside, expected strings");
  // Depth costs nothing and is refused at once.
  EXPECT_EQ(header_error("{\"t\":" + std::string(1'000'000, '[')),
            "tensor 't' in model.safetensors is an array, expected an object");
  EXPECT_EQ(header_error(R"({"t)" + std::string(1000, 'x') + "\":null}").size(), 261U)
      << "long names are cut";
  EXPECT_EQ(header_error("{\"\\u001b[31m\":null}"),
            "tensor '?[31m' in model.safetensors is null, expected an object");
}

TEST_F(CheckpointTest, BrokenTensors) {
  const auto with_shape = [&](std::string_view shape) {
    return tensor_error(fmt::format(R"("dtype":"F32","shape":{},"data_offsets":[0,16])", shape));
  };
  const auto with_offsets = [&](std::string_view offsets) {
    return tensor_error(fmt::format(R"("dtype":"F32","shape":[4],"data_offsets":{})", offsets));
  };
  const auto with_dtype = [&](std::string_view dtype, ErrorCode code = ErrorCode::bad_checkpoint) {
    return tensor_error(fmt::format(R"("dtype":{},"shape":[4],"data_offsets":[0,16])", dtype), code);
  };
  const std::string t = "tensor 't' in model.safetensors ";

  EXPECT_EQ(with_shape("[4]"), "no error");
  EXPECT_EQ(with_shape("4"), t + "has a number in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[-4]"),
            t + "has a negative number in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[4.0]"),
            t + "has a fraction or huge number in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[1e300]"),
            t + "has a fraction or huge number in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[99999999999999999999]"),
            t + "has a fraction or huge number in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[9223372036854775808]"),
            t + "has a huge number in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[[4]]"), t + "has an array in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[{}]"), t + "has an object in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[\"4\"]"),
            t + "has a string in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[null]"), t + "has null in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[true]"),
            t + "has a boolean in its shape, expected an array of non-negative integers");
  EXPECT_EQ(with_shape("[4294967296,4294967296]"), t + "has the impossible shape [4294967296, 4294967296]");
  EXPECT_EQ(with_shape("[4611686018427387904,4]"), t + "has the impossible shape [4611686018427387904, 4]");
  EXPECT_EQ(with_shape("[2305843009213693952]"),
            t + "has 16 bytes, expected 9223372036854775808 for float32[2305843009213693952]");
  EXPECT_EQ(with_shape("[5]"), t + "has 16 bytes, expected 20 for float32[5]");
  EXPECT_EQ(with_shape("[4" +
                       [] {
                         std::string ones;
                         for (int i = 0; i < 32; ++i) ones += ",1";
                         return ones;
                       }() +
                       "]"),
            t + "has more than 32 axes");

  EXPECT_EQ(with_offsets("[0,8]"), t + "has 8 bytes, expected 16 for float32[4]");
  EXPECT_EQ(with_offsets("[16,0]"), t + "ends before it begins: data_offsets [16, 0]");
  EXPECT_EQ(with_offsets("[16]"), t + "has 1 data_offsets, expected 2");
  EXPECT_EQ(with_offsets("[0,16,16]"), t + "has more than 2 data_offsets, expected 2");
  EXPECT_EQ(with_offsets("[0,-16]"),
            t + "has a negative number in its data_offsets, expected an array of two non-negative integers");
  EXPECT_EQ(with_offsets("\"0,16\""),
            t + "has a string in its data_offsets, expected an array of two non-negative integers");
  EXPECT_EQ(with_offsets("[8,24]"),
            "model.safetensors is truncated: tensor 't' ends at byte 24 of the data, but the file has 16; "
            "download it again");

  EXPECT_EQ(with_dtype("\"float32\""), t + "has the unknown dtype 'float32'");
  EXPECT_EQ(with_dtype("7"), t + "has a number in its dtype, expected a string");
  EXPECT_EQ(with_dtype("[\"F32\"]"), t + "has an array in its dtype, expected a string");
  EXPECT_EQ(with_dtype("{}"), t + "has an object in its dtype, expected a string");
  for (const std::string_view name : {"F8_E4M3FNUZ", "F6_E2M3", "F4", "C64"}) {
    EXPECT_EQ(
        with_dtype(fmt::format("\"{}\"", name), ErrorCode::unsupported),
        fmt::format("{}has the unsupported dtype {}; save the checkpoint in BF16, F16 or F32", t, name));
  }

  EXPECT_EQ(tensor_error(""), t + "has no field 'dtype'");
  EXPECT_EQ(tensor_error(R"("dtype":"F32")"), t + "has no field 'shape'");
  EXPECT_EQ(tensor_error(R"("dtype":"F32","shape":[])"), t + "has no field 'data_offsets'");
  EXPECT_EQ(tensor_error(R"("dtype":"F32","shape":[],"shape":[])"), t + "has field 'shape' twice");
  EXPECT_EQ(tensor_error(R"("dtype":"F32","dtype":"F32")"), t + "has field 'dtype' twice");
  EXPECT_EQ(tensor_error(R"("data_offsets":[0,0],"data_offsets":[0,0])"),
            t + "has field 'data_offsets' twice");
  EXPECT_EQ(tensor_error(R"("device":"cpu")"), t + "has the unknown field 'device'");
}

TEST_F(CheckpointTest, TensorsMustCoverTheDataExactly) {
  const auto layout = [&](const std::vector<std::array<int, 2>>& tensors) {
    std::string header = "{";
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const auto [begin, end] = tensors[i];
      header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}})",
                            i > 0 ? "," : "", i, end - begin, begin, end);
    }
    return header_error(header + "}");
  };
  EXPECT_EQ(layout({{8, 16}, {0, 8}}), "no error");
  EXPECT_EQ(layout({{8, 8}, {0, 8}, {8, 16}, {0, 0}, {16, 16}}), "no error");
  EXPECT_EQ(layout({{0, 9}, {8, 16}}), "tensor 't1' in model.safetensors overlaps tensor 't0'");
  EXPECT_EQ(layout({{0, 16}, {4, 4}}), "tensor 't1' in model.safetensors overlaps tensor 't0'");
  EXPECT_EQ(layout({{0, 8}, {9, 16}}),
            "model.safetensors has a hole: 1 bytes before tensor 't1' belong to no tensor");
  EXPECT_EQ(layout({{1, 16}}),
            "model.safetensors has a hole: 1 bytes before tensor 't0' belong to no tensor");
  EXPECT_EQ(layout({{0, 14}}), "model.safetensors has 2 bytes after its last tensor that belong to none");
  EXPECT_EQ(layout({}), "model.safetensors has 16 bytes after its last tensor that belong to none");
}

// --- folders ---

TEST_F(CheckpointTest, FoldersWithoutWeights) {
  const std::string folder = folder_.path().string();
  const auto open = [&] { return error_of([&] { Checkpoint::open(folder_.path()); }); };
  EXPECT_EQ(error_of([&] { Checkpoint::open(folder_.path() / "none"); }),
            "checkpoint '" + folder + "/none' does not exist");
  EXPECT_EQ(open(),
            "no weights in '" + folder +
                "': looked for model.safetensors, model.safetensors.index.json, "
                "diffusion_pytorch_model.safetensors, diffusion_pytorch_model.safetensors.index.json, "
                "pytorch_model.bin, pytorch_model.bin.index.json, diffusion_pytorch_model.bin, "
                "diffusion_pytorch_model.bin.index.json, *.gguf");
  write("diffusion_pytorch_model.safetensors", float_file({{"a", {2}}}));
  EXPECT_EQ(Checkpoint::open(folder_.path())->name(), "diffusion_pytorch_model.safetensors");
  write("model.safetensors", float_file({{"b", {2}}}));
  EXPECT_EQ(Checkpoint::open(folder_.path())->name(), "model.safetensors");
}

}  // namespace
}  // namespace onnxport
